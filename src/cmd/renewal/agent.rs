//! The certificates of an agent, which it gets as it got them first: by joining again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Renewing, Trouble};
use crate::cmd::config::AgentConfig;
use crate::cmd::join::agent::{Failure, Held, renew};
use crate::object::Timestamp;
use crate::security::ca;

const ANSWER_MAX: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct OfAgent {
    config: Arc<AgentConfig>,
    held: Held,
    /// What was renewed could not be written down.
    is_unsaved: Arc<AtomicBool>,
}

impl OfAgent {
    pub fn new(config: Arc<AgentConfig>, held: Held) -> Self {
        Self { config, held, is_unsaved: Arc::default() }
    }

    async fn renew(&self, now_secs: i64) -> Option<Trouble> {
        let ends_secs = self.held.ends_secs();
        if !ca::is_due(ends_secs, now_secs) && !self.is_unsaved.load(Ordering::Relaxed) {
            return None;
        }
        let asked = tokio::time::timeout(ANSWER_MAX, renew(&self.config, &self.held)).await;
        // What came is in use, also if it could not be written.
        let renewed_until = self.held.ends_secs();
        self.is_unsaved.store(matches!(asked, Ok(Err(_))) && renewed_until != ends_secs, Ordering::Relaxed);
        let why = match asked {
            Ok(Ok(())) if ca::is_due(renewed_until, now_secs) => {
                let message = format!(
                    "this node's new certificates end at {}, which is soon by this machine's clock ({}): one of it and \
                     the server's is wrong, set it",
                    Timestamp::from_secs(renewed_until),
                    Timestamp::from_secs(now_secs)
                );
                return Some(Trouble { reason: "CertificateNotRenewed", message, ends_secs: Some(i64::MAX) });
            }
            Ok(Ok(())) => {
                tracing::info!(until = %Timestamp::from_secs(renewed_until), "this node's certificates are renewed");
                return None;
            }
            Ok(Err(Failure::Unreachable(status))) => status.to_string(),
            Ok(Err(Failure::Final(error))) => format!("{error:#}"),
            Err(_) => "no answer in time".to_owned(),
        };
        self.held.count_failure();
        let message = format!(
            "cannot renew this node's certificates, which end at {}: {why}; it is tried again: see that the server at \
             --server runs, and if it refuses the token, start this agent with the one that `skiff token` prints there",
            Timestamp::from_secs(renewed_until)
        );
        Some(Trouble { reason: "CertificateNotRenewed", message, ends_secs: Some(renewed_until) })
    }
}

impl Renewing for OfAgent {
    fn look(&self, now_secs: i64) -> BoxFuture<'static, Vec<Trouble>> {
        let own = self.clone();
        Box::pin(async move { own.renew(now_secs).await.into_iter().collect() })
    }
}
