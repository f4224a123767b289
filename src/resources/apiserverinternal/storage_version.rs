//! StorageVersion: in which version servers store a resource.

use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::some_of;
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path_or("CommonEncodingVersion", "status.commonEncodingVersion", "<unset>"),
        Column::with("StorageVersions", versions),
        Column::AGE,
    ],
    ..ResourceDef::cluster(
        "internal.apiserver.k8s.io",
        "StorageVersion",
        "storageversions",
        "storageversion",
        &[Version::off("v1alpha1", "io.k8s.api.apiserverinternal.v1alpha1.StorageVersion")],
    )
};

fn versions(object: &Tree) -> Tree {
    let shown = |server: &Tree| format!("{}={}", server.text("apiServerID"), server.text("encodingVersion"));
    some_of(object.items("status.storageVersions").iter().map(shown).collect(), 3).into()
}
