//! What a node may do: what its kubelet needs, and of objects with secrets in them only those that
//! a pod on it refers to.
//!
//! Everything not named here is as the cluster role `system:node` has it.

use super::ResourceRef;

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// In upstream's words.
    Refused(String),
    /// The cluster role decides.
    AsRole,
}

/// Whether the node and the object that is asked for have to do with each other.
pub type IsRelated<'r> = &'r dyn Fn() -> bool;

/// Decides about one request of `node`.
pub fn decide(node: &str, verb: &str, at: &ResourceRef<'_>, is_related: IsRelated<'_>) -> Verdict {
    let refuse = |why: &str| Verdict::Refused(why.to_owned());
    let reads = matches!(verb, "get" | "list" | "watch");
    match (at.group, at.resource) {
        ("", "secrets" | "configmaps") => match at {
            _ if !reads => refuse("can only read resources of this type"),
            _ if !at.subresource.is_empty() => refuse("cannot read subresource"),
            _ if at.namespace.is_empty() => refuse("can only read namespaced object of this type"),
            _ => related(node, at, is_related),
        },
        ("", "persistentvolumeclaims") if at.subresource == "status" => match verb {
            "update" | "patch" => related(node, at, is_related),
            _ => refuse("can only get/update/patch this type"),
        },
        ("", "persistentvolumeclaims" | "persistentvolumes")
        | ("resource.k8s.io", "resourceclaims")
        | ("storage.k8s.io", "volumeattachments") => get(node, verb, at, is_related),
        ("", "serviceaccounts") => match (verb, at.subresource) {
            ("get", "") => related(node, at, is_related),
            ("create", "token") if !at.name.is_empty() => related(node, at, is_related),
            ("create", _) if !at.name.is_empty() => refuse("can only create token subresource of serviceaccount"),
            _ => refuse("can only create tokens for individual service accounts"),
        },
        ("coordination.k8s.io", "leases") => match verb {
            "get" | "create" | "update" | "patch" | "delete" if at.namespace != "kube-node-lease" => {
                refuse("can only access leases in the \"kube-node-lease\" system namespace")
            }
            "create" => Verdict::Allowed,
            "get" | "update" | "patch" | "delete" if at.name == node => Verdict::Allowed,
            "get" | "update" | "patch" | "delete" => {
                refuse("can only access node lease with the same name as the requesting node")
            }
            _ => refuse("can only get, create, update, patch, or delete a node lease"),
        },
        ("storage.k8s.io", "csinodes") => match verb {
            _ if !at.subresource.is_empty() => refuse("cannot authorize CSINode subresources"),
            "create" => Verdict::Allowed,
            "get" | "update" | "patch" | "delete" if at.name == node => Verdict::Allowed,
            "get" | "update" | "patch" | "delete" => {
                refuse("can only access CSINode with the same name as the requesting node")
            }
            _ => refuse("can only get, create, update, patch, or delete a CSINode"),
        },
        ("resource.k8s.io", "resourceslices") => match verb {
            _ if !at.subresource.is_empty() => refuse("cannot authorize ResourceSlice subresources"),
            "create" => Verdict::Allowed,
            "get" | "update" | "patch" | "delete" => related(node, at, is_related),
            "watch" | "list" | "deletecollection" if at.selects("spec.nodeName", node) => Verdict::Allowed,
            "watch" | "list" | "deletecollection" => {
                refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => refuse(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        },
        ("", "nodes") => match (at.subresource, verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Verdict::Allowed,
            ("", "get" | "list" | "watch") if at.name == node => Verdict::Allowed,
            ("", "get" | "list" | "watch") if at.name.is_empty() => {
                Verdict::Refused(format!("node '{node}' cannot read all nodes, only its own Node object"))
            }
            ("", "get" | "list" | "watch") => {
                Verdict::Refused(format!("node '{node}' cannot read '{}', only its own Node object", at.name))
            }
            _ => Verdict::Refused(String::new()),
        },
        ("", "pods") if at.subresource.is_empty() => match verb {
            "get" => get(node, verb, at, is_related),
            "list" | "watch" if at.selects("spec.nodeName", node) => Verdict::Allowed,
            "list" | "watch" if !at.name.is_empty() => related(node, at, is_related),
            "list" | "watch" => refuse("can only list/watch pods with spec.nodeName field selector"),
            _ => Verdict::AsRole,
        },
        _ => Verdict::AsRole,
    }
}

fn get(node: &str, verb: &str, at: &ResourceRef<'_>, is_related: IsRelated<'_>) -> Verdict {
    match (verb, at.subresource) {
        ("get", "") => related(node, at, is_related),
        ("get", _) => Verdict::Refused("cannot get subresource".into()),
        _ => Verdict::Refused("can only get individual resources of this type".into()),
    }
}

fn related(node: &str, at: &ResourceRef<'_>, is_related: IsRelated<'_>) -> Verdict {
    if at.name.is_empty() {
        return Verdict::Refused("No Object name found".into());
    }
    match is_related() {
        true => Verdict::Allowed,
        false => Verdict::Refused(format!("no relationship found between node '{node}' and this object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(verb: &str, at: ResourceRef<'_>, is_related: bool) -> Verdict {
        decide("n1", verb, &at, &|| is_related)
    }

    #[test]
    fn secrets_are_read_one_by_one_and_only_those_of_own_pods() {
        let secret = ResourceRef { resource: "secrets", namespace: "ns", name: "s", ..ResourceRef::default() };
        assert_eq!(ask("get", secret, true), Verdict::Allowed);
        let stranger = "no relationship found between node 'n1' and this object";
        assert_eq!(ask("get", secret, false), Verdict::Refused(stranger.into()));
        let all = ResourceRef { name: "", ..secret };
        assert_eq!(ask("list", all, true), Verdict::Refused("No Object name found".into()));
        assert!(matches!(ask("update", secret, true), Verdict::Refused(_)));
    }

    #[test]
    fn leases_and_nodes_are_ones_own() {
        let lease = ResourceRef {
            group: "coordination.k8s.io",
            resource: "leases",
            namespace: "kube-node-lease",
            name: "n2",
            ..ResourceRef::default()
        };
        assert!(matches!(ask("update", lease, true), Verdict::Refused(_)));
        assert_eq!(ask("update", ResourceRef { name: "n1", ..lease }, false), Verdict::Allowed);
        let nodes = ResourceRef { resource: "nodes", ..ResourceRef::default() };
        assert!(matches!(ask("list", nodes, true), Verdict::Refused(_)));
    }

    #[test]
    fn pods_are_listed_by_node() {
        let pods = ResourceRef { resource: "pods", fields: "spec.nodeName=n1", ..ResourceRef::default() };
        assert_eq!(ask("watch", pods, false), Verdict::Allowed);
        assert!(matches!(ask("watch", ResourceRef { fields: "spec.nodeName=n2", ..pods }, false), Verdict::Refused(_)));
    }
}
