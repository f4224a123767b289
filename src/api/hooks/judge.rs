//! Decisions in which webhooks take part: the one way in which an authorizer waits.

use super::super::authz::{Ask, Authz, Decision, Hearing};
use crate::base::service;

impl Authz {
    /// As [`Authz::decide`], for those who can wait.
    pub async fn judge(&self, ask: &Ask<'_>) -> Decision {
        let chain = self.chain();
        if !chain.asks_webhooks() || self.is_master(ask) {
            return self.decide(ask);
        }
        let mut hearing = Hearing::default();
        for link in chain.links() {
            let opinion = match link.judge() {
                Some(webhook) => webhook.judge(ask).await,
                None => self.opinion(&link.authorizer, ask),
            };
            if let Some(decision) = hearing.hear(link, opinion) {
                return decision;
            }
        }
        hearing.close()
    }
}

/// Waits for a decision where nobody can: the thread does nothing else meanwhile.
pub fn wait_for(authz: &Authz, ask: &Ask<'_>) -> Decision {
    service::wait_here(authz.judge(ask))
}
