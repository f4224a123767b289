//! Classes of volume attributes stay for as long as a claim or a volume names them.

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::volumes::unprotect;
use crate::object::Key;
use crate::object::kind::{PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, VOLUME_ATTRIBUTES_CLASS};
use crate::object::view::{PersistentVolume, PersistentVolumeClaim, VolumeAttributesClass};

pub static CONTROLLER: Controller = Controller {
    name: "volumeattributesclass-protection-controller",
    component: "volumeattributesclass-protection-controller",
    kind: Some(&VOLUME_ATTRIBUTES_CLASS),
    woken_by: &[Wake::By(&PERSISTENT_VOLUME_CLAIM, going), Wake::By(&PERSISTENT_VOLUME, going)],
    reconcile,
};

const PROTECTION: &str = "kubernetes.io/vac-protection";

/// Any change may have been the last use of a class that is about to go.
fn going(snap: &Snapshot, _: &Change) -> Vec<Key> {
    let classes = snap.list::<VolumeAttributesClass>("").into_iter().filter(Seen::is_deleting);
    classes.map(|class| class.key().clone()).collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(class) = snap.get::<VolumeAttributesClass>(key) else { return };
    if !class.is_deleting() {
        return;
    }
    let names = |name: &Option<String>| name.as_deref() == Some(class.name());
    let claims = snap.list::<PersistentVolumeClaim>("");
    let by_claim = claims.iter().any(|claim| {
        names(&claim.spec.volume_attributes_class_name)
            || names(&claim.status.current_volume_attributes_class_name)
            || claim.status.modify_volume_status.as_ref().is_some_and(|status| names(&status.target))
    });
    let volumes = snap.list::<PersistentVolume>("");
    let by_volume = volumes.iter().any(|volume| names(&volume.spec.volume_attributes_class_name));
    if !by_claim && !by_volume {
        unprotect(&class, PROTECTION, plan);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    const GOING: &str = r#"vac gold deleting metadata.finalizers=["kubernetes.io/vac-protection"]"#;

    #[test]
    fn a_class_that_nobody_names_may_go() {
        check(
            &CONTROLLER,
            GOING,
            expect![[r#"
            update volumeattributesclass/gold
        "#]],
        );
        check(&CONTROLLER, &format!("{GOING}\npvc data spec.volumeAttributesClassName=gold"), expect![""]);
    }
}
