//! Views: one small struct for each resource that loops read, with only the fields they use.
//!
//! A view is parsed once for each revision and shared by every loop; see [`super::View`]. Add a
//! field when a loop needs it. Pod templates and other things passed through stay raw JSON.

/// Declares structs read from API JSON: camelCase names, every field optional and possibly null.
macro_rules! fields {
    ($($(#[$meta:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $ty:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $($(#[$attr])* #[serde(deserialize_with = "crate::object::view::null_is_default")] pub $field: $ty),*
        }
    )*};
}

/// Says which resource each view reads.
macro_rules! views {
    ($($view:ty = $resource:literal),* $(,)?) => {$(
        impl crate::object::View for $view { const RESOURCE: &'static str = $resource; }
    )*};
}

/// The API writes `null` for some lists that are empty.
fn null_is_default<'de, D: serde::Deserializer<'de>, T: serde::Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(<Option<T> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
}

mod apps;
mod autoscaling;
mod batch;
mod cluster;
mod common;
mod config;
mod node;
mod placement;
mod pod;
mod policy;
mod selector;
mod service;
mod storage;

pub use apps::*;
pub use autoscaling::*;
pub use batch::*;
pub use cluster::*;
pub use common::*;
pub use config::*;
pub use node::*;
pub use placement::*;
pub use pod::*;
pub use policy::*;
pub use selector::*;
pub use service::*;
pub use storage::*;
