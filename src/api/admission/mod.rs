//! Admission: what the cluster as a whole has to say about a write, in upstream's order.
//!
//! [`PLUGINS`] is the order. First every plugin may change the object, then, when it is complete and
//! valid, every plugin may refuse it. Plugins see one state of the store and write nothing.

mod certificates;
mod claim_resize;
mod default_class;
mod default_tolerations;
mod limit_ranger;
mod namespace;
mod node_restriction;
mod pod_resize;
mod pod_security;
pub mod policy;
mod priority;
mod rbac;
pub mod resource_quota;
mod runtime_class;
mod service_account;
mod signing_requests;
mod storage_protection;
mod taint_nodes;
mod timing;
pub mod topology_labels;
pub mod webhook;

use std::sync::Arc;

use crate::base::clock::ClockRef;
use crate::base::rand::Rand;
use crate::object::tree::Tree;
use crate::object::{GroupResource, Gvk, Key, ObjectRef, Status, Target, Timestamp, User};
use crate::resources::{Resource, Subresource};
use crate::store::{KeyRange, State};

use super::authz::{Ask, Authz};
use super::metrics::Metrics;
use super::pipeline::Api;
use super::pipeline::act::Act;
use timing::{Step, Timing};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// As rules of hooks and policies name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// One write that is to be admitted.
pub struct Attributes<'a> {
    pub operation: Operation,
    pub user: &'a User,
    pub target: &'a Target,
    pub resource: &'a Resource,
    pub version: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    /// Empty while a generated name is not yet made.
    pub name: &'a str,
    /// The stored object of an update or deletion.
    pub old: Option<&'a Tree>,
    pub dry_run: bool,
    pub now: Timestamp,
    state: &'a State,
    authz: &'a Authz,
    pub rand: &'a dyn Rand,
}

impl<'a> Attributes<'a> {
    pub fn of(api: &'a Api, act: &'a Act, state: &'a State, operation: Operation, old: Option<&'a Tree>) -> Self {
        let target = &act.call.target;
        Self {
            operation,
            user: &act.call.user,
            target,
            resource: &act.resource,
            version: &target.version,
            subresource: &target.subresource,
            namespace: act.namespace(),
            name: &target.name,
            old,
            dry_run: act.is_dry_run(),
            now: api.now(),
            state,
            authz: &api.authz,
            rand: &*api.rand,
        }
    }

    /// The kind of what is written, in the version of the request.
    pub fn kind(&self) -> Gvk {
        if let Some(special) = self.special_kind() {
            return special;
        }
        self.resource.gvk(self.version)
    }

    /// Whether `object` is of the resource's own kind, not of a subresource's.
    pub fn is_own_kind(&self, object: &Tree) -> bool {
        use crate::object::tree::TreePath;
        object.text("kind") == self.resource.kind && self.special_kind().is_none()
    }

    fn special_kind(&self) -> Option<Gvk> {
        let sub = self.resource.version(self.version)?.subresource(self.subresource)?;
        let (group, version, kind) = match sub {
            Subresource::Scale(_) => ("autoscaling", "v1", "Scale"),
            Subresource::Special(special) if !special.kind.is_empty() => (special.group, special.version, special.kind),
            _ => return None,
        };
        let version = if version.is_empty() { self.version.to_owned() } else { version.to_owned() };
        Some(Gvk { group: group.into(), version: version.into(), kind: kind.into() })
    }

    /// The object's name, as far as it is known before it is stored.
    pub fn name_of<'n>(&self, object: Option<&'n Tree>) -> &'n str
    where
        'a: 'n,
    {
        use crate::object::tree::TreePath;
        if self.name.is_empty() { object.map_or("", |object| object.text("metadata.name")) } else { self.name }
    }

    /// Whether this is about `resource.group` itself, or with `/` behind it about a subresource.
    pub fn is(&self, resource: &str) -> bool {
        match resource.split_once('/') {
            Some((resource, sub)) => self.resource.name.as_str() == resource && self.subresource == sub,
            None => self.resource.name.as_str() == resource && self.subresource.is_empty(),
        }
    }

    pub fn creates(&self, resource: &str) -> bool {
        self.operation == Operation::Create && self.is(resource)
    }

    /// Another object, as it is stored now.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&'a ObjectRef> {
        self.state.get(&Key::of(resource, namespace, name))
    }

    /// The objects of a resource in a namespace; an empty one means all.
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<ObjectRef> {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let resource = GroupResource::new(group, plural);
        let range = match namespace {
            "" => KeyRange::resource(&resource),
            namespace => KeyRange::namespace(&resource, namespace),
        };
        self.state.range(&range).cloned().collect()
    }

    /// Why `user` may not do something with a resource; `None` if they may.
    pub fn ask_resource(&self, user: &User, verb: &str, target: &Target) -> Option<String> {
        self.authz.check(&Ask::resource(user, verb, target.into())).err().map(|status| status.message)
    }

    pub fn ask_path(&self, user: &User, verb: &str, path: &str) -> Option<String> {
        self.authz.check(&Ask::path(user, verb, path)).err().map(|status| status.message)
    }

    /// The 403 answer about the object that is written.
    pub fn forbidden(&self, object: &Tree, why: impl std::fmt::Display) -> Status {
        use crate::object::tree::TreePath;
        let name = match (self.name, object.text("metadata.name")) {
            ("", "") => object.text("metadata.generateName"),
            ("", name) => name,
            (name, _) => name,
        };
        Status::forbidden(&self.resource.name, name, why)
    }
}

/// One thing the cluster has to say.
#[allow(unused_variables)]
trait Plugin: Sync {
    /// Changes the object, or refuses it early.
    fn admit(&self, on: &Attributes<'_>, object: &mut Tree, warnings: &mut Vec<String>) -> Result<(), Status> {
        Ok(())
    }

    /// Refuses a complete object, or (`object` is none) a deletion.
    fn validate(&self, on: &Attributes<'_>, object: Option<&Tree>, warnings: &mut Vec<String>) -> Result<(), Status> {
        Ok(())
    }
}

/// The writes that a plugin has something to say about; of all resources if it names none.
#[derive(Clone, Copy)]
struct Asked {
    on: &'static [Operation],
    of: &'static [&'static str],
}

const NEVER: Asked = on(&[], &[]);

const fn on(on: &'static [Operation], of: &'static [&'static str]) -> Asked {
    Asked { on, of }
}

impl Asked {
    fn is(&self, on: &Attributes<'_>) -> bool {
        self.on.contains(&on.operation) && (self.of.is_empty() || self.of.contains(&on.resource.name.as_str()))
    }
}

/// A plugin, what metrics call it, and when it is asked in each of the steps: by all others it is passed by.
struct Row {
    /// Empty for what upstream does elsewhere, which is not measured.
    name: &'static str,
    plugin: &'static dyn Plugin,
    admits: Asked,
    validates: Asked,
}

const fn row(name: &'static str, plugin: &'static dyn Plugin, admits: Asked, validates: Asked) -> Row {
    Row { name, plugin, admits, validates }
}

/// Every plugin, in the order they are asked.
static PLUGINS: &[Row] = {
    use Operation::{Create, Delete, Update};
    const ALL: &[&str] = &[];
    const PODS: &[&str] = &["pods"];
    const CLAIMS: &[&str] = &["persistentvolumeclaims"];
    const REQUESTS: &[&str] = &["certificatesigningrequests.certificates.k8s.io"];
    &[
        row(
            "NamespaceLifecycle",
            &namespace::NamespaceLifecycle,
            on(&[Create, Update], ALL),
            on(&[Delete], &["namespaces"]),
        ),
        row(
            "LimitRanger",
            &limit_ranger::LimitRanger,
            on(&[Create], PODS),
            on(&[Create, Update], &["pods", "persistentvolumeclaims"]),
        ),
        row("ServiceAccount", &service_account::ServiceAccount, on(&[Create], PODS), NEVER),
        row("NodeRestriction", &node_restriction::NodeRestriction, on(&[Create, Update], ALL), on(&[Delete], ALL)),
        row("TaintNodesByCondition", &taint_nodes::TaintNodesByCondition, on(&[Create], &["nodes"]), NEVER),
        row("PodSecurity", &pod_security::PodSecurity, NEVER, on(&[Create, Update], pod_security::JUDGED)),
        row(
            "Priority",
            &priority::Priority,
            on(&[Create, Update], PODS),
            on(&[Create, Update], &["priorityclasses.scheduling.k8s.io"]),
        ),
        row(
            "DefaultTolerationSeconds",
            &default_tolerations::DefaultTolerationSeconds,
            on(&[Create, Update], PODS),
            NEVER,
        ),
        row("DefaultStorageClass", &default_class::DefaultStorageClass, on(&[Create], CLAIMS), NEVER),
        row(
            "StorageObjectInUseProtection",
            &storage_protection::StorageObjectInUseProtection,
            on(&[Create], &["persistentvolumes", "persistentvolumeclaims", "volumeattributesclasses.storage.k8s.io"]),
            NEVER,
        ),
        row("PersistentVolumeClaimResize", &claim_resize::PersistentVolumeClaimResize, NEVER, on(&[Update], CLAIMS)),
        row("RuntimeClass", &runtime_class::RuntimeClass, on(&[Create], PODS), on(&[Create], PODS)),
        row("CertificateApproval", &certificates::CertificateApproval, NEVER, on(&[Update], REQUESTS)),
        row("CertificateSigning", &certificates::CertificateSigning, NEVER, on(&[Update], REQUESTS)),
        row(
            "CertificateSubjectRestriction",
            &certificates::CertificateSubjectRestriction,
            NEVER,
            on(&[Create], REQUESTS),
        ),
        row(
            "DefaultIngressClass",
            &default_class::DefaultIngressClass,
            on(&[Create], &["ingresses.networking.k8s.io"]),
            NEVER,
        ),
        row("", &signing_requests::SigningRequests, on(&[Create, Update], REQUESTS), NEVER),
        row("PodTopologyLabels", &topology_labels::PodTopologyLabels, on(&[Create], PODS), NEVER),
        row("PodResizeValidator", &pod_resize::PodResizeValidator, NEVER, on(&[Update], PODS)),
        row(
            "",
            &rbac::NoEscalation,
            NEVER,
            on(
                &[Create, Update],
                &[
                    "roles.rbac.authorization.k8s.io",
                    "rolebindings.rbac.authorization.k8s.io",
                    "clusterroles.rbac.authorization.k8s.io",
                    "clusterrolebindings.rbac.authorization.k8s.io",
                ],
            ),
        ),
    ]
};

/// Runs the table, and counts how long it takes.
pub struct Admission {
    timing: Timing,
}

impl Admission {
    pub fn new(metrics: Arc<Metrics>, clock: ClockRef) -> Self {
        Self { timing: Timing::new(metrics, clock, PLUGINS.len()) }
    }

    pub fn admit(&self, on: &Attributes<'_>, object: &mut Tree, warnings: &mut Vec<String>) -> Result<(), Status> {
        let is_asked = |row: &Row| row.admits.is(on);
        self.step(Step::Admit, on.operation, is_asked, |plugin| plugin.admit(on, object, warnings))
    }

    pub fn validate(
        &self,
        on: &Attributes<'_>,
        object: Option<&Tree>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Status> {
        let is_asked = |row: &Row| row.validates.is(on);
        self.step(Step::Validate, on.operation, is_asked, |plugin| plugin.validate(on, object, warnings))
    }

    /// Asks one after the other; the end of one is the beginning of the next, so that each costs one look
    /// at the clock.
    fn step(
        &self,
        step: Step,
        operation: Operation,
        is_asked: impl Fn(&Row) -> bool,
        mut ask: impl FnMut(&dyn Plugin) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let begin = self.timing.now();
        let mut since = begin;
        let mut outcome = Ok(());
        for (at, row) in PLUGINS.iter().enumerate().filter(|(_, row)| is_asked(row)) {
            outcome = ask(row.plugin);
            let now = self.timing.now();
            if !row.name.is_empty() {
                self.timing.plugin((at, row.name), step, operation, outcome.is_err(), now.saturating_sub(since));
            }
            since = now;
            if outcome.is_err() {
                break;
            }
        }
        self.timing.step(step, operation, outcome.is_err(), since.saturating_sub(begin));
        outcome
    }
}

#[cfg(test)]
mod tests;
