//! What a server knows of its cluster, for people to look at.

use std::time::Duration;

/// What one server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub id: u64,
    pub leader: Option<u64>,
    pub term: u64,
    /// The last entry in the log, and the last that is in the state.
    pub last_index: u64,
    pub applied_index: u64,
    pub members: Vec<MemberStatus>,
}

/// What a server knows of another, or of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: u64,
    pub is_voter: bool,
    /// Up to where its log is known to be written; only the leader knows.
    pub matched: Option<u64>,
    /// It is being given a whole state.
    pub is_restoring: bool,
    /// How long ago it was last heard of, if ever.
    pub heard_ago: Option<Duration>,
}
