//! API groups that somebody else serves: APIService objects lead requests to the service behind them.
//!
//! [`controller`] keeps the table as the objects are, tells whether each server answers, and what it
//! serves; [`proxy`] passes requests on in the name of who asks; [`discovery`] adds what others
//! serve to our own documents. [`local`] writes the objects that stand for what we serve ourselves.

pub mod controller;
pub mod discovery;
mod local;
pub mod proxy;
pub mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::outgoing::pool::Pool;
use super::pipeline::Api;
use super::subresources::connect::Dialer;
use crate::base::service::Scope;
use crate::object::Target;
use crate::object::tree::{Tree, TreePath};
use crate::security::current::Current;

pub const SERVICES: &str = "apiservices.apiregistration.k8s.io";

/// One group version that is served elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remote {
    pub name: String,
    pub group: String,
    pub version: String,
    /// Of the group among groups, and of the version within it.
    pub priority: (i64, i64),
    pub namespace: String,
    pub service: String,
    pub port: u16,
    pub ca_bundle: String,
    pub insecure: bool,
    /// As the object's condition says.
    pub is_available: bool,
    /// What it serves, in the words of aggregated discovery.
    pub resources: Vec<Tree>,
}

impl Remote {
    /// Reads an APIService; `None` for one that stands for what we serve.
    pub fn read(object: &Tree) -> Option<Self> {
        let service = object.at("spec.service").filter(|service| service.is_object())?;
        let conditions = object.items("status.conditions");
        Some(Self {
            name: object.text("metadata.name").into(),
            group: object.text("spec.group").into(),
            version: object.text("spec.version").into(),
            priority: (
                object.int("spec.groupPriorityMinimum").unwrap_or(0),
                object.int("spec.versionPriority").unwrap_or(0),
            ),
            namespace: service.text("namespace").into(),
            service: service.text("name").into(),
            port: service.int("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            ca_bundle: object.text("spec.caBundle").into(),
            insecure: object.flag("spec.insecureSkipTLSVerify") == Some(true),
            is_available: conditions.iter().any(|one| one.text("type") == "Available" && one.text("status") == "True"),
            resources: Vec::new(),
        })
    }

    /// The group and version.
    pub fn serves(&self) -> (String, String) {
        (self.group.clone(), self.version.clone())
    }

    /// Where it says what it serves.
    pub fn root(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }
}

/// Everything that is served elsewhere, by group and version.
pub type Table = BTreeMap<(String, String), Arc<Remote>>;

/// Knows who serves what.
pub struct Aggregator {
    table: ArcSwap<Table>,
    pool: Pool,
}

impl Aggregator {
    /// `identity` proves that we may speak for others.
    pub fn new(identity: Option<Arc<Current>>, dialer: Arc<dyn Dialer>, scope: Scope) -> Self {
        Self { table: ArcSwap::default(), pool: remote::pool(identity, dialer, scope) }
    }

    pub fn load(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Who serves what a call is about, if it is not us.
    pub fn serving(&self, target: &Target) -> Option<Arc<Remote>> {
        let table = self.table.load();
        if table.is_empty() {
            return None;
        }
        table.get(&(target.group.clone(), target.version.clone())).cloned()
    }

    /// Who serves what is at `path`, if it is not us.
    pub fn route(&self, path: &str) -> Option<Arc<Remote>> {
        let table = self.table.load();
        if table.is_empty() {
            return None;
        }
        let mut steps = path.strip_prefix("/apis/")?.split('/');
        let (group, version) = (steps.next()?, steps.next()?);
        table.get(&(group.to_owned(), version.to_owned())).cloned()
    }
}

/// From now on follows the APIService objects.
pub fn start(api: &Arc<Api>, scope: &Scope) {
    let api = api.clone();
    scope.supervise("aggregation", move || controller::run(api.clone()));
}
