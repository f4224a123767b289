//! Whole states: checkpoints that let the log be cut, states given to servers that lack what was cut,
//! and states taken over from others.

use raft::eraftpb::Message;

use super::Driver;
use crate::base::error::Chain;
use crate::base::seal::SealRef;
use crate::base::service::Scope;
use crate::store::base::Base;
use crate::store::keeper::{Checkpoint, KeepError, Keeper};
use crate::store::raft::membership::Members;
use crate::store::raft::offers::{Fetch, FetchError};
use crate::store::state::Position;
use crate::store::timeline::Timeline;

/// How much must have been written before it says how well it is compressed.
const SHARE_KNOWN_BYTES: u64 = 4 << 20;

impl Driver {
    pub(super) fn start_checkpoint(&mut self) {
        if self.stopping || self.checkpointing.is_some() || self.shared.offers.is_open() {
            return;
        }
        if self.is_witness {
            return self.start_hollow_checkpoint();
        }
        let afresh = self.begin_rewrite();
        let is_afresh = afresh.is_some();
        let base = match afresh {
            Some(base) => base,
            None if !self.keeper.is_due(self.applier.state().object_bytes(), self.log_share()) => return,
            None if !self.is_checkpoint_new() => return self.keeper.wait(),
            None => self.applier.base(|index| Members::clone(self.members.at(index))),
        };
        let Some(seal) = self.marked_seal() else { return };
        let checkpoint = Checkpoint {
            base,
            disk: self.disk.clone(),
            snapshots: self.dir.snapshots(),
            copy: self.dir.checkpoint(),
            seal,
            is_afresh,
            damages: self.shared.damages.clone(),
        };
        let (metrics, clock) = (self.shared.metrics.clone(), self.clock.clone());
        self.checkpointing = Some(Box::pin(Scope::blocking(move || {
            let started = clock.elapsed();
            let taken = checkpoint.take()?;
            metrics.checkpoints.add(1);
            metrics.checkpoint_nanos.add_nanos(clock.elapsed().saturating_sub(started));
            Ok(taken)
        })));
    }

    /// What seals now, after the directory says so; `None` if it cannot.
    pub(super) fn marked_seal(&mut self) -> Option<SealRef> {
        let seal = self.shared.seal.now();
        if seal.generation() != 0
            && let Err(error) = self.dir.seals()
        {
            tracing::warn!(error = %Chain(&error), "cannot mark the store as encrypted");
            self.rewrite_failed(&error);
            self.keeper.wait();
            return None;
        }
        Some(seal)
    }

    /// Whether a checkpoint taken now would let the log be cut, or be the second copy of what was given.
    fn is_checkpoint_new(&self) -> bool {
        let (at, known) = (self.applier.base_position().index, self.node.base().index);
        at > known || (at == known && self.keeper.is_single())
    }

    pub(super) fn on_checkpoint(&mut self, taken: Result<Position, KeepError>) {
        match taken {
            // A snapshot came from elsewhere.
            Ok(taken) if taken.index < self.node.base().index => self.rewrite_taken(false),
            Ok(taken) if taken.index == self.node.base().index && !self.rewrite.is_taking() => {
                self.set_single(false);
            }
            Ok(taken) => {
                self.set_single(false);
                self.node.cut(taken);
                if self.is_witness && self.rewrite.is_taking() {
                    self.node.renew();
                }
                self.members.forget(taken.index);
                self.keeper.cut(taken.index);
                self.applier.checkpointed(taken.index);
                self.rewrite_taken(true);
                tracing::debug!(index = taken.index, "took a checkpoint");
            }
            Err(error) => {
                self.shared.metrics.checkpoint_failures.add(1);
                tracing::warn!(error = %Chain(&error), "cannot take a checkpoint: the log keeps growing until one succeeds");
                self.rewrite_failed(&error);
                self.keeper.wait();
            }
        }
    }

    /// What another server gave is in a snapshot only. Until a checkpoint holds it too, which is taken at
    /// once, one damaged byte would cost this server all it has.
    fn set_single(&mut self, single: bool) {
        if self.keeper.is_single() == single {
            return;
        }
        self.keeper.set_single(single);
        if let Err(error) = self.dir.set_single(single) {
            tracing::warn!(error = %Chain(&error), "cannot note how many copies of the state there are");
        }
    }

    /// What part of an entry's bytes the disk gets, so far.
    fn log_share(&self) -> f64 {
        let given = self.shared.metrics.log_bytes.get();
        match given < SHARE_KNOWN_BYTES {
            true => 1.0,
            false => self.node.log().written() as f64 / given as f64,
        }
    }

    /// Offers the present state to those that lack entries which are gone here. While it is there the
    /// log is not cut, so that whoever takes it can go on from it.
    pub(super) fn make_offer(&mut self) {
        if self.is_witness {
            self.node.set_offer(None);
            tracing::warn!("a server lacks more than a witness has: it must hear from another that has everything");
            return;
        }
        let base = Base { state: self.applier.logged(), members: self.members.current().clone() };
        tracing::info!(index = base.state.position().index, "a server needs the whole state: offering it");
        self.node.set_offer(Some((base.state.position(), &base.members)));
        self.shared.offers.set(Some(base));
    }

    pub(super) fn end_offer(&mut self) {
        self.node.set_offer(None);
        self.shared.offers.set(None);
    }

    /// Raft was offered a state: it is brought here before raft is told, one at a time.
    pub(super) fn fetch(&mut self, message: Message) {
        if self.fetching.is_some() || self.fetched.is_some() {
            return;
        }
        let fetch = Fetch {
            network: self.network.clone(),
            from: message.from,
            index: message.get_snapshot().get_metadata().index,
            disk: self.disk.clone(),
            snapshots: self.dir.snapshots(),
            seal: self.shared.seal.clone(),
            hollow: self.is_witness,
        };
        self.fetching = Some(Box::pin(async move { fetch.run().await.map(|base| (message, base)) }));
    }

    pub(super) fn on_fetched(&mut self, fetched: Result<(Message, Base), FetchError>) {
        match fetched {
            Ok(fetched) => self.fetched = Some(fetched),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "cannot take over the leader's state; it will offer it again")
            }
        }
    }

    /// Tells raft of the state that is here, unless a write is under way.
    pub(super) fn offer_fetched(&mut self) -> Option<Base> {
        if self.node.is_writing() {
            return None;
        }
        let (message, base) = self.fetched.take()?;
        self.node.receive(message);
        Some(base)
    }

    /// Raft took the state, or not: it may have heard of something newer meanwhile.
    pub(super) fn install(&mut self, installed: Option<Position>, fetched: Option<Base>) {
        let Some(at) = installed else { return };
        let base = fetched.expect("raft installs only what was just offered");
        assert_eq!(base.state.position(), at, "the state offered is the state fetched");
        tracing::info!(index = at.index, objects = base.state.len(), "took over the leader's state");
        self.members = Timeline::new(at.index, base.members);
        self.keeper = Keeper::new(self.keeper.limits());
        self.set_single(!self.is_witness);
        self.queue.overtaken(at.index);
        self.applier.reset(base.state);
        self.tell_members();
    }
}
