//! The node's object: what registration makes of it, and its status. Pure.

use super::facts::arch;
use crate::kubelet::config::Config;
use crate::object::tree::json;
use crate::object::{Timestamp, Tree, TreePath};

/// Images named in the status; a node may have thousands.
const IMAGES_MAX: usize = 50;

/// Whether the node can run pods; if not, why.
pub type Readiness = Result<(), String>;

/// Pressure on what pods share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pids: bool,
}

/// Labels that every start sets anew.
pub fn labels(config: &Config) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = [
        ("beta.kubernetes.io/arch", arch()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/hostname", config.node_name.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    if config.control_plane {
        labels.push(("node-role.kubernetes.io/control-plane".into(), "true".into()));
    }
    labels.extend(config.labels.iter().cloned());
    labels
}

/// The object that a new node is registered as.
pub fn new_node(config: &Config) -> Tree {
    let mut node = json!({ "metadata": { "name": config.node_name, "labels": {} }, "spec": {} });
    for (key, value) in labels(config) {
        node["metadata"]["labels"][key] = value.into();
    }
    node["metadata"]["annotations"] = json!({ "volumes.kubernetes.io/controller-managed-attach-detach": "true" });
    let taints: Vec<Tree> = config
        .taints
        .iter()
        .map(|taint| {
            let mut tree = json!({ "key": taint.key, "effect": taint.effect });
            if !taint.value.is_empty() {
                tree["value"] = taint.value.as_str().into();
            }
            tree
        })
        .collect();
    if !taints.is_empty() {
        node["spec"]["taints"] = taints.into();
    }
    node
}

/// What is put into the status beside the conditions.
pub struct Parts<'a> {
    pub config: &'a Config,
    pub capacity: Tree,
    pub allocatable: Tree,
    pub info: Tree,
    pub images: &'a [k8s_cri::v1::Image],
    pub handlers: Tree,
}

/// `old` with our fields brought up to date; those of others stay.
pub fn status(old: &Tree, parts: Parts, readiness: &Readiness, pressure: Pressure, now: Timestamp) -> Tree {
    let mut status = if old.is_object() { old.clone() } else { json!({}) };
    let config = parts.config;
    let mut addresses: Vec<Tree> =
        config.node_ips.iter().map(|ip| json!({ "type": "InternalIP", "address": ip.to_string() })).collect();
    addresses.push(json!({ "type": "Hostname", "address": config.node_name }));
    status["addresses"] = addresses.into();
    let others = others_resources(status.get("capacity"));
    for (field, mut amounts) in [("capacity", parts.capacity), ("allocatable", parts.allocatable)] {
        for (name, amount) in &others {
            amounts[name] = amount.clone();
        }
        status[field] = amounts;
    }
    status["daemonEndpoints"] = json!({ "kubeletEndpoint": { "Port": config.listen.port() } });
    status["nodeInfo"] = parts.info;
    set_list(&mut status, "runtimeHandlers", parts.handlers);
    status["features"] = json!({ "supplementalGroupsPolicy": false });
    set_list(&mut status, "images", images(parts.images));
    let conditions = conditions(old.items("conditions"), readiness, pressure, now);
    status["conditions"] = conditions.into();
    status
}

/// Sets a list as the server keeps it, which does not keep empty ones: else each look would find a difference.
fn set_list(status: &mut Tree, field: &str, list: Tree) {
    match list.as_array() {
        Some(items) if items.is_empty() => _ = status.unset(field),
        _ => _ = status.set(field, list),
    }
}

/// Resources that somebody else says the node has: their names carry a domain.
fn others_resources(capacity: Option<&Tree>) -> Vec<(String, Tree)> {
    let all = capacity.and_then(Tree::as_object).into_iter().flatten();
    all.filter(|(name, _)| name.contains('/')).map(|(name, amount)| (name.to_string(), amount.clone())).collect()
}

fn images(images: &[k8s_cri::v1::Image]) -> Tree {
    let mut sorted: Vec<_> = images.iter().collect();
    sorted.sort_by_key(|image| std::cmp::Reverse(image.size));
    let named = |image: &&k8s_cri::v1::Image| {
        let names: Vec<&String> = image.repo_digests.iter().chain(&image.repo_tags).take(5).collect();
        json!({ "names": names, "sizeBytes": image.size })
    };
    sorted.iter().take(IMAGES_MAX).map(named).collect::<Vec<_>>().into()
}

fn conditions(old: &[Tree], readiness: &Readiness, pressure: Pressure, now: Timestamp) -> Vec<Tree> {
    let under = |kind, is_under: bool, yes: [&str; 2], no: [&str; 2]| {
        let [reason, message] = if is_under { yes } else { no };
        (kind, is_under, reason.to_owned(), message.to_owned())
    };
    let ready = match readiness {
        Ok(()) => ("Ready", true, "KubeletReady".to_owned(), "kubelet is posting ready status".to_owned()),
        Err(why) => ("Ready", false, "KubeletNotReady".to_owned(), why.clone()),
    };
    let ours = [
        under(
            "MemoryPressure",
            pressure.memory,
            ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
            ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
        ),
        under(
            "DiskPressure",
            pressure.disk,
            ["KubeletHasDiskPressure", "kubelet has disk pressure"],
            ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
        ),
        under(
            "PIDPressure",
            pressure.pids,
            ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
            ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
        ),
        ready,
    ];
    let is_ours = |one: &&Tree| ours.iter().any(|(kind, ..)| one["type"] == *kind);
    let mut list: Vec<Tree> = old.iter().filter(|one| !is_ours(one)).cloned().collect();
    for (kind, holds, reason, message) in &ours {
        let status = if *holds { "True" } else { "False" };
        let before = old.iter().find(|one| one["type"] == *kind && one["status"] == status);
        let since = before.and_then(|one| one.get("lastTransitionTime")).filter(|time| time.is_string());
        list.push(json!({
            "type": kind,
            "status": status,
            "lastHeartbeatTime": now,
            "lastTransitionTime": since.cloned().unwrap_or_else(|| now.into()),
            "reason": reason,
            "message": message,
        }));
    }
    list
}

/// Whether two statuses differ in more than their heartbeats.
pub fn says_more(old: &Tree, new: &Tree) -> bool {
    let still = |status: &Tree| {
        let mut status = status.clone();
        for condition in status.at_mut("conditions").and_then(Tree::as_array_mut).into_iter().flatten() {
            condition.unset("lastHeartbeatTime");
        }
        status
    };
    still(old) != still(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_no_difference_to_what_the_server_keeps() {
        let kept = json!({ "images": [1] });
        let mut status = kept.clone();
        set_list(&mut status, "runtimeHandlers", json!([]));
        assert!(!says_more(&kept, &status));
        set_list(&mut status, "images", json!([]));
        assert_eq!(status, json!({}));
    }

    #[test]
    fn a_heartbeat_alone_says_nothing_new() {
        let at = Timestamp::from_secs;
        let list = |readiness: &Readiness, old: &[Tree], now| conditions(old, readiness, Pressure::default(), at(now));
        let first = list(&Ok(()), &[], 1);
        let second = list(&Ok(()), &first, 60);
        assert_eq!(second[3]["lastTransitionTime"], first[3]["lastTransitionTime"]);
        let status = |conditions: Vec<Tree>| json!({ "conditions": conditions });
        assert!(!says_more(&status(first.clone()), &status(second)));
        let down = list(&Err("container runtime is down".into()), &first, 90);
        assert!(says_more(&status(first), &status(down.clone())));
        assert_eq!((down[3]["reason"].as_str(), down[3]["status"].as_str()), (Some("KubeletNotReady"), Some("False")));
    }
}
