//! `containerStatuses`: what one container is doing, what it did before, and whether it is well.

use crate::kubelet::pods::plan::{Memory, Steps, Waiting};
use crate::kubelet::pods::seen::{Exit, Instance, Seen, State};
use crate::kubelet::spec::{Container, Pod, Resources, Role};
use crate::object::tree::json;
use crate::object::{Timestamp, Tree};

/// One container's status before it becomes JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub name: String,
    pub role: Role,
    pub is_sidecar: bool,
    pub now: Shown,
    pub before: Option<Ended>,
    pub is_ready: bool,
    pub is_started: bool,
    pub restarts: u32,
    image: String,
    image_id: String,
    container_id: String,
    /// What a running instance was given, which may lag behind what it is to have.
    given: Option<Resources>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    Waiting(Waiting),
    Running { since: Timestamp },
    Ended(Ended),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub exit: Exit,
    container_id: String,
}

impl Told {
    pub fn is_running(&self) -> bool {
        matches!(self.now, Shown::Running { .. })
    }

    /// The exit of a container that has ended and does not run again yet.
    pub fn last_exit(&self) -> Option<&Exit> {
        match &self.now {
            Shown::Ended(ended) => Some(&ended.exit),
            Shown::Waiting(_) => self.before.as_ref().map(|ended| &ended.exit),
            Shown::Running { .. } => None,
        }
    }
}

/// The status of every container, in the order of the specification.
pub fn tell(pod: &Pod, seen: &Seen, memory: &Memory, steps: &Steps) -> Vec<Told> {
    let has_init = !pod.spec.init_containers.is_empty();
    let tell_one = |(role, container): (Role, &Container)| {
        let first_reason = if has_init && role != Role::Ephemeral { "PodInitializing" } else { "ContainerCreating" };
        one(pod, role, container, seen, memory, steps, first_reason)
    };
    pod.all_containers()
        .filter(|(role, container)| role != &Role::Ephemeral || is_known(seen, steps, container))
        .map(tell_one)
        .collect()
}

/// Nothing of the pod will run any more: of a container that has not ended, as far as anybody knows, the end
/// was missed. One whose turn never came stays as it is: a main one of a pod that was not initialized, an
/// init container behind those that began.
pub fn close(told: &mut [Told]) {
    let began = |one: &Told| !matches!(one.now, Shown::Waiting(_)) || one.before.is_some();
    let inits = told.iter().filter(|one| one.role == Role::Init).count();
    let (init, others) = told.split_at_mut(inits);
    let reached = init.iter().rposition(began).unwrap_or(0);
    let main = |one: &Told| one.role == Role::Main;
    let is_done = |last: &Told| last.last_exit().is_some_and(|exit| exit.code == 0);
    let initialized = others.iter().any(|one| main(one) && began(one)) || init.last().is_none_or(is_done);
    let turns = init.iter_mut().take(reached + 1).chain(others.iter_mut().filter(|one| initialized && main(one)));
    for one in turns.filter(|one| !matches!(one.now, Shown::Ended(_))) {
        let exit = unknown("The container could not be located when the pod was terminated");
        one.now = Shown::Ended(Ended { exit, container_id: String::new() });
        (one.is_ready, one.is_started) = (false, false);
    }
}

/// An ephemeral container has a status from the moment something was tried.
fn is_known(seen: &Seen, steps: &Steps, container: &Container) -> bool {
    seen.newest(&container.name).is_some() || steps.waiting.contains_key(&container.name)
}

fn one(
    pod: &Pod,
    role: Role,
    container: &Container,
    seen: &Seen,
    memory: &Memory,
    steps: &Steps,
    first_reason: &str,
) -> Told {
    let mut told = Told {
        name: container.name.clone(),
        role,
        is_sidecar: role == Role::Init && container.is_sidecar(),
        now: Shown::Waiting(Waiting::new(first_reason, "")),
        before: None,
        is_ready: false,
        is_started: false,
        restarts: 0,
        image: container.image.clone(),
        image_id: String::new(),
        container_id: String::new(),
        given: None,
    };
    match seen.newest(&container.name) {
        Some(instance) => tell_instance(&mut told, container, instance, seen, memory),
        None => recall(&mut told, pod),
    }
    if let Some(waiting) = steps.waiting.get(&container.name)
        && !told.is_running()
    {
        if let Shown::Ended(ended) = told.now {
            told.before = Some(ended);
        }
        told.now = Shown::Waiting(waiting.clone());
    }
    told
}

fn tell_instance(told: &mut Told, container: &Container, instance: &Instance, seen: &Seen, memory: &Memory) {
    told.restarts = instance.attempt;
    told.image = instance.image.clone();
    told.image_id = instance.image_id.clone();
    told.container_id = runtime_id(&instance.id);
    told.before = seen.previous(&told.name).and_then(ended);
    told.given = memory.resized.applied.get(&instance.id).cloned();
    match &instance.state {
        State::Running { started_at } => {
            told.now = Shown::Running { since: *started_at };
            told.is_started = memory.is_started(container, instance);
            told.is_ready = match (told.role, told.is_sidecar) {
                (Role::Init, false) | (Role::Ephemeral, _) => false,
                _ => memory.is_ready(container, instance),
            };
        }
        State::Exited(exit) => {
            // An init container that did its work is ready for good.
            told.is_ready = told.role == Role::Init && !told.is_sidecar && exit.code == 0;
            told.now = Shown::Ended(Ended { exit: exit.clone(), container_id: told.container_id.clone() });
        }
        State::Created | State::Unknown => told.now = Shown::Waiting(Waiting::new("", "")),
    }
}

fn ended(instance: &Instance) -> Option<Ended> {
    Some(Ended { exit: instance.exit()?.clone(), container_id: runtime_id(&instance.id) })
}

/// The runtime forgot the container: what the API was told last is all that is known.
fn recall(told: &mut Told, pod: &Pod) {
    let list = match told.role {
        Role::Init => "initContainerStatuses",
        Role::Main => "containerStatuses",
        Role::Ephemeral => "ephemeralContainerStatuses",
    };
    let statuses = pod.status.get(list).and_then(Tree::as_array);
    let Some(old) = statuses.into_iter().flatten().find(|status| status["name"] == told.name.as_str()) else { return };
    told.restarts = old["restartCount"].as_u64().unwrap_or_default() as u32;
    if let Some(end) = read_ended(&old["state"]["terminated"]) {
        told.is_ready = told.role == Role::Init && !told.is_sidecar && end.exit.code == 0;
        told.image_id = text(&old["imageID"]);
        told.container_id = text(&old["containerID"]);
        told.before = read_ended(&old["lastState"]["terminated"]);
        told.now = Shown::Ended(end);
    } else if old["state"]["running"].is_object() {
        told.before = Some(Ended { exit: lost(), container_id: text(&old["containerID"]) });
        if pod.metadata.deletion_timestamp.is_none() {
            told.restarts += 1;
        }
    } else {
        told.before = read_ended(&old["lastState"]["terminated"]);
    }
}

/// What is said of a container that ran and of which nothing is left.
/// The exit of a container that nobody saw end.
fn unknown(message: &str) -> Exit {
    Exit {
        code: 137,
        reason: "ContainerStatusUnknown".into(),
        message: message.into(),
        started_at: None,
        finished_at: Timestamp::UNIX_EPOCH,
    }
}

fn lost() -> Exit {
    unknown("The container could not be located when the pod was deleted.  The container used to be Running")
}

fn read_ended(tree: &Tree) -> Option<Ended> {
    let time = |key: &str| tree[key].as_str().and_then(Timestamp::parse);
    let exit = Exit {
        code: i32::try_from(tree.get("exitCode")?.as_i64()?).ok()?,
        reason: text(&tree["reason"]),
        message: text(&tree["message"]),
        started_at: time("startedAt"),
        finished_at: time("finishedAt").unwrap_or(Timestamp::UNIX_EPOCH),
    };
    Some(Ended { exit, container_id: text(&tree["containerID"]) })
}

fn text(tree: &Tree) -> String {
    tree.as_str().unwrap_or_default().to_owned()
}

fn runtime_id(id: &str) -> String {
    format!("containerd://{id}")
}

/// The status as the API has it.
pub fn to_tree(told: &Told, container: &Container) -> Tree {
    let mut tree = json!({
        "name": told.name,
        "state": shown(&told.now),
        "lastState": told.before.as_ref().map_or(json!({}), |ended| json!({ "terminated": terminated(ended) })),
        "ready": told.is_ready,
        "restartCount": told.restarts,
        "image": told.image,
        "imageID": told.image_id,
    });
    if !told.container_id.is_empty() {
        tree["containerID"] = told.container_id.as_str().into();
    }
    if told.role != Role::Ephemeral || told.is_running() {
        tree["started"] = told.is_started.into();
    }
    let mounts: Vec<Tree> = container.volume_mounts.iter().map(volume_mount).collect();
    if !mounts.is_empty() {
        tree["volumeMounts"] = mounts.into();
    }
    if !told.container_id.is_empty() && told.role != Role::Ephemeral {
        let resources = told.given.as_ref().unwrap_or(&container.resources);
        let mut shown = json!({});
        for (key, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
            if !amounts.is_empty() {
                shown[key] = json!(amounts);
            }
        }
        if !container.resources.requests.is_empty() {
            tree["allocatedResources"] = json!(container.resources.requests);
        }
        tree["resources"] = shown;
    }
    tree
}

fn volume_mount(mount: &crate::kubelet::spec::VolumeMount) -> Tree {
    let mut tree = json!({ "name": mount.name, "mountPath": mount.mount_path });
    if mount.read_only {
        tree["readOnly"] = true.into();
        tree["recursiveReadOnly"] = "Disabled".into();
    }
    tree
}

fn shown(state: &Shown) -> Tree {
    match state {
        Shown::Waiting(waiting) => {
            let mut tree = json!({});
            for (key, value) in [("reason", &waiting.reason), ("message", &waiting.message)] {
                if !value.is_empty() {
                    tree[key] = value.as_str().into();
                }
            }
            json!({ "waiting": tree })
        }
        Shown::Running { since } => json!({ "running": { "startedAt": since } }),
        Shown::Ended(ended) => json!({ "terminated": terminated(ended) }),
    }
}

fn terminated(ended: &Ended) -> Tree {
    let exit = &ended.exit;
    let mut tree = json!({ "exitCode": exit.code });
    for (key, value) in [("reason", &exit.reason), ("message", &exit.message), ("containerID", &ended.container_id)] {
        if !value.is_empty() {
            tree[key] = value.as_str().into();
        }
    }
    if let Some(started_at) = exit.started_at {
        tree["startedAt"] = started_at.into();
    }
    if exit.finished_at != Timestamp::UNIX_EPOCH {
        tree["finishedAt"] = exit.finished_at.into();
    }
    tree
}
