//! Custom resources at run time: read and written as their definitions say.
//!
//! [`controller`] keeps the registry as the definitions are, and their conditions true;
//! [`decode`] reads bodies; [`CustomView`] shows objects in the version of a request, [`convert`] turns
//! versions into each other. The pure parts are in `resources::custom` and `object::schema::custom`.

pub mod controller;
mod convert;
mod decode;
mod names;
mod status;
mod view;

use std::sync::Arc;
use std::time::Duration;

use super::pipeline::Api;
use crate::api::started::Step;
use crate::base::service::Scope;
use crate::object::{GroupResource, Key, Target, Tree, TreePath};

pub use status::begin_deletion;
pub use view::CustomView;

/// The resource of definitions.
pub const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// How long a request waits at most for what is defined to be served.
const SERVED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits until the resource at `target` is served, if a stored definition says that it is: who was
/// told that a definition is established may ask for its objects at once.
pub async fn await_served(api: &Api, target: &Target) {
    let is_served = || api.registry.find(&target.group, &target.version, &target.resource).is_some();
    if is_served() || !is_promised(api, target) {
        return;
    }
    let started = api.clock.elapsed();
    while !is_served() && api.clock.elapsed().saturating_sub(started) < SERVED_WITHIN {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether a definition is established that has the resource in this version.
fn is_promised(api: &Api, target: &Target) -> bool {
    let name = format!("{}.{}", target.resource, target.group);
    let key = Key::new(&GroupResource::new(controller::GROUP, "customresourcedefinitions"), "", &name);
    let Some(definition) = api.state().get(&key).map(|object| object.tree()) else { return false };
    let version = |version: &Tree| version.text("name") == target.version && version.flag("served") == Some(true);
    status::is_true(&definition, "Established") && definition.items("spec.versions").iter().any(version)
}

/// Serves what is defined already, and from now on follows the definitions.
pub fn start(api: &Arc<Api>, scope: &Scope) {
    controller::Definitions::default().load(api);
    api.started.reached(Step::Definitions);
    let api = api.clone();
    scope.supervise("custom resources", move || controller::run(api.clone()));
}

#[cfg(test)]
mod tests;
