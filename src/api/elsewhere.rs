//! Requests at a server that does not lead: writes go to the one that does, reads wait until this
//! one's state is new enough. A leader that was held still leads no more and does not know: what it
//! refuses is confirmed like a read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode, Uri};
use http_body_util::Full;

use crate::object::codec::json::to_json;
use crate::object::{
    self, Body, Call, Encoding, Key, ObjectRef, Reason, Reply, Revision, Status, TreePath, User, Verb,
};
use crate::resources::Resource;

use super::answer::Answer;
use super::audit;
use super::body;
use super::exchange::Exchange;
use super::pipeline::{Api, refused};

/// What a server says that was taken for the leader.
pub const NOT_LEADER: &str = "this server does not lead the cluster";
/// Marks a request that was handed over: it goes no further.
pub const HANDED_OVER: &str = "x-skiff-handed-over";
/// How long a write waits for somebody to lead.
pub const LEADERLESS_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a read waits for a revision that a client has seen elsewhere.
const BEHIND_MAX: Duration = Duration::from_secs(3);

/// A write as it came over the wire.
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why the leader did not answer.
pub enum NoAnswer {
    /// It never got the request, or does not lead: nothing has happened.
    Untouched(Status),
    /// Nobody knows what has happened.
    Lost(Status),
}

/// The way to the server that leads.
pub trait Elsewhere: Send + Sync + 'static {
    /// Hands the request of `user` over; gives the leader's answer as it is.
    fn ask<'a>(
        &'a self,
        user: &'a User,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<(StatusCode, HeaderMap, Bytes), NoAnswer>>;
}

/// Whether the write never got into the log, because this server does not lead.
pub fn is_not_leader(status: &Status) -> bool {
    status.is(Reason::ServiceUnavailable) && status.message == NOT_LEADER
}

impl Api {
    /// Makes a write here if this server leads, and where one does otherwise. When leaders change it
    /// is tried again, as long as it is certain that nothing has happened.
    pub(super) async fn write_somewhere(
        self: &Arc<Self>,
        exchange: &Exchange,
        resource: Arc<Resource>,
        verb: Verb,
        body: Bytes,
    ) -> Result<Answer, Status> {
        let elsewhere = self.elsewhere.get().filter(|_| !exchange.headers.contains_key(HANDED_OVER));
        let request = Request {
            method: exchange.method.clone(),
            uri: exchange.uri.clone(),
            headers: kept(exchange),
            body: body.clone(),
        };
        let deadline = tokio::time::Instant::now() + LEADERLESS_MAX;
        loop {
            let Some(elsewhere) = elsewhere.filter(|_| !self.store.decides()) else {
                let answer = self.handle_resource(exchange, resource.clone(), verb, Full::new(body.clone())).await;
                let late = tokio::time::Instant::now() > deadline;
                match answer {
                    Err(status) if elsewhere.is_some() && !late && is_not_leader(&status) => (),
                    answer => return answer,
                }
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            };
            match elsewhere.ask(&exchange.user, &request).await {
                Ok((code, headers, bytes)) => {
                    audit::handed_over();
                    return Ok(answer(code, &headers, bytes));
                }
                Err(NoAnswer::Lost(status)) => return Err(status),
                Err(NoAnswer::Untouched(status)) if tokio::time::Instant::now() > deadline => return Err(status),
                Err(NoAnswer::Untouched(_)) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Waits until this server's state is as new as a read of `version` needs: without one, as new as
    /// everything acknowledged anywhere.
    pub async fn fresh(&self, version: &str) -> Result<(), Status> {
        if self.store.is_alone() {
            return Ok(());
        }
        match version.parse::<u64>() {
            Ok(wanted) if wanted > self.state().revision().0 => {
                // What is still ahead after that is judged by whoever reads.
                let reached = self.store.reached(Revision(wanted));
                let _ = tokio::time::timeout(BEHIND_MAX, reached).await;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => self.store.read_barrier().await.map_err(refused),
        }
    }

    /// Runs a call, and again if what it was answered came from this server's state alone, and that turns out
    /// to be old. What the store has committed costs nothing more.
    pub(super) async fn run_decided(&self, mut call: Call) -> Result<object::Answer, Status> {
        if call.verb.is_read() || self.store.is_alone() {
            return self.run(call).await;
        }
        // An object from inside is read from its text anyway, and text is kept for a second time without a copy.
        if let Body::Tree(tree) = &call.body
            && call.verb != Verb::Delete
        {
            call.body = Body::Bytes(Encoding::Json, to_json(tree, None).into());
        }
        let before = self.state().revision();
        let outcome = self.run(call.clone()).await;
        if is_committed(&outcome, before, call.options.dry_run) {
            return outcome;
        }
        self.store.read_barrier().await.map_err(refused)?;
        if self.state().revision() == before { outcome } else { self.run(call).await }
    }

    /// Whether an object still is as it was read: this server may be behind, and not know it.
    pub(super) async fn is_still(&self, key: &Key, seen: &ObjectRef) -> Result<bool, Status> {
        self.store.read_barrier().await.map_err(refused)?;
        Ok(self.state().get(key).is_some_and(|now| now.revision() == seen.revision()))
    }
}

/// Whether the store has said so, or cannot tell. All else was read from the state of `before`, and changed nothing.
fn is_committed(outcome: &Result<object::Answer, Status>, before: Revision, is_dry_run: bool) -> bool {
    match outcome {
        Err(status) => status.code() >= 500,
        Ok(_) if is_dry_run => false,
        Ok(object::Answer { reply: Reply::Object { object, .. }, .. }) => object.revision() > before,
        Ok(object::Answer { reply: Reply::Tree { tree, .. }, .. }) => {
            let revision = tree.text("metadata.resourceVersion").parse();
            revision.map_or(true, |revision: u64| revision > before.0)
        }
        // Deletions confirm for themselves what they do not change.
        Ok(_) => true,
    }
}

/// The headers that say how the request is to be understood, but not by whom it was made.
fn kept(exchange: &Exchange) -> HeaderMap {
    let names = [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT];
    let mut kept: HeaderMap =
        names.into_iter().filter_map(|name| Some((name.clone(), exchange.headers.get(name)?.clone()))).collect();
    // The audit log of the leader is to have it as one request, from where it came.
    if let Some((id, sources)) = audit::current().map(|record| record.origin()) {
        let values = [("audit-id", id), ("x-forwarded-for", sources.join(","))];
        kept.extend(values.into_iter().filter_map(|(name, value)| {
            Some((http::HeaderName::from_static(name), http::HeaderValue::from_str(&value).ok()?))
        }));
    }
    kept
}

fn answer(code: StatusCode, headers: &HeaderMap, bytes: Bytes) -> Answer {
    let mut answer = Answer::new(body::full(bytes));
    *answer.status_mut() = code;
    for name in [header::CONTENT_TYPE, header::WARNING, header::RETRY_AFTER] {
        for value in headers.get_all(&name) {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use crate::object::tree::json;

    #[test]
    fn what_the_store_did_not_say_is_confirmed() {
        let before = Revision(7);
        let is_committed = |outcome, is_dry_run| is_committed(&outcome, before, is_dry_run);
        let answered = |reply| Ok(object::Answer { reply, warnings: Vec::new() });
        let at = |revision| {
            let object = Object::new(Key::of("namespaces", "", "a"), Revision(revision), Bytes::from_static(b"{}"));
            answered(Reply::Object { object, created: false })
        };
        assert!(is_committed(at(8), false));
        assert!(!is_committed(at(7), false), "nothing was to be changed, in a state that may be old");
        let shown = |version: &str| {
            let tree = json!({"metadata": {"resourceVersion": version}});
            answered(Reply::Tree { tree, created: false })
        };
        assert!(is_committed(shown("8"), false));
        assert!(!is_committed(shown("7"), false), "it was on its way out");
        assert!(is_committed(answered(Reply::Tree { tree: json!({}), created: true }), false), "no stored object");
        assert!(!is_committed(answered(Reply::Tree { tree: json!({}), created: true }), true));
        let refused = |reason| Err(Status::new(reason, "no"));
        assert!(!is_committed(refused(Reason::Conflict), false));
        assert!(!is_committed(refused(Reason::NotFound), false));
        assert!(is_committed(refused(Reason::Timeout), false), "may have happened: it is not made again");
        assert!(is_committed(refused(Reason::ServiceUnavailable), false), "it goes elsewhere");
    }
}
