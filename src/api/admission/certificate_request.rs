//! A certificate is requested in the name of whoever sends the request, whatever it says.

use super::{Attributes, Operation, Plugin};
use crate::object::Status;
use crate::object::tree::{Tree, TreePath, json};

const REQUESTS: &str = "certificatesigningrequests.certificates.k8s.io";
const FIELDS: &[&str] = &["username", "uid", "groups", "extra"];

pub struct Requestor;

impl Plugin for Requestor {
    fn admit(&self, on: &Attributes<'_>, request: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if on.operation != Operation::Create || !on.is(REQUESTS) {
            return Ok(());
        }
        for field in FIELDS {
            request.unset(&format!("spec.{field}"));
        }
        request.set("spec.username", on.user.name.as_str());
        if !on.user.uid.is_empty() {
            request.set("spec.uid", on.user.uid.as_str());
        }
        request.set("spec.groups", json!(on.user.groups));
        if !on.user.extra.is_empty() {
            request.set("spec.extra", json!(on.user.extra));
        }
        Ok(())
    }
}
