//! ResourceQuota: counts what a namespace uses of what it may use.
//!
//! Admission checks writes against these numbers and raises them together with the write; this
//! controller puts them right when things go. The quota that it sees may already be charged for an object that
//! it does not see yet: before it writes a number it asks the server for what was written until then.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::plan::Step;
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::RESOURCE_QUOTA;
use crate::object::quantity::Quantity;
use crate::object::quota;
use crate::object::sums::{Sum, add};
use crate::object::tree::{Tree, json};
use crate::object::view::ResourceQuota;
use crate::object::{Key, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "resourcequota-controller",
    component: "resourcequota-controller",
    kind: Some(&RESOURCE_QUOTA),
    woken_by: &[Wake::Any(quotas_nearby)],
    reconcile,
};

/// Appearing and going change counts; pods also when they finish.
fn quotas_nearby(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let Some(object) = change.latest() else { return Vec::new() };
    let (namespace, resource) = (object.key().namespace(), object.key().resource());
    let came_or_went = change.before.is_none() != change.after.is_none();
    let counts_by_content = matches!(resource, "pods" | "services" | "persistentvolumeclaims");
    if namespace.is_empty() || !(came_or_went || counts_by_content) {
        return Vec::new();
    }
    snap.list::<ResourceQuota>(namespace).iter().map(|quota| quota.key().clone()).collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(seen) = snap.get::<ResourceQuota>(key) else { return };
    let mut quota = seen.object().tree();
    quota.set("status.hard", json!(seen.spec.hard));
    let resources: BTreeSet<&str> = seen.spec.hard.keys().filter_map(|name| quota::resource_of(name)).collect();
    let mut used = Sum::new();
    for resource in &resources {
        add(&mut used, &use_of_all(snap, &quota, resource));
    }
    let counted = seen.spec.hard.keys().filter(|name| quota::resource_of(name).is_some());
    let used: BTreeMap<&str, String> =
        counted.map(|name| (name, used.get(name).copied().unwrap_or(Quantity::ZERO).to_string())).collect();
    let is_told = |name: &str, number: &str| {
        quota.at("status.used").and_then(|told| told.get(name)).and_then(Tree::as_str) == Some(number)
    };
    let changed = used.iter().filter(|(name, number)| !is_told(name, number));
    let changed: BTreeSet<&str> = changed.filter_map(|(name, _)| quota::resource_of(name)).collect();
    changed.into_iter().for_each(|resource| confirm(snap, &seen, resource, plan));
    plan.status(&seen, json!({"hard": seen.spec.hard, "used": used}));
}

/// Lets nothing be written if an object was counted otherwise than it was when the quota was written last.
fn confirm(snap: &Snapshot, quota: &Seen<ResourceQuota>, resource: &str, plan: &mut Plan) {
    let (namespace, until) = (quota.namespace().to_owned(), quota.object().revision());
    let Some(kind) = snap.kinds().find(|kind| kind.is(resource)).cloned() else { return };
    let prefix = format!("{resource}/{namespace}/");
    let seen = snap.range(&prefix).map(|object| (object.key().clone(), object.revision())).collect();
    plan.steps.push(Step::EndIfBehind { kind, namespace, until, seen });
}

/// What all objects of a resource in the quota's namespace take together.
fn use_of_all(snap: &Snapshot, quota: &Tree, resource: &str) -> Sum {
    let mut used = Sum::new();
    for object in snap.range(&format!("{resource}/{}/", quota.text("metadata.namespace"))) {
        let object = object.tree();
        if quota::covers(quota, resource, &object) {
            add(&mut used, &quota::use_of(resource, &object, snap.now()));
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn objects_and_requests_are_added_up() {
        check(
            &CONTROLLER,
            r#"
            resourcequota q spec.hard={"pods":"5","count/configmaps":"9","requests.cpu":"2","memory":"2Gi"}
            configmap c
            pod a spec.containers=[{"name":"c","resources":{"requests":{"cpu":"300m","memory":"64Mi"}}}]
            pod b spec.containers=[{"name":"c","resources":{"requests":{"cpu":"1"}}}] phase=Succeeded
            "#,
            expect![[r#"
                end if configmaps in default are known to less than 1
                end if pods in default are known to less than 1
                status resourcequota/q hard={"count/configmaps":"9","memory":"2Gi","pods":"5","requests.cpu":"2"} used={"count/configmaps":"1","memory":"64Mi","pods":"1","requests.cpu":"300m"}
            "#]],
        );
    }

    #[test]
    fn what_is_charged_already_and_not_seen_yet_is_not_taken_off() {
        let charged = r#"resourcequota q spec.hard={"pods":"1"} status.hard={"pods":"1"} status.used={"pods":"1"}"#;
        check(
            &CONTROLLER,
            charged,
            expect![[r#"
                end if pods in default are known to less than 1
                status resourcequota/q hard={"pods":"1"} used={"pods":"0"}
            "#]],
        );
        check(&CONTROLLER, &format!("{charged}\n pod a"), expect![[""]]);
    }

    #[test]
    fn only_resources_whose_numbers_change_are_asked_for() {
        check(
            &CONTROLLER,
            r#"
            resourcequota q spec.hard={"pods":"5","count/configmaps":"9"} status.hard={"pods":"5"} status.used={"pods":"1","count/configmaps":"2","count/secrets":"1"}
            configmap c
            pod a
            "#,
            expect![[r#"
                end if configmaps in default are known to less than 1
                status resourcequota/q hard={"count/configmaps":"9","pods":"5"} used={"count/configmaps":"1","pods":"1"}
            "#]],
        );
    }
}
