//! The webhook that is asked whose a token is, when nobody here knows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::super::metrics::Metrics;
use super::Hook;
use crate::base::clock::ClockRef;
use crate::base::expiring::Expiring;
use crate::object::User;
use crate::object::tree::{Tree, TreePath, json};

const ANSWERS_MAX: usize = 4_096;
/// The versions of TokenReview that are spoken.
pub const VERSIONS: &[&str] = &["v1", "v1beta1"];

/// What the webhook says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somebody's, for these of the audiences that were asked for.
    User(Arc<User>, Vec<String>),
    /// Nobody's; with what the webhook has to say about it.
    Nobody(String),
}

pub struct TokenWebhook {
    hook: Hook,
    /// One of [`VERSIONS`].
    version: String,
    ttl: Duration,
    answers: Mutex<Expiring<[u8; 32], Answer>>,
    metrics: Arc<Metrics>,
    clock: ClockRef,
}

impl TokenWebhook {
    /// `ttl` is how long answers are believed; nothing is not at all.
    pub fn new(hook: Hook, version: &str, ttl: Duration, metrics: Arc<Metrics>, clock: ClockRef) -> Self {
        Self { hook, version: version.to_owned(), ttl, answers: Mutex::new(Expiring::new(ANSWERS_MAX)), metrics, clock }
    }

    /// Whose `token` is, for one of the audiences `wanted`; `own` are those of a token that names none. The
    /// error is why the webhook did not say.
    pub async fn ask(&self, token: &str, wanted: &[String], own: &[String]) -> Result<Answer, String> {
        let key = key_of(token, wanted);
        let since = self.clock.elapsed();
        let known = self.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&key, since);
        let (outcome, how) = match known {
            Some(answer) => (Ok(answer), "hit"),
            None => (self.fetch(token, wanted, own, key).await, "miss"),
        };
        self.metrics.token_cache_requests.with(&[how]).add(1);
        let took = self.clock.elapsed().saturating_sub(since);
        self.metrics.token_cache_seconds.with(&[how]).observe(took);
        outcome
    }

    async fn fetch(&self, token: &str, wanted: &[String], own: &[String], key: [u8; 32]) -> Result<Answer, String> {
        let review = json!({
            "kind": "TokenReview", "apiVersion": format!("authentication.k8s.io/{}", self.version), "metadata": {},
            "spec": {"token": token, "audiences": wanted}, "status": {"user": {}},
        });
        let _held = self.metrics.token_fetches.with(&["in_flight"]).hold();
        let answer = match self.hook.ask(&review, |_, _| ()).await {
            Ok(answer) => read(&answer, wanted, own),
            Err(failed) => Err(failed.why),
        };
        // A token that is refused with an error may be good a moment later.
        let settled = answer.as_ref().ok().filter(|answer| !matches!(answer, Answer::Nobody(why) if !why.is_empty()));
        self.metrics.token_fetch_results.with(&[if settled.is_some() { "ok" } else { "error" }]).add(1);
        if let Some(answer) = settled {
            let now = self.clock.elapsed();
            let mut answers = self.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            answers.put(key, answer.clone(), now + self.ttl, now);
        }
        answer
    }
}

/// Tokens are secrets: none is kept.
fn key_of(token: &str, wanted: &[String]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [token].into_iter().chain(wanted.iter().map(String::as_str)) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Reads a review that was answered.
fn read(review: &Tree, wanted: &[String], own: &[String]) -> Result<Answer, String> {
    let kind = review.text("kind");
    if !review.is_object() || !matches!(kind, "" | "TokenReview") {
        return Err(format!("the answer is no TokenReview but {kind:?}"));
    }
    let texts = |tree: &Tree, path: &str| -> Vec<String> {
        tree.items(path).iter().filter_map(Tree::as_str).map(str::to_owned).collect()
    };
    let got = texts(review, "status.audiences");
    let got = if got.is_empty() { own } else { &got };
    let good: Vec<String> = wanted.iter().filter(|one| got.contains(one)).cloned().collect();
    if !review.flag("status.authenticated").unwrap_or(false) {
        return Ok(Answer::Nobody(review.text("status.error").to_owned()));
    }
    if good.is_empty() && !wanted.is_empty() {
        return Ok(Answer::Nobody(String::new()));
    }
    let mut extra = BTreeMap::new();
    for (key, values) in review.map("status.user.extra").into_iter().flatten() {
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        extra.insert(key.to_string(), values.iter().filter_map(Tree::as_str).map(str::to_owned).collect());
    }
    let user = User {
        name: review.text("status.user.username").to_owned(),
        uid: review.text("status.user.uid").to_owned(),
        groups: texts(review, "status.user.groups"),
        extra,
    };
    Ok(Answer::User(Arc::new(user), good))
}
