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

use super::pipeline::Api;
use crate::base::service::Scope;

pub use status::begin_deletion;
pub use view::CustomView;

/// The resource of definitions.
pub const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Serves what is defined already, and from now on follows the definitions.
pub fn start(api: &Arc<Api>, scope: &Scope) {
    controller::Definitions::default().load(api);
    let api = api.clone();
    scope.supervise("custom resources", move || controller::run(api.clone()));
}
