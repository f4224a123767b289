//! Writes that need not survive a crash: applied in the leader's memory, and told to the others' now and
//! then, so that an idle cluster writes nothing to any disk.

use bytes::Bytes;

use super::Driver;
use crate::object::Revision;
use crate::store::entry::{Entry, EntryBuilder, Op};
use crate::store::network::Ask;
use crate::store::raft::queue::Proposal;
use crate::store::raft::renewals::{RENEWALS_BYTES_MAX, Renewals};
use crate::store::{ProposeError, Role};

impl Driver {
    /// In memory if nothing is on its way through the log; otherwise the log is being written anyway.
    pub(super) fn accept_volatile(&mut self, proposal: Proposal, refusal: Option<ProposeError>) {
        let leads = self.leading.is_some_and(|(_, resumed)| resumed);
        let may = leads || (self.is_alone() && refusal.is_some());
        let all_applied = self.node.last_index() == self.applier.state().position().index;
        let quiet = self.node.is_idle() && self.queue.is_empty() && (all_applied || refusal.is_some());
        let few = self.is_alone() || self.applier.volatile_extent().0 < RENEWALS_BYTES_MAX;
        if may && quiet && few {
            let decoded = Entry::decode(&single(&proposal.encoded));
            let command = decoded.ok().and_then(|mut entry| entry.ops.pop());
            if let Some(Op::Command(command)) = command
                && let Ok(outcome) = self.applier.volatile(command)
            {
                self.answers.push((proposal.reply, outcome));
                return;
            }
        }
        match refusal {
            Some(error) => drop(proposal.reply.send(Err(error))),
            None => {
                self.reserving |= self.applier.state().reserved() <= self.applier.state().revision();
                self.queue.push(proposal);
            }
        }
    }

    /// Tells the others what was written without the log, if they were not told.
    pub(super) fn pass_renewals(&mut self) {
        let Role::Leader { term } = self.node.role() else { return };
        let position = self.applier.state().position();
        let (bytes, revision) = self.applier.volatile_extent();
        if bytes == 0 || self.passed == (position.index, revision) || self.leading.is_none_or(|(_, resumed)| !resumed) {
            return;
        }
        self.passed = (position.index, revision);
        let message = Renewals { term, position, restores: self.applier.restores() }.encode();
        let members = self.members.current();
        let ids = members.voters.iter().chain(&members.learners).filter(|id| **id != self.id);
        for id in ids {
            let telling = self.network.ask(*id, Ask::Renewals, message.clone());
            self.scope.spawn("renewals", async move { drop(telling.await) }); // the next one tells it again
        }
    }

    /// Takes over what the leader wrote without the log, if it is this term's and about the same state.
    pub(super) fn follow(&mut self, renewals: Renewals) {
        let is_follower = matches!(self.node.role(), Role::Follower { term, .. } if term == renewals.term);
        if is_follower && !self.failed && !self.applier.follow(renewals.position, renewals.restores) {
            tracing::trace!("renewals that belong to another state");
        }
    }
}

fn single(command: &[u8]) -> Bytes {
    let mut entry = EntryBuilder::new(Revision::ZERO);
    entry.push(command);
    entry.finish().into()
}
