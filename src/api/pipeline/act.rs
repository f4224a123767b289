//! A call with what it is about looked up: the resource, its version, and where in the store.

use std::sync::Arc;

use crate::api::audit;
use crate::object::status::Details;
use crate::object::{Call, Gvk, Key, Reason, Status};
use crate::resources::{Registry, Resource, ResourceVersion};

/// One call being worked on.
#[derive(Clone)]
pub struct Act {
    pub call: Call,
    pub resource: Arc<Resource>,
    version_at: usize,
    pub warnings: Vec<String>,
    /// Whether who set which field is recorded: not where that is done already, nor for what the
    /// server itself writes into an object.
    pub tracks_fields: bool,
}

impl Act {
    /// Finds what the call is about. Fails with NotFound for what is not served.
    pub fn find(registry: &Registry, call: Call) -> Result<Self, Status> {
        let target = &call.target;
        let resource = registry.find(&target.group, &target.version, &target.resource).ok_or_else(no_such_resource)?;
        let version_at = resource.versions.iter().position(|version| version.name == target.version);
        let version_at = version_at.ok_or_else(no_such_resource)?;
        if resource.is_namespaced() && target.namespace.is_empty() && !target.name.is_empty() {
            return Err(no_such_resource());
        }
        let deprecation = resource.versions[version_at].deprecation.clone();
        if !deprecation.is_empty() {
            audit::annotate("k8s.io/deprecated", || "true".to_owned());
        }
        let warnings = if deprecation.is_empty() { Vec::new() } else { vec![deprecation] };
        Ok(Self { call, resource, version_at, warnings, tracks_fields: true })
    }

    pub fn version(&self) -> &ResourceVersion {
        &self.resource.versions[self.version_at]
    }

    /// The `apiVersion` that the client speaks.
    pub fn api_version(&self) -> String {
        self.resource.api_version(&self.version().name)
    }

    /// The kind of the resource in the version of the request.
    pub fn gvk(&self) -> Gvk {
        self.resource.gvk(&self.version().name)
    }

    /// The namespace that objects of this call are in; empty for what is outside of namespaces.
    pub fn namespace(&self) -> &str {
        if self.resource.is_namespaced() { &self.call.target.namespace } else { "" }
    }

    pub fn name(&self) -> &str {
        &self.call.target.name
    }

    /// Where the object `name` of this call is stored.
    pub fn key_of(&self, name: &str) -> Key {
        Key::new(&self.resource.stored_as, self.namespace(), name)
    }

    pub fn key(&self) -> Key {
        self.key_of(self.name())
    }

    pub fn is_dry_run(&self) -> bool {
        self.call.options.dry_run
    }

    pub fn not_found(&self) -> Status {
        Status::not_found(&self.resource.name, self.name())
    }

    /// Who will be named in `managedFields`.
    pub fn field_manager(&self) -> String {
        match self.call.options.field_manager.as_str() {
            "" => manager_of(&self.call.user_agent),
            manager => manager.to_owned(),
        }
    }
}

/// What stands before the first slash of a user agent, as far as it can be printed.
fn manager_of(user_agent: &str) -> String {
    const LEN_MAX: usize = 128;
    let mut manager = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()) {
        if manager.len() + c.len_utf8() > LEN_MAX {
            break;
        }
        manager.push(c);
    }
    manager
}

/// Nothing is served at this place.
pub fn no_such_resource() -> Status {
    Status::new(Reason::NotFound, "the server could not find the requested resource").with_details(Details::default())
}

/// Something is served here, but not with this verb.
pub fn no_such_method() -> Status {
    Status::new(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
        .with_details(Details::default())
}
