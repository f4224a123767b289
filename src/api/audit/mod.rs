//! The audit log: who did what, as far as the policy wants it written down.
//!
//! What happens to a request on its way is noted with the functions here, wherever it happens; they
//! do nothing when there is no audit log. Requests wait for what is written only where a writer is told to block, and
//! are refused for it only where it is strict about that.

mod event;
pub mod file;
pub mod options;
pub mod policy;
mod record;
pub mod sink;
mod throttle;
pub mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::authz::{Ask, Decision, Refusal};
use crate::base::clock::ClockRef;
use crate::object::tree::{Tree, json};
use crate::object::{Answer, Call, Reply, Status, Target, User};

use event::Facts;
use policy::{Level, Policy};
pub use record::Record;
use sink::Sink;

const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";
const LOOPBACK: &str = "127.0.0.1";
/// Of an answer that is recorded; larger ones are left out, for a list of everything would be built as
/// one text that no queue takes.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

tokio::task_local! {
    /// The record of the request that this task works on.
    static CURRENT: Option<Arc<Record>>;
}

/// What is recorded, and where it goes.
pub struct Audit {
    policy: Policy,
    sink: Arc<Sink>,
    clock: ClockRef,
}

impl Audit {
    pub fn new(policy: Policy, sink: Sink, clock: ClockRef) -> Arc<Self> {
        Arc::new(Self { policy, sink: Arc::new(sink), clock })
    }

    /// The record of a request that has just arrived.
    pub fn arrived(&self, id: &str, uri: &http::Uri, headers: &HeaderMap, peer: SocketAddr) -> Arc<Record> {
        let agent = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let facts = Facts {
            id: id.to_owned(),
            uri: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            user_agent: event::user_agent(agent),
            source_ips: sources(headers, peer),
            ..Facts::default()
        };
        Record::new(self.sink.clone(), self.clock.clone(), facts)
    }

    /// The record of a call from within this process.
    pub fn called(&self, id: String, call: &Call) -> Arc<Record> {
        let facts = Facts {
            id,
            uri: path_of(&call.target),
            user_agent: event::user_agent(&call.user_agent),
            source_ips: vec![LOOPBACK.to_owned()],
            ..Facts::default()
        };
        Record::new(self.sink.clone(), self.clock.clone(), facts)
    }

    /// It is known who asks for what.
    pub fn begin(&self, record: &Record, ask: &Ask<'_>, version: &str, lasts: bool) {
        record.begin(self.policy.decide(ask), ask, version, lasts);
    }
}

/// Does `work`, whose notes go into `record`.
pub async fn within<T>(record: Option<Arc<Record>>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(record, work).await
}

/// As [`within`], for what does not wait.
pub fn sync_within<T>(record: Option<Arc<Record>>, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(record, work)
}

/// The record of what is worked on; held by what outlives the request's handler.
pub fn current() -> Option<Arc<Record>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Whether somebody reads it, at `level` or more.
fn with(level: Level, tell: impl FnOnce(&Record)) {
    let _ = CURRENT.try_with(|record| {
        if let Some(record) = record.as_deref().filter(|record| record.level() >= Some(level)) {
            tell(record);
        }
    });
}

/// Adds an annotation, if anything is recorded.
pub fn annotate(key: impl AsRef<str>, value: impl FnOnce() -> String) {
    annotate_at(Level::Metadata, key, value);
}

/// Adds an annotation that is wanted only together with the request's object.
pub fn annotate_with_request(key: impl AsRef<str>, value: impl FnOnce() -> String) {
    annotate_at(Level::Request, key, value);
}

fn annotate_at(level: Level, key: impl AsRef<str>, value: impl FnOnce() -> String) {
    let _ = CURRENT.try_with(|record| {
        let Some(record) = record.as_deref() else { return };
        if record.level().is_none_or(|wanted| wanted >= level) {
            record.annotate(key.as_ref(), value());
        }
    });
}

/// Notes whether the request is allowed, and why.
pub fn decided(decision: &Decision) {
    if let Decision::Refused(Refusal { error: Some(_), .. }) = decision {
        return annotate(REASON, || "internal error".to_owned());
    }
    annotate(DECISION, || if decision.is_allowed() { "allow" } else { "forbid" }.to_owned());
    annotate(REASON, || match decision {
        Decision::Allowed(reason) => reason.to_string(),
        Decision::Refused(refusal) => refusal.reason.clone(),
    });
}

/// Notes in whose name the caller acts, and by which constrained mode.
pub fn acts_as(user: &User, constraint: &str) {
    with(Level::Metadata, |record| record.act_as(user, constraint));
}

/// Notes the object that was sent.
pub fn request(object: &Tree) {
    with(Level::Metadata, |record| record.request(object));
}

/// Notes the patch that was sent.
pub fn patch(patch: &[u8]) {
    with(Level::Request, |record| record.patch(patch));
}

/// Notes what is answered; `shown` makes it into what the client reads, where that is wanted.
pub fn reply(reply: &Reply, shown: impl FnOnce() -> Option<Tree>) {
    with(Level::Metadata, |record| match reply {
        Reply::Success(status) => record.response(status),
        _ if record.level() < Some(Level::RequestResponse) => (),
        _ if is_large(reply) => record.annotate(sink::TRUNCATED, "true"),
        _ => {
            if let Some(shown) = shown() {
                record.response(&shown);
            }
        }
    });
}

/// Another server does the rest, and records it.
pub fn handed_over() {
    with(Level::Metadata, Record::hand_over);
}

/// Notes the outcome of a call from within.
pub fn finished(record: &Arc<Record>, outcome: &Result<Answer, Status>) {
    match outcome {
        Err(status) => {
            record.failed(status);
            record.answered(status.code());
        }
        Ok(answer) => {
            let created = match &answer.reply {
                Reply::Object { created, .. } | Reply::Tree { created, .. } => *created,
                Reply::List(_) | Reply::Success(_) => false,
            };
            sync_within(Some(record.clone()), || reply(&answer.reply, || Some(whole(&answer.reply))));
            record.answered(if created { 201 } else { 200 });
        }
    }
}

fn is_large(reply: &Reply) -> bool {
    match reply {
        Reply::List(list) => list.items.iter().map(|object| object.bytes().len()).sum::<usize>() > ANSWER_BYTES_MAX,
        Reply::Object { .. } | Reply::Tree { .. } | Reply::Success(_) => false,
    }
}

fn whole(reply: &Reply) -> Tree {
    match reply {
        Reply::Object { object, .. } => object.tree(),
        Reply::Tree { tree, .. } | Reply::Success(tree) => tree.clone(),
        Reply::List(list) => {
            let items: Vec<Tree> = list.items.iter().map(|object| object.tree()).collect();
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": list.revision.to_string()}, "items": items})
        }
    }
}

/// Whom the request comes from: all but the last could be made up by the client.
fn sources(headers: &HeaderMap, peer: SocketAddr) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let ip = |text: &str| text.trim().parse::<std::net::IpAddr>().ok().map(|ip| ip.to_string());
    let mut found: Vec<String> = text("x-forwarded-for").split(',').filter_map(ip).collect();
    if let Some(real) = ip(text("x-real-ip")).filter(|real| !found.contains(real)) {
        found.push(real);
    }
    let last = peer.ip().to_canonical().to_string();
    if found.last() != Some(&last) {
        found.push(last);
    }
    found
}

fn path_of(target: &Target) -> String {
    let mut path = match target.group.as_str() {
        "" => format!("/api/{}", target.version),
        group => format!("/apis/{group}/{}", target.version),
    };
    if !target.namespace.is_empty() {
        path.push_str(&format!("/namespaces/{}", target.namespace));
    }
    let is_namespace_itself = target.resource == "namespaces" && target.namespace == target.name;
    let steps = if is_namespace_itself && !target.namespace.is_empty() {
        [target.subresource.as_str(), "", ""]
    } else {
        [target.resource.as_str(), target.name.as_str(), target.subresource.as_str()]
    };
    for step in steps.into_iter().filter(|step| !step.is_empty()) {
        path.push('/');
        path.push_str(step);
    }
    path
}

#[cfg(test)]
mod tests;
