//! Persistent volumes: binds claims to volumes that exist, and takes volumes back.
//!
//! Making and wiping volumes is for provisioners; a volume whose claim is gone is released, and
//! deleted only where its reclaim policy and an external provisioner say so.

use crate::client::{Change, NoteKind, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::{PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD};
use crate::object::quantity::Quantity;
use crate::object::tree::json;
use crate::object::view::{PersistentVolume, PersistentVolumeClaim, Pod, StorageClass};
use crate::object::{Key, TreePath, View};

pub static CLAIMS: Controller = Controller {
    name: "persistent-volume-binder",
    component: "persistentvolume-controller",
    kind: Some(&PERSISTENT_VOLUME_CLAIM),
    woken_by: &[Wake::By(&PERSISTENT_VOLUME, open_claims), Wake::By(&POD, claims_of_ended_pod)],
    reconcile: reconcile_claim,
};

pub static VOLUMES: Controller = Controller {
    name: "persistent-volume-binder",
    component: "persistentvolume-controller",
    kind: Some(&PERSISTENT_VOLUME),
    woken_by: &[Wake::By(&PERSISTENT_VOLUME_CLAIM, volume_of_claim)],
    reconcile: reconcile_volume,
};

const BOUND: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";

fn open_claims(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let volume = change.latest().and_then(Seen::<PersistentVolume>::new);
    let own = volume.and_then(|volume| {
        let claim = volume.spec.claim_ref.as_ref()?;
        Some(PERSISTENT_VOLUME_CLAIM.key(&claim.namespace, &claim.name))
    });
    let open = snap.list::<PersistentVolumeClaim>("").into_iter().filter(|claim| claim.status.phase != "Bound");
    own.into_iter().chain(open.map(|claim| claim.key().clone())).collect()
}

/// A deleted claim waits for the last pod that uses it.
fn claims_of_ended_pod(_: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(pod) = change.latest().and_then(Seen::<Pod>::new) else { return Vec::new() };
    if change.after.is_some() && !pod.is_terminal() {
        return Vec::new();
    }
    let claims = pod.spec.volumes.iter().filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.map(|claim| PERSISTENT_VOLUME_CLAIM.key(pod.namespace(), &claim.claim_name)).collect()
}

fn volume_of_claim(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(claim) = change.latest() else { return Vec::new() };
    let volumes = snap.list::<PersistentVolume>("").into_iter().filter(|volume| {
        let reference = volume.spec.claim_ref.as_ref();
        reference.is_some_and(|r| r.name == claim.key().name() && r.namespace == claim.key().namespace())
    });
    volumes.map(|volume| volume.key().clone()).collect()
}

fn reconcile_claim(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(claim) = snap.get::<PersistentVolumeClaim>(key) else { return };
    if claim.is_deleting() {
        return release_claim(snap, &claim, plan);
    }
    match find_volume(snap, &claim) {
        Some(volume) => bind(&claim, &volume, plan),
        None if claim.status.phase.is_empty() || claim.status.phase == "Pending" => wait(snap, &claim, plan),
        None if claim.status.phase == "Bound"
            && snap.find::<PersistentVolume>("", &claim.spec.volume_name).is_none() =>
        {
            plan.event(
                &claim,
                NoteKind::Warning,
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            );
            plan.update_status(&claim, |object| {
                object.set("status.phase", "Lost");
            });
        }
        None => (),
    }
}

/// The claim goes once no pod uses it.
fn release_claim(snap: &Snapshot, claim: &Seen<PersistentVolumeClaim>, plan: &mut Plan) {
    let is_used = snap.list::<Pod>(claim.namespace()).iter().any(|pod| {
        !pod.is_terminal()
            && pod.spec.volumes.iter().any(|volume| {
                volume.persistent_volume_claim.as_ref().is_some_and(|used| used.claim_name == claim.name())
            })
    });
    if !is_used {
        unprotect(claim, PROTECTION, plan);
    }
}

pub fn unprotect<V: View>(seen: &Seen<V>, finalizer: &str, plan: &mut Plan) {
    let finalizers = &seen.meta().finalizers;
    if finalizers.iter().any(|name| name == finalizer) {
        let kept: Vec<_> = finalizers.iter().filter(|name| *name != finalizer).collect();
        plan.update(seen, |object| {
            object.set("metadata.finalizers", json!(kept));
        });
    }
}

fn wait(snap: &Snapshot, claim: &Seen<PersistentVolumeClaim>, plan: &mut Plan) {
    let name = claim.spec.storage_class_name.as_deref().filter(|name| !name.is_empty());
    let class = name.and_then(|name| snap.find::<StorageClass>("", name));
    match class {
        None if name.is_some() => {
            let message = format!("storageclass.storage.k8s.io {:?} not found", name.unwrap_or_default());
            plan.event(claim, NoteKind::Warning, "ProvisioningFailed", message);
        }
        Some(class) if is_late(&class) && claim.meta().annotation(SELECTED_NODE).is_none() => {
            let message = "waiting for first consumer to be created before binding";
            plan.event(claim, NoteKind::Normal, "WaitForFirstConsumer", message);
        }
        Some(class) if class.provisioner != "kubernetes.io/no-provisioner" => {
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
                class.provisioner
            );
            plan.event(claim, NoteKind::Normal, "ExternalProvisioning", message);
            let name = class.provisioner.clone();
            plan.update(claim, |object| {
                object.set_default("metadata.annotations", json!({}));
                for key in ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"]
                {
                    object["metadata"]["annotations"][key] = name.as_str().into();
                }
            });
        }
        _ => {
            let message = "no persistent volumes available for this claim and no storage class is set";
            plan.event(claim, NoteKind::Normal, "FailedBinding", message);
        }
    }
}

fn is_late(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// The volume that is the claim's, or the smallest free one that will do.
fn find_volume(snap: &Snapshot, claim: &Seen<PersistentVolumeClaim>) -> Option<Seen<PersistentVolume>> {
    let volumes = snap.list::<PersistentVolume>("");
    let is_mine = |volume: &&Seen<PersistentVolume>| {
        volume.spec.claim_ref.as_ref().is_some_and(|reference| {
            let same_uid = reference.uid.is_empty() || reference.uid == claim.uid();
            reference.name == claim.name() && reference.namespace == claim.namespace() && same_uid
        })
    };
    if !claim.spec.volume_name.is_empty() {
        let named = volumes.iter().find(|volume| volume.name() == claim.spec.volume_name)?;
        return (is_mine(&named) || named.spec.claim_ref.is_none()).then(|| named.clone());
    }
    if let Some(mine) = volumes.iter().find(is_mine) {
        return Some(mine.clone());
    }
    let class_name = claim.spec.storage_class_name.as_deref().unwrap_or("");
    let late = snap.find::<StorageClass>("", class_name).is_some_and(|class| is_late(&class));
    if late && claim.meta().annotation(SELECTED_NODE).is_none() {
        return None;
    }
    let wanted = storage(&claim.spec.resources.requests);
    let fits = |volume: &&Seen<PersistentVolume>| {
        let modes = claim.spec.access_modes.iter().all(|mode| volume.spec.access_modes.contains(mode));
        let same_mode = volume.spec.volume_mode.as_deref().unwrap_or("Filesystem")
            == claim.spec.volume_mode.as_deref().unwrap_or("Filesystem");
        volume.spec.claim_ref.is_none()
            && !volume.is_deleting()
            && volume.spec.storage_class_name == class_name
            && modes
            && same_mode
            && storage(&volume.spec.capacity) >= wanted
            && claim.spec.selector.as_ref().is_none_or(|selector| selector.matches(&volume.meta().labels))
            && is_reachable(snap, claim, volume)
    };
    volumes.iter().filter(fits).min_by_key(|volume| (storage(&volume.spec.capacity), volume.name().to_owned())).cloned()
}

fn is_reachable(snap: &Snapshot, claim: &Seen<PersistentVolumeClaim>, volume: &PersistentVolume) -> bool {
    let Some(node) = claim.meta().annotation(SELECTED_NODE) else { return true };
    let affinity = volume.spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
    let labels = snap.find::<crate::object::view::Node>("", node).map(|node| node.meta().labels.clone());
    affinity.is_none_or(|required| required.matches(&labels.unwrap_or_default(), node))
}

fn storage(amounts: &crate::object::view::Amounts) -> i64 {
    amounts.get("storage").and_then(|text| Quantity::parse(text).ok()).map_or(0, |quantity| quantity.value())
}

/// First the volume learns of the claim, then the claim of the volume; each write is a step of its own.
fn bind(claim: &Seen<PersistentVolumeClaim>, volume: &Seen<PersistentVolume>, plan: &mut Plan) {
    if volume.spec.claim_ref.as_ref().is_none_or(|reference| reference.uid != claim.uid()) {
        let chosen = volume.spec.claim_ref.is_none();
        return plan.update(volume, |object| {
            object.set(
                "spec.claimRef",
                json!({
                    "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": claim.namespace(),
                    "name": claim.name(), "uid": claim.uid(),
                    "resourceVersion": claim.object().revision().to_string(),
                }),
            );
            if chosen {
                object.set_default("metadata.annotations", json!({}));
                object["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
            }
        });
    }
    if volume.status.phase != "Bound" {
        return plan.update_status(volume, |object| {
            object.set("status.phase", "Bound");
        });
    }
    if claim.spec.volume_name != volume.name() || claim.meta().annotation(BOUND).is_none() {
        let chosen = claim.spec.volume_name.is_empty();
        return plan.update(claim, |object| {
            object.set("spec.volumeName", volume.name());
            object.set_default("metadata.annotations", json!({}));
            object["metadata"]["annotations"][BOUND] = "yes".into();
            if chosen {
                object["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
            }
        });
    }
    if claim.status.phase != "Bound" {
        let (modes, capacity) = (volume.spec.access_modes.clone(), volume.spec.capacity.clone());
        plan.update_status(claim, |object| {
            object.set("status.phase", "Bound");
            object.set("status.accessModes", json!(modes));
            object.set("status.capacity", json!(capacity));
        });
    }
}

fn reconcile_volume(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(volume) = snap.get::<PersistentVolume>(key) else { return };
    if volume.is_deleting() && volume.status.phase != "Bound" {
        return unprotect(&volume, VOLUME_PROTECTION, plan);
    }
    let claim = volume.spec.claim_ref.as_ref();
    let exists = claim.is_some_and(|reference| {
        let found = snap.find::<PersistentVolumeClaim>(&reference.namespace, &reference.name);
        reference.uid.is_empty() || found.is_some_and(|claim| claim.uid() == reference.uid)
    });
    let phase = match claim {
        None => "Available",
        Some(reference) if reference.uid.is_empty() => "Available",
        Some(_) if exists => return,
        Some(_) => "Released",
    };
    if volume.status.phase != phase && volume.status.phase != "Failed" {
        plan.update_status(&volume, |object| {
            object.set("status.phase", phase);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    const CLAIM: &str = r#"pvc data spec.accessModes=["ReadWriteOnce"] spec.resources={"requests":{"storage":"1Gi"}} spec.storageClassName="""#;

    #[test]
    fn the_smallest_volume_that_fits_is_taken() {
        check(
            &CLAIMS,
            &format!(
                r#"
                {CLAIM}
                pv big spec.capacity={{"storage":"9Gi"}} spec.accessModes=["ReadWriteOnce"]
                pv fit spec.capacity={{"storage":"2Gi"}} spec.accessModes=["ReadWriteOnce"]
                pv wee spec.capacity={{"storage":"1Mi"}} spec.accessModes=["ReadWriteOnce"]
                "#
            ),
            expect![[r#"
                update persistentvolume/fit pv.kubernetes.io/bound-by-controller=yes
            "#]],
        );
    }

    #[test]
    fn a_volume_whose_claim_is_gone_is_released() {
        check(
            &VOLUMES,
            r#"pv a spec.claimRef={"namespace":"default","name":"x","uid":"u"} phase=Bound"#,
            expect![[r#"
                status persistentvolume/a phase=Released
            "#]],
        );
        check(
            &VOLUMES,
            "pv a",
            expect![[r#"
            status persistentvolume/a phase=Available
        "#]],
        );
    }
}
