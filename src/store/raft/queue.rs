//! What waits: proposals to get into the log, entries to be applied, readers to be let through.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::driver::RewriteReply;
use super::membership::{Change, ChangeError};
use super::status::Status;
use crate::store::ProposeError;
use crate::store::command::Outcome;
use crate::store::entry::EntryBuilder;
use crate::store::state::Position;

/// An entry is closed when it has this many bytes; a single larger command still fits.
const ENTRY_BYTES_MAX: usize = 4 << 20;

pub(in crate::store) type Answer = Result<Outcome, ProposeError>;
pub(in crate::store) type Reply = oneshot::Sender<Answer>;

/// A command on its way, encoded by whoever asked.
pub(in crate::store) struct Proposal {
    pub encoded: Vec<u8>,
    pub volatile: bool,
    pub reply: Reply,
}

/// What the driver is told.
pub(in crate::store) enum Input {
    Propose(Proposal),
    /// A reader wants everything acknowledged so far to be in the state.
    Barrier(oneshot::Sender<Result<(), ProposeError>>),
    Change(Change, oneshot::Sender<Result<(), ChangeError>>),
    /// Nothing is to be left on the disk as it was written before.
    Rewrite(RewriteReply),
    /// Lets another server lead, if this one does.
    HandOver,
    Status(oneshot::Sender<Status>),
    Witnesses(Vec<u64>),
}

/// Proposals between being asked for and being answered.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Proposal>,
    /// In the log, not applied: who wants to know about which entry.
    proposed: VecDeque<(Position, Vec<Reply>)>,
}

impl Queue {
    pub fn push(&mut self, proposal: Proposal) {
        self.waiting.push_back(proposal);
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.proposed.is_empty()
    }

    /// The entry with as many waiting proposals as it may hold, and who waits for them.
    pub fn fill(&mut self, mut entry: EntryBuilder) -> (EntryBuilder, Vec<Reply>) {
        let mut replies = Vec::with_capacity(self.waiting.len());
        while let Some(next) = self.waiting.front() {
            if entry.ops > 0 && entry.len() + next.encoded.len() > ENTRY_BYTES_MAX {
                break;
            }
            let Some(next) = self.waiting.pop_front() else { break };
            entry.push(&next.encoded);
            replies.push(next.reply);
        }
        (entry, replies)
    }

    pub fn proposed(&mut self, position: Position, replies: Vec<Reply>) {
        self.proposed.push_back((position, replies));
    }

    /// Who waits for the entry at `position`, which is being applied. Those whose entry another
    /// leader's took the place of are told that nobody knows.
    pub fn take(&mut self, position: Position) -> Vec<Reply> {
        while let Some((expected, _)) = self.proposed.front() {
            if expected.index > position.index {
                break;
            }
            let Some((expected, replies)) = self.proposed.pop_front() else { break };
            if expected == position {
                return replies;
            }
            answer_all(replies, &ProposeError::Unknown);
        }
        Vec::new()
    }

    pub fn refuse_waiting(&mut self, error: &ProposeError) {
        answer_all(self.waiting.drain(..).map(|proposal| proposal.reply), error);
    }

    pub fn refuse_proposed(&mut self, error: &ProposeError) {
        answer_all(self.proposed.drain(..).flat_map(|(_, replies)| replies), error);
    }
}

fn answer_all(replies: impl IntoIterator<Item = Reply>, error: &ProposeError) {
    for reply in replies {
        let _ = reply.send(Err(error.clone())); // whoever asked may have gone
    }
}

/// Readers that wait for the state to reach what was acknowledged when they asked.
#[derive(Default)]
pub(super) struct Barriers {
    new: Vec<oneshot::Sender<Result<(), ProposeError>>>,
    asked: VecDeque<(u64, Vec<oneshot::Sender<Result<(), ProposeError>>>)>,
    placed: Vec<(u64, Vec<oneshot::Sender<Result<(), ProposeError>>>)>,
    last_question: u64,
}

impl Barriers {
    pub fn push(&mut self, reply: oneshot::Sender<Result<(), ProposeError>>) {
        self.new.push(reply);
    }

    /// The question to ask raft for all readers that came since the last one.
    pub fn question(&mut self) -> Option<u64> {
        if self.new.is_empty() {
            return None;
        }
        self.last_question += 1;
        self.asked.push_back((self.last_question, std::mem::take(&mut self.new)));
        Some(self.last_question)
    }

    /// Asks again for all who have no answer: raft forgets questions when leaders change.
    pub fn again(&mut self) {
        self.new.extend(self.asked.drain(..).flat_map(|(_, replies)| replies));
        self.new.retain(|reply| !reply.is_closed());
    }

    /// Raft says that `index` answers `question`, and with it all asked before.
    pub fn place(&mut self, question: u64, index: u64) {
        while self.asked.front().is_some_and(|(asked, _)| *asked <= question) {
            self.placed.extend(self.asked.pop_front().map(|(_, replies)| (index, replies)));
        }
    }

    /// Lets those through whose index is applied.
    pub fn release(&mut self, applied: u64) {
        for (_, replies) in self.placed.extract_if(.., |(index, _)| *index <= applied) {
            replies.into_iter().for_each(|reply| drop(reply.send(Ok(()))));
        }
    }

    pub fn refuse(&mut self, error: &ProposeError) {
        let asked = self.asked.drain(..).chain(self.placed.drain(..)).flat_map(|(_, replies)| replies);
        for reply in asked.chain(self.new.drain(..)) {
            let _ = reply.send(Err(error.clone()));
        }
    }
}
