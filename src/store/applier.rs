//! Turns committed entries into the state, its history, and answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::base::Base;
use super::command::{Action, Command, Outcome, Payload};
use super::entry::{Entry, Op};
use super::event::EventRef;
use super::hub::Hub;
use super::keeper::Taken;
use super::metrics::Metrics;
use super::mvcc::{self, Effects};
use super::raft::Members;
use super::ring::Record;
use super::state::{Position, State};
use super::timeline::Timeline;
use crate::base::clock::ClockRef;
use crate::object::{Key, ObjectRef, Revision};

/// How many events may be collected before they are published.
const PUBLISH_EVENTS_MAX: usize = 4_096;

pub(super) struct Applier {
    state: State,
    records: Vec<Record>,
    /// Readers see an older state than this one.
    unpublished: bool,
    /// The keys written since the last checkpoint, and when last.
    changed: BTreeMap<Key, Revision>,
    /// The keys that were written without the log since its last entry was applied.
    volatile: BTreeSet<Key>,
    /// What was reserved after which entry: a replay from a checkpoint must resume at the same revision.
    reserved: Timeline<Revision>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    clock: ClockRef,
}

/// What an entry did besides writing objects.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// One for each command, in their order.
    pub outcomes: Vec<Outcome>,
    pub resumed: bool,
}

impl Applier {
    pub fn new(hub: Arc<Hub>, metrics: Arc<Metrics>, clock: ClockRef) -> Self {
        let state = State::clone(&hub.state());
        let reserved = Timeline::new(state.position.index, state.reserved);
        let (records, changed, volatile) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { state, records, unpublished: false, changed, volatile, reserved, hub, metrics, clock }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn entry(&mut self, position: Position, entry: Entry) -> Applied {
        let mut applied = Applied::default();
        mvcc::raise(&mut self.state, entry.floor);
        self.state.position = position;
        self.unpublished = true;
        for op in entry.ops {
            match op {
                Op::Command(command) => applied.outcomes.push(self.command(position, command)),
                Op::Reserve(to) => {
                    self.state.reserved = self.state.reserved.max(to);
                    self.reserved.change(position.index, self.state.reserved);
                }
                Op::Resume => {
                    self.resume();
                    applied.resumed = true;
                }
                Op::Restore(key, revision, payload) => {
                    self.volatile.remove(&key);
                    let event = mvcc::restore(&mut self.state, key, revision, &payload);
                    self.record(position, event);
                }
            }
        }
        if self.records.len() > PUBLISH_EVENTS_MAX {
            self.publish();
        }
        applied
    }

    /// Goes on after all revisions that may have been shown to somebody.
    pub fn resume(&mut self) {
        let reserved = self.state.reserved;
        mvcc::raise(&mut self.state, reserved);
        self.unpublished = true;
    }

    /// Applies a volatile command without the log, if it only overwrites and its revision is reserved.
    /// Nothing may be on its way through the log.
    pub fn volatile(&mut self, command: Command) -> Result<Outcome, Command> {
        let overwrites = command
            .writes
            .iter()
            .all(|write| matches!(write.action, Action::Put(_)) && self.state.get(&write.key).is_some());
        if !overwrites || self.state.revision >= self.state.reserved {
            return Err(command);
        }
        self.metrics.volatile.add(1);
        self.volatile.extend(command.writes.iter().map(|write| write.key.clone()));
        let position = self.state.position;
        Ok(self.command(position, command))
    }

    /// What only this server's memory holds, for the next entry to begin with: a replay of that entry
    /// has to find what its commands found.
    pub fn restores(&self) -> Vec<Op> {
        let mut objects: Vec<_> = self.volatile.iter().filter_map(|key| self.state.get(key)).collect();
        objects.sort_by_key(|object| object.revision());
        let restore =
            |object: &ObjectRef| Op::Restore(object.key().clone(), object.revision(), Payload::of_object(object));
        objects.into_iter().map(restore).collect()
    }

    /// Another server's state takes the place of this one's.
    pub fn reset(&mut self, state: State) {
        self.records.clear();
        self.changed.clear();
        self.volatile.clear();
        self.unpublished = false;
        self.reserved = Timeline::new(state.position.index, state.reserved);
        self.state = state.clone();
        self.hub.reset(state);
    }

    fn command(&mut self, position: Position, command: Command) -> Outcome {
        let Effects { outcome, events } = mvcc::apply(&mut self.state, position, command);
        self.unpublished = true;
        self.record(position, events);
        outcome
    }

    fn record(&mut self, position: Position, events: impl IntoIterator<Item = EventRef>) {
        let at = self.clock.elapsed();
        for event in events {
            self.changed.insert(event.key().clone(), event.revision());
            self.records.push(Record { event, position, at });
        }
    }

    /// Lets readers and watchers see what was applied.
    pub fn publish(&mut self) {
        if !std::mem::take(&mut self.unpublished) {
            return;
        }
        let state = &self.state;
        self.metrics.applied_index.set(state.position.index);
        self.metrics.revision.set(state.revision.0);
        self.metrics.objects.set(state.len() as u64);
        self.metrics.object_bytes.set(state.object_bytes);
        let (events, bytes) = self.hub.publish(state.clone(), std::mem::take(&mut self.records), self.clock.elapsed());
        self.metrics.history_events.set(events as u64);
        self.metrics.history_bytes.set(bytes as u64);
    }

    /// The oldest state that history reaches, to be checkpointed, and the keys written lately.
    pub fn base(&self, members: impl FnOnce(u64) -> Members) -> (Base, BTreeMap<Key, Revision>) {
        let mut state = self.hub.base();
        state.reserved = *self.reserved.at(state.position.index);
        let members = members(state.position.index);
        (Base { state, members }, self.changed.clone())
    }

    pub fn checkpointed(&mut self, taken: Taken) {
        self.changed.retain(|_, last| *last > taken.revision);
        self.reserved.forget(taken.position.index);
    }
}
