//! ResourceSlice: devices that a driver offers on a node.

use super::slice_checks::{self, LISTS};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    selectable: &["spec.nodeName", "spec.driver"],
    columns: &[
        Column::NAME,
        Column::path("Node", "spec.nodeName"),
        Column::path("Driver", "spec.driver"),
        Column::path("Pool", "spec.pool.name"),
        Column::AGE,
    ],
    rules: &ResourceSlice,
    ..ResourceDef::cluster(
        "resource.k8s.io",
        "ResourceSlice",
        "resourceslices",
        "resourceslice",
        &[
            Version::on("v1", "io.k8s.api.resource.v1.ResourceSlice"),
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.ResourceSlice"),
            Version::off("v1beta1", "io.k8s.api.resource.v1beta1.ResourceSlice"),
        ],
    )
};

const MAPPINGS: &str = "nodeAllocatableResourceMappings";

pub struct ResourceSlice;

impl Rules for ResourceSlice {
    fn prepare_create(&self, new: &mut Tree) {
        drop_unserved(new, &Tree::Null);
    }

    fn prepare_update(&self, new: &mut Tree, old: &Tree) {
        drop_unserved(new, old);
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        slice_checks::check(&spec, errors);
        if let Some(old) = old {
            for path in ["spec.pool.name", "spec.driver", "spec.nodeName"] {
                immutable(errors, new, old, path);
            }
        }
        slice_checks::check_contents(&spec, errors);
    }
}

/// Takes out what a stock server does not know yet, unless it is there already: what devices take of the
/// node's own resources, and attributes with lists of values.
fn drop_unserved(new: &mut Tree, old: &Tree) {
    let lists = |device: &Tree| {
        let attributes = device.map("attributes").into_iter().flatten();
        attributes.into_iter().any(|(_, attribute)| LISTS.iter().any(|list| !attribute.items(list).is_empty()))
    };
    let before = old.items("spec.devices");
    let keeps_mappings = before.iter().any(|device| device.map(MAPPINGS).is_some_and(|map| !map.is_empty()));
    let keeps_lists = before.iter().any(lists);
    for device in new.at_mut("spec.devices").and_then(Tree::as_array_mut).into_iter().flatten() {
        if !keeps_mappings {
            device.unset(MAPPINGS);
        }
        let attributes = device.at_mut("attributes").and_then(Tree::as_object_mut).filter(|_| !keeps_lists);
        for (_, attribute) in attributes.into_iter().flat_map(|map| map.iter_mut()) {
            LISTS.iter().for_each(|list| drop(attribute.unset(list)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn what_is_not_served_yet_goes_and_what_was_there_stays() {
        let device = json!({
            "name": "a", "attributes": {"x": {"ints": [1]}}, "nodeAllocatableResourceMappings": {"cpu": {"capacityKey": "c"}},
        });
        let slice = json!({"spec": {"devices": [device]}});
        let mut new = slice.clone();
        ResourceSlice.prepare_create(&mut new);
        assert_eq!(new["spec"]["devices"], json!([{"name": "a", "attributes": {"x": {}}}]));
        let mut same = slice.clone();
        ResourceSlice.prepare_update(&mut same, &slice);
        assert_eq!(same, slice);
    }
}
