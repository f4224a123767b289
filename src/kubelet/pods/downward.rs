//! What a pod may learn about itself: fields of its object and its containers' resources.

use std::net::IpAddr;

use crate::kubelet::cgroups::amounts::{millis, whole};
use crate::kubelet::spec::container::ResourceFieldRef;
use crate::kubelet::spec::{Container, Pod};
use crate::object::quantity::Quantity;
use crate::object::{StringMap, Tree};

/// What of a pod is known only on its node.
#[derive(Clone, Debug, Default)]
pub struct OnNode {
    pub pod_ips: Vec<String>,
    pub host_ips: Vec<IpAddr>,
    /// Stands in for limits that are not set.
    pub allocatable: StringMap,
}

/// The value of a `fieldRef`; `Err` names a path that is not supported.
pub fn field(pod: &Pod, on_node: &OnNode, path: &str) -> Result<String, String> {
    if let Some((map, key)) = subscripted(path) {
        return match map {
            "metadata.labels" => Ok(pod.metadata.labels.get(key).unwrap_or_default().to_owned()),
            "metadata.annotations" => Ok(pod.metadata.annotations.get(key).unwrap_or_default().to_owned()),
            _ => Err(format!("fieldPath {path:?} does not support subscript")),
        };
    }
    let joined = |ips: Vec<String>| ips.join(",");
    let host_ips = || on_node.host_ips.iter().map(IpAddr::to_string).collect::<Vec<_>>();
    let pod_ips = || if pod.spec.host_network { host_ips() } else { on_node.pod_ips.clone() };
    Ok(match path {
        "metadata.name" => pod.metadata.name.clone(),
        "metadata.namespace" => pod.metadata.namespace.clone(),
        "metadata.uid" => pod.metadata.uid.clone(),
        "metadata.labels" => map_lines(&pod.metadata.labels),
        "metadata.annotations" => map_lines(&pod.metadata.annotations),
        "spec.nodeName" => pod.spec.node_name.clone(),
        "spec.serviceAccountName" => pod.spec.service_account_name.clone(),
        "status.hostIP" => host_ips().into_iter().next().unwrap_or_default(),
        "status.hostIPs" => joined(host_ips()),
        "status.podIP" => pod_ips().into_iter().next().unwrap_or_default(),
        "status.podIPs" => joined(pod_ips()),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// Takes `metadata.labels['key']` apart.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, rest))
}

/// One `key="value"` on each line, sorted by key.
fn map_lines(map: &StringMap) -> String {
    let lines: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// The value of a `resourceFieldRef`, rounded up to the divisor.
pub fn resource(container: &Container, on_node: &OnNode, reference: &ResourceFieldRef) -> Result<String, String> {
    let divisor = match &reference.divisor {
        Some(Tree::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (list, name) = reference
        .resource
        .split_once('.')
        .ok_or_else(|| format!("unsupported container resource : {}", reference.resource))?;
    let resources = &container.resources;
    let amounts = match list {
        "limits" => &resources.limits,
        "requests" => &resources.requests,
        _ => return Err(format!("unsupported container resource : {}", reference.resource)),
    };
    // Without a limit, the whole node is the limit.
    let amounts = if list == "limits" && !amounts.contains_key(name) { &on_node.allocatable } else { amounts };
    let divisor = Quantity::parse(if matches!(divisor.as_str(), "" | "0") { "1" } else { &divisor })
        .map_err(|_| format!("bad divisor of {}", reference.resource))?;
    let (amount, unit) = match name {
        "cpu" => (millis(amounts, name), divisor.millis()),
        _ => (whole(amounts, name), divisor.value()),
    };
    let unit = unit.max(1);
    Ok((amount / unit + i64::from(amount % unit != 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_subscripts_are_read_and_others_refused() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "labels": {"a": "1", "b": "x\"y"}}, "spec": {"nodeName": "n1"}
        }))
        .unwrap();
        let on_node = OnNode { pod_ips: vec!["10.0.0.2".into()], ..OnNode::default() };
        let read = |path| field(&pod, &on_node, path);
        assert_eq!(read("metadata.labels").unwrap(), "a=\"1\"\nb=\"x\\\"y\"");
        assert_eq!(read("metadata.labels['a']").unwrap(), "1");
        assert_eq!(read("status.podIP").unwrap(), "10.0.0.2");
        assert!(read("spec.containers").is_err());
    }

    #[test]
    fn amounts_are_rounded_up_and_default_to_the_node() {
        let mut container = Container::default();
        container.resources.limits.insert("cpu", "1250m");
        let on_node = OnNode { allocatable: [("memory", "2Gi")].into(), ..OnNode::default() };
        let read = |resource_name: &str, divisor: &str| {
            let reference = ResourceFieldRef {
                resource: resource_name.into(),
                divisor: Some(divisor.into()),
                ..ResourceFieldRef::default()
            };
            resource(&container, &on_node, &reference).unwrap()
        };
        assert_eq!(read("limits.cpu", "0"), "2");
        assert_eq!(read("limits.cpu", "1m"), "1250");
        assert_eq!(read("limits.memory", "1Mi"), "2048");
    }
}
