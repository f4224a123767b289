//! Service accounts: every namespace has one named `default`.

use crate::client::{Change, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::Key;
use crate::object::kind::{NAMESPACE, SERVICE_ACCOUNT};
use crate::object::tree::json;
use crate::object::view::Namespace;

const DEFAULT: &str = "default";

pub static CONTROLLER: Controller = Controller {
    name: "service-account-controller",
    component: "service-account-controller",
    kind: Some(&NAMESPACE),
    woken_by: &[Wake::By(&SERVICE_ACCOUNT, namespace_of_lost_default)],
    reconcile,
};

fn namespace_of_lost_default(_: &Snapshot, change: &Change) -> Vec<Key> {
    let lost = change.before.as_ref().filter(|account| change.after.is_none() && account.key().name() == DEFAULT);
    lost.map(|account| NAMESPACE.key("", account.key().namespace())).into_iter().collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(namespace) = snap.get::<Namespace>(key) else { return };
    let exists = snap.object(&SERVICE_ACCOUNT.key(namespace.name(), DEFAULT)).is_some();
    if namespace.status.phase == "Active" && !namespace.is_deleting() && !exists {
        plan.create(&SERVICE_ACCOUNT, json!({"metadata": {"name": DEFAULT, "namespace": namespace.name()}}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn an_active_namespace_gets_a_default_account_once() {
        check(
            &CONTROLLER,
            "ns a phase=Active",
            expect![["
            create serviceaccount/a/default
        "]],
        );
        check(&CONTROLLER, "ns a phase=Active\n sa a/default", expect![[""]]);
        check(&CONTROLLER, "ns a phase=Terminating deleting", expect![[""]]);
    }
}
