//! The webhook that is asked whether somebody may do something.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use super::super::authz::config::WebhookConfig;
use super::super::authz::question::{self, Verdict};
use super::super::authz::{Ask, Judge, Opinion, Reason, What};
use super::super::metrics::Metrics;
use super::Hook;
use crate::base::clock::ClockRef;
use crate::base::expiring::Expiring;

const ANSWERS_MAX: usize = 8_192;
/// Questions in which clients wrote more than this are not remembered.
const REMEMBERED_BYTES_MAX: usize = 10_000;
const TYPE: &str = "Webhook";

pub struct AccessWebhook {
    name: String,
    config: WebhookConfig,
    hook: Hook,
    answers: Mutex<Expiring<[u8; 32], Arc<Verdict>>>,
    metrics: Arc<Metrics>,
    clock: ClockRef,
}

impl AccessWebhook {
    pub fn new(name: &str, config: WebhookConfig, hook: Hook, metrics: Arc<Metrics>, clock: ClockRef) -> Self {
        Self { name: name.to_owned(), config, hook, answers: Mutex::new(Expiring::new(ANSWERS_MAX)), metrics, clock }
    }

    async fn opinion(&self, ask: &Ask<'_>) -> Opinion {
        match self.concerns(ask) {
            Ok(true) => (),
            Ok(false) => return Opinion::NOTHING,
            Err(why) => return self.without_answer(why),
        }
        let review = question::review(ask, self.config.version);
        let key: [u8; 32] = Sha256::digest(review["spec"].to_string()).into();
        let known =
            self.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&key, self.clock.elapsed());
        if let Some(verdict) = known {
            return opinion_of(&verdict);
        }
        let told = |outcome: &str, took: Duration| {
            self.metrics.access_hook_requests.with(&[&self.name, outcome]).add(1);
            self.metrics.access_hook_seconds.with(&[&self.name, outcome]).observe(took);
        };
        let answer = match self.hook.ask(&review, told).await {
            Ok(answer) => question::verdict(&answer).map_err(|why| (why, "error")),
            Err(failed) => Err((failed.why, failed.outcome)),
        };
        let verdict = match answer {
            Ok(verdict) => Arc::new(verdict),
            Err((why, outcome)) => {
                tracing::warn!(webhook = self.name, why, "cannot ask the authorization webhook");
                if !self.config.fails_closed {
                    self.metrics.access_hook_fail_open.with(&[&self.name, outcome]).add(1);
                }
                return self.without_answer(why);
            }
        };
        if written_by_client(ask) < REMEMBERED_BYTES_MAX {
            let ttl = if verdict.is_allowed { self.config.authorized_ttl } else { self.config.unauthorized_ttl };
            let now = self.clock.elapsed();
            let mut answers = self.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            answers.put(key, verdict.clone(), now + ttl, now);
        }
        opinion_of(&verdict)
    }

    /// Whether the webhook is to be asked.
    fn concerns(&self, ask: &Ask<'_>) -> Result<bool, String> {
        if self.config.conditions.is_empty() {
            return Ok(true);
        }
        let since = self.clock.elapsed();
        let concerns = self.config.conditions.hold(ask);
        let labels = [TYPE, self.name.as_str()];
        match &concerns {
            Ok(true) => (),
            Ok(false) => self.metrics.match_exclusions.with(&labels).add(1),
            Err(_) => self.metrics.match_errors.with(&labels).add(1),
        }
        self.metrics.match_seconds.with(&labels).observe(self.clock.elapsed().saturating_sub(since));
        concerns
    }

    fn without_answer(&self, why: String) -> Opinion {
        let (reason, error) = (String::new(), Some(why));
        if self.config.fails_closed { Opinion::Denied { reason, error } } else { Opinion::None { reason, error } }
    }
}

impl Judge for AccessWebhook {
    fn judge<'a>(&'a self, ask: &'a Ask<'a>) -> BoxFuture<'a, Opinion> {
        Box::pin(self.opinion(ask))
    }
}

fn opinion_of(verdict: &Verdict) -> Opinion {
    const BOTH: &str = "webhook subject access review returned both allow and deny response";
    let reason = verdict.reason.clone();
    match (verdict.is_denied, verdict.is_allowed) {
        (true, both) => Opinion::Denied { reason, error: both.then(|| BOTH.to_owned()) },
        (false, true) => Opinion::Allowed(Reason::Webhook(reason)),
        (false, false) => Opinion::None { reason, error: None },
    }
}

fn written_by_client(ask: &Ask<'_>) -> usize {
    let what = match ask.what {
        What::Path(path) => path.len(),
        What::Resource(at) => [at.namespace, at.group, at.version, at.resource, at.subresource, at.name]
            .iter()
            .map(|text| text.len())
            .sum(),
    };
    what + ask.verb.len()
}
