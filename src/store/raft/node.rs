//! Raft itself, one step at a time: no waiting, no threads, no disk.
//!
//! [`Node::step`] is the only place that handles a `Ready`, in the only right order:
//!
//! 1. messages that may go out at once (a leader's; followers write while we do)
//! 2. committed entries, which are on the disk here, are handed out to be applied
//! 3. new entries and votes join what is to be written; raft may read them from memory
//! 4. messages that promise them wait with them
//! 5. only [`Node::written`], called after the fsync, lets raft count them and sends those promises
//!
//! One write is on its way to the disk at a time; whatever becomes ready meanwhile is the next one.
//!
//! Raft has no answer to a log that cannot be read. Here it is left where it was and does nothing any
//! more ([`Node::failure`]); who leads elsewhere is still heard.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use raft::eraftpb::{ConfChange, ConfChangeV2, Entry, EntryType, Message, MessageType};
use raft::{Config, ProgressState, RawNode, ReadState, SnapshotStatus, StateRole};

use super::log::{Log, LogError, LogWrite};
use super::membership::Members;
use super::storage::{LogStorage, Unreadable};
use crate::base::rand::RandRef;
use crate::store::Role;
use crate::store::state::Position;

/// How long a tick is. A leader that is not heard of for 10 to 20 of them is replaced.
pub(super) const TICK: Duration = Duration::from_millis(50);
const ELECTION_TICKS: usize = 10;
const HEARTBEAT_TICKS: usize = 2;
const MESSAGE_BYTES_MAX: u64 = 1 << 20;
const READY_BYTES_MAX: u64 = 8 << 20;

/// What the driver has to do after a step.
#[derive(Default)]
pub(super) struct Work {
    /// The state at this place of the log takes the place of this server's own.
    pub installed: Option<Position>,
    pub messages: Vec<Message>,
    pub committed: Vec<Entry>,
    pub reads: Vec<ReadState>,
}

/// What is not on the disk yet.
#[derive(Default)]
struct Unwritten {
    write: LogWrite,
    must_sync: bool,
    /// Sent when it is written.
    promises: Vec<Message>,
    /// The index of the snapshot in here, which counts as applied when it is written.
    installed: Option<u64>,
    /// Of the last ready in here.
    number: u64,
}

pub(super) struct Node {
    raw: RawNode<LogStorage>,
    rand: RandRef,
    unwritten: Unwritten,
    writing: Option<Unwritten>,
    written_index: u64,
    /// Raft does nothing any more; the newest term and its leader, as far as others tell.
    ended: Option<(u64, Option<u64>)>,
    failure: Option<LogError>,
}

impl Node {
    /// A node over `log` whose entries up to `applied` are in the state, with `members` at that index.
    pub fn new(id: u64, log: Arc<Log>, members: &Members, applied: u64, rand: RandRef) -> Result<Self, LogError> {
        let storage = LogStorage::new(log.clone(), log.saved()?, members.to_raft(), applied);
        let written_index = storage.last().index;
        if written_index < applied {
            let reason = "it ends before the state that another server gave: there was no space to write that down";
            return Err(LogError::Failed { reason: reason.into() });
        }
        let config = Config {
            id,
            applied,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            max_size_per_msg: MESSAGE_BYTES_MAX,
            max_inflight_msgs: 64,
            max_committed_size_per_ready: READY_BYTES_MAX,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let quiet = slog::Logger::root(slog::Discard, slog::o!());
        let raw = caught(|| RawNode::new(&config, storage, &quiet))?.map_err(|error| failed(&error))?;
        let (unwritten, writing) = (Unwritten::default(), None);
        Ok(Self { raw, rand, unwritten, writing, written_index, ended: None, failure: None })
    }

    /// Lets raft work; `None` if it does so no more.
    fn work<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.ended.is_some() {
            return None;
        }
        match caught(|| work(self)) {
            Ok(done) => Some(done),
            Err(error) => {
                self.failure = Some(error);
                self.end();
                None
            }
        }
    }

    /// Raft does nothing any more: leads not, votes not, promises nothing.
    pub fn end(&mut self) {
        let raft = &self.raw.raft;
        let leader = Some(raft.leader_id).filter(|id| *id != 0 && *id != raft.id);
        self.ended.get_or_insert((raft.term, leader));
    }

    /// Why raft ended, once.
    pub fn failure(&mut self) -> Option<LogError> {
        self.failure.take()
    }

    /// Others are preferred as leaders wherever they have as much.
    pub fn prefer_others(&mut self) {
        self.raw.raft.set_priority(-1);
    }

    /// The place of an entry that is still in the log.
    pub fn position(&mut self, index: u64) -> Option<Position> {
        let term = self.work(|node| node.raw.raft.raft_log.term(index).ok())??;
        Some(Position { index, term })
    }

    /// Lets what is in the log be committed, of a server that had no others when it was written: up to where
    /// others may come in. Whatever it leads to is handed out by the next steps; tells whether that is anything.
    pub fn commit_alone(&mut self) -> Result<bool, LogError> {
        let (committed, last) = (self.raw.raft.raft_log.committed, self.raw.raft.raft_log.last_index());
        let (mut next, mut to) = (committed + 1, committed);
        while to < last && next == to + 1 {
            let entries = self.log().entries(next, last + 1, READY_BYTES_MAX)?;
            next += entries.len() as u64;
            let changes = entries.iter().find(|entry| entry.get_entry_type() != EntryType::EntryNormal);
            to = changes.map_or(next - 1, |entry| entry.index);
        }
        self.work(|node| node.raw.raft.raft_log.commit_to(to));
        Ok(to > committed)
    }

    /// A state that another server gave takes the place of the log, and that is not on the disk yet. Until then
    /// it does not count as applied, so that raft, before it tries to lead, would look for changes of members
    /// in entries that are no more: it may not try.
    fn is_installing(&self) -> bool {
        [Some(&self.unwritten), self.writing.as_ref()].into_iter().flatten().any(|it| it.installed.is_some())
    }

    pub fn campaign(&mut self) -> Result<(), LogError> {
        if self.is_installing() {
            return Ok(());
        }
        self.work(|node| node.raw.campaign()).unwrap_or(Ok(())).map_err(|error| failed(&error))
    }

    /// Raft draws the patience of a follower from the thread's own source; ours is the one that a
    /// simulation repeats.
    pub fn tick(&mut self) {
        if self.is_installing() {
            return;
        }
        if self.raw.raft.election_elapsed == 0 {
            let more = self.rand.next_u64() % ELECTION_TICKS as u64;
            self.raw.raft.set_randomized_election_timeout(ELECTION_TICKS + more as usize);
        }
        self.work(|node| node.raw.tick());
    }

    /// The same randomness, for a node that takes this one's place.
    pub fn rand(&self) -> RandRef {
        self.rand.clone()
    }

    /// A message from another server. Those that make no sense are dropped, as if lost on the way.
    pub fn receive(&mut self, message: Message) {
        if let Some((term, leader)) = &mut self.ended {
            use MessageType::{MsgAppend, MsgHeartbeat};
            if matches!(message.get_msg_type(), MsgAppend | MsgHeartbeat) && message.term >= *term {
                (*term, *leader) = (message.term, Some(message.from));
            }
        } else if message.get_msg_type() == MessageType::MsgTimeoutNow && self.is_installing() {
            tracing::debug!("cannot lead yet: what another server gave is not on the disk");
        } else if let Some(Err(error)) = self.work(|node| node.raw.step(message)) {
            tracing::debug!(%error, "dropped a message");
        }
    }

    /// Puts an entry at the end of the log; tells where, unless this node does not lead.
    pub fn propose(&mut self, data: Vec<u8>) -> Option<Position> {
        self.work(|node| node.raw.propose(Vec::new(), data).ok())??;
        let log = &self.raw.raft.raft_log;
        Some(Position { index: log.last_index(), term: self.raw.raft.term })
    }

    /// Asks for the index that all acknowledged writes are under; it comes as a read with `context`.
    pub fn read_index(&mut self, context: u64) {
        self.work(|node| node.raw.read_index(context.to_le_bytes().to_vec()));
    }

    pub fn role(&self) -> Role {
        if let Some((term, leader)) = self.ended {
            return Role::Follower { term, leader };
        }
        let raft = &self.raw.raft;
        match raft.state {
            StateRole::Leader => Role::Leader { term: raft.term },
            _ => Role::Follower { term: raft.term, leader: Some(raft.leader_id).filter(|id| *id != 0) },
        }
    }

    pub fn is_leader(&self) -> bool {
        self.ended.is_none() && self.raw.raft.state == StateRole::Leader
    }

    /// Lets the one of `voters` lead that has most and was heard of; it may take a moment, or not come
    /// to pass.
    pub fn hand_over(&mut self, voters: &[u64]) {
        let id = self.raw.raft.id;
        let others = voters.iter().filter(|other| **other != id);
        let known = others.filter_map(|other| Some((self.raw.raft.prs().get(*other)?, *other)));
        let alive = known.filter(|(progress, _)| progress.recent_active);
        if let Some((_, best)) = alive.max_by_key(|(progress, _)| progress.matched) {
            self.work(|node| node.raw.transfer_leader(best));
        }
    }

    /// Puts a change of members at the end of the log; `None` if this node does not lead, or another
    /// change is not done yet.
    pub fn propose_change(&mut self, change: &ConfChangeV2) -> Option<Position> {
        if self.raw.raft.has_pending_conf() {
            return None;
        }
        self.work(|node| node.raw.propose_conf_change(Vec::new(), change.clone()).ok())??;
        Some(Position { index: self.raw.raft.raft_log.last_index(), term: self.raw.raft.term })
    }

    /// How far the log of every other member is known to be written, and whether it is being brought
    /// there by a snapshot. Known to a leader only.
    pub fn progress(&self) -> Vec<(u64, u64, bool)> {
        let id = self.raw.raft.id;
        let others = self.raw.raft.prs().iter().filter(|(other, _)| **other != id);
        others.map(|(id, it)| (*id, it.matched, it.state == ProgressState::Snapshot)).collect()
    }

    pub fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// Whether raft waits for a state to give to another server.
    pub fn wants_offer(&self) -> bool {
        self.raw.store().wants_offer()
    }

    /// The state at `at`, with `members`, is there for others to take; or no longer.
    pub fn set_offer(&mut self, offer: Option<(Position, &Members)>) {
        let offer = offer.map(|(at, members)| (at, members.to_raft()));
        self.raw.mut_store().set_offer(offer);
    }

    /// A message to `id` was lost for sure.
    pub fn unreachable(&mut self, id: u64) {
        self.work(|node| node.raw.report_unreachable(id));
    }

    /// `id` does not take the state that it was offered; later it is offered one again.
    pub fn snapshot_failed(&mut self, id: u64) {
        self.work(|node| node.raw.report_snapshot(id, SnapshotStatus::Failure));
    }

    /// Nothing is being written, waits for it, or is left to be handled.
    pub fn is_idle(&self) -> bool {
        self.writing.is_none() && !self.unwritten.must_sync && !self.raw.has_ready()
    }

    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub fn base(&self) -> Position {
        self.raw.store().base()
    }

    pub fn log(&self) -> &Arc<Log> {
        self.raw.store().log()
    }

    /// Forgets the entries up to `base`, which a checkpoint holds: here now, on the disk with the next
    /// write, which also repeats the vote so that no old file is kept for its sake.
    pub fn cut(&mut self, base: Position) {
        self.raw.mut_store().truncated(base);
        self.unwritten.write.cut = Some(base);
        self.unwritten.write.hard_state = Some(self.raw.store().hard_state().clone());
        self.unwritten.must_sync = true;
    }

    /// What stays in the log after a cut is written again with it, as it is to be sealed now.
    pub fn renew(&mut self) {
        self.unwritten.write.renew = true;
    }

    /// Handles what is ready, in the order the module's documentation gives; when it hands out
    /// committed entries there may be more.
    pub fn step(&mut self) -> Work {
        self.work(Self::take_ready).unwrap_or_default()
    }

    fn take_ready(&mut self) -> Work {
        let mut work = Work::default();
        let mut bytes = 0;
        while bytes < READY_BYTES_MAX && self.raw.has_ready() {
            let mut ready = self.raw.ready();
            if !ready.snapshot().is_empty() {
                let metadata = ready.snapshot().get_metadata();
                let at = Position { index: metadata.index, term: metadata.term };
                self.raw.mut_store().restore(at, metadata.get_conf_state().clone());
                self.unwritten.write = LogWrite { reset: Some(at), ..LogWrite::default() };
                self.unwritten.promises.clear(); // of entries that are no more
                self.written_index = at.index;
                self.unwritten.installed = Some(at.index);
                work.installed = Some(at);
            }
            work.messages.append(&mut ready.take_messages());
            work.reads.append(&mut ready.take_read_states());

            let committed = ready.take_committed_entries();
            assert!(
                committed.last().is_none_or(|entry| entry.index <= self.written_index),
                "an entry was committed here before it was written here"
            );
            bytes += committed.iter().map(|entry| entry.data.len() as u64).sum::<u64>();
            work.committed.extend(committed);

            let next = &mut self.unwritten;
            assert!(ready.number() > next.number, "readies are numbered in order");
            let entries = ready.take_entries();
            if let Some(first) = entries.first() {
                next.write.entries.retain(|entry| entry.index < first.index); // a new leader overrules
                self.raw.mut_store().append(&entries);
                next.write.entries.extend(entries);
            }
            if let Some(hard_state) = ready.hs() {
                self.raw.mut_store().set_hard_state(hard_state.clone());
                next.write.hard_state = Some(hard_state.clone());
            }
            next.promises.append(&mut ready.take_persisted_messages());
            next.must_sync |= ready.must_sync();
            if next.write.reset.is_some() && next.write.hard_state.is_none() {
                next.write.hard_state = Some(self.raw.store().hard_state().clone()); // a reset forgets it
            }
            next.number = ready.number();
            self.raw.advance_append_async(ready);
            if self.writing.is_none() && !self.unwritten.must_sync {
                work.messages.append(&mut self.nothing_to_write());
            }
        }
        work
    }

    /// What is to be written now, if anything. [`Node::written`] must follow.
    pub fn start_write(&mut self) -> Option<LogWrite> {
        if self.writing.is_some() || !self.unwritten.must_sync {
            return None;
        }
        let mut started = std::mem::take(&mut self.unwritten);
        self.unwritten.number = started.number;
        let write = std::mem::take(&mut started.write);
        self.written_index = write.entries.first().map_or(self.written_index, |entry| entry.index - 1);
        self.writing = Some(started);
        Some(write)
    }

    /// The started write is on the disk. Hands out the promises that depended on it.
    pub fn written(&mut self, last_index: u64) -> Vec<Message> {
        self.work(|node| node.count_written(last_index)).unwrap_or_default()
    }

    fn count_written(&mut self, last_index: u64) -> Vec<Message> {
        let done = self.writing.take().expect("a write was started");
        self.written_index = self.written_index.max(last_index);
        self.raw.on_persist_ready(done.number);
        if let Some(index) = done.installed {
            self.raw.advance_apply_to(index);
        }
        let mut messages = done.promises;
        if !self.unwritten.must_sync && self.unwritten.number > done.number {
            messages.append(&mut self.nothing_to_write());
        }
        messages
    }

    /// A lazily kept hard state: only its commit index is newer than the disk, which restarts find out
    /// again by themselves.
    fn nothing_to_write(&mut self) -> Vec<Message> {
        debug_assert!(self.unwritten.write.entries.is_empty());
        self.raw.on_persist_ready(self.unwritten.number);
        std::mem::take(&mut self.unwritten.promises)
    }

    /// Writes down what is committed: a server that forgot that members came asks the former ones only, and
    /// those may be gone when the power comes back.
    fn keep_commit(&mut self) {
        self.unwritten.write.hard_state = Some(self.raw.store().hard_state().clone());
        self.unwritten.must_sync = true;
    }

    /// Everything up to `index` is in the state.
    pub fn applied(&mut self, index: u64) {
        self.work(|node| node.raw.advance_apply_to(index));
        self.raw.mut_store().forget(index);
    }

    /// Applies a change of members; `None` when the entry holds none.
    pub fn change_members(&mut self, entry: &Entry) -> Result<Option<Members>, LogError> {
        let changed = match entry.get_entry_type() {
            EntryType::EntryNormal => return Ok(None),
            EntryType::EntryConfChange => {
                let change = decode::<ConfChange>(entry)?;
                self.work(|node| node.raw.apply_conf_change(&change))
            }
            EntryType::EntryConfChangeV2 => {
                let change = decode::<ConfChangeV2>(entry)?;
                self.work(|node| node.raw.apply_conf_change(&change))
            }
        };
        let ended = || LogError::Failed { reason: "raft has ended".into() };
        let Some(changed) = changed else { return Err(self.failure().unwrap_or_else(ended)) };
        let state = changed.map_err(|error| failed(&error))?;
        self.raw.mut_store().set_conf_state(state.clone());
        self.keep_commit();
        Ok(Some(Members::of_raft(&state)))
    }
}

/// The end of what [`super::storage`] threw through raft; a real panic goes on.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, LogError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|thrown| match thrown.downcast::<Unreadable>() {
        Ok(unreadable) => unreadable.0,
        Err(panic) => resume_unwind(panic),
    })
}

fn decode<M: protobuf::Message>(entry: &Entry) -> Result<M, LogError> {
    let mut change = M::new();
    let damaged = |source| LogError::Read { what: "change of members", source: raft_engine::Error::Protobuf(source) };
    change.merge_from_bytes(&entry.data).map_err(damaged)?;
    Ok(change)
}

fn failed(error: &raft::Error) -> LogError {
    LogError::Failed { reason: error.to_string().into() }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Snapshot;

    use super::*;
    use crate::base::rand::SystemRand;
    use crate::base::seal::NoSeal;
    use crate::store::files::SystemDisk;

    const GIVEN: Position = Position { index: 50, term: 2 };

    /// A server of three that has nothing yet, and is given a state.
    fn given(dir: &std::path::Path) -> (Node, Members) {
        let log = Log::open(dir, Arc::new(SystemDisk), NoSeal::shared(), 1 << 20).unwrap();
        let members = Members { voters: vec![1, 2, 3], ..Members::default() };
        let mut node = Node::new(1, Arc::new(log), &members, 0, SystemRand::seeded(1)).unwrap();
        let mut snapshot = Snapshot::default();
        (snapshot.mut_metadata().index, snapshot.mut_metadata().term) = (GIVEN.index, GIVEN.term);
        snapshot.mut_metadata().set_conf_state(members.to_raft());
        let mut message =
            Message { msg_type: MessageType::MsgSnapshot.into(), from: 2, to: 1, term: 2, ..Message::default() };
        message.set_snapshot(snapshot);
        node.receive(message);
        assert_eq!(node.step().installed, Some(GIVEN));
        (node, members)
    }

    fn asks_for_votes(node: &mut Node) -> bool {
        let is_asked = |message: &Message| message.get_msg_type() == MessageType::MsgRequestPreVote;
        (0..4 * ELECTION_TICKS).any(|_| {
            node.tick();
            node.step().messages.iter().any(is_asked)
        })
    }

    #[test]
    fn what_was_given_is_written_before_its_new_owner_wants_to_lead() {
        let dir = tempfile::tempdir().unwrap();
        let (mut node, _) = given(dir.path());
        assert!(!asks_for_votes(&mut node), "before the write is begun");
        let write = node.start_write().unwrap();
        node.receive(Message {
            msg_type: MessageType::MsgTimeoutNow.into(),
            from: 2,
            to: 1,
            term: 2,
            ..Message::default()
        });
        assert!(!asks_for_votes(&mut node), "while it is under way");
        node.log().append(&write).unwrap();
        node.written(0);
        assert!(asks_for_votes(&mut node));
    }

    #[test]
    fn a_state_that_the_log_could_not_be_told_of_ends_raft_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (node, members) = given(dir.path());
        let again = Node::new(1, node.log().clone(), &members, GIVEN.index, SystemRand::seeded(2));
        assert!(matches!(again.err(), Some(LogError::Failed { .. })));
    }
}
