//! Which objects a node has to do with, through the pods that are bound to it.

use crate::object::tree::{Tree, TreePath};
use crate::object::view::Pod;
use crate::object::{GroupResource, Key, ObjectRef};
use crate::store::{KeyRange, State};

/// Whether a pod on `node` leads to the object, or the object is about the node itself.
pub fn is_related(state: &State, node: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let range = pods_in(namespace);
    let mut pods = state.range(&range).filter(|pod| is_on(pod, node));
    match resource {
        // Of a pod that is gone the kubelet must learn just that.
        "pods" => state.get(&Key::of("pods", namespace, name)).is_none_or(|pod| is_on(pod, node)),
        "secrets" => {
            pods.any(|pod| mentions(&spec_of(pod), "secret", name))
                || volumes_of(state, node).iter().any(|volume| mentions_secret_of(volume, namespace, name))
        }
        "configmaps" => pods.any(|pod| mentions(&spec_of(pod), "configMap", name)),
        "serviceaccounts" => pods.any(|pod| spec_of(pod).text("serviceAccountName") == name),
        "persistentvolumeclaims" => pods.any(|pod| claims_of(pod).iter().any(|claim| claim == name)),
        "persistentvolumes" => volumes_of(state, node).iter().any(|volume| volume.text("metadata.name") == name),
        "volumeattachments.storage.k8s.io" => {
            let stored = state.get(&Key::of("volumeattachments.storage.k8s.io", "", name));
            stored.is_some_and(|attachment| attachment.tree().text("spec.nodeName") == node)
        }
        "resourceslices.resource.k8s.io" => {
            let stored = state.get(&Key::of("resourceslices.resource.k8s.io", "", name));
            stored.is_some_and(|slice| slice.tree().text("spec.nodeName") == node)
        }
        "resourceclaims.resource.k8s.io" => pods.any(|pod| {
            let statuses = pod.tree();
            let made = statuses.items("status.resourceClaimStatuses").iter();
            made.chain(statuses.items("spec.resourceClaims")).any(|claim| claim.text("resourceClaimName") == name)
        }),
        _ => false,
    }
}

fn pods_in(namespace: &str) -> KeyRange {
    let pods = GroupResource::new("", "pods");
    if namespace.is_empty() { KeyRange::resource(&pods) } else { KeyRange::namespace(&pods, namespace) }
}

fn is_on(pod: &ObjectRef, node: &str) -> bool {
    pod.view::<Pod>().spec.node_name == node
}

fn spec_of(pod: &ObjectRef) -> Tree {
    pod.tree().get_mut("spec").map(Tree::take).unwrap_or_default()
}

/// Whether somewhere in a spec a field for secrets (or config maps) holds `name`.
fn mentions(tree: &Tree, kind: &str, name: &str) -> bool {
    match tree {
        Tree::Array(items) => items.iter().any(|item| mentions(item, kind, name)),
        Tree::Object(map) => {
            map.iter().any(|(field, value)| refers(field, value, kind, name) || mentions(value, kind, name))
        }
        _ => false,
    }
}

fn refers(field: &str, value: &Tree, kind: &str, name: &str) -> bool {
    let named = |value: &Tree| value.text("name") == name;
    match kind {
        "configMap" => matches!(field, "configMap" | "configMapRef" | "configMapKeyRef") && named(value),
        _ => match field {
            "secretName" => value == name,
            "imagePullSecrets" => value.as_array().is_some_and(|list| list.iter().any(named)),
            _ => (field == "secret" || field.ends_with("ecretRef") || field == "secretKeyRef") && named(value),
        },
    }
}

/// Names of the claims that a pod's volumes are.
fn claims_of(pod: &ObjectRef) -> Vec<String> {
    let spec = spec_of(pod);
    let claim = |volume: &Tree| match volume.text("persistentVolumeClaim.claimName") {
        "" if volume.has("ephemeral") => Some(format!("{}-{}", pod.key().name(), volume.text("name"))),
        "" => None,
        claim => Some(claim.to_owned()),
    };
    spec.items("volumes").iter().filter_map(claim).collect()
}

/// The volumes behind the claims of a node's pods.
fn volumes_of(state: &State, node: &str) -> Vec<Tree> {
    let range = KeyRange::resource(&GroupResource::new("", "persistentvolumes"));
    let is_claimed = |volume: &Tree| {
        let (namespace, claim) = (volume.text("spec.claimRef.namespace"), volume.text("spec.claimRef.name"));
        !claim.is_empty()
            && state
                .range(&pods_in(namespace))
                .any(|pod| is_on(pod, node) && claims_of(pod).iter().any(|own| own == claim))
    };
    state.range(&range).map(|volume| volume.tree()).filter(is_claimed).collect()
}

/// Whether a volume needs this secret, wherever it is.
fn mentions_secret_of(volume: &Tree, namespace: &str, name: &str) -> bool {
    let home = volume.text("spec.claimRef.namespace");
    let sources = volume.map("spec").into_iter().flatten().filter_map(|(_, source)| source.as_object()).flatten();
    let mut refs = sources.filter(|(field, _)| field.ends_with("ecretRef")).map(|(_, value)| value);
    refs.any(|secret| {
        let own = secret.text("namespace");
        secret.text("name") == name && (if own.is_empty() { home } else { own }) == namespace
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn every_way_to_name_a_secret_is_known() {
        let spec = json!({
            "containers": [{"envFrom": [{"secretRef": {"name": "a"}}], "env": [{"valueFrom": {"secretKeyRef": {"name": "b"}}}]}],
            "volumes": [
                {"secret": {"secretName": "c"}}, {"projected": {"sources": [{"secret": {"name": "d"}}]}},
                {"csi": {"nodePublishSecretRef": {"name": "e"}}}, {"configMap": {"name": "m"}},
            ],
            "imagePullSecrets": [{"name": "f"}],
        });
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert!(mentions(&spec, "secret", name), "{name}");
        }
        assert!(!mentions(&spec, "secret", "m") && mentions(&spec, "configMap", "m"));
    }
}
