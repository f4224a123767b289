//! Resources of resource.k8s.io.

mod capacity_checks;
mod claim_checks;
pub mod device_class;
pub mod device_taint_rule;
pub mod resource_claim;
pub mod resource_claim_template;
pub mod resource_pool_status_request;
pub mod resource_slice;
mod slice_checks;

use crate::object::tree::{Tree, TreePath};
use crate::resources::defaults::{each, set_if_empty};

/// A request that does not say how many devices it wants wants one.
fn default_requests(tree: &mut Tree, path: &str) {
    each(tree, path, |request| {
        if let Some(exactly) = request.at_mut("exactly") {
            default_request(exactly);
        }
        each(request, "firstAvailable", default_request);
    });
}

fn default_request(request: &mut Tree) {
    set_if_empty(request, "allocationMode", "ExactCount");
    if request.text("allocationMode") == "ExactCount" && request.int("count").unwrap_or_default() == 0 {
        request.set("count", 1);
    }
    each(request, "tolerations", |toleration| set_if_empty(toleration, "operator", "Equal"));
}
