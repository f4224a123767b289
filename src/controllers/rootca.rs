//! Root CA publisher: every namespace has the cluster's certificate authority in `kube-root-ca.crt`.

use crate::client::{Change, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::{CONFIG_MAP, NAMESPACE};
use crate::object::tree::json;
use crate::object::view::{ConfigMap, Namespace};
use crate::object::{Key, TreePath};

const NAME: &str = "kube-root-ca.crt";
const DATA_KEY: &str = "ca.crt";
const DESCRIPTION_KEY: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
     endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
     distributions of Kubernetes clusters.";

pub static CONTROLLER: Controller = Controller {
    name: "root-ca-cert-publisher",
    component: "root-ca-cert-publisher",
    kind: Some(&NAMESPACE),
    woken_by: &[Wake::By(&CONFIG_MAP, namespace_of_bundle)],
    reconcile,
};

fn namespace_of_bundle(_: &Snapshot, change: &Change) -> Vec<Key> {
    let bundle = change.latest().filter(|map| map.key().name() == NAME);
    bundle.map(|map| NAMESPACE.key("", map.key().namespace())).into_iter().collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(namespace) = snap.get::<Namespace>(key) else { return };
    let root_ca = plan.settings().root_ca.clone();
    if namespace.status.phase != "Active" || namespace.is_deleting() || root_ca.is_empty() {
        return;
    }
    match snap.find::<ConfigMap>(namespace.name(), NAME) {
        None => plan.create(
            &CONFIG_MAP,
            json!({
                "metadata": {
                    "name": NAME, "namespace": namespace.name(), "annotations": {DESCRIPTION_KEY: DESCRIPTION},
                },
                "data": {DATA_KEY: root_ca},
            }),
        ),
        Some(bundle) => plan.update(&bundle, |object| {
            object.set("data", json!({DATA_KEY: root_ca}));
            object.set_default("metadata.annotations", json!({}));
            object["metadata"]["annotations"][DESCRIPTION_KEY] = DESCRIPTION.into();
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn a_changed_bundle_is_put_right() {
        let described = format!(r#"metadata.annotations={{"{DESCRIPTION_KEY}":"x"}}"#);
        check(
            &CONTROLLER,
            &format!("ns a phase=Active\n configmap a/{NAME} {described} data={{\"ca.crt\":\"other\"}}"),
            expect![[r#"
                update configmap/a/kube-root-ca.crt kubernetes.io/description=Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters. ca.crt=PEM
            "#]],
        );
    }
}
