//! What waits: proposals to get into the log, entries to be applied, readers to be let through.

use std::collections::{BTreeMap, VecDeque};

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
    /// In the log, not applied: who wants to know about the entry of this index and term.
    proposed: BTreeMap<(u64, u64), Vec<Reply>>,
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
        let waiting: usize = self.waiting.iter().map(|next| next.encoded.len()).sum();
        entry.reserve(waiting.min(ENTRY_BYTES_MAX));
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
        self.proposed.insert((position.index, position.term), replies);
    }

    pub fn is_proposed(&self) -> bool {
        !self.proposed.is_empty()
    }

    /// Who waits for the entry at `position`, which is being applied. Another leader's entry in the place of
    /// one that was proposed says for certain that nothing has come of that, nor will.
    pub fn take(&mut self, position: Position) -> Vec<Reply> {
        let later = self.proposed.split_off(&(position.index + 1, 0));
        let decided = std::mem::replace(&mut self.proposed, later);
        let mut told = Vec::new();
        for ((index, term), replies) in decided {
            match index == position.index {
                true if term == position.term => told = replies,
                true => answer_all(replies, &ProposeError::NotLeader { leader: None }),
                false => answer_all(replies, &ProposeError::Unknown),
            }
        }
        told
    }

    /// The state at `index` came from elsewhere: whether what was proposed up to there is in it, nobody can tell.
    pub fn overtaken(&mut self, index: u64) {
        let later = self.proposed.split_off(&(index + 1, 0));
        let decided = std::mem::replace(&mut self.proposed, later);
        answer_all(decided.into_values().flatten(), &ProposeError::Unknown);
    }

    pub fn refuse_waiting(&mut self, error: &ProposeError) {
        answer_all(self.waiting.drain(..).map(|proposal| proposal.reply), error);
    }

    pub fn refuse_proposed(&mut self, error: &ProposeError) {
        answer_all(std::mem::take(&mut self.proposed).into_values().flatten(), error);
    }
}

fn answer_all(replies: impl IntoIterator<Item = Reply>, error: &ProposeError) {
    for reply in replies {
        let _ = reply.send(Err(error.clone())); // whoever asked may have gone
    }
}

/// Readers that wait for the state to reach what was acknowledged when they asked.
///
/// Questions are numbered from where no other server's are, nor those that this one asked before it was
/// restarted: a leader drops a question that looks like one it has, and its answer to an old one may still
/// be on its way, and tells of a time before writes that were acknowledged since.
pub(super) struct Barriers {
    new: Vec<oneshot::Sender<Result<(), ProposeError>>>,
    asked: VecDeque<(u64, Vec<oneshot::Sender<Result<(), ProposeError>>>)>,
    placed: Vec<(u64, Vec<oneshot::Sender<Result<(), ProposeError>>>)>,
    last_question: u64,
    /// Raft is to be asked once more for those that it was asked for.
    is_again: bool,
}

impl Barriers {
    /// `number` is where to begin: any that is not likely to be near another's.
    pub fn from(number: u64) -> Self {
        Self { new: Vec::new(), asked: VecDeque::new(), placed: Vec::new(), last_question: number, is_again: false }
    }

    pub fn push(&mut self, reply: oneshot::Sender<Result<(), ProposeError>>) {
        self.new.push(reply);
    }

    /// The question to ask raft for all readers that came since the last one, and for all before if it is to be
    /// asked again.
    pub fn question(&mut self) -> Option<u64> {
        let is_again = std::mem::take(&mut self.is_again);
        if self.new.is_empty() && !is_again {
            return None;
        }
        self.last_question = self.last_question.wrapping_add(1);
        self.asked.push_back((self.last_question, std::mem::take(&mut self.new)));
        Some(self.last_question)
    }

    /// Asks again for all who have no answer: raft forgets questions when leaders change. The answer to the first
    /// question is as good when it comes after all, which takes longer than asking again where links are slow.
    pub fn again(&mut self) {
        self.new.retain(|reply| !reply.is_closed());
        self.asked.iter_mut().for_each(|(_, replies)| replies.retain(|reply| !reply.is_closed()));
        while self.asked.front().is_some_and(|(_, replies)| replies.is_empty()) {
            self.asked.pop_front();
        }
        self.is_again = !self.asked.is_empty();
    }

    /// Raft says that `index` answers `question`, and with it all asked before. Nobody waits for the answer to
    /// one that this server asked before it was restarted.
    pub fn place(&mut self, question: u64, index: u64) {
        let Some(at) = self.asked.iter().position(|(asked, _)| *asked == question) else { return };
        self.placed.extend(self.asked.drain(..=at).map(|(_, replies)| (index, replies)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(queue: &mut Queue, index: u64, term: u64) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        queue.proposed(Position { index, term }, vec![reply]);
        answer
    }

    #[test]
    fn who_led_learns_from_the_log_what_became_of_it() {
        let mut queue = Queue::default();
        let (mut kept, mut replaced, mut later) =
            (asked(&mut queue, 5, 2), asked(&mut queue, 6, 2), asked(&mut queue, 7, 2));
        // It leads again, with an entry where the other had one.
        let mut again = asked(&mut queue, 6, 4);
        assert_eq!(queue.take(Position { index: 5, term: 2 }).len(), 1);
        assert!(kept.try_recv().is_err(), "it is for whoever took it to answer");
        assert_eq!(queue.take(Position { index: 6, term: 4 }).len(), 1);
        assert!(again.try_recv().is_err());
        assert!(matches!(replaced.try_recv(), Ok(Err(ProposeError::NotLeader { .. }))), "certainly not done");
        assert!(later.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        queue.overtaken(9);
        assert!(matches!(later.try_recv(), Ok(Err(ProposeError::Unknown))));
        assert!(!queue.is_proposed());
    }

    #[test]
    fn only_the_answer_to_its_own_question_lets_a_reader_through() {
        let (mut barriers, mut restarted) = (Barriers::from(u64::MAX - 1), Barriers::from(70));
        let ask = |barriers: &mut Barriers| {
            let (reply, answer) = oneshot::channel();
            barriers.push(reply);
            (barriers.question().unwrap(), answer)
        };
        let ((_, mut first), (second, mut other)) = (ask(&mut barriers), ask(&mut barriers));
        let ((_, mut third), (old, mut later)) = (ask(&mut barriers), ask(&mut restarted));
        restarted.place(second, 1);
        restarted.release(9);
        assert!(later.try_recv().is_err(), "that was asked before it was restarted");
        restarted.again();
        assert!(restarted.question().is_some_and(|anew| anew != old) && restarted.question().is_none());
        restarted.place(old, 1);
        restarted.release(9);
        assert!(
            later.try_recv().is_ok_and(|told| told.is_ok()),
            "the answer to the first took longer than asking again"
        );
        barriers.place(second, 5);
        barriers.release(4);
        assert!(first.try_recv().is_err(), "the state is behind");
        barriers.release(5);
        assert!(first.try_recv().is_ok_and(|told| told.is_ok()), "asked before the one that was answered");
        assert!(other.try_recv().is_ok_and(|told| told.is_ok()));
        assert!(third.try_recv().is_err(), "asked after it");
    }
}
