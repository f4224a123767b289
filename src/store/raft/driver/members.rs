//! Who belongs to the cluster, and how the others are.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Driver;
use crate::store::Role;

use crate::store::raft::membership::{Change, ChangeError, Members};
use crate::store::raft::status::{MemberStatus, Status};
use crate::store::state::Position;

/// A learner that lacks no more entries than this may become a voter.
const PROMOTE_LAG_MAX: u64 = 256;
/// A server that was not heard of for so long does not count as there.
const ALIVE_MAX: Duration = Duration::from_secs(3);
/// A state that nobody asks for any more is taken back: from those who were given it, and from all.
const OFFER_IDLE_MAX: Duration = Duration::from_secs(20);
const OFFER_UNUSED_MAX: Duration = Duration::from_secs(3);

type Reply = oneshot::Sender<Result<(), ChangeError>>;

impl Driver {
    pub(super) fn change_members(&mut self, change: Change, reply: Reply) {
        match self.propose_change(change) {
            Ok(Some(position)) => self.changes.push_back((position, reply)),
            Ok(None) => drop(reply.send(Ok(()))),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// `None` if the members are so already.
    fn propose_change(&mut self, change: Change) -> Result<Option<Position>, ChangeError> {
        let leader = match self.node.role() {
            Role::Leader { .. } if self.leading.is_some_and(|(_, resumed)| resumed) => None,
            Role::Leader { .. } => return Err(ChangeError::Busy),
            Role::Follower { leader, .. } => Some(leader),
        };
        if let Some(leader) = leader {
            return Err(ChangeError::NotLeader { leader });
        }
        let members = self.members.current().clone();
        if members.auto_leave || !members.voters_outgoing.is_empty() {
            return Err(ChangeError::Busy);
        }
        match change {
            Change::Promote(id) if !members.contains(id) => return Err(ChangeError::NotLearner { id }),
            Change::Remove(id) => self.check_majority_without(id, &members)?,
            Change::Promote(_) | Change::Add(_) => (),
        }
        let Some(wanted) = members.raft_change(change) else { return Ok(None) };
        if change == Change::Remove(self.id) {
            self.hand_over();
            return Err(ChangeError::Busy);
        }
        self.settle_volatile();
        self.node.propose_change(&wanted).map(Some).ok_or(ChangeError::Busy)
    }

    /// What only this server's memory holds goes into the log before somebody else replays it.
    fn settle_volatile(&mut self) {
        let entry = self.begin_entry();
        if entry.ops > 0 {
            self.node.propose(entry.finish());
        }
    }

    fn check_majority_without(&self, id: u64, members: &Members) -> Result<(), ChangeError> {
        if !members.is_voter(id) {
            return Ok(());
        }
        let rest: Vec<u64> = members.voters.iter().copied().filter(|voter| *voter != id).collect();
        let alive = rest.iter().filter(|voter| **voter == self.id || self.is_alive(**voter)).count();
        match alive > rest.len() / 2 {
            true => Ok(()),
            false => Err(ChangeError::NoMajority { id, alive, voters: rest.len() }),
        }
    }

    fn is_alive(&self, id: u64) -> bool {
        self.heard.get(&id).is_some_and(|heard| self.clock.elapsed().saturating_sub(*heard) < ALIVE_MAX)
    }

    pub(super) fn change_applied(&mut self, position: Position, members: Members) {
        self.members.change(position.index, members);
        while self.changes.front().is_some_and(|(at, _)| at.index <= position.index) {
            let Some((at, reply)) = self.changes.pop_front() else { break };
            let _ = reply.send(if at == position { Ok(()) } else { Err(ChangeError::Unknown) });
        }
        self.tell_members();
    }

    pub(super) fn tell_members(&mut self) {
        let members = self.members.current();
        if !members.contains(self.id) && !members.voters.is_empty() {
            tracing::error!(
                "this server was removed from its cluster: it answers with what it has, and learns nothing new; \
                 to join again, stop it and remove its data directory"
            );
        }
        if members.contains(self.id) {
            self.dir.started_over();
        }
        self.link.out.keep(&|id| members.contains(id));
        self.heard.retain(|id, _| members.contains(*id));
        self.shared.members.send_if_modified(|told| std::mem::replace(told, members.clone()) != *members);
    }

    /// A leader promotes who has caught up, and takes offers back that nobody needs.
    pub(super) fn look_after_others(&mut self) {
        let progress = self.node.progress();
        let restoring = progress.iter().filter(|(_, _, restoring)| *restoring);
        let restoring: Vec<u64> = restoring.map(|(id, _, _)| *id).collect();
        let patience = if restoring.is_empty() { OFFER_UNUSED_MAX } else { OFFER_IDLE_MAX };
        if self.shared.offers.is_open() && self.shared.offers.idle() > patience {
            self.end_offer();
            restoring.iter().for_each(|id| self.node.snapshot_failed(*id));
        }
        if !self.node.is_leader() {
            return;
        }
        let members = self.members.current().clone();
        let last = self.node.last_index();
        let caught_up = |(id, matched, restoring): &(u64, u64, bool)| {
            members.learners.contains(id) && !restoring && *matched > 0 && matched + PROMOTE_LAG_MAX >= last
        };
        let ready = progress.iter().find(|it| caught_up(it) && self.is_alive(it.0));
        if let Some(id) = ready.map(|(id, ..)| *id)
            && let Ok(Some(_)) = self.propose_change(Change::Promote(id))
        {
            let voters = members.voters.len() + 1;
            tracing::info!(id = format!("{id:x}"), voters, "a server has caught up and becomes a voter");
            if voters.is_multiple_of(2) {
                tracing::warn!(
                    voters,
                    "an even number of voters survives no more losses than one voter fewer: add another"
                );
            }
        }
    }

    pub(super) fn status(&self) -> Status {
        let members = self.members.current();
        let (leader, term) = match self.node.role() {
            Role::Leader { term } => (Some(self.id), term),
            Role::Follower { term, leader } => (leader, term),
        };
        let progress = self.node.progress();
        let ids = [&members.voters, &members.learners, &members.voters_outgoing, &members.learners_next];
        let mut ids: Vec<u64> = ids.into_iter().flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let member = |id: u64| {
            let known = progress.iter().find(|(other, ..)| *other == id).filter(|_| self.node.is_leader());
            MemberStatus {
                id,
                is_voter: members.is_voter(id),
                matched: if id == self.id {
                    Some(self.node.last_index())
                } else {
                    known.map(|(_, matched, _)| *matched)
                },
                is_restoring: known.is_some_and(|(_, _, restoring)| *restoring),
                heard_ago: match id == self.id {
                    true => Some(Duration::ZERO),
                    false => self.heard.get(&id).map(|heard| self.clock.elapsed().saturating_sub(*heard)),
                },
            }
        };
        Status {
            id: self.id,
            leader,
            term,
            last_index: self.node.last_index(),
            applied_index: self.applier.state().position().index,
            members: ids.into_iter().map(member).collect(),
        }
    }
}
