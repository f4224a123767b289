//! This server's lease: as long as it is kept alive the server counts as there, and may lead.

use std::time::Duration;

use tokio::sync::mpsc;

use super::client::{Answers, Etcd};
use super::error::{EtcdError, EtcdErrorKind};
use super::layout::{Layout, created, delete, put};
use super::proto::{KeepAliveRequest, KeepAliveResponse, Relation, TxnRequest};
use super::standing::{LeaderKey, Standing};
use crate::base::clock::ClockRef;

/// How long others wait for a server that is gone. etcd gives no less than its elections take.
pub(super) const LIFE: Duration = Duration::from_secs(4);
/// How much earlier we take it for lost than etcd can: clocks may differ.
const MARGIN: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(250);

/// Who this server is for the others.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub id: u64,
    pub instance: String,
}

#[derive(Clone)]
pub(super) struct Keeper {
    pub etcd: Etcd,
    pub who: Identity,
    pub standing: Standing,
    pub clock: ClockRef,
}

impl Keeper {
    /// Takes a lease and shows this server on it; a new one whenever the last was lost. Never ends.
    pub async fn run(self) {
        loop {
            match self.hold().await {
                Ok(()) => tracing::warn!("the lease in etcd ran out; taking a new one"),
                Err(error) => tracing::debug!(%error, "no lease in etcd"),
            }
            self.standing.set_lease(None);
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Returns when the lease is gone.
    async fn hold(&self) -> Result<(), EtcdError> {
        let asked = self.clock.elapsed();
        let lease = self.etcd.grant(LIFE).await?;
        let life = Duration::from_secs(u64::try_from(lease.ttl).unwrap_or(0));
        let layout = self.etcd.layout();
        let show = vec![put(layout.server(self.who.id), self.who.instance.clone().into(), lease.id)];
        self.etcd.txn(TxnRequest { success: show, ..TxnRequest::default() }).await?;
        let mut ends = asked + life.saturating_sub(MARGIN);
        self.standing.set_lease(Some(lease.id));
        loop {
            // Until it is known to be gone it may still be there: then the same term goes on.
            match self.prolong(lease.id, life, &mut ends).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == EtcdErrorKind::LeaseGone => return Ok(()),
                Err(error) => tracing::debug!(%error, "cannot prolong the lease; trying again"),
            }
            let left = ends.saturating_sub(self.clock.elapsed());
            if left.is_zero() {
                self.standing.set_lease(None);
            }
            tokio::time::sleep(if left.is_zero() { RETRY } else { left.min(RETRY) }).await;
        }
    }

    /// Prolongs the lease on one stream, until that breaks, or the lease is gone.
    async fn prolong(&self, id: i64, life: Duration, ends: &mut Duration) -> Result<(), EtcdError> {
        let (ask, mut asked) = mpsc::channel(1);
        let mut sent = self.clock.elapsed();
        let _ = ask.try_send(KeepAliveRequest { id });
        let questions = futures_util::stream::poll_fn(move |cx| asked.poll_recv(cx));
        let mut answers = self.in_time(*ends, self.etcd.keep_alive(questions)).await?;
        loop {
            let answer: KeepAliveResponse = self.in_time(*ends, next(&mut answers)).await?;
            self.etcd.saw(answer.header.as_ref());
            if answer.ttl <= 0 {
                return Ok(());
            }
            *ends = sent + life.saturating_sub(MARGIN);
            self.standing.set_lease(Some(id));
            tokio::time::sleep(life / 3).await;
            sent = self.clock.elapsed();
            if ask.send(KeepAliveRequest { id }).await.is_err() {
                return Err(answers.nonsense("the stream ended"));
            }
        }
    }

    /// Steps down when `asking` takes longer than the lease lasts, and goes on waiting.
    async fn in_time<T>(&self, ends: Duration, asking: impl Future<Output = T>) -> T {
        tokio::pin!(asking);
        let left = ends.saturating_sub(self.clock.elapsed());
        if let Ok(done) = tokio::time::timeout(left, &mut asking).await {
            return done;
        }
        self.standing.set_lease(None);
        asking.await
    }

    /// Takes over the lead when nobody has it. Never ends; `is_shy` lets others have it for now.
    pub async fn campaign(self, is_shy: impl Fn() -> bool) {
        let mut changes = self.standing.changes();
        loop {
            changes.borrow_and_update();
            let known = self.standing.known();
            let wait = match (known.leader, known.lease) {
                (None, Some(_)) if is_shy() => Some(RETRY),
                (None, Some(lease)) => {
                    if let Err(error) = self.etcd.txn(claim(self.etcd.layout(), &self.who, lease)).await {
                        tracing::debug!(%error, "cannot take the lead");
                    }
                    Some(RETRY) // by then it is known who has it
                }
                _ => None,
            };
            match wait {
                Some(limit) => drop(tokio::time::timeout(limit, changes.changed()).await),
                None => drop(changes.changed().await),
            }
        }
    }

    /// Lets go of what an earlier process of this server may still hold.
    pub async fn take_over(&self, lease: i64) {
        match self.etcd.revoke(lease).await {
            Ok(()) => tracing::debug!("ended the lease of this server's last run"),
            Err(error) => tracing::debug!(%error, "cannot end the lease of this server's last run"),
        }
    }

    /// Gives the lead back, if this server has it.
    pub async fn give_up(&self) {
        let known = self.standing.known();
        let Some(key) = known.leader.filter(|key| known.lease == Some(key.lease)) else { return };
        let leader = self.etcd.layout().leader();
        let compare = vec![created(leader.clone(), Relation::Equal, key.term)];
        let request = TxnRequest { compare, success: vec![delete(leader)], failure: Vec::new() };
        if let Err(error) = self.etcd.txn(request).await {
            tracing::debug!(%error, "cannot give the lead back");
        }
    }

    /// This server is gone: others need not wait for its lease to end.
    pub async fn end(&self) {
        if let Some(lease) = self.standing.known().lease {
            let _ = self.etcd.revoke(lease).await; // otherwise it ends by itself
        }
    }
}

async fn next(answers: &mut Answers<KeepAliveResponse>) -> Result<KeepAliveResponse, EtcdError> {
    answers.next().await
}

fn claim(layout: &Layout, who: &Identity, lease: i64) -> TxnRequest {
    let value = LeaderKey::value(who.id, &who.instance);
    let compare = vec![created(layout.leader(), Relation::Equal, 0)];
    TxnRequest { compare, success: vec![put(layout.leader(), value.into(), lease)], failure: Vec::new() }
}
