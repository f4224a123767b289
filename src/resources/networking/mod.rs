//! Resources of networking.k8s.io.

pub mod ingress;
pub mod ingress_class;
pub mod ip_address;
pub mod network_policy;
pub mod service_cidr;

use crate::object::field::FieldErrors;
use crate::resources::check::At;
use crate::resources::names;

/// A reference to an object of any kind, by API group, kind and name.
fn check_local_reference(reference: &At, errors: &mut FieldErrors) {
    let group = reference.child("apiGroup");
    if group.exists() {
        group.format(errors, names::is_dns1123_subdomain(group.str()));
    }
    for field in ["kind", "name"] {
        let place = reference.child(field);
        if place.is_empty() {
            place.required(errors, "");
        } else {
            place.format(errors, names::path_segment(place.str(), false));
        }
    }
}
