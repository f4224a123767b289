//! Follows what custom resource definitions make.

use std::sync::Arc;

use super::cache::{Cache, Follow};
use super::seen::Seen;
use crate::object::Kind;
use crate::object::kind::CUSTOM_RESOURCE_DEFINITION;
use crate::object::view::{CustomResourceDefinition, condition};

/// Never returns; ends with its scope.
pub(super) async fn run(cache: Arc<Cache>) {
    let mut definitions = cache.subscribe(&[&CUSTOM_RESOURCE_DEFINITION]);
    loop {
        for (_, change) in definitions.next().await {
            let read = |object: &Option<_>| {
                object.as_ref().and_then(Seen::<CustomResourceDefinition>::new).and_then(|seen| kind_of(&seen))
            };
            let (before, after) = (read(&change.before), read(&change.after));
            match (before, after) {
                (_, Some(kind)) => cache.follow(Follow::all(&kind)),
                (Some(kind), None) => cache.unfollow(&kind.resource()),
                (None, None) => (),
            }
        }
    }
}

/// The kind that a definition serves, once it does.
fn kind_of(definition: &CustomResourceDefinition) -> Option<Kind> {
    let established = condition(&definition.status.conditions, "Established").is_some_and(|c| c.is_true());
    let spec = &definition.spec;
    let stored = spec.versions.iter().find(|version| version.storage && version.served);
    let version = stored.or_else(|| spec.versions.iter().find(|version| version.served))?;
    established.then(|| Kind {
        group: spec.group.clone().into(),
        version: version.name.clone().into(),
        kind: spec.names.kind.clone().into(),
        plural: spec.names.plural.clone().into(),
        namespaced: spec.scope == "Namespaced",
    })
}
