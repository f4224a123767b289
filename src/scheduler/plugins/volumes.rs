//! Volumes that are only reachable from some nodes.

use crate::client::{Seen, Snapshot};
use crate::object::Key;
use crate::object::kind::PERSISTENT_VOLUME_CLAIM;
use crate::object::view::{PersistentVolume, PersistentVolumeClaim, StorageClass};
use crate::scheduler::framework::{Attempt, Refusal};
use crate::scheduler::info::{NodeInfo, PodRef};

/// The pod's claims.
#[derive(Clone, Default)]
pub struct Wanted {
    bound: Vec<Seen<PersistentVolume>>,
    /// Claims that are bound once a node is chosen.
    pub unbound: Vec<Seen<PersistentVolumeClaim>>,
}

pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

impl Wanted {
    /// Fails in the words that the pod's owner should read when no node could do.
    pub fn of(pod: &PodRef, snap: &Snapshot) -> Result<Self, String> {
        let mut wanted = Self::default();
        for volume in &pod.pod.spec.volumes {
            let name = match (&volume.persistent_volume_claim, &volume.ephemeral) {
                (Some(claim), _) => claim.claim_name.clone(),
                (None, Some(_)) => format!("{}-{}", pod.pod.name(), volume.name),
                (None, None) => continue,
            };
            let Some(claim) = snap.find::<PersistentVolumeClaim>(pod.pod.namespace(), &name) else {
                let waiting = "waiting for ephemeral volume controller to create the ";
                let prefix = if volume.ephemeral.is_some() { waiting } else { "" };
                let suffix = if volume.ephemeral.is_some() { "" } else { " not found" };
                return Err(format!("{prefix}persistentvolumeclaim {name:?}{suffix}"));
            };
            if claim.is_deleting() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if claim.status.phase == "Lost" {
                let volume = &claim.spec.volume_name;
                return Err(format!(
                    "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
                ));
            }
            wanted.take_in(claim, snap)?;
        }
        Ok(wanted)
    }

    fn take_in(&mut self, claim: Seen<PersistentVolumeClaim>, snap: &Snapshot) -> Result<(), String> {
        let is_bound = claim.meta().annotation("pv.kubernetes.io/bind-completed").is_some();
        if is_bound && !claim.spec.volume_name.is_empty() {
            let volume = snap.find::<PersistentVolume>("", &claim.spec.volume_name);
            return match volume {
                Some(volume) => {
                    self.bound.push(volume);
                    Ok(())
                }
                None => Err("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".into()),
            };
        }
        let class = claim.spec.storage_class_name.as_deref().and_then(|name| snap.find::<StorageClass>("", name));
        let waits = class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
        if !waits {
            return Err("pod has unbound immediate PersistentVolumeClaims".into());
        }
        self.unbound.push(claim);
        Ok(())
    }

    /// Claims that have to be told which node was chosen before the pod can be bound.
    pub fn keys(&self) -> Vec<Key> {
        self.unbound.iter().map(|claim| PERSISTENT_VOLUME_CLAIM.key(claim.namespace(), claim.name())).collect()
    }
}

pub fn reaches(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    let Some(node) = &info.node else { return Ok(()) };
    let reachable = |volume: &Seen<PersistentVolume>| {
        let affinity = volume.spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
        affinity.is_none_or(|required| required.matches(&node.meta().labels, &info.name))
    };
    if !attempt.volumes.bound.iter().all(reachable) {
        return Err(Refusal::never("node(s) didn't match PersistentVolume's node affinity"));
    }
    for claim in &attempt.volumes.unbound {
        let chosen = claim.meta().annotation(SELECTED_NODE);
        if chosen.is_some_and(|chosen| chosen != info.name) {
            return Err(Refusal::never("node(s) didn't match PersistentVolume's node affinity"));
        }
        if !can_be_bound(&attempt.cluster.snap, claim, &reachable) {
            return Err(Refusal::never("node(s) didn't find available persistent volumes to bind"));
        }
    }
    Ok(())
}

/// Somebody will make a volume for the claim, or a free one is within reach.
fn can_be_bound(
    snap: &Snapshot,
    claim: &Seen<PersistentVolumeClaim>,
    reachable: &dyn Fn(&Seen<PersistentVolume>) -> bool,
) -> bool {
    let class_name = claim.spec.storage_class_name.as_deref().unwrap_or("");
    let class = snap.find::<StorageClass>("", class_name);
    if class.is_some_and(|class| class.provisioner != "kubernetes.io/no-provisioner") {
        return true;
    }
    snap.list::<PersistentVolume>("").iter().any(|volume| {
        let free = match &volume.spec.claim_ref {
            None => true,
            Some(reference) => reference.name == claim.name() && reference.namespace == claim.namespace(),
        };
        free && volume.spec.storage_class_name == class_name && reachable(volume)
    })
}
