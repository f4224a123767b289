//! Asks the runtime what it has of a pod.

use k8s_cri::v1::{ContainerState, ContainerStatus, NamespaceMode, PodSandboxState};

use super::make::mounts::MESSAGE_BYTES_MAX;
use super::make::names;
use super::seen::{Exit, Instance, Sandbox, Seen, State};
use crate::kubelet::cri::{Cri, CriResult};
use crate::object::{StringMap, Timestamp};

/// Lines of a log's end that stand in for a termination message.
const FALLBACK_LINES_MAX: usize = 80;
const FALLBACK_BYTES_MAX: usize = 2048;

/// Everything the runtime keeps of the pod `uid`. Instances known to have ended are taken from
/// `before`: they do not change.
pub async fn look(cri: &Cri, uid: &str, before: &Seen) -> CriResult<Seen> {
    let labels = StringMap::from([(names::POD_UID.to_owned(), uid.to_owned())]);
    let mut seen = Seen::default();
    for listed in cri.sandboxes(&labels).await? {
        let attempt = listed.metadata.as_ref().map_or(0, |meta| meta.attempt);
        let is_ready = listed.state == PodSandboxState::SandboxReady as i32;
        let status = if is_ready { cri.sandbox(&listed.id).await? } else { None };
        let mut sandbox = Sandbox { id: listed.id, attempt, is_ready, ..Sandbox::default() };
        if let Some(status) = status {
            let namespaces = status.linux.and_then(|linux| linux.namespaces).and_then(|spaces| spaces.options);
            sandbox.on_host_network = namespaces.is_some_and(|spaces| spaces.network == NamespaceMode::Node as i32);
            sandbox.is_ready = status.state == PodSandboxState::SandboxReady as i32;
            if let Some(network) = status.network {
                let others = network.additional_ips.into_iter().map(|other| other.ip);
                sandbox.ips = std::iter::once(network.ip).chain(others).filter(|ip| !ip.is_empty()).collect();
            }
        }
        seen.sandboxes.push(sandbox);
    }
    for listed in cri.containers(&labels).await? {
        let known = before.instance(&listed.id).filter(|known| known.exit().is_some());
        if let Some(known) = known {
            seen.instances.push(known.clone());
        } else if let Some(status) = cri.container(&listed.id).await? {
            seen.instances.push(instance(status, listed.pod_sandbox_id));
        }
    }
    seen.sort();
    Ok(seen)
}

fn instance(status: ContainerStatus, sandbox_id: String) -> Instance {
    let at = |nanos: i64| Timestamp::from_nanos(i128::from(nanos));
    let annotation = |name: &str| status.annotations.get(name).cloned().unwrap_or_default();
    let attempt = status.metadata.as_ref().map_or(0, |meta| meta.attempt);
    let state = match ContainerState::try_from(status.state) {
        Ok(ContainerState::ContainerCreated) => State::Created,
        Ok(ContainerState::ContainerRunning) => State::Running { started_at: at(status.started_at) },
        Ok(ContainerState::ContainerExited) => State::Exited(exit(&status)),
        _ => State::Unknown,
    };
    Instance {
        id: status.id.clone(),
        name: status.labels.get(names::CONTAINER_NAME).cloned().unwrap_or_default(),
        attempt,
        sandbox_id,
        state,
        created_at: at(status.created_at),
        image: status.image.as_ref().map(|image| image.image.clone()).unwrap_or_default(),
        image_id: status.image_ref.clone(),
        spec_hash: annotation(names::HASH),
        log_path: status.log_path,
    }
}

fn exit(status: &ContainerStatus) -> Exit {
    let at = |nanos: i64| Timestamp::from_nanos(i128::from(nanos));
    let reason = match (status.reason.as_str(), status.exit_code) {
        ("", 0) => "Completed".to_owned(),
        ("", _) => "Error".to_owned(),
        (reason, _) => reason.to_owned(),
    };
    let words = last_words(status);
    let message = match (status.message.is_empty(), words.is_empty()) {
        (false, false) => format!("{}: {words}", status.message),
        (false, true) => status.message.clone(),
        (true, _) => words,
    };
    Exit {
        code: status.exit_code,
        reason,
        message,
        started_at: (status.started_at > 0).then(|| at(status.started_at)),
        finished_at: at(status.finished_at),
    }
}

/// What the container left in its message file, or at the end of its log if its policy says so.
fn last_words(status: &ContainerStatus) -> String {
    let inside = status.annotations.get(names::MESSAGE_PATH).map(String::as_str).unwrap_or_default();
    let mount = status.mounts.iter().find(|mount| !inside.is_empty() && mount.container_path == inside);
    let from_file = mount.map(|mount| read_start(&mount.host_path)).unwrap_or_default();
    let policy = status.annotations.get(names::MESSAGE_POLICY).map(String::as_str);
    if from_file.is_empty() && policy == Some("FallbackToLogsOnError") && status.exit_code != 0 {
        return crate::kubelet::logs::tail(&status.log_path, FALLBACK_LINES_MAX, FALLBACK_BYTES_MAX);
    }
    from_file
}

fn read_start(path: &str) -> String {
    use std::io::Read;
    let mut content = Vec::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(MESSAGE_BYTES_MAX as u64).read_to_end(&mut content));
    if let Err(error) = read {
        return format!("Error on reading termination log {path}: {error}");
    }
    String::from_utf8_lossy(&content).into_owned()
}
