//! `/metrics` and what is below it, in the text format of Prometheus and under upstream's names.

use crate::kubelet::config::ServingTls;
use crate::kubelet::context::Context;
use crate::kubelet::counts::Family;
use crate::kubelet::node::facts::meminfo;
use crate::kubelet::pods::manager::Pods;
use crate::kubelet::pods::seen::State;
use crate::kubelet::usage::shot::{PodShot, Shot};

const NANOS: f64 = 1e9;

/// `/metrics`: what the kubelet does.
pub fn own(ctx: &Context, pods: &Pods) -> String {
    let mut text = String::new();
    let node = ctx.config.node_name.as_str();
    Family::new(&mut text, "kubelet_node_name", "gauge", "The node's name. The count is always 1.")
        .add(&[("node", node)], 1);
    let all = pods.all();
    let running = all.iter().filter(|(_, seen)| seen.sandboxes.iter().any(|sandbox| sandbox.is_ready)).count();
    Family::new(&mut text, "kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox")
        .add(&[], running);
    let mut states = [("created", 0), ("exited", 0), ("running", 0), ("unknown", 0)];
    for instance in all.iter().flat_map(|(_, seen)| &seen.instances) {
        let index = match instance.state {
            State::Created => 0,
            State::Exited(_) => 1,
            State::Running { .. } => 2,
            State::Unknown => 3,
        };
        states[index].1 += 1;
    }
    let mut family =
        Family::new(&mut text, "kubelet_running_containers", "gauge", "Number of containers currently running");
    for (state, count) in states {
        family.add(&[("container_state", state)], count);
    }
    ctx.counts.write(&mut text);
    certificates(&mut text, &ctx.config.tls, ctx.now().as_secs());
    text
}

/// How long the kubelet's certificates are good for, and how often they could not be renewed.
fn certificates(text: &mut String, tls: &ServingTls, now_secs: i64) {
    let of = [
        (
            Some(&tls.serving),
            "kubelet_certificate_manager_server_ttl_seconds",
            "kubelet_server_expiration_renew_errors",
            "Seconds that the kubelet's serving certificate is good for, negative once it is over.",
        ),
        (
            tls.client.as_ref(),
            "kubelet_certificate_manager_client_ttl_seconds",
            "kubelet_certificate_manager_client_expiration_renew_errors",
            "Seconds that the kubelet's client certificate is good for, negative once it is over.",
        ),
    ];
    for (current, ttl, errors, help) in of {
        let Some(current) = current else { continue };
        Family::new(text, ttl, "gauge", help).add(&[], current.ends_secs().saturating_sub(now_secs));
        Family::new(text, errors, "counter", "Counter of certificate renewal errors.").add(&[], current.failures());
    }
}

/// `/metrics/resource`: what pods and containers use, for autoscaling.
pub fn resource(shot: &Shot) -> String {
    let mut text = String::new();
    let mut per_container = |name, kind, help, value: &dyn Fn(&PodShot, usize) -> Option<f64>| {
        let mut family = Family::new(&mut text, name, kind, help);
        for pod in &shot.pods {
            for (index, one) in pod.containers.iter().enumerate() {
                let labels = [("container", &*one.container), ("namespace", &*one.namespace), ("pod", &*one.pod)];
                if let Some(value) = value(pod, index) {
                    family.add(&labels, value);
                }
            }
        }
    };
    per_container(
        "container_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        &|pod, index| Some(pod.containers[index].cpu_nanos as f64 / NANOS),
    );
    per_container(
        "container_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the container in bytes",
        &|pod, index| Some(pod.containers[index].memory_bytes as f64),
    );
    per_container(
        "container_start_time_seconds",
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
        &|pod, index| Some(pod.started_at(&pod.containers[index])?.as_nanos() as f64 / NANOS),
    );
    let node = [
        (
            "node_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
            shot.node.cpu_nanos as f64 / NANOS,
        ),
        (
            "node_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the node in bytes",
            shot.node.working_set_bytes as f64,
        ),
    ];
    for (name, kind, help, value) in node {
        Family::new(&mut text, name, kind, help).add(&[], value);
    }
    let mut per_pod = |name, kind, help, value: &dyn Fn(&PodShot) -> f64| {
        let mut family = Family::new(&mut text, name, kind, help);
        for one in &shot.pods {
            family.add(&[("namespace", one.pod.namespace()), ("pod", one.pod.name())], value(one));
        }
    };
    per_pod(
        "pod_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        &|one| one.group.cpu_nanos as f64 / NANOS,
    );
    per_pod("pod_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the pod in bytes", &|one| {
        one.group.working_set_bytes as f64
    });
    Family::new(
        &mut text,
        "resource_scrape_error",
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    )
    .add(&[], 0);
    text
}

/// One line of `/metrics/cadvisor` for each group: what it is called, and its number.
type Measured = (&'static str, &'static str, &'static str, fn(&Line) -> f64);

/// A control group as cAdvisor tells of it: of a pod, or of one of its containers.
struct Line<'a> {
    shot: &'a PodShot,
    container: Option<usize>,
}

static MEASURED: &[Measured] = &[
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", |line| {
        line.either(|group| group.cpu_nanos, |one| one.cpu_nanos) / NANOS
    }),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |line| {
        line.either(|group| group.working_set_bytes, |one| one.memory_bytes)
    }),
    (
        "container_fs_usage_bytes",
        "gauge",
        "Number of bytes that are consumed by the container on this filesystem.",
        |line| line.either(|_| 0, |one| one.disk_bytes),
    ),
];

impl Line<'_> {
    fn either(
        &self,
        group: fn(&crate::kubelet::usage::group::GroupUse) -> u64,
        container: fn(&crate::kubelet::usage::Used) -> u64,
    ) -> f64 {
        match self.container {
            Some(index) => container(&self.shot.containers[index]) as f64,
            None => group(&self.shot.group) as f64,
        }
    }
}

/// `/metrics/cadvisor`: control groups, the machine, and its memory.
pub fn cadvisor(ctx: &Context, shot: &Shot) -> String {
    let mut text = String::new();
    let lines: Vec<Line> = shot
        .pods
        .iter()
        .flat_map(|pod| {
            let containers = (0..pod.containers.len()).map(Some);
            std::iter::once(None).chain(containers).map(move |container| Line { shot: pod, container })
        })
        .collect();
    for (name, kind, help, value) in MEASURED {
        let mut family = Family::new(&mut text, name, kind, help);
        for line in &lines {
            let (pod, path) = (&line.shot.pod, line.shot.group_path(ctx));
            let used = line.container.map(|index| &line.shot.containers[index]);
            let id = used.map_or_else(|| path.clone(), |one| format!("{path}/{}", one.id));
            let image = used.and_then(|one| line.shot.instance(one)).map_or("", |instance| instance.image.as_str());
            let labels = [
                ("container", used.map_or("", |one| one.container.as_str())),
                ("id", &id),
                ("image", image),
                ("name", used.map_or("", |one| one.id.as_str())),
                ("namespace", pod.namespace()),
                ("pod", pod.name()),
            ];
            family.add(&labels, value(line));
        }
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = [
        ("machine_cpu_cores", "Number of logical CPU cores.", cpus as u64),
        ("machine_memory_bytes", "Amount of memory installed on the machine.", ctx.memory_bytes),
        (
            "machine_swap_bytes",
            "Amount of swap memory available on the machine.",
            meminfo("SwapTotal").unwrap_or_default() * 1024,
        ),
    ];
    for (name, help, value) in machine {
        Family::new(&mut text, name, "gauge", help).add(&[], value);
    }
    text
}
