//! NamespaceLifecycle: nothing is created in a namespace that is not there or on its way out, and
//! the system's own namespaces stay.

use super::{Attributes, Operation, Plugin};
use crate::object::pick::pick;
use crate::object::status::{Cause, Details};
use crate::object::tree::Tree;
use crate::object::{GroupResource, Status};

const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

pub struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn admit(&self, on: &Attributes<'_>, object: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if on.namespace.is_empty() || on.resource.name.as_str() == "localsubjectaccessreviews.authorization.k8s.io" {
            return Ok(());
        }
        let namespace = on
            .get("namespaces", "", on.namespace)
            .ok_or_else(|| Status::not_found(&GroupResource::new("", "namespaces"), on.namespace))?;
        let closing = namespace.meta().is_deleting()
            || pick(namespace.bytes(), "status.phase").is_some_and(|phase| phase == "Terminating");
        if on.operation == Operation::Create && closing {
            return Err(terminating(on, object));
        }
        Ok(())
    }

    fn validate(&self, on: &Attributes<'_>, object: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        if object.is_none() && on.is("namespaces") && IMMORTAL.contains(&on.name) {
            return Err(Status::forbidden(&on.resource.name, on.name, "this namespace may not be deleted"));
        }
        Ok(())
    }
}

fn terminating(on: &Attributes<'_>, object: &Tree) -> Status {
    let namespace = on.namespace;
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let status = on.forbidden(object, why);
    let cause = Cause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".into(),
    };
    let details = status.details.as_deref().cloned().unwrap_or_default();
    status.with_details(Details { causes: vec![cause], ..details })
}
