//! Whether this node takes a pod that was bound to it: the scheduler may have been wrong, or not
//! have been asked. Pure.

use super::plan::Waiting;
use crate::kubelet::cgroups::amounts::{millis, whole};
use crate::kubelet::cgroups::qos::QosClass;
use crate::kubelet::evict::rank::is_critical;
use crate::kubelet::node::status::Pressure;
use crate::kubelet::spec::{Container, Pod, PodSpec};
use crate::object::{StringMap, Tree};

/// What the pod is to be weighed against.
pub struct Node<'a> {
    pub labels: &'a StringMap,
    pub allocatable: &'a StringMap,
    /// The pods that are already here and not over.
    pub others: &'a [&'a Pod],
    pub pods_max: u32,
    pub pressure: Pressure,
}

/// What no node like this one can run, with reason and message.
type Foreign = (fn(&PodSpec) -> bool, &'static str, &'static str);
const FOREIGN: &[Foreign] = &[
    (
        |spec| spec.node_selector.get("kubernetes.io/os").is_some_and(|os| os != "linux"),
        "PodOSSelectorNodeLabelDoesNotMatch",
        "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    ),
    (
        |spec| spec.os.get("name").and_then(Tree::as_str).is_some_and(|name| name != "linux"),
        "PodOSNotSupported",
        "Failed to admit pod as the OS field doesn't match node OS",
    ),
    (
        |spec| spec.security_context.supplemental_groups_policy.as_deref() == Some("Strict"),
        "SupplementalGroupsPolicyNotSupported",
        "SupplementalGroupsPolicy=Strict is not supported in this node",
    ),
];

/// `Err` says why the pod is rejected, in upstream's words.
pub fn admit(pod: &Pod, node: &Node) -> Result<(), Waiting> {
    if let Some(condition) = unbearable(pod, node.pressure) {
        return Err(Waiting::new("Evicted", format!("The node had condition: [{condition}]. ")));
    }
    if let Some((_, reason, message)) = FOREIGN.iter().find(|(is_it, ..)| is_it(&pod.spec)) {
        return Err(Waiting::new(*reason, *message));
    }
    if node.others.len() as u32 >= node.pods_max {
        return Err(short_of("pods", 1, node.others.len() as i64, i64::from(node.pods_max)));
    }
    if let Some(message) = forbidden_sysctl(&pod.spec) {
        return Err(Waiting::new("SysctlForbidden", message));
    }
    let resources = [("cpu", millis as fn(&StringMap, &str) -> i64), ("memory", whole), ("ephemeral-storage", whole)];
    for (name, read) in resources {
        let wanted = request(&pod.spec, name, read);
        let used: i64 = node.others.iter().map(|other| request(&other.spec, name, read)).sum();
        let capacity = read(node.allocatable, name);
        if wanted > 0 && wanted + used > capacity {
            return Err(short_of(name, wanted, used, capacity));
        }
    }
    for (name, amount) in pod.spec.containers.iter().flat_map(|container| &container.resources.requests) {
        let is_known = node.allocatable.contains_key(name) || matches!(name, "cpu" | "memory");
        if !is_known && !is_extended(name) && name != "ephemeral-storage" && whole(&[(name, amount)].into(), name) > 0 {
            return Err(short_of(name, request(&pod.spec, name, whole), 0, 0));
        }
    }
    if !pod.spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value)) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return Err(Waiting::new("NodeAffinity", message));
    }
    let mine: Vec<_> = host_ports(&pod.spec).collect();
    let taken = node.others.iter().flat_map(|other| host_ports(&other.spec));
    if taken.into_iter().any(|theirs| mine.iter().any(|mine| clash(mine, &theirs))) {
        let message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Err(Waiting::new("NodePorts", message));
    }
    Ok(())
}

/// Kernel settings that a pod may change without harm to others.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Why a kernel setting of the pod is refused.
fn forbidden_sysctl(spec: &PodSpec) -> Option<String> {
    spec.security_context.sysctls.iter().find_map(|sysctl| {
        let name = sysctl.name.replace('/', ".");
        let of_host = [("net.", spec.host_network, "net"), ("kernel.shm", spec.host_ipc, "ipc")];
        if let Some((.., space)) = of_host.iter().find(|(prefix, shared, _)| *shared && name.starts_with(prefix)) {
            return Some(format!("forbidden sysctl: {name:?} not allowed with host {space} enabled"));
        }
        (!SAFE_SYSCTLS.contains(&name.as_str())).then(|| format!("forbidden sysctl: {name:?} not allowlisted"))
    })
}

/// The pressure under which the node takes no such pod. Critical ones are always taken.
fn unbearable(pod: &Pod, pressure: Pressure) -> Option<&'static str> {
    if is_critical(pod) {
        return None;
    }
    let tolerates = |key: &str| {
        pod.spec.tolerations.iter().any(|one| {
            (one.key.is_empty() && one.operator == "Exists") || (one.key == key && one.effect != "NoExecute")
        })
    };
    let is_modest = QosClass::of(&pod.spec) != QosClass::BestEffort || tolerates("node.kubernetes.io/memory-pressure");
    match pressure {
        Pressure { disk: true, .. } => Some("DiskPressure"),
        Pressure { pids: true, .. } => Some("PIDPressure"),
        Pressure { memory: true, .. } if !is_modest => Some("MemoryPressure"),
        _ => None,
    }
}

/// Kept track of by somebody else: what this node does not know of is the scheduler's to count.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

fn short_of(name: &str, wanted: i64, used: i64, capacity: i64) -> Waiting {
    let message =
        format!("Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}");
    Waiting::new(format!("OutOf{name}"), message)
}

/// What a pod asks for: its containers together, or the largest of those before them.
pub fn request(spec: &PodSpec, name: &str, read: fn(&StringMap, &str) -> i64) -> i64 {
    let of = |container: &Container| read(&container.resources.requests, name);
    let sidecars = spec.init_containers.iter().filter(|one| one.is_sidecar());
    let together: i64 = spec.containers.iter().chain(sidecars).map(of).sum();
    let before = spec.init_containers.iter().filter(|one| !one.is_sidecar()).map(of).max().unwrap_or(0);
    together.max(before) + read(&spec.overhead, name)
}

/// Address, protocol and port of everything a pod takes from the host.
fn host_ports(spec: &PodSpec) -> impl Iterator<Item = (String, String, i32)> {
    let ports = spec.containers.iter().flat_map(|container| &container.ports);
    ports.filter(|port| port.host_port > 0).map(|port| (port.host_ip.clone(), port.protocol.clone(), port.host_port))
}

fn clash(a: &(String, String, i32), b: &(String, String, i32)) -> bool {
    let is_any = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
    a.1 == b.1 && a.2 == b.2 && (a.0 == b.0 || is_any(&a.0) || is_any(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn reason(wanted: serde_json::Value, other: serde_json::Value) -> Result<(), String> {
        let others = [&pod(other)];
        let labels = StringMap::from([("disk", "ssd")]);
        let allocatable = StringMap::from([("cpu", "2"), ("memory", "1Gi")]);
        let node = Node {
            labels: &labels,
            allocatable: &allocatable,
            others: &others,
            pods_max: 110,
            pressure: Pressure::default(),
        };
        admit(&pod(wanted), &node).map_err(|why| why.reason)
    }

    #[test]
    fn a_pod_that_does_not_fit_is_told_why() {
        let cpu = |amount: &str| json!({"containers": [{"resources": {"requests": {"cpu": amount}}}]});
        assert_eq!(reason(cpu("1"), cpu("1")), Ok(()));
        assert_eq!(reason(cpu("1500m"), cpu("1")), Err("OutOfcpu".into()));
        assert_eq!(reason(json!({"nodeSelector": {"disk": "hdd"}}), json!({})), Err("NodeAffinity".into()));
        let port = json!({"containers": [{"ports": [{"hostPort": 80, "protocol": "TCP"}]}]});
        assert_eq!(reason(port.clone(), port), Err("NodePorts".into()));
        let sysctl = |name: &str| json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        assert_eq!(reason(sysctl("kernel.shm_rmid_forced"), json!({})), Ok(()));
        assert_eq!(reason(sysctl("kernel/msgmax"), json!({})), Err("SysctlForbidden".into()));
        assert_eq!(reason(json!({"os": {"name": "windows"}}), json!({})), Err("PodOSNotSupported".into()));
        let odd = |name: &str| json!({"containers": [{"resources": {"requests": {name: "1"}}}]});
        assert_eq!(reason(odd("hugepages-2Mi"), json!({})), Err("OutOfhugepages-2Mi".into()));
        assert_eq!(reason(odd("example.com/gpu"), json!({})), Ok(()));
    }
}
