//! What is recorded of one request, from its arrival to its last byte.
//!
//! A record ends when its last holder lets go of it: for most requests that is when the answer is
//! made, for watches and streams when they are over. Then it says ResponseComplete.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::value::RawValue;

use super::event::{self, Facts, ObjectReference, ResponseStatus, UserInfo};
use super::policy::{Level, Stage, Wanted};
use super::sink::{Pending, Sink};
use crate::api::authz::{Ask, What};
use crate::base::clock::ClockRef;
use crate::object::tree::{Tree, TreePath};
use crate::object::{Status, Timestamp, User};

pub struct Record {
    sink: Arc<Sink>,
    clock: ClockRef,
    /// Known once it is known who asks.
    wanted: OnceLock<Wanted>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    facts: Facts,
    /// Watches and streams, which say when they start.
    lasts: bool,
    /// Nothing more is to be said.
    is_over: bool,
    /// What the request has to wait for before it goes on.
    pending: Vec<Pending>,
}

impl Record {
    pub fn new(sink: Arc<Sink>, clock: ClockRef, facts: Facts) -> Arc<Self> {
        let facts = Facts { received: Some(Timestamp::from_nanos(clock.wall_nanos())), ..facts };
        Arc::new(Self { sink, clock, wanted: OnceLock::new(), inner: Inner { facts, ..Inner::default() }.into() })
    }

    /// It is known who asks for what, and so how much is to be recorded.
    pub fn begin(&self, wanted: Wanted, ask: &Ask<'_>, version: &str, lasts: bool) {
        let mut inner = self.lock();
        inner.lasts = lasts;
        let facts = &mut inner.facts;
        facts.verb = ask.verb.to_owned();
        facts.user = UserInfo::from(ask.user);
        if let What::Resource(at) = ask.what {
            facts.object = Some(ObjectReference {
                resource: at.resource.into(),
                namespace: at.namespace.into(),
                name: at.name.into(),
                api_group: at.group.into(),
                api_version: version.into(),
                subresource: at.subresource.into(),
                ..ObjectReference::default()
            });
        }
        self.sink.count_level(wanted.level);
        let _ = self.wanted.set(wanted);
    }

    /// How much is recorded; unknown until it is known who asks.
    pub fn level(&self) -> Option<Level> {
        self.wanted.get().map(|wanted| wanted.level)
    }

    fn is_at(&self, level: Level) -> bool {
        self.level() >= Some(level)
    }

    /// Adds an annotation; the first of a name stays.
    pub fn annotate(&self, key: &str, value: impl Into<String>) {
        // Before it is known who asks, nobody knows yet whether it will be wanted.
        if self.level() == Some(Level::None) {
            return;
        }
        let value = value.into();
        let mut inner = self.lock();
        match inner.facts.annotations.get(key) {
            Some(there) if *there != value => {
                tracing::debug!(key, id = inner.facts.id, "an audit annotation is set already");
            }
            Some(_) => (),
            None => drop(inner.facts.annotations.insert(key.to_owned(), value)),
        }
    }

    /// The request's id, and where it came from.
    pub fn origin(&self) -> (String, Vec<String>) {
        let inner = self.lock();
        (inner.facts.id.clone(), inner.facts.source_ips.clone())
    }

    pub fn act_as(&self, user: &User, constraint: &str) {
        if self.is_at(Level::Metadata) {
            let mut inner = self.lock();
            inner.facts.impersonated = Some(user.into());
            inner.facts.constraint = constraint.to_owned();
        }
    }

    /// The object that was sent: what it is called always, the whole if that is wanted.
    pub fn request(&self, object: &Tree) {
        if !self.is_at(Level::Metadata) {
            return;
        }
        let raw = self.raw(Level::Request, object);
        let mut inner = self.lock();
        if let Some(reference) = &mut inner.facts.object {
            for (field, path) in [
                (&mut reference.namespace, "metadata.namespace"),
                (&mut reference.name, "metadata.name"),
                (&mut reference.uid, "metadata.uid"),
                (&mut reference.resource_version, "metadata.resourceVersion"),
            ] {
                if field.is_empty() {
                    *field = object.text(path).to_owned();
                }
            }
        }
        inner.facts.request_object = raw;
    }

    /// The patch that was sent.
    pub fn patch(&self, patch: &[u8]) {
        if self.is_at(Level::Request) {
            let tree: Option<Tree> = serde_json::from_slice(patch).or_else(|_| serde_yaml::from_slice(patch)).ok();
            self.lock().facts.request_object = tree.and_then(|tree| self.raw(Level::Request, &tree));
        }
    }

    /// The object that is answered, as the client gets it but for its encoding.
    pub fn response(&self, object: &Tree) {
        if object.text("kind") == "Status" && self.is_at(Level::Metadata) {
            let text = |path: &str| object.text(path).to_owned();
            let is_failure = object.text("status") == "Failure";
            self.lock().facts.response = Some(ResponseStatus {
                status: if is_failure { "Failure" } else { "Success" },
                message: text("message"),
                reason: text("reason"),
                details: object.at("details").cloned(),
                code: object.int("code").and_then(|code| u16::try_from(code).ok()).unwrap_or(200),
                ..ResponseStatus::default()
            });
        }
        if let Some(raw) = self.raw(Level::RequestResponse, object) {
            self.lock().facts.response_object = Some(raw);
        }
    }

    pub fn failed(&self, status: &Status) {
        if self.is_at(Level::Metadata) {
            self.response(&status.to_json());
        }
    }

    /// The answer's head is made.
    pub fn answered(&self, code: u16) {
        let mut inner = self.lock();
        inner.facts.response.get_or_insert_default().code = code;
        if inner.lasts {
            self.say(&mut inner, Stage::ResponseStarted);
        }
    }

    /// Nothing more happens to the request.
    pub fn complete(&self) {
        let mut inner = self.lock();
        self.end(&mut inner);
        inner.is_over = true;
    }

    /// Waits until what was said is written, where that is wanted; false if the request must not go on.
    pub async fn settle(&self) -> bool {
        let pending = std::mem::take(&mut self.lock().pending);
        let mut may_go_on = true;
        for event in pending {
            may_go_on &= event.settle().await;
        }
        may_go_on
    }

    fn end(&self, inner: &mut Inner) {
        if inner.facts.response.is_none() {
            // The client went away before there was an answer.
            let message = "Connection closed early".to_owned();
            inner.facts.response =
                Some(ResponseStatus { status: "Success", message, code: 200, ..ResponseStatus::default() });
        }
        self.say(inner, Stage::ResponseComplete);
    }

    /// Who asks is not known, and that is all there is to say.
    pub fn refused(&self, status: &Status) {
        self.failed(status);
        let mut inner = self.lock();
        self.say(&mut inner, Stage::ResponseStarted);
        inner.is_over = true;
    }

    pub fn received(&self) {
        self.say(&mut self.lock(), Stage::RequestReceived);
    }

    pub fn panicked(&self, status: &Status) {
        self.failed(status);
        let mut inner = self.lock();
        self.say(&mut inner, Stage::Panic);
        inner.is_over = true;
    }

    /// Another server answers the request, and says so.
    pub fn hand_over(&self) {
        self.lock().is_over = true;
    }

    fn say(&self, inner: &mut Inner, stage: Stage) {
        let Some(wanted) = self.wanted.get() else { return };
        if wanted.level == Level::None || wanted.omit_stages.contains(&stage) || inner.is_over {
            return;
        }
        let now = Timestamp::from_nanos(self.clock.wall_nanos());
        let pending = self.sink.take(wanted.level, &inner.facts, |facts| event::write(facts, wanted.level, stage, now));
        inner.pending.extend(pending);
    }

    fn raw(&self, from: Level, object: &Tree) -> Option<Box<RawValue>> {
        let wanted = self.wanted.get().filter(|wanted| wanted.level >= from)?;
        if !wanted.omit_managed_fields {
            return serde_json::value::to_raw_value(object).ok();
        }
        let mut object = object.clone();
        object.unset("metadata.managedFields");
        for list in ["items", "rows"] {
            for item in object.get_mut(list).and_then(Tree::as_array_mut).into_iter().flatten() {
                item.unset("metadata.managedFields");
                item.unset("object.metadata.managedFields");
            }
        }
        serde_json::value::to_raw_value(&object).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let mut inner = std::mem::take(&mut *self.lock());
        self.end(&mut inner);
    }
}
