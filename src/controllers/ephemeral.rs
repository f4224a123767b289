//! Ephemeral volumes: makes the claim for each volume that a pod brings the template of.
//!
//! The claim belongs to the pod and goes with it. A claim of that name that belongs to somebody else is
//! left alone, and the pod is told.

use crate::client::{Change, NoteKind, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::ownership::controller_ref;
use crate::object::kind::{PERSISTENT_VOLUME_CLAIM, POD};
use crate::object::tree::json;
use crate::object::view::{PersistentVolumeClaim, Pod, PodVolume, Raw};
use crate::object::{Key, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "ephemeral-volume-controller",
    component: "ephemeral_volume",
    kind: None,
    woken_by: &[Wake::By(&POD, if_it_brings_volumes), Wake::By(&PERSISTENT_VOLUME_CLAIM, pod_of_lost_claim)],
    reconcile,
};

fn if_it_brings_volumes(_: &Snapshot, change: &Change) -> Vec<Key> {
    let pod = change.after.as_ref().and_then(Seen::<Pod>::new);
    let brings = |pod: &Seen<Pod>| pod.spec.volumes.iter().any(|volume| volume.ephemeral.is_some());
    pod.filter(brings).map(|pod| pod.key().clone()).into_iter().collect()
}

fn pod_of_lost_claim(_: &Snapshot, change: &Change) -> Vec<Key> {
    let lost = change.before.as_ref().filter(|_| change.after.is_none());
    let owner = lost.and_then(|claim| claim.meta().controller().filter(|owner| owner.kind == POD.kind));
    let key = owner.zip(lost).map(|(owner, claim)| POD.key(claim.key().namespace(), &owner.name));
    key.into_iter().collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(pod) = snap.get::<Pod>(key).filter(|pod| pod.is_active()) else { return };
    for volume in &pod.spec.volumes {
        if let Some(source) = &volume.ephemeral {
            provide(snap, &pod, volume, source, plan);
        }
    }
}

fn provide(snap: &Snapshot, pod: &Seen<Pod>, volume: &PodVolume, source: &Raw, plan: &mut Plan) {
    let name = format!("{}-{}", pod.name(), volume.name);
    match snap.find::<PersistentVolumeClaim>(pod.namespace(), &name) {
        Some(claim) if claim.object().meta().is_controlled_by(pod.uid()) => (),
        Some(_) => {
            let (namespace, pod_name) = (pod.namespace(), pod.name());
            let message = format!(
                "ephemeral volume {}: PVC {namespace}/{name} was not created for pod {namespace}/{pod_name} (pod is not owner)",
                volume.name
            );
            plan.event(pod, NoteKind::Warning, "FailedBinding", message);
        }
        None => plan.create(&PERSISTENT_VOLUME_CLAIM, claim(pod, &name, &source.tree())),
    }
}

fn claim(pod: &Seen<Pod>, name: &str, source: &Tree) -> Tree {
    let mut claim = json!({
        "metadata": {"name": name, "namespace": pod.namespace(), "ownerReferences": [controller_ref(pod)]},
        "spec": source.at("volumeClaimTemplate.spec").cloned().unwrap_or_default(),
    });
    for field in ["labels", "annotations"] {
        if let Some(value) = source.at("volumeClaimTemplate.metadata").and_then(|meta| meta.get(field)) {
            claim.set(&format!("metadata.{field}"), value.clone());
        }
    }
    claim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check_key;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(situation: &str, expect: Expect) {
        check_key(&CONTROLLER, &POD.key("default", "web"), situation, expect);
    }

    const POD_WITH_SCRATCH: &str = r#"pod web spec.volumes=[{"name":"scratch","ephemeral":{"volumeClaimTemplate":{"metadata":{"labels":{"a":"b"}},"spec":{"accessModes":["ReadWriteOnce"]}}}}]"#;

    #[test]
    fn a_pod_gets_the_claim_it_describes_once() {
        check(
            POD_WITH_SCRATCH,
            expect![[r#"
            create persistentvolumeclaim/web-scratch a=b
        "#]],
        );
        check(&format!("{POD_WITH_SCRATCH}\n pvc web-scratch owner=web"), expect![[""]]);
        check(&format!("{POD_WITH_SCRATCH} deleting"), expect![[""]]);
    }

    #[test]
    fn a_claim_of_somebody_else_is_left_alone() {
        check(
            &format!("{POD_WITH_SCRATCH}\n pvc web-scratch"),
            expect![[r#"
            event pod/web Warning FailedBinding: ephemeral volume scratch: PVC default/web-scratch was not created for pod default/web (pod is not owner)
        "#]],
        );
    }
}
