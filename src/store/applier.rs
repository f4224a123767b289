//! Turns committed entries into the state, its history, and answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::base::Base;
use super::command::{Action, Command, Outcome, Payload};
use super::entry::{Entry, Op};
use super::event::EventRef;
use super::hub::Hub;
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
    /// Objects are not kept: only what a witness must know.
    hollow: bool,
    records: Vec<Record>,
    /// Readers see an older state than this one.
    unpublished: bool,
    /// What was written without the log since its last entry with commands, as the log has it: other
    /// servers have that, and what is not told to them in time gives way to it.
    volatile: BTreeMap<Key, ObjectRef>,
    volatile_bytes: usize,
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
        Self {
            state,
            hollow: false,
            records: Vec::new(),
            unpublished: false,
            volatile: BTreeMap::new(),
            volatile_bytes: 0,
            reserved,
            hub,
            metrics,
            clock,
        }
    }

    /// From now on commands change nothing here: others have the objects.
    pub fn keep_no_objects(&mut self) {
        self.hollow = true;
    }

    /// What a witness has of the state after the entry at `position`.
    pub fn hollow_base(&self, position: Position, members: Members) -> Base {
        let reserved = *self.reserved.at(position.index);
        Base { state: State { position, revision: reserved, reserved, ..State::default() }, members }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn entry(&mut self, position: Position, entry: Entry) -> Applied {
        let mut applied = Applied::default();
        let shown = self.state.revision;
        mvcc::raise(&mut self.state, entry.floor);
        if !entry.ops.is_empty() {
            self.return_to_log(&entry.ops);
        }
        self.state.position = position;
        self.unpublished = true;
        for op in entry.ops {
            match op {
                Op::Command(_) if self.hollow => (),
                Op::Command(command) => applied.outcomes.push(self.command(position, command)),
                Op::Reserve(to) => {
                    self.state.reserved = self.state.reserved.max(to);
                    self.reserved.change(position.index, self.state.reserved);
                }
                Op::Resume => {
                    self.resume();
                    applied.resumed = true;
                }
                Op::Restore(key, revision, payload) => self.restore(position, shown, key, revision, &payload),
            }
        }
        if self.records.len() > PUBLISH_EVENTS_MAX {
            self.publish();
        }
        applied
    }

    /// Before an entry is applied the state is what the log says, and nothing else, on every server: what
    /// its leader wrote without the log comes with it. A renewal that only a former leader knew is gone.
    fn return_to_log(&mut self, ops: &[Op]) {
        self.volatile_bytes = 0;
        for (key, logged) in std::mem::take(&mut self.volatile) {
            let told = ops.iter().any(|op| match op {
                Op::Restore(named, revision, _) => {
                    *named == key && self.state.get(&key).is_some_and(|object| object.revision() == *revision)
                }
                _ => false,
            });
            if !told {
                self.state.put(logged);
            }
        }
    }

    /// Readers that have seen revision `shown` are told only of what comes behind it.
    fn restore(&mut self, position: Position, shown: Revision, key: Key, revision: Revision, payload: &Payload) {
        let event = mvcc::restore(&mut self.state, key, revision, payload);
        self.unpublished = true;
        self.record(position, event.filter(|event| event.revision() > shown));
    }

    /// Takes over what the leader wrote without the log behind the entry at `position`, all of it so far
    /// and in order. Tells whether this server is at that entry.
    pub fn follow(&mut self, position: Position, restores: Vec<Op>) -> bool {
        if self.state.position != position {
            return false;
        }
        let shown = self.state.revision;
        for op in restores {
            let Op::Restore(key, revision, payload) = op else { continue };
            let Some(logged) = self.state.get(&key).cloned() else { continue };
            if revision > shown {
                self.keep_logged(key.clone(), logged, payload.bytes.len());
                self.restore(position, shown, key, revision, &payload);
            }
        }
        true
    }

    fn keep_logged(&mut self, key: Key, logged: ObjectRef, bytes: usize) {
        if let std::collections::btree_map::Entry::Vacant(place) = self.volatile.entry(key) {
            place.insert(logged);
            self.volatile_bytes += bytes;
        }
    }

    /// What was written without the log since its last entry: how much, and up to which revision.
    pub fn volatile_extent(&self) -> (usize, Revision) {
        (self.volatile_bytes, self.state.revision)
    }

    /// The state as the log has it.
    pub fn logged(&self) -> State {
        let mut state = self.state.clone();
        for logged in self.volatile.values() {
            state.put(logged.clone());
        }
        state
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
        let logged: Vec<ObjectRef> =
            command.writes.iter().filter_map(|write| self.state.get(&write.key).cloned()).collect();
        let position = self.state.position;
        let outcome = self.command(position, command);
        if matches!(outcome, Outcome::Committed { .. }) {
            for object in logged {
                self.keep_logged(object.key().clone(), object.clone(), object.bytes().len());
            }
        }
        Ok(outcome)
    }

    /// What only this server's memory holds, for the next entry to begin with: a replay of that entry
    /// has to find what its commands found.
    pub fn restores(&self) -> Vec<Op> {
        let mut objects: Vec<_> = self.volatile.keys().filter_map(|key| self.state.get(key)).collect();
        objects.sort_by_key(|object| object.revision());
        let restore =
            |object: &ObjectRef| Op::Restore(object.key().clone(), object.revision(), Payload::of_object(object));
        objects.into_iter().map(restore).collect()
    }

    /// Another server's state takes the place of this one's.
    pub fn reset(&mut self, state: State) {
        self.records.clear();
        self.volatile.clear();
        self.volatile_bytes = 0;
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
        let kept = self.hub.publish(state.clone(), std::mem::take(&mut self.records), self.clock.elapsed());
        self.metrics.keeps(kept);
    }

    /// Where the state that [`Applier::base`] gives stands in the log; giving it costs more.
    pub fn base_position(&self) -> Position {
        self.hub.base_position()
    }

    /// The oldest state that history reaches, to be checkpointed.
    pub fn base(&self, members: impl FnOnce(u64) -> Members) -> Base {
        let mut state = self.hub.base();
        if state.position == self.state.position {
            self.volatile.values().for_each(|logged| drop(state.put(logged.clone())));
        }
        state.reserved = *self.reserved.at(state.position.index);
        let members = members(state.position.index);
        Base { state, members }
    }

    /// A checkpoint was taken at `index`.
    pub fn checkpointed(&mut self, index: u64) {
        self.reserved.forget(index);
    }
}
