//! Becoming a member: the cluster is asked to take this server in, and gives it its state.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use super::{Arrival, Carrier, MEMBER, hex};
use crate::object::Reason;
use crate::store::Store;

const RETRY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(15);

/// Returns when this server is a member and has the cluster's state. Whoever reads meanwhile would
/// find nothing.
pub async fn enter(carrier: &Carrier, store: &Store, first: Option<String>) -> Result<()> {
    let mut members = store.members();
    let own = carrier.own().context("the carrier is open")?;
    let arrival = Arrival { member: own.clone(), replaces: store.replaces().map(hex).unwrap_or_default() };
    let body = Bytes::from(serde_json::to_vec(&arrival)?);
    loop {
        if members.borrow_and_update().contains(store.id()) {
            return Ok(());
        }
        let known = carrier.book().all().into_iter().filter(|it| it.id != own.id).map(|it| it.address);
        for address in first.iter().cloned().chain(known) {
            match carrier.post_to(&address, MEMBER, body.clone(), TIMEOUT).await {
                Ok(_) => break,
                Err(failure) if failure.status.is(Reason::Forbidden) => bail!("{}", failure.status.message),
                Err(failure) => tracing::warn!(address, status = %failure.status, "not taken in yet; trying again"),
            }
        }
        let _ = tokio::time::timeout(RETRY, members.changed()).await;
    }
}
