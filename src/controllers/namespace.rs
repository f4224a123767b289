//! Namespace: empties one that is being deleted, tells what is left, and lets it go.
//!
//! Pods go first, so that what they depend on outlives them. Only what the cache follows is seen;
//! events, which nobody follows, are swept at the end.

use std::collections::BTreeMap;

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::plan::Step;
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::controllers::shared::conditions::{Conditions, condition};
use crate::object::kind::{EVENT, NAMESPACE, POD};
use crate::object::view::{Condition, Namespace};
use crate::object::{Key, Kind, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "namespace-controller",
    component: "namespace-controller",
    kind: Some(&NAMESPACE),
    woken_by: &[Wake::Any(ending_namespace)],
    reconcile,
};

/// The finalizer of the spec that stands for "has content".
const FINALIZER: &str = "kubernetes";

/// What went from, or changed in, a namespace that is being deleted.
fn ending_namespace(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let namespace = change.latest().map(|object| object.key().namespace()).filter(|namespace| !namespace.is_empty());
    let key = namespace.map(|namespace| NAMESPACE.key("", namespace));
    key.filter(|key| snap.object(key).is_some_and(|namespace| namespace.meta().is_deleting())).into_iter().collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(namespace) = snap.get::<Namespace>(key) else { return };
    if !namespace.is_deleting() || !namespace.spec.finalizers.iter().any(|name| name == FINALIZER) {
        return;
    }
    let content = Content::of(snap, namespace.name());
    for kind in content.to_delete() {
        plan.steps.push(Step::DeleteAll { kind: kind.clone(), namespace: namespace.name().into() });
    }
    let failure = plan.failure().filter(|failure| failure.verb == "delete all").map(|failure| failure.message.clone());
    let mut conditions = Conditions::of(&namespace.status.conditions);
    for condition in content.conditions(failure, snap) {
        conditions.set_in_place(condition);
    }
    plan.update_status(&namespace, |object| {
        if conditions != Conditions::of(&namespace.status.conditions) {
            object.set("status.conditions", conditions.to_tree());
        }
    });
    if content.kinds.is_empty() {
        plan.steps.push(Step::DeleteAll { kind: EVENT.clone(), namespace: namespace.name().into() });
        finalize(&namespace, plan);
    }
}

/// Takes our finalizer away, with which the namespace goes unless others hold it.
fn finalize(namespace: &Seen<Namespace>, plan: &mut Plan) {
    let mut object = namespace.object().tree();
    let others: Vec<&String> = namespace.spec.finalizers.iter().filter(|name| *name != FINALIZER).collect();
    object.set("spec.finalizers", crate::object::tree::json!(others));
    // What is written is whatever the status update above leaves.
    object.unset("metadata.resourceVersion");
    plan.steps.push(Step::Put { kind: NAMESPACE.clone(), subresource: "finalize", object });
}

/// What is left in a namespace.
#[derive(Default)]
struct Content {
    kinds: Vec<Left>,
    /// How many objects each finalizer holds.
    finalizers: BTreeMap<String, usize>,
}

struct Left {
    kind: Kind,
    count: usize,
    all_deleting: bool,
}

impl Content {
    fn of(snap: &Snapshot, namespace: &str) -> Self {
        let mut content = Self::default();
        for kind in snap.kinds().filter(|kind| kind.namespaced) {
            let prefix = kind.resource().namespace_prefix(namespace);
            let objects: Vec<_> = snap.range(&prefix).collect();
            if objects.is_empty() {
                continue;
            }
            for finalizer in objects.iter().flat_map(|object| &object.meta().finalizers) {
                *content.finalizers.entry(finalizer.clone()).or_default() += 1;
            }
            let all_deleting = objects.iter().all(|object| object.meta().is_deleting());
            content.kinds.push(Left { kind: kind.clone(), count: objects.len(), all_deleting });
        }
        content
    }

    /// Kinds with objects that nobody has deleted yet; only pods as long as there are any.
    fn to_delete(&self) -> impl Iterator<Item = &Kind> {
        let has_pods = self.kinds.iter().any(|left| left.kind == POD);
        let due = self.kinds.iter().filter(move |left| !left.all_deleting && (!has_pods || left.kind == POD));
        due.map(|left| &left.kind)
    }

    fn conditions(&self, failure: Option<String>, snap: &Snapshot) -> Vec<Condition> {
        let make = |kind: &str, bad: Option<(&str, String)>, reason: &str, message: &str| match bad {
            Some((reason, message)) => condition(kind, "True", reason, message, snap.now()),
            None => condition(kind, "False", reason, message, snap.now()),
        };
        let remaining = (!self.kinds.is_empty()).then(|| {
            let mut parts: Vec<String> = self.kinds.iter().map(Left::describe).collect();
            parts.sort();
            ("SomeResourcesRemain", format!("Some resources are remaining: {}", parts.join(", ")))
        });
        let held = (!self.finalizers.is_empty()).then(|| {
            let parts: Vec<String> =
                self.finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
            let message = format!("Some content in the namespace has finalizers remaining: {}", parts.join(", "));
            ("SomeFinalizersRemain", message)
        });
        let failed = failure.map(|failure| {
            ("ContentDeletionFailed", format!("Failed to delete all resource types, 1 remaining: {failure}"))
        });
        vec![
            make(
                "NamespaceDeletionDiscoveryFailure",
                None,
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            make(
                "NamespaceDeletionGroupVersionParsingFailure",
                None,
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            make(
                "NamespaceDeletionContentFailure",
                failed,
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            make("NamespaceContentRemaining", remaining, "ContentRemoved", "All content successfully removed"),
            make(
                "NamespaceFinalizersRemaining",
                held,
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
        ]
    }
}

impl Left {
    fn describe(&self) -> String {
        format!("{}.{} has {} resource instances", self.kind.plural, self.kind.group, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    const ENDING: &str = r#"ns a deleting spec.finalizers=["kubernetes"] phase=Terminating"#;

    #[test]
    fn pods_go_before_everything_else() {
        check(
            &CONTROLLER,
            &format!("{ENDING}\n pod a/web\n configmap a/conf"),
            expect![[r#"
            delete all pods in a
            status namespace/a NamespaceDeletionDiscoveryFailure=False(ResourcesDiscovered) NamespaceDeletionGroupVersionParsingFailure=False(ParsedGroupVersions) NamespaceDeletionContentFailure=False(ContentDeleted) NamespaceContentRemaining=True(SomeResourcesRemain) NamespaceFinalizersRemaining=False(ContentHasNoFinalizers) phase=Terminating
        "#]],
        );
        check(
            &CONTROLLER,
            &format!("{ENDING}\n configmap a/conf finalizer=x/y"),
            expect![[r#"
            delete all configmaps in a
            status namespace/a NamespaceDeletionDiscoveryFailure=False(ResourcesDiscovered) NamespaceDeletionGroupVersionParsingFailure=False(ParsedGroupVersions) NamespaceDeletionContentFailure=False(ContentDeleted) NamespaceContentRemaining=True(SomeResourcesRemain) NamespaceFinalizersRemaining=True(SomeFinalizersRemain) phase=Terminating
        "#]],
        );
    }

    #[test]
    fn an_empty_namespace_is_let_go() {
        check(
            &CONTROLLER,
            &format!("{ENDING}\n pod b/web"),
            expect![[r#"
            status namespace/a NamespaceDeletionDiscoveryFailure=False(ResourcesDiscovered) NamespaceDeletionGroupVersionParsingFailure=False(ParsedGroupVersions) NamespaceDeletionContentFailure=False(ContentDeleted) NamespaceContentRemaining=False(ContentRemoved) NamespaceFinalizersRemaining=False(ContentHasNoFinalizers) phase=Terminating
            delete all events in a
            put namespace/a/finalize
        "#]],
        );
    }

    #[test]
    fn one_that_is_not_deleted_is_left_alone() {
        check(&CONTROLLER, "ns a phase=Active\n pod a/web", expect![[""]]);
    }
}
