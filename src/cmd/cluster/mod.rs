//! The servers of a cluster: how they find each other, what they say to each other, and how one joins.
//!
//! Servers are ids. Where one is stands in its member object in the store, which no API serves; it
//! writes that itself whenever its address changes. Whoever asks says where it can be reached, so that
//! a server that moved is found again by those it asks.

mod book;
mod carrier;
mod elsewhere;
mod enter;
mod join;
mod presence;
mod serve;
mod version;
mod witness;

use serde::{Deserialize, Serialize};

pub use book::Book;
pub use carrier::Carrier;
pub use elsewhere::Leader;
pub use enter::enter;
pub use join::{Prepared, prepare};
pub use serve::ClusterServer;
pub use witness::WitnessServer;

pub const SERVER: &str = "/v1-skiff/server";
const MEMBER: &str = "/v1-skiff/member";
const HELLO: &str = "/v1-skiff/hello";
const MESSAGES: &str = "/v1-skiff/store/messages";
const RENEWALS: &str = "/v1-skiff/store/renewals";
const STATE: &str = "/v1-skiff/store/state";
pub const MEMBERS: &str = "/v1-skiff/members";
pub const REMOVE: &str = "/v1-skiff/members/remove";
pub const PROMOTE: &str = "/v1-skiff/members/promote";

/// Who asks, in hex, and where it can be reached.
const FROM: &str = "x-skiff-member";
const ADDRESS: &str = "x-skiff-address";
/// What it runs.
const VERSION: &str = "x-skiff-version";

/// A server as its member object describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Member {
    /// In hex.
    pub id: String,
    /// Of its machine.
    pub name: String,
    /// `host:port`
    pub address: String,
    pub version: String,
    /// It only votes, and has no API.
    pub is_witness: bool,
    /// It was taken out, and with its old data it must not come back.
    pub is_removed: bool,
}

impl Member {
    pub fn number(&self) -> u64 {
        u64::from_str_radix(&self.id, 16).unwrap_or_default()
    }
}

/// A server that asks to be taken in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Arrival {
    #[serde(flatten)]
    member: Member,
    /// In hex, the id that it had before its disk lost something; that one never comes back.
    #[serde(skip_serializing_if = "String::is_empty")]
    replaces: String,
}

/// What `skiff member` shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemberView {
    #[serde(flatten)]
    pub member: Member,
    pub is_voter: bool,
    pub is_leader: bool,
    pub is_restoring: bool,
    /// How many entries it lacks; only the leader knows.
    pub behind: Option<u64>,
    pub heard_ago_ms: Option<u64>,
}

/// Which member is meant: by id or by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Which {
    pub member: String,
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}
