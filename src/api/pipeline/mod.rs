//! From a call to what is stored: the same way for every client, in this process or far away.
//!
//! authorise → decode → default → track fields → admit → fill in metadata → the kind's own
//! preparation → validate → validate admission → propose. Reads come from one state of the store.

pub mod act;
mod create;
mod cursor;
pub(crate) mod decode;
pub mod delete;
mod fields;
pub mod metadata;
pub mod patch;
mod read;
pub(super) mod select;
pub mod update;
pub mod watch;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;

use crate::base::clock::ClockRef;
use crate::base::rand::{self, RandRef};
use crate::base::service::Scope;
use crate::object::schema::decode_untyped;
use crate::object::{Answer, Call, ObjectRef, Reason, Status, Timestamp, Tree, TreePath, Verb};
use crate::resources::{Registry, Resource};
use crate::security::current::Current;
use crate::security::tokens::TokenKey;
use crate::store::{Command, CommandError, Outcome, Payload, ProposeError, State, Store};

use super::admission::Admission;
use super::admission::policy::Programs;
use super::admission::webhook::Caller;
use super::aggregate::Aggregator;
use super::alloc::Allocator;
use super::audit::{self, Audit};
use super::authn::Authn;
use super::authz::{Ask, Authz, Decision, ResourceRef, StoredPolicies};
use super::crd::CustomView;
use super::elsewhere::{Elsewhere, NOT_LEADER};
use super::extension::Extension;
use super::flow::Flow;
use super::health::Health;
use super::metrics::Metrics;
use super::openapi::Shelf;
use super::settings::Settings;
use super::started::Started;
use super::subresources::connect::Dialer;
use super::{encode, subresources};

use act::{Act, no_such_method};
pub use watch::Events;

/// The API server, without its sockets.
pub struct Api {
    pub settings: Settings,
    pub registry: Arc<Registry>,
    /// Who serves the groups that we do not.
    pub aggregator: Aggregator,
    pub store: Store,
    pub authn: Authn,
    pub authz: Arc<Authz>,
    pub token_key: Arc<TokenKey>,
    pub dialer: Arc<dyn Dialer>,
    /// Owns the tasks that outlive a request.
    pub scope: Scope,
    pub admission: Admission,
    /// Reaches webhooks.
    pub caller: Caller,
    /// Expressions of admission policies and match conditions.
    pub programs: Programs,
    pub allocator: Allocator,
    pub health: Health,
    pub started: Started,
    pub metrics: Arc<Metrics>,
    pub flow: Flow,
    /// What is written down of requests, set once at start if anything is.
    pub audit: OnceLock<Arc<Audit>>,
    /// What fields mean, while somebody asks.
    pub descriptions: Shelf,
    /// Held by the one write that is charged to quotas.
    pub(super) quota_turn: tokio::sync::Mutex<()>,
    /// Paths that are not Kubernetes', set once at start.
    pub extension: OnceLock<Arc<dyn Extension>>,
    /// Where writes go while this server does not lead.
    pub elsewhere: OnceLock<Arc<dyn Elsewhere>>,
    /// There is no state yet that could be asked.
    pub is_closed: AtomicBool,
    pub(super) clock: ClockRef,
    pub(super) rand: RandRef,
}

/// What an API server is made of.
pub struct Setup {
    pub settings: Settings,
    pub registry: Arc<Registry>,
    pub store: Store,
    pub authn: Authn,
    pub token_key: Arc<TokenKey>,
    pub dialer: Arc<dyn Dialer>,
    /// What other API servers know us by.
    pub proxy_identity: Option<Arc<Current>>,
    pub scope: Scope,
    pub clock: ClockRef,
    pub rand: RandRef,
}

impl Api {
    pub fn new(setup: Setup) -> Arc<Self> {
        let Setup { settings, registry, store, authn, token_key, dialer, proxy_identity, scope, clock, rand } = setup;
        let health = Health::default();
        let stores = store.health();
        health.add("etcd", false, Box::new(move || store_is_well(&stores.borrow())));
        let metrics = Arc::new(Metrics::new(Timestamp::from_nanos(clock.wall_nanos()).as_secs()));
        let seats = settings.limits.reads_max.saturating_add(settings.limits.writes_max);
        Arc::new(Self {
            authn,
            token_key,
            programs: Programs::default(),
            caller: Caller::new(store.clone(), dialer.clone(), scope.clone(), rand.clone()),
            aggregator: Aggregator::new(proxy_identity, dialer.clone(), scope.clone()),
            dialer,
            scope,
            authz: Arc::new(Authz::new(Arc::new(StoredPolicies::new(store.clone())), &metrics)),
            admission: Admission::new(metrics.clone(), clock.clone()),
            allocator: Allocator::new(&settings, store.clone()),
            health,
            started: Started::default(),
            flow: Flow::new(seats, &metrics, store.clone(), clock.clone()),
            audit: OnceLock::new(),
            descriptions: Shelf::default(),
            quota_turn: tokio::sync::Mutex::default(),
            extension: OnceLock::new(),
            elsewhere: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            metrics,
            settings,
            registry,
            store,
            clock,
            rand,
        })
    }

    /// Answers a call of anybody: checks the right to make it, then makes it.
    pub async fn handle(&self, call: Call) -> Result<Answer, Status> {
        let Some(record) = self.record(&call) else {
            self.authorize(&call)?;
            return self.run_decided(call).await;
        };
        let work = async {
            self.authorize(&call)?;
            self.run_decided(call).await
        };
        let outcome = audit::within(Some(record.clone()), work).await;
        audit::finished(&record, &outcome);
        outcome
    }

    /// The record of a call from within this process, if there is an audit log.
    pub(super) fn record(&self, call: &Call) -> Option<Arc<audit::Record>> {
        let audit = self.audit.get()?;
        let record = audit.called(rand::uuid(&*self.rand), call);
        let ask = Ask::resource(&call.user, call.verb.as_str(), ResourceRef::from(&call.target));
        audit.begin(&record, &ask, &call.target.version, call.verb == Verb::Watch);
        record.received();
        Some(record)
    }

    /// As [`Api::run`], for handlers that make calls of their own.
    pub(crate) fn run_boxed(&self, call: Call) -> BoxFuture<'_, Result<Answer, Status>> {
        Box::pin(self.run(call))
    }

    pub fn authorize(&self, call: &Call) -> Result<(), Status> {
        let verb = call.verb.as_str();
        let options = &call.options;
        let at = ResourceRef::from(&call.target).selecting(verb, &options.field_selector, &options.label_selector);
        let ask = Ask::resource(&call.user, verb, at);
        permit(&ask, self.authz.decide(&ask))
    }

    /// Answers a call that is authorised already.
    pub(crate) async fn run(&self, call: Call) -> Result<Answer, Status> {
        let act = Act::find(&self.registry, call)?;
        if act.resource.is_custom {
            let view = CustomView::of(&act);
            let answer = self.perform(act).await?;
            return Box::pin(view.answer(self, answer)).await;
        }
        self.perform(act).await
    }

    /// Whatever takes more room than a read is in a box, so that a read is not moved about with it.
    async fn perform(&self, act: Act) -> Result<Answer, Status> {
        if !act.call.target.subresource.is_empty() {
            return Box::pin(subresources::run(self, act)).await;
        }
        if !act.resource.verbs.allows(act.call.verb.as_str()) {
            return Err(no_such_method());
        }
        if !act.resource.verbs.is_stored() {
            return Box::pin(subresources::run_unstored(self, act)).await;
        }
        if matches!(act.call.verb, Verb::Get | Verb::List) && act.call.options.continue_token.is_empty() {
            self.fresh(&act.call.options.resource_version).await?;
        }
        match act.call.verb {
            Verb::Get => self.get(act),
            Verb::List => self.list(act),
            Verb::Create => Box::pin(self.create(act)).await,
            Verb::Update => Box::pin(self.update(act, update::Part::Main)).await,
            Verb::Patch => Box::pin(self.patch(act, update::Part::Main)).await,
            Verb::Delete => Box::pin(self.delete(act)).await,
            Verb::DeleteCollection => Box::pin(self.delete_collection(act)).await,
            Verb::Watch => Err(no_such_method()),
        }
    }

    pub fn state(&self) -> Arc<State> {
        self.store.state()
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.wall_nanos())
    }

    async fn encode(&self, resource: &Resource, tree: &Tree) -> Result<Payload, Status> {
        if resource.is_custom && tree.text("apiVersion") != resource.storage {
            let stored = self.convert(resource, vec![tree.clone()], &resource.storage).await?;
            let stored = stored.first().ok_or_else(|| Status::internal("the conversion gave nothing back"))?;
            return encode::payload(stored, resource);
        }
        encode::payload(tree, resource)
    }

    /// What a tree that is not stored, because the write is a dry run, would be if it were.
    async fn as_stored(&self, resource: &Resource, mut tree: Tree) -> Result<Tree, Status> {
        if resource.is_custom {
            return Ok(tree);
        }
        let payload = self.encode(resource, &tree).await?;
        let mut stored = decode_untyped(&payload.bytes).map_err(|error| Status::internal(error.to_string()))?.tree;
        match tree.unset("metadata.resourceVersion") {
            Some(version) => drop(stored.set("metadata.resourceVersion", version)),
            None => drop(stored.unset("metadata.resourceVersion")),
        }
        Ok(stored)
    }

    /// Proposes a command and tells what became of it, or why nobody knows.
    pub(super) async fn propose(&self, command: Command) -> Result<Outcome, Status> {
        self.store.propose(command).await.map_err(refused)
    }
}

/// Lets pass what is allowed, and notes why.
pub(super) fn permit(ask: &Ask<'_>, decision: Decision) -> Result<(), Status> {
    audit::decided(&decision);
    match decision {
        Decision::Allowed(_) => Ok(()),
        Decision::Refused(refusal) => Err(refusal.status(ask)),
    }
}

/// The object that a write of one object made.
fn stored(objects: Vec<ObjectRef>) -> Result<ObjectRef, Status> {
    objects.into_iter().next().ok_or_else(|| Status::internal("the write has no object"))
}

/// The health check that upstream calls by its store's name.
fn store_is_well(health: &crate::store::Health) -> Result<(), String> {
    match health {
        crate::store::Health::Good => Ok(()),
        crate::store::Health::DiskFull => Err("the disk is full".into()),
        crate::store::Health::LogFailed { reason } | crate::store::Health::Unreachable { reason } => {
            Err(reason.to_string())
        }
    }
}

fn deposed() -> Status {
    Status::new(Reason::ServiceUnavailable, "this server does not lead the cluster any more; try again")
}

/// A proposal without outcome, as clients are told.
pub(super) fn refused(error: ProposeError) -> Status {
    match error {
        ProposeError::Invalid(CommandError::ObjectTooLarge { len, .. }) => Status::new(
            Reason::RequestEntityTooLarge,
            format!(
                "Request is too large: the object is {len} bytes long, more than {} bytes",
                crate::store::command::OBJECT_BYTES_MAX
            ),
        ),
        ProposeError::Invalid(error) => Status::bad_request(error.to_string()),
        ProposeError::DiskFull => Status::new(
            Reason::Other(507),
            "the disk of the store is full; reads go on, writes are refused until there is space",
        ),
        ProposeError::NotLeader { .. } => Status::new(Reason::ServiceUnavailable, NOT_LEADER),
        error @ (ProposeError::LogFailed { .. } | ProposeError::Unreachable { .. } | ProposeError::Closed) => {
            Status::new(Reason::ServiceUnavailable, error.to_string())
        }
        ProposeError::Unknown => {
            Status::new(Reason::Timeout, "the write may or may not have happened: the store did not answer in time")
        }
    }
}
