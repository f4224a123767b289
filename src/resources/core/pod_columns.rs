//! What `kubectl get pods` shows: how far a pod's containers are, and what holds them up.

use crate::object::time::{Timestamp, human_duration};
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::Column;
use crate::resources::cells::{has_condition, text_or};

pub static COLUMNS: &[Column] = &[
    Column::NAME,
    Column::with("Ready", |pod| {
        let progress = Progress::of(pod);
        format!("{}/{}", progress.ready, progress.total).into()
    }),
    Column::with("Status", |pod| Progress::of(pod).status.into()),
    Column::with_now("Restarts", restarts),
    Column::AGE,
    Column::with("IP", |pod| text_or(first(pod, "status.podIPs"), "ip", "<none>").into()).wide(),
    Column::path_or("Node", "spec.nodeName", "<none>").wide(),
    Column::path_or("Nominated Node", "status.nominatedNodeName", "<none>").wide(),
    Column::with("Readiness Gates", readiness_gates).wide(),
];

/// The row of a pod that has ended says so, for `kubectl get --watch` to dim it.
pub fn row_conditions(pod: &Tree) -> Vec<Tree> {
    let (reason, message) = match pod.text("status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

/// Sums over a pod's containers.
struct Progress {
    ready: usize,
    total: usize,
    restarts: i64,
    /// When a container was last restarted.
    restarted: Option<Timestamp>,
    status: String,
}

impl Progress {
    fn of(pod: &Tree) -> Self {
        let init_specs = pod.items("spec.initContainers");
        let sidecars = init_specs.iter().filter(|spec| is_sidecar(spec)).count();
        let phase = pod.text("status.phase");
        let mut progress = Self {
            ready: 0,
            total: pod.items("spec.containers").len() + sidecars,
            restarts: 0,
            restarted: None,
            status: text_or(pod, "status.reason", phase).to_owned(),
        };
        let gated = |condition: &&Tree| {
            condition.text("type") == "PodScheduled" && condition.text("reason") == "SchedulingGated"
        };
        if pod.items("status.conditions").iter().any(|condition| gated(&condition)) {
            progress.status = "SchedulingGated".into();
        }
        if progress.init_containers(pod) || has_condition(pod, "Initialized") {
            progress.containers(pod);
        }
        let deleting = pod.has("metadata.deletionTimestamp");
        if deleting && pod.text("status.reason") == "NodeLost" {
            progress.status = "Unknown".into();
        } else if deleting && !matches!(phase, "Succeeded" | "Failed") {
            progress.status = "Terminating".into();
        }
        progress
    }

    /// Goes through the init containers up to the first that is not done; says whether all are.
    fn init_containers(&mut self, pod: &Tree) -> bool {
        let specs = pod.items("spec.initContainers");
        let mut sidecars = (0, None);
        for (at, status) in pod.items("status.initContainerStatuses").iter().enumerate() {
            let sidecar = specs.iter().any(|spec| spec.get("name") == status.get("name") && is_sidecar(spec));
            self.count_restarts(status);
            if sidecar {
                sidecars.0 += status.int("restartCount").unwrap_or(0);
                sidecars.1 = sidecars.1.max(last_end(status));
            }
            let ended = status.at("state.terminated").filter(|state| !state.is_null());
            let waiting = status.text("state.waiting.reason");
            if ended.is_some_and(|state| state.int("exitCode").unwrap_or(0) == 0) {
                continue;
            }
            if sidecar && status.flag("started") == Some(true) {
                self.ready += usize::from(status.flag("ready") == Some(true));
                continue;
            }
            self.status = match ended {
                Some(state) => format!("Init:{}", how_ended(state)),
                None if !matches!(waiting, "" | "PodInitializing") => format!("Init:{waiting}"),
                None => format!("Init:{at}/{}", specs.len()),
            };
            if has_condition(pod, "Initialized") {
                (self.restarts, self.restarted) = sidecars;
            }
            return false;
        }
        (self.restarts, self.restarted) = sidecars;
        true
    }

    fn containers(&mut self, pod: &Tree) {
        let mut running = false;
        let mut failure = None;
        for status in pod.items("status.containerStatuses").iter().rev() {
            self.count_restarts(status);
            let ended = status.at("state.terminated").filter(|state| !state.is_null());
            let waiting = status.text("state.waiting.reason");
            if !waiting.is_empty() {
                self.status = waiting.to_owned();
            } else if let Some(state) = ended {
                self.status = how_ended(state);
                if state.int("exitCode").unwrap_or(0) != 0 {
                    failure = Some(self.status.clone());
                }
            } else if status.flag("ready") == Some(true) && status.has("state.running") {
                running = true;
                self.ready += 1;
            }
        }
        if self.status == "Completed" {
            self.status = match failure {
                _ if running && has_condition(pod, "Ready") => "Running".into(),
                Some(failure) => failure,
                None if running => "NotReady".into(),
                None => return,
            };
        }
    }

    fn count_restarts(&mut self, status: &Tree) {
        self.restarts += status.int("restartCount").unwrap_or(0);
        self.restarted = self.restarted.max(last_end(status));
    }
}

fn is_sidecar(spec: &Tree) -> bool {
    spec.text("restartPolicy") == "Always"
}

fn last_end(status: &Tree) -> Option<Timestamp> {
    Timestamp::parse(status.text("lastState.terminated.finishedAt"))
}

fn how_ended(state: &Tree) -> String {
    match (state.text("reason"), state.int("signal").unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", state.int("exitCode").unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn restarts(pod: &Tree, now: Timestamp) -> Tree {
    let progress = Progress::of(pod);
    match progress.restarted {
        Some(last) if progress.restarts != 0 => {
            format!("{} ({} ago)", progress.restarts, human_duration(now.secs_since(last))).into()
        }
        _ => progress.restarts.to_string().into(),
    }
}

fn readiness_gates(pod: &Tree) -> Tree {
    let gates = pod.items("spec.readinessGates");
    let open = gates.iter().filter(|gate| has_condition(pod, gate.text("conditionType"))).count();
    if gates.is_empty() { "<none>".into() } else { format!("{open}/{}", gates.len()).into() }
}

fn first<'t>(object: &'t Tree, path: &str) -> &'t Tree {
    object.items(path).first().unwrap_or(&Tree::Null)
}
