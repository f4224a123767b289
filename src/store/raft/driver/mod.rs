//! The store's one task: takes what comes, lets raft decide, writes, applies, answers.
//!
//! While one batch is being written to the disk the next one forms; when the write is done, the next
//! one is started before the first is applied and answered. A cluster of one does nothing at all when
//! it is asked nothing: no ticks, no writes.

mod members;
mod renewals;
mod rewrite;
mod snapshots;
mod witness;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use raft::eraftpb::{Message, MessageType};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::base::clock::ClockRef;
use crate::base::error::Chain;
use crate::base::seal::SealRef;
use crate::base::service::Scope;
use crate::object::Revision;
use crate::store::applier::Applier;
use crate::store::base::Base;
use crate::store::command::Outcome;
use crate::store::damage::Damages;
use crate::store::datadir::DataDir;
use crate::store::device;
use crate::store::entry::{Entry, EntryBuilder, Op, encode_op};
use crate::store::files::DiskRef;
use crate::store::hub::Hub;
use crate::store::keeper::{KeepError, Keeper, LogLimits};
use crate::store::metrics::Metrics;
use crate::store::network::NetworkRef;
use crate::store::raft::log::{LogError, LogWrite};
use crate::store::raft::membership::{ChangeError, Members};
use crate::store::raft::node::{Node, TICK, Work};
use crate::store::raft::offers::{FetchError, Offers};
use crate::store::raft::queue::{Barriers, Input, Proposal, Queue, Reply};
use crate::store::raft::recover::Recovered;
use crate::store::raft::transport::{Incoming, Link};
use crate::store::state::Position;
use crate::store::timeline::Timeline;
use crate::store::{Health, ProposeError, Role};
use rewrite::Rewrite;
pub use rewrite::RewriteError;
pub(in crate::store) use rewrite::RewriteReply;

const INPUTS_MAX: usize = 512;
/// How many ticks pass between looks at what is slow.
const HOUSEKEEPING_TICKS: u64 = 10;
/// How many revisions are reserved for volatile writes at once.
const RESERVE: u64 = 10_000;
/// A log write that takes so long holds everybody up.
const SLOW_WRITE: Duration = Duration::from_millis(500);
/// How long those who proposed to a server that leads no more wait for the next leader to decide.
const UNDECIDED_MAX: Duration = Duration::from_secs(3);
/// How long a full disk is left alone before a write is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

/// What the driver shares with the store's handles.
pub(in crate::store) struct Shared {
    pub hub: Arc<Hub>,
    pub metrics: Arc<Metrics>,
    pub damages: Damages,
    pub health: watch::Sender<Health>,
    pub role: watch::Sender<Role>,
    /// The states given to other servers.
    pub offers: Offers,
    pub members: watch::Sender<Members>,
    /// Nobody else could lead or acknowledge anything: this server's state needs no confirmation, also
    /// while its disk keeps it from leading.
    pub alone: Arc<AtomicBool>,
    pub seal: SealRef,
}

pub(in crate::store) struct Driver {
    id: u64,
    dir: DataDir,
    disk: DiskRef,
    clock: ClockRef,
    shared: Shared,
    node: Node,
    members: Timeline<Members>,
    applier: Applier,
    keeper: Keeper,
    link: Link,
    network: NetworkRef,
    /// What is asked of others runs here.
    scope: Scope,
    /// Who is not to lead, and whether this server is such.
    witnesses: Vec<u64>,
    is_witness: bool,
    queue: Queue,
    barriers: Barriers,
    /// Answers that are given once readers can see what they tell.
    answers: Vec<(Reply, Outcome)>,
    writing: Option<BoxFuture<'static, Result<u64, LogError>>>,
    checkpointing: Option<BoxFuture<'static, Result<Position, KeepError>>>,
    /// Another server's state on its way here, with raft's message that offers it.
    fetching: Option<BoxFuture<'static, Result<(Message, Base), FetchError>>>,
    /// It is here, and raft is to be told when no write is under way.
    fetched: Option<(Message, Base)>,
    rewrite: Rewrite,
    scrubbing: Option<BoxFuture<'static, Result<(), LogError>>>,
    changes: VecDeque<(Position, oneshot::Sender<Result<(), ChangeError>>)>,
    /// When each of the others was last heard of.
    heard: BTreeMap<u64, Duration>,
    ticks: u64,
    /// What was written without the log up to here is told to the others, after the entry at the index.
    passed: (u64, Revision),
    /// The term in which this server proposed to go on as the leader, and whether that is applied.
    leading: Option<(u64, bool)>,
    /// Since when this server leads no more.
    deposed_at: Duration,
    /// The next entry reserves revisions for volatile writes.
    reserving: bool,
    /// Nothing is written any more.
    failed: bool,
    /// Nothing new is begun.
    stopping: bool,
    retry_at: Duration,
    opened: Option<oneshot::Sender<()>>,
}

impl Driver {
    /// A driver of what was recovered; everything committed is applied before this returns.
    pub fn new(
        dir: DataDir,
        disk: DiskRef,
        clock: ClockRef,
        limits: LogLimits,
        recovered: Recovered,
        shared: Shared,
        (link, network, scope): (Link, NetworkRef, Scope),
        opened: oneshot::Sender<()>,
    ) -> Result<Self, LogError> {
        let Recovered { base, single, mut node } = recovered;
        let is_witness = dir.is_witness;
        let mut applier = Applier::new(shared.hub.clone(), shared.metrics.clone(), clock.clone());
        if is_witness {
            node.prefer_others();
            applier.keep_no_objects();
        }
        let mut keeper = Keeper::new(limits);
        keeper.set_single(single);
        let barriers = Barriers::from(node.rand().next_u64());
        let mut driver = Self {
            id: dir.member,
            dir,
            disk,
            clock,
            shared,
            node,
            members: Timeline::new(base.state.position().index, base.members),
            applier,
            keeper,
            link,
            network,
            scope,
            witnesses: Vec::new(),
            is_witness,
            queue: Queue::default(),
            barriers,
            answers: Vec::new(),
            writing: None,
            checkpointing: None,
            fetching: None,
            fetched: None,
            rewrite: Rewrite::default(),
            scrubbing: None,
            changes: VecDeque::new(),
            heard: BTreeMap::new(),
            ticks: 0,
            passed: (0, Revision::ZERO),
            leading: None,
            deposed_at: Duration::ZERO,
            reserving: false,
            failed: false,
            stopping: false,
            retry_at: Duration::ZERO,
            opened: Some(opened),
        };
        loop {
            let replayed = driver.node.step();
            if !replayed.committed.is_empty() {
                driver.handle(replayed)?;
                continue;
            }
            if let Some(error) = driver.node.failure() {
                return Err(error);
            }
            // Its log is committed as it is written, which it need not lead to know: a full disk may keep it
            // from that.
            if !driver.is_alone() || !driver.node.commit_alone()? {
                break;
            }
        }
        if driver.is_alone() {
            driver.node.campaign()?;
        }
        Ok(driver)
    }

    /// Runs until the scope stops or all handles are gone.
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>, scope: Scope) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(INPUTS_MAX);
        self.advance();
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick(), if !self.is_alone() || self.is_full() => self.tick(),
                written = settled(&mut self.writing) => self.on_written(written),
                taken = settled(&mut self.checkpointing) => self.on_checkpoint(taken),
                scrubbed = settled(&mut self.scrubbing) => self.on_scrubbed(scrubbed),
                fetched = settled(&mut self.fetching) => self.on_fetched(fetched),
                Some(incoming) = self.link.inbox.recv() => self.receive(incoming),
                count = inputs.recv_many(&mut batch, INPUTS_MAX) => {
                    if count == 0 {
                        break;
                    }
                    batch.drain(..).for_each(|input| self.accept(input));
                }
                () = scope.stopping() => break,
            }
            self.advance();
        }
        inputs.close();
        self.finish().await;
    }

    /// Lets what is on its way to the disk arrive and be answered; the rest is refused.
    async fn finish(mut self) {
        self.stopping = true;
        self.queue.refuse_waiting(&ProposeError::Closed);
        self.finish_writing().await;
        if self.checkpointing.is_some() {
            let taken = settled(&mut self.checkpointing).await;
            self.on_checkpoint(taken);
            self.advance(); // cuts the log
            self.finish_writing().await;
        }
        if self.scrubbing.is_some() {
            let scrubbed = settled(&mut self.scrubbing).await;
            self.on_scrubbed(scrubbed);
        }
    }

    async fn finish_writing(&mut self) {
        while self.writing.is_some() {
            let written = settled(&mut self.writing).await;
            self.on_written(written);
            self.advance();
        }
    }

    /// Also without others a server then stands for election every now and then: so it finds out that there is space.
    fn is_full(&self) -> bool {
        *self.shared.health.borrow() == Health::DiskFull
    }

    fn is_alone(&self) -> bool {
        self.members.current().is_alone(self.id)
    }

    fn accept(&mut self, input: Input) {
        match input {
            Input::Propose(proposal) => self.accept_proposal(proposal),
            Input::Barrier(reply) => self.barriers.push(reply),
            Input::Change(change, reply) => self.change_members(change, reply),
            Input::Rewrite(reply) => self.rewrite.push(reply),
            Input::HandOver => self.hand_over(),
            Input::Witnesses(ids) => self.witnesses = ids,
            Input::Status(reply) => drop(reply.send(self.status())),
        }
    }

    fn receive(&mut self, incoming: Incoming) {
        match incoming {
            // One for the server that this was before its cluster was reset.
            Incoming::Message(message) if message.to != self.id => (),
            Incoming::Message(message) => {
                self.heard.insert(message.from, self.clock.elapsed());
                match message.get_msg_type() {
                    MessageType::MsgSnapshot => self.fetch(message),
                    _ => self.node.receive(message),
                }
            }
            Incoming::Renewals(renewals) => self.follow(renewals),
            Incoming::Unreachable(id) => self.node.unreachable(id),
        }
    }

    fn tick(&mut self) {
        self.node.tick();
        self.ticks += 1;
        if self.ticks.is_multiple_of(HOUSEKEEPING_TICKS) {
            self.barriers.again();
            self.give_up_undecided();
            self.look_after_others();
            self.pass_renewals();
            self.pass_the_lead();
        }
    }

    fn accept_proposal(&mut self, proposal: Proposal) {
        let health = self.shared.health.borrow().clone();
        let refusal = match health {
            Health::LogFailed { reason } => Some(ProposeError::LogFailed { reason }),
            Health::DiskFull if self.clock.elapsed() < self.retry_at => Some(ProposeError::DiskFull),
            Health::DiskFull | Health::Good | Health::Unreachable { .. } => None,
        };
        match (proposal.volatile, refusal) {
            (_, Some(error @ ProposeError::LogFailed { .. })) => drop(proposal.reply.send(Err(error))),
            (true, refusal) => self.accept_volatile(proposal, refusal),
            (false, Some(error)) => drop(proposal.reply.send(Err(error))),
            (false, None) => self.queue.push(proposal),
        }
    }

    /// Goes on until there is nothing to do but wait.
    fn advance(&mut self) {
        while !self.failed {
            self.lead();
            self.ask_reads();
            self.form_entry();
            let fetched = self.offer_fetched();
            let mut work = self.node.step();
            if let Some(error) = self.node.failure() {
                self.on_failure(error);
                break;
            }
            self.install(work.installed, fetched);
            self.start_write();
            self.link.out.send(std::mem::take(&mut work.messages));
            if work.committed.is_empty() && work.reads.is_empty() {
                break;
            }
            if let Err(error) = self.handle(work) {
                self.on_failure(error);
            }
        }
        self.shared.metrics.last_index.set(self.node.last_index());
        self.applier.publish();
        for (reply, outcome) in self.answers.drain(..) {
            let _ = reply.send(Ok(outcome)); // whoever asked may have gone
        }
        self.barriers.release(self.applier.state().position().index);
        self.tell_role();
        if self.node.wants_offer() {
            self.make_offer();
        }
        self.start_checkpoint();
    }

    /// A leader's first entry takes the revisions on from where its predecessor may have been.
    fn lead(&mut self) {
        if self.is_witness {
            return;
        }
        let Role::Leader { term } = self.node.role() else {
            if self.leading.take().is_some() {
                // What was proposed the next leader decides about, and its log tells; it is asked for reads too.
                self.deposed_at = self.clock.elapsed();
                self.barriers.again();
                self.changes.drain(..).for_each(|(_, reply)| drop(reply.send(Err(ChangeError::Unknown))));
            }
            return;
        };
        if self.leading.is_none_or(|(led, _)| led != term) {
            self.leading = Some((term, false));
            let mut entry = self.begin_entry();
            entry.push(&encode_op(&Op::Resume));
            self.node.propose(entry.finish());
        }
    }

    /// Nobody waits for ever for a log that does not go on.
    fn give_up_undecided(&mut self) {
        let waited = self.clock.elapsed().saturating_sub(self.deposed_at);
        if self.leading.is_none() && self.queue.is_proposed() && waited >= UNDECIDED_MAX {
            self.queue.refuse_proposed(&ProposeError::Unknown);
        }
    }

    /// A server that has no others leads; it does not while raft begins again after a full disk.
    fn lead_alone(&mut self) {
        if self.failed || self.is_witness || self.node.is_leader() || !self.is_alone() {
            return;
        }
        if self.is_full() {
            self.retry_at = self.clock.elapsed() + FULL_DISK_RETRY;
        }
        match self.node.campaign() {
            Ok(()) => self.lead(),
            Err(error) => self.on_failure(error),
        }
    }

    /// Puts all that waits into one entry, unless one is being written already.
    fn form_entry(&mut self) {
        if !self.queue.is_waiting() || self.node.is_writing() {
            return;
        }
        self.lead_alone();
        let (mut entry, replies) = match self.node.is_leader() && !self.is_witness {
            true => self.queue.fill(self.begin_entry()),
            false => return self.queue.refuse_waiting(&self.not_leader()),
        };
        self.shared.metrics.batched(replies.len());
        if std::mem::take(&mut self.reserving) {
            let to = Revision(self.applier.state().revision().0 + RESERVE);
            entry.push(&encode_op(&Op::Reserve(to)));
        }
        match self.node.propose(entry.finish()) {
            Some(position) => self.queue.proposed(position, replies),
            None => replies.into_iter().for_each(|reply| drop(reply.send(Err(self.not_leader())))),
        }
    }

    /// An entry that begins with the volatile writes since the last one: a replay must find them.
    fn begin_entry(&self) -> EntryBuilder {
        let mut entry = EntryBuilder::new(self.applier.state().revision());
        self.applier.restores().iter().for_each(|restore| entry.push(&encode_op(restore)));
        entry
    }

    fn start_write(&mut self) {
        if self.failed {
            return;
        }
        let Some(write) = self.node.start_write() else { return };
        self.rewrite_writes(&write);
        let (log, metrics, clock) = (self.node.log().clone(), self.shared.metrics.clone(), self.clock.clone());
        let folder = self.dir.log();
        self.writing = Some(Box::pin(Scope::blocking(move || {
            let started = clock.elapsed();
            log.append(&write)?;
            let took = clock.elapsed().saturating_sub(started);
            metrics.wrote(entry_bytes(&write), took);
            if took >= SLOW_WRITE {
                metrics.slow_log_writes.add(1);
                let (slow, device) = (metrics.slow_log_writes.get(), device::of(&folder));
                if slow.is_power_of_two() {
                    tracing::warn!(
                        ?took,
                        device,
                        slow,
                        "writing the log was slow: is something else using this disk, or is it worn out?"
                    );
                }
            }
            Ok(write.entries.last().map_or(0, |entry| entry.index))
        })));
    }

    fn on_written(&mut self, written: Result<u64, LogError>) {
        self.rewrite_written(written.is_ok());
        match written {
            Ok(last_index) => {
                let was_full = self.is_full();
                if was_full {
                    tracing::info!("there is space on the disk again: writes are accepted");
                    self.shared.health.send_replace(Health::Good);
                }
                let promises = self.node.written(last_index);
                self.link.out.send(promises);
                if was_full {
                    self.lead_alone(); // it may have been a cut of the log that there was space for
                }
            }
            Err(LogError::Full) => self.on_full(),
            Err(error) => self.on_failure(error),
        }
    }

    /// Nothing of the write is on the disk: raft starts again from what is, and who waited is told.
    fn on_full(&mut self) {
        let error = if self.is_alone() { ProposeError::DiskFull } else { ProposeError::Unknown };
        self.queue.refuse_proposed(&error);
        self.queue.refuse_waiting(&ProposeError::DiskFull);
        self.retry_at = self.clock.elapsed() + FULL_DISK_RETRY;
        if self.shared.health.send_replace(Health::DiskFull) != Health::DiskFull {
            tracing::error!("the disk of the store is full: writes are refused, reads go on");
        }
        let applied = self.applier.state().position().index;
        match Node::new(self.id, self.node.log().clone(), self.members.current(), applied, self.node.rand()) {
            Ok(node) => self.node = node,
            Err(error) => return self.on_failure(error),
        }
        if self.is_witness {
            self.node.prefer_others();
        }
        self.leading = None;
        if self.is_alone() {
            self.applier.resume(); // of several servers only what is in the log is the same everywhere
        }
        self.opened.take().map(|opened| opened.send(()));
    }

    /// What was written may not be on the disk, or what is there cannot be read: nothing is
    /// acknowledged any more. Only a restart, which reads what is really there, helps.
    fn on_failure(&mut self, error: LogError) {
        let reason: Arc<str> = Chain(&error).to_string().into();
        tracing::error!(%reason, "the store stops accepting writes: restart it when the disk is good; reads go on");
        self.queue.refuse_proposed(&ProposeError::Unknown);
        self.queue.refuse_waiting(&ProposeError::LogFailed { reason: reason.clone() });
        self.shared.health.send_replace(Health::LogFailed { reason });
        self.failed = true;
        self.node.end();
        self.opened.take().map(|opened| opened.send(()));
    }

    /// Applies what was committed and places readers.
    fn handle(&mut self, work: Work) -> Result<(), LogError> {
        for entry in work.committed {
            let position = Position { index: entry.index, term: entry.term };
            if let Some(members) = self.node.change_members(&entry)? {
                self.change_applied(position, members);
                self.applier.entry(position, Entry::default());
            } else {
                self.apply(position, entry.data.into())?;
            }
            self.node.applied(position.index);
        }
        for read in work.reads {
            let question = read.request_ctx.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            self.barriers.place(question, read.index);
        }
        Ok(())
    }

    fn apply(&mut self, position: Position, data: Bytes) -> Result<(), LogError> {
        self.keeper.add(position.index, data.len());
        let entry = Entry::decode(&data).map_err(|source| LogError::Decode { what: "entry", source })?;
        let applied = self.applier.entry(position, entry);
        self.answers.extend(self.queue.take(position).into_iter().zip(applied.outcomes));
        match &mut self.leading {
            Some((term, resumed)) if applied.resumed && *term == position.term => *resumed = true,
            _ => (),
        }
        Ok(())
    }

    fn ask_reads(&mut self) {
        match self.barriers.question() {
            Some(question) => self.node.read_index(question),
            None => (),
        }
    }

    /// Tells the world who leads; about itself only once all of its predecessors' writes are applied.
    fn tell_role(&mut self) {
        let role = match (self.node.role(), self.leading) {
            (Role::Leader { term }, Some((_, true))) => Role::Leader { term },
            (Role::Leader { term }, _) => Role::Follower { term, leader: None },
            (follower, _) => follower,
        };
        let leads = matches!(role, Role::Leader { .. });
        self.shared.alone.store(self.is_alone(), Ordering::Release);
        if self.shared.role.send_if_modified(|told| std::mem::replace(told, role) != role) {
            self.shared.metrics.leader_changes.add(1);
            self.barriers.again(); // who leads now was not asked
        }
        if leads || !self.is_alone() {
            self.opened.take().map(|opened| opened.send(()));
        }
    }

    fn not_leader(&self) -> ProposeError {
        match self.node.role() {
            Role::Leader { .. } => ProposeError::NotLeader { leader: Some(self.id) },
            Role::Follower { leader, .. } => ProposeError::NotLeader { leader },
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.alone.store(false, Ordering::Release);
        self.barriers.refuse(&ProposeError::Closed);
        self.queue.refuse_waiting(&ProposeError::Closed);
        self.queue.refuse_proposed(&ProposeError::Unknown);
        self.shared.hub.close();
    }
}

/// The end of what runs, if something does.
async fn settled<T>(running: &mut Option<BoxFuture<'static, T>>) -> T {
    match running {
        Some(future) => {
            let done = future.await;
            *running = None;
            done
        }
        None => std::future::pending().await,
    }
}

fn entry_bytes(write: &LogWrite) -> u64 {
    write.entries.iter().map(|entry| entry.data.len() as u64).sum()
}
