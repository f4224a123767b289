//! ServiceAccount: every pod runs as one, and finds its token where clients look for it.

use super::{Attributes, Plugin};
use crate::base::rand::name_suffix;
use crate::object::Status;
use crate::object::pick::pick;
use crate::object::tree::{Tree, TreePath, json};

const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// An hour and seven seconds: upstream's mark for tokens that replace those without expiry.
const TOKEN_SECS: i64 = 3607;

pub struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn admit(&self, on: &Attributes<'_>, pod: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if !on.creates("pods") {
            return Ok(());
        }
        if pod.at("metadata.annotations").and_then(|annotations| annotations.get(MIRROR)).is_some() {
            return check_mirror(on, pod);
        }
        if pod.text("spec.serviceAccountName").is_empty() {
            pod.set("spec.serviceAccountName", "default");
        }
        let name = pod.text("spec.serviceAccountName").to_owned();
        pod.set("spec.serviceAccount", name.as_str());
        let account = on.get("serviceaccounts", on.namespace, &name).ok_or_else(|| {
            let why =
                format!("error looking up service account {}/{name}: serviceaccount {name:?} not found", on.namespace);
            on.forbidden(pod, why)
        })?;
        let of_account = |field| pick(account.bytes(), field);
        let mounts = pod.flag("spec.automountServiceAccountToken");
        if mounts.or_else(|| of_account("automountServiceAccountToken")?.as_bool()).unwrap_or(true) {
            mount_token(on, pod);
        }
        if pod.items("spec.imagePullSecrets").is_empty()
            && let Some(Tree::Array(secrets)) = of_account("imagePullSecrets")
            && !secrets.is_empty()
        {
            pod.set("spec.imagePullSecrets", secrets);
        }
        Ok(())
    }
}

/// A pod that a kubelet runs from a file cannot use what it may not read.
fn check_mirror(on: &Attributes<'_>, pod: &Tree) -> Result<(), Status> {
    if !pod.text("spec.serviceAccountName").is_empty() {
        return Err(on.forbidden(pod, "a mirror pod may not reference service accounts"));
    }
    for (at, volume) in pod.items("spec.volumes").iter().enumerate() {
        if volume.has("secret") {
            return Err(on.forbidden(pod, "a mirror pod may not reference secrets"));
        }
        for (source, projected) in volume.items("projected.sources").iter().enumerate() {
            if projected.has("serviceAccountToken") {
                let why = format!(
                    "spec.volumes[{at}].projected.sources[{source}].serviceAccountToken: a mirror pod may not use service account volume projections"
                );
                return Err(on.forbidden(pod, why));
            }
        }
    }
    Ok(())
}

fn mount_token(on: &Attributes<'_>, pod: &mut Tree) {
    let present = pod.items("spec.volumes").iter().map(|volume| volume.text("name"));
    let volume = present.into_iter().find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
    let is_new = volume.is_none();
    let name = volume.unwrap_or_else(|| format!("{VOLUME_PREFIX}{}", name_suffix(on.rand, 5)));
    let mut needed = false;
    for list in ["spec.initContainers", "spec.containers"] {
        let Some(containers) = pod.at_mut(list).and_then(Tree::as_array_mut) else { continue };
        for container in containers {
            if container.items("volumeMounts").iter().any(|mount| mount.text("mountPath") == MOUNT_PATH) {
                continue;
            }
            needed = true;
            push(container, "volumeMounts", json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
        }
    }
    if needed && is_new {
        push(pod, "spec.volumes", token_volume(&name));
    }
}

fn token_volume(name: &str) -> Tree {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

/// Appends to the list at `path`, which is made if it is not there.
pub(super) fn push(tree: &mut Tree, path: &str, item: Tree) {
    match tree.at_mut(path).and_then(Tree::as_array_mut) {
        Some(list) => list.push(item),
        None => {
            tree.set(path, vec![item]);
        }
    }
}
