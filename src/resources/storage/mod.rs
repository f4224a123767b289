//! Resources of storage.k8s.io.

pub mod csi_driver;
pub mod csi_node;
pub mod csi_storage_capacity;
pub mod storage_class;
pub mod volume_attachment;
pub mod volume_attributes_class;

use crate::object::field::FieldErrors;
use crate::resources::check::At;

/// Parameters of a provisioner: at most 512, and 256 KiB together.
fn check_parameters(parameters: &At, may_be_empty: bool, errors: &mut FieldErrors) {
    const COUNT_MAX: usize = 512;
    const BYTES_MAX: usize = 256 << 10;
    if parameters.len() > COUNT_MAX {
        return errors.too_long(&*parameters.path, COUNT_MAX);
    }
    let mut bytes = 0;
    for (key, value) in parameters.entries() {
        if key.is_empty() {
            errors.invalid(&*parameters.path, key, "field can not be empty.");
        }
        bytes += key.len() + value.len();
    }
    if bytes > BYTES_MAX {
        errors.too_long(&*parameters.path, BYTES_MAX);
    }
    if parameters.is_empty() && !may_be_empty {
        parameters.required(errors, "must contain at least one key/value pair");
    }
}
