//! Following etcd: a whole reading first, then every change, for as long as this server runs.
//!
//! When the connection breaks it goes on where it was. When etcd has compacted that away everything is
//! read again: if it is the same, nobody notices; otherwise history begins anew, and watches end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::client::{Answers, Etcd};
use super::error::{EtcdError, EtcdErrorKind};
use super::layout::{modified, signed};
use super::picture::Picture;
use super::proto::{RangeRequest, WatchEvent, WatchResponse, revision};
use super::standing::Standing;
use crate::base::clock::ClockRef;
use crate::object::Revision;
use crate::store::Health;
use crate::store::hub::Hub;
use crate::store::metrics::Metrics;
use crate::store::raft::Members;

/// Objects that are read at once.
const PAGE_LEN: i64 = 250;
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Everything below `state/`, at one revision.
pub(super) async fn read_all(etcd: &Etcd) -> Result<Picture, EtcdError> {
    let (mut key, range_end) = etcd.layout().state();
    let (mut picture, mut at) = (Picture::default(), 0);
    loop {
        let request = RangeRequest { key, range_end: range_end.clone(), limit: PAGE_LEN, revision: at };
        let answer = etcd.range(request).await?;
        if at == 0 {
            at = signed(revision(answer.header.as_ref()));
        }
        picture.read(etcd.layout(), &answer.kvs);
        match answer.kvs.last().filter(|_| answer.more) {
            Some(last) => key = [&last.key[..], &[0]].concat().into(),
            None => break,
        }
    }
    picture.reach(Revision(u64::try_from(at).unwrap_or(0)));
    Ok(picture)
}

/// Publishes what etcd holds.
pub(super) struct Follower {
    pub etcd: Etcd,
    pub picture: Picture,
    pub hub: Arc<Hub>,
    pub metrics: Arc<Metrics>,
    pub clock: ClockRef,
    pub standing: Standing,
    pub members: watch::Sender<Members>,
    pub health: watch::Sender<Health>,
}

impl Follower {
    /// Never ends.
    pub async fn run(mut self) {
        let mut retry = RETRY_MIN;
        loop {
            let error = match self.follow(&mut retry).await {
                Ok(never) => match never {},
                Err(error) if error.kind == EtcdErrorKind::Compacted => match self.read_again().await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::debug!(%error, "etcd is not followed for now");
            self.unwell(&error);
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    async fn follow(&mut self, retry: &mut Duration) -> Result<std::convert::Infallible, EtcdError> {
        let mut answers = self.etcd.watch(self.picture.state.revision().0 + 1).await?;
        let mut part = Vec::new();
        loop {
            let answer = self.next(&mut answers).await?;
            self.etcd.saw(answer.header.as_ref());
            if answer.created {
                if self.went_back(revision(answer.header.as_ref())).await? {
                    let error = answers.nonsense("etcd went back in time");
                    return Err(EtcdError { kind: EtcdErrorKind::Compacted, ..error });
                }
                *retry = RETRY_MIN;
                self.well();
            }
            part.extend(answer.events);
            let rest = match answer.fragment {
                true => part.split_off(whole(&part)),
                false => Vec::new(),
            };
            self.take_in(&part);
            part = rest;
        }
    }

    async fn next(&self, answers: &mut Answers<WatchResponse>) -> Result<WatchResponse, EtcdError> {
        let answer = answers.next().await?;
        if answer.compact_revision > 0 {
            return Err(EtcdError {
                kind: EtcdErrorKind::Compacted,
                ..answers.nonsense("the watch is behind a compaction")
            });
        }
        match answer.canceled {
            true => Err(answers.nonsense(format!("the watch was cancelled: {}", answer.cancel_reason))),
            false => Ok(answer),
        }
    }

    /// A watch of the future waits for it: an etcd that was restored from a snapshot would send nothing.
    /// One of its members may only be a little behind.
    async fn went_back(&self, seen: u64) -> Result<bool, EtcdError> {
        let ours = self.picture.state.revision().0;
        if seen >= ours {
            return Ok(false);
        }
        let head = RangeRequest { key: self.etcd.layout().head(), ..RangeRequest::default() };
        Ok(revision(self.etcd.range(head).await?.header.as_ref()) < ours)
    }

    fn take_in(&mut self, events: &[WatchEvent]) {
        if events.is_empty() {
            return;
        }
        let now = self.clock.elapsed();
        let records = self.picture.apply(self.etcd.layout(), events, now);
        let kept = self.hub.publish(self.picture.state.clone(), records, now);
        self.metrics.keeps(kept);
        self.tell();
    }

    async fn read_again(&mut self) -> Result<(), EtcdError> {
        let mut picture = read_all(&self.etcd).await?;
        let went_back = picture.state.revision() < self.picture.state.revision();
        if went_back {
            tracing::error!(
                had = %self.picture.state.revision(), now = %picture.state.revision(),
                "etcd went back in time: was it restored from a snapshot? clients must list again"
            );
        }
        match picture.is_same_as(&self.picture) && !went_back {
            true => {
                self.hub.publish(picture.state.clone(), Vec::new(), self.clock.elapsed());
            }
            false => {
                tracing::warn!("etcd compacted what this server had not seen yet: watches begin anew");
                self.hub.reset(picture.state.clone());
            }
        }
        self.picture = picture;
        self.tell();
        Ok(())
    }

    /// Tells of everything but objects; those that were written before are published.
    pub fn tell(&self) {
        let state = &self.picture.state;
        self.metrics.last_index.set(state.revision().0);
        self.metrics.applied_index.set(state.revision().0);
        self.metrics.revision.set(state.revision().0);
        self.metrics.objects.set(state.len() as u64);
        self.metrics.object_bytes.set(state.object_bytes());
        let members = Members { voters: self.picture.servers.keys().copied().collect(), ..Members::default() };
        self.members.send_if_modified(|told| {
            let is_new = *told != members;
            *told = members;
            is_new
        });
        self.standing.set_leader(self.picture.leader.clone());
    }

    fn well(&self) {
        let recovers = |health: &mut Health| match health {
            Health::Unreachable { .. } => {
                *health = Health::Good;
                true
            }
            _ => false,
        };
        if self.health.send_if_modified(recovers) {
            tracing::info!("etcd answers again");
        }
    }

    fn unwell(&self, error: &EtcdError) {
        let before = self.health.send_replace(Health::Unreachable { reason: error.to_string().into() });
        if before == Health::Good {
            tracing::warn!(%error, "etcd does not answer: what is in memory can be read, nothing can be written");
        }
    }
}

/// How many of `events` come before the last revision, which may be incomplete.
fn whole(events: &[WatchEvent]) -> usize {
    let at = |event: &WatchEvent| event.kv.as_ref().map(modified);
    let last = events.last().and_then(at);
    events.iter().position(|event| at(event) == last).unwrap_or(0)
}
