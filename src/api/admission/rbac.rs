//! Nobody gives away more than they have: see [`crate::api::authz::check_write`].

use super::{Attributes, Plugin};
use crate::api::authz::check_write;
use crate::object::Status;
use crate::object::tree::Tree;

pub struct NoEscalation;

impl Plugin for NoEscalation {
    fn validate(&self, on: &Attributes<'_>, object: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        match object {
            Some(object) => check_write(on.authz, on.user, on.target, object, on.old),
            None => Ok(()),
        }
    }
}
