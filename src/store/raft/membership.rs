//! Who belongs to the cluster: as stored, and as raft wants it.

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};

use crate::store::wire::{Reader, WireError, put_u64};

/// A change of who belongs to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// As a learner: it is given everything, but nobody waits for its consent.
    Add(u64),
    /// From a learner to a voter.
    Promote(u64),
    Remove(u64),
}

/// Why the members were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("this server does not lead the cluster")]
    NotLeader { leader: Option<u64> },
    #[error("another change of members is not done yet; try again")]
    Busy,
    #[error(
        "without server {id:x} only {alive} of {voters} voters would be there, which is no majority: bring others back first"
    )]
    NoMajority { id: u64, alive: usize, voters: usize },
    #[error("server {id:x} is no learner of this cluster")]
    NotLearner { id: u64 },
    #[error("leadership was lost before the change was done: look at the members")]
    Unknown,
    #[error("the store is closed")]
    Closed,
    #[error(
        "the state is kept in etcd: servers come and go by themselves, and etcd's own members are for `etcdctl member`"
    )]
    External,
}

/// The servers of a cluster, by id. During a change both the old and the new voters count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    pub voters_outgoing: Vec<u64>,
    pub learners_next: Vec<u64>,
    pub auto_leave: bool,
}

impl Members {
    /// A cluster of one.
    pub fn alone(id: u64) -> Self {
        Self { voters: vec![id], ..Self::default() }
    }

    /// Those whose consent counts.
    pub fn is_voter(&self, id: u64) -> bool {
        self.voters.contains(&id) || self.voters_outgoing.contains(&id)
    }

    pub fn contains(&self, id: u64) -> bool {
        self.is_voter(id) || self.learners.contains(&id) || self.learners_next.contains(&id)
    }

    /// Whether `id` decides everything by itself and has nobody to tell.
    pub fn is_alone(&self, id: u64) -> bool {
        let others = [&self.learners, &self.voters_outgoing, &self.learners_next];
        self.voters == [id] && others.iter().all(|ids| ids.is_empty()) && !self.auto_leave
    }

    pub(in crate::store) fn encode(&self, into: &mut Vec<u8>) {
        for ids in [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next] {
            put_u64(into, ids.len() as u64);
            ids.iter().for_each(|id| put_u64(into, *id));
        }
        into.push(self.auto_leave.into());
    }

    pub(in crate::store) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut ids = || -> Result<Vec<u64>, WireError> { (0..reader.u64()?).map(|_| reader.u64()).collect() };
        let (voters, learners, voters_outgoing, learners_next) = (ids()?, ids()?, ids()?, ids()?);
        Ok(Self { voters, learners, voters_outgoing, learners_next, auto_leave: reader.byte()? != 0 })
    }

    /// What raft is asked for to change them; `None` if they are so already.
    pub(super) fn raft_change(&self, change: Change) -> Option<ConfChangeV2> {
        let (kind, id) = match change {
            Change::Add(id) if self.contains(id) => return None,
            Change::Promote(id) if self.voters.contains(&id) => return None,
            Change::Remove(id) if !self.contains(id) => return None,
            Change::Add(id) => (ConfChangeType::AddLearnerNode, id),
            Change::Promote(id) => (ConfChangeType::AddNode, id),
            Change::Remove(id) => (ConfChangeType::RemoveNode, id),
        };
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = id;
        let mut wanted = ConfChangeV2::default();
        wanted.set_changes(vec![single].into());
        Some(wanted)
    }

    pub(super) fn to_raft(&self) -> ConfState {
        ConfState {
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            voters_outgoing: self.voters_outgoing.clone(),
            learners_next: self.learners_next.clone(),
            auto_leave: self.auto_leave,
        }
    }

    pub(super) fn of_raft(state: &ConfState) -> Self {
        Self {
            voters: state.voters.clone(),
            learners: state.learners.clone(),
            voters_outgoing: state.voters_outgoing.clone(),
            learners_next: state.learners_next.clone(),
            auto_leave: state.auto_leave,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_read_back_as_written() {
        let members = Members { learners: vec![9, 300], auto_leave: true, ..Members::alone(1 << 60) };
        let mut bytes = Vec::new();
        members.encode(&mut bytes);
        assert_eq!(Members::decode(&mut Reader::new("members", &bytes)).unwrap(), members);
        assert!(!members.is_alone(1 << 60));
    }
}
