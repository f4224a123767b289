//! Who set which field: `metadata.managedFields`.
//!
//! Kept as stored for now; nobody's fields are recorded yet.

use super::Api;
use super::act::Act;
use super::metadata;
use super::update::Part;
use crate::object::tree::{Tree, TreePath};

impl Api {
    /// Records what a created object's fields are whose.
    pub(crate) fn track_fields(&self, _act: &Act, _live: &Tree, new: &mut Tree) {
        new.unset("metadata.managedFields");
    }

    pub(crate) fn track_part(&self, _act: &Act, _part: Part, old: &Tree, new: &mut Tree) {
        metadata::copy(new, old, "managedFields");
    }
}
