//! NodeRestriction: a kubelet writes about its own node and its own pods, and about these only what
//! kubelets know.

use super::{Attributes, Operation, Plugin};
use crate::object::tree::{Tree, TreePath};
use crate::object::{Status, Target};

const MIRROR: &str = "kubernetes.io/config.mirror";
/// Labels below these domains are the cluster's, not the node's to set.
const CLUSTERS: &[&str] = &["kubernetes.io", "k8s.io"];
/// …but for these, and what is below the domains behind them.
const OWN_LABELS: &[&str] = &[
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
const OWN_DOMAINS: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];
/// What operators set to keep workloads apart: never the node's, even outside of the domains above.
const ISOLATION: &str = "node-restriction.kubernetes.io";
/// The label of servers' nodes, which their own kubelets set. Nothing trusts it.
const SERVER_LABEL: &str = "node-role.kubernetes.io/control-plane";

pub struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn admit(&self, on: &Attributes<'_>, object: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        match node_of(on) {
            Some(node) => check(on, node, object).map_err(|why| on.forbidden(object, why)),
            None => Ok(()),
        }
    }

    fn validate(&self, on: &Attributes<'_>, object: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        match (node_of(on), object, on.old) {
            (Some(node), None, Some(old)) => check(on, node, old).map_err(|why| on.forbidden(old, why)),
            _ => Ok(()),
        }
    }
}

fn node_of<'a>(on: &Attributes<'a>) -> Option<&'a str> {
    on.user.name.strip_prefix("system:node:").filter(|_| on.user.in_group("system:nodes"))
}

/// Says what a node may not do. Of a deletion `object` is the old one.
fn check(on: &Attributes<'_>, node: &str, object: &Tree) -> Result<(), String> {
    match (on.resource.name.as_str(), on.subresource) {
        ("pods", "") => check_pod(on, node, object),
        ("pods", "status") => check_pod_status(on, node, object),
        ("pods", "eviction") => match on.get("pods", on.namespace, on.name).map(|pod| pod.tree()) {
            Some(pod) if pod.text("spec.nodeName") != node => {
                Err(format!("node {node} can only evict pods with spec.nodeName set to itself"))
            }
            _ => Ok(()),
        },
        ("pods", other) => {
            Err(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
        ("nodes", _) => check_node(on, node, object),
        ("persistentvolumeclaims", "status") => Ok(()),
        ("persistentvolumeclaims", _) => Err("may only update PVC status".into()),
        ("serviceaccounts", "token") => check_token(on, node, object),
        ("leases.coordination.k8s.io", _) => {
            if on.namespace != "kube-node-lease" {
                return Err("can only access leases in the \"kube-node-lease\" system namespace".into());
            }
            own_name(on, node, object, "can only access node lease with the same name as the requesting node")
        }
        ("csinodes.storage.k8s.io", _) => {
            own_name(on, node, object, "can only access CSINode with the same name as the requesting node")
        }
        ("resourceslices.resource.k8s.io", _) if object.text("spec.nodeName") != node => {
            Err("can only access ResourceSlice objects with its own NodeName".into())
        }
        _ => Ok(()),
    }
}

fn own_name(on: &Attributes<'_>, node: &str, object: &Tree, why: &str) -> Result<(), String> {
    if on.name_of(Some(object)) == node { Ok(()) } else { Err(why.into()) }
}

fn check_pod(on: &Attributes<'_>, node: &str, pod: &Tree) -> Result<(), String> {
    match on.operation {
        Operation::Create => check_mirror(on, node, pod),
        Operation::Delete if pod.text("spec.nodeName") == node => Ok(()),
        Operation::Delete => Err(format!("node {node:?} can only delete pods with spec.nodeName set to itself")),
        other => Err(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            other.as_str()
        )),
    }
}

/// A kubelet creates nothing but what shows its static pods.
fn check_mirror(on: &Attributes<'_>, node: &str, pod: &Tree) -> Result<(), String> {
    let only = |what: &str| Err(format!("node {node:?} can only create pods with {what}"));
    if pod.map("metadata.annotations").is_none_or(|annotations| !annotations.contains_key(MIRROR)) {
        return Err(format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"));
    }
    if pod.text("spec.nodeName") != node {
        return only("spec.nodeName set to itself");
    }
    let owner = match pod.items("metadata.ownerReferences") {
        [] => return only("an owner reference set to itself"),
        [owner] => owner,
        _ => return only("a single owner reference set to itself"),
    };
    if (owner.text("apiVersion"), owner.text("kind"), owner.text("name")) != ("v1", "Node", node) {
        return only("an owner reference set to itself");
    }
    if owner.flag("controller") != Some(true) {
        return only("a controller owner reference set to itself");
    }
    if owner.flag("blockOwnerDeletion") == Some(true) {
        return Err(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let uid = on.get("nodes", "", node).map_or("", |stored| stored.meta().uid());
    if owner.text("uid") != uid {
        return Err(format!("node {node} UID mismatch: expected {} got {uid}", owner.text("uid")));
    }
    if !matches!(pod.text("spec.serviceAccountName"), "") {
        return Err(format!("node {node:?} can not create pods that reference serviceaccounts"));
    }
    Ok(())
}

fn check_pod_status(on: &Attributes<'_>, node: &str, pod: &Tree) -> Result<(), String> {
    let Some(old) = on.old.filter(|_| on.operation == Operation::Update) else {
        return Err(format!("unexpected operation {:?}", on.operation.as_str()));
    };
    if old.text("spec.nodeName") != node {
        return Err(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
    }
    let differs = |path: &str| old.at(path).unwrap_or(&Tree::Null) != pod.at(path).unwrap_or(&Tree::Null);
    if differs("metadata.labels") {
        return Err(format!("node {node:?} cannot update labels through pod status"));
    }
    if differs("status.resourceClaimStatuses") {
        return Err(format!("node {node:?} cannot update resource claim statues"));
    }
    Ok(())
}

fn check_node(on: &Attributes<'_>, node: &str, object: &Tree) -> Result<(), String> {
    let name = on.name_of(Some(object));
    if name != node {
        return Err(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let empty = Tree::Null;
    let old = on.old.filter(|_| on.operation == Operation::Update);
    let forbidden = forbidden_labels(old.unwrap_or(&empty), object);
    match old {
        None if on.operation == Operation::Create && !forbidden.is_empty() => {
            Err(format!("node {node:?} is not allowed to set the following labels: {}", forbidden.join(", ")))
        }
        Some(old) => {
            let differs = |path: &str| old.items(path) != object.items(path);
            if differs("spec.taints") {
                return Err(format!("node {node:?} is not allowed to modify taints"));
            }
            if differs("metadata.ownerReferences") {
                return Err(format!("node {node:?} is not allowed to modify ownerReferences"));
            }
            match forbidden.is_empty() {
                true => Ok(()),
                false => Err(format!("is not allowed to modify labels: {}", forbidden.join(", "))),
            }
        }
        None => Ok(()),
    }
}

/// Labels that changed and are not the node's to change, in order.
fn forbidden_labels(old: &Tree, new: &Tree) -> Vec<String> {
    let labels = |tree: &Tree| tree.map("metadata.labels").cloned().unwrap_or_default();
    let (old, new) = (labels(old), labels(new));
    let mut changed: Vec<String> =
        old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).map(ToString::to_string).collect();
    changed.sort();
    changed.dedup();
    changed.retain(|key| !may_set(key));
    changed
}

fn may_set(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let below = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    if below(ISOLATION) {
        return false;
    }
    let is_clusters = CLUSTERS.iter().any(|parent| below(parent));
    !is_clusters || key == SERVER_LABEL || OWN_LABELS.contains(&key) || OWN_DOMAINS.iter().any(|parent| below(parent))
}

/// Tokens are for pods on this node, and bound to them.
fn check_token(on: &Attributes<'_>, node: &str, request: &Tree) -> Result<(), String> {
    let bound = request.at("spec.boundObjectRef");
    let Some(bound) = bound.filter(|bound| bound.text("apiVersion") == "v1" && bound.text("kind") == "Pod") else {
        return Err("node requested token not bound to a pod".into());
    };
    if bound.text("uid").is_empty() {
        return Err("node requested token with a pod binding without a uid".into());
    }
    let Some(pod) = on.get("pods", on.namespace, bound.text("name")) else {
        return Err(format!("pods {:?} not found", bound.text("name")));
    };
    if pod.meta().uid() != bound.text("uid") {
        return Err(format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            bound.text("uid")
        ));
    }
    let pod = pod.tree();
    if pod.text("spec.nodeName") != node {
        return Err("node requested token bound to a pod scheduled on a different node".into());
    }
    check_audience(on, &pod, request)
}

/// A kubelet gets tokens for the audiences that its pods name, and for those it is given by a role.
fn check_audience(on: &Attributes<'_>, pod: &Tree, request: &Tree) -> Result<(), String> {
    let audience = match request.items("spec.audiences") {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return Err("node may only request 0 or 1 audiences".into()),
    };
    if names_audience(on, pod, audience) {
        return Ok(());
    }
    let target = Target {
        version: "v1".into(),
        resource: audience.into(),
        namespace: on.namespace.into(),
        name: on.name.into(),
        ..Target::default()
    };
    match on.ask_resource(on.user, "request-serviceaccounts-token-audience", &target) {
        None => Ok(()),
        Some(_) => Err(format!(
            "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            on.user.name
        )),
    }
}

/// Whether a volume of the pod, or the CSI driver behind one, wants tokens for the audience.
fn names_audience(on: &Attributes<'_>, pod: &Tree, audience: &str) -> bool {
    pod.items("spec.volumes").iter().any(|volume| {
        let mut sources = volume.items("projected.sources").iter().filter(|source| source.has("serviceAccountToken"));
        sources.any(|source| source.text("serviceAccountToken.audience") == audience)
            || driver_of(on, pod, volume).is_some_and(|driver| {
                let driver = on.get("csidrivers.storage.k8s.io", "", &driver).map(|driver| driver.tree());
                let mut wanted = driver.iter().flat_map(|driver| driver.items("spec.tokenRequests"));
                wanted.any(|token| token.text("audience") == audience)
            })
    })
}

/// The CSI driver behind a volume, through its claim if it has one.
fn driver_of(on: &Attributes<'_>, pod: &Tree, volume: &Tree) -> Option<String> {
    let claim = match volume.text("persistentVolumeClaim.claimName") {
        "" if volume.has("ephemeral.volumeClaimTemplate") => {
            format!("{}-{}", pod.text("metadata.name"), volume.text("name"))
        }
        "" => return volume.at("csi.driver").and_then(Tree::as_str).map(str::to_owned),
        claim => claim.to_owned(),
    };
    let claim = on.get("persistentvolumeclaims", on.namespace, &claim)?.tree();
    let volume = on.get("persistentvolumes", "", claim.text("spec.volumeName"))?.tree();
    volume.at("spec.csi.driver").and_then(Tree::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn nodes_label_themselves_but_not_as_the_cluster_does() {
        let labels = |key: &str| json!({"metadata": {"labels": {(key.to_owned()): "x"}}});
        for key in ["own", "example.com/a", "kubernetes.io/hostname", "x.node.kubernetes.io/y"] {
            assert!(forbidden_labels(&Tree::Null, &labels(key)).is_empty(), "{key}");
        }
        for key in
            ["kubernetes.io/other", "a.k8s.io/b", "node-restriction.kubernetes.io/team", "node-role.kubernetes.io/x"]
        {
            assert_eq!(forbidden_labels(&Tree::Null, &labels(key)), [key]);
        }
    }
}
