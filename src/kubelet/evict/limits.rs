//! Limits on what a pod keeps on the node's disk: of volumes, of containers, of the whole. Pure.

use std::collections::BTreeMap;

use crate::kubelet::cgroups::amounts::whole;
use crate::kubelet::spec::{Pod, Volume};

const NAME: &str = "ephemeral-storage";

/// What a pod keeps on the node's disk, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalUse {
    /// Writable layer and logs, by container.
    pub containers: BTreeMap<String, u64>,
    pub empty_dirs: BTreeMap<String, u64>,
    pub inodes: u64,
}

impl LocalUse {
    pub fn total_bytes(&self) -> u64 {
        self.containers.values().chain(self.empty_dirs.values()).sum()
    }
}

/// Whether the pod has any limit of this kind; if not, nobody needs to measure.
pub fn has_any(pod: &Pod) -> bool {
    pod.all_containers().any(|(_, container)| container.resources.limits.contains_key(NAME))
        || pod.spec.volumes.iter().any(|volume| size_limit(volume).is_some())
}

/// The first limit that the pod exceeds: upstream's name for its kind, and what to tell.
pub fn breach(pod: &Pod, used: &LocalUse) -> Option<(&'static str, String)> {
    let volume = pod.spec.volumes.iter().find_map(|volume| {
        let (text, limit) = size_limit(volume)?;
        let is_over = used.empty_dirs.get(&volume.name).is_some_and(|bytes| *bytes > limit);
        is_over.then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit {text:?}. ", volume.name))
    });
    let volume = volume.map(|message| ("emptydirfs.limit", message));
    let of_pod = || Some(("ephemeralpodfs.limit", of_pod(pod, used)?));
    let of_container = || Some(("ephemeralcontainerfs.limit", of_container(pod, used)?));
    volume.or_else(of_pod).or_else(of_container)
}

/// Only where every container has a limit does their sum limit the pod.
fn of_pod(pod: &Pod, used: &LocalUse) -> Option<String> {
    let mut limits = pod.spec.containers.iter().map(|container| whole(&container.resources.limits, NAME));
    let total = limits.try_fold(0, |sum, limit| (limit > 0).then_some(sum + limit))?;
    let text = super::signals::bytes(total as u64);
    (used.total_bytes() > total as u64)
        .then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {text}. "))
}

fn of_container(pod: &Pod, used: &LocalUse) -> Option<String> {
    pod.all_containers().find_map(|(_, container)| {
        let text = container.resources.limits.get(NAME)?;
        let limit = whole(&container.resources.limits, NAME).max(0) as u64;
        let is_over = limit > 0 && used.containers.get(&container.name).is_some_and(|bytes| *bytes > limit);
        is_over.then(|| format!("Container {} exceeded its local ephemeral storage limit {text:?}. ", container.name))
    })
}

fn size_limit(volume: &Volume) -> Option<(&str, u64)> {
    let text = volume.empty_dir.as_ref()?.size_limit.as_deref()?;
    let bytes = whole(&[("size".to_owned(), text.to_owned())].into(), "size");
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0).map(|bytes| (text, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_limit_that_is_exceeded_is_named() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
            "containers": [{"name": "a", "resources": {"limits": {"ephemeral-storage": "5Mi"}}}, {"name": "b"}],
        }}))
        .unwrap();
        let check = |a: u64, v: u64| {
            let used = LocalUse {
                containers: [("a".to_owned(), a << 20)].into(),
                empty_dirs: [("v".to_owned(), v << 20)].into(),
                inodes: 0,
            };
            breach(&pod, &used).map(|(_, message)| message)
        };
        assert!(has_any(&pod) && !has_any(&Pod::default()));
        assert_eq!(check(5, 1), None);
        assert_eq!(check(6, 1).unwrap(), "Container a exceeded its local ephemeral storage limit \"5Mi\". ");
        assert_eq!(check(6, 2).unwrap(), "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ");
    }
}
