//! Making a cluster of one out of what is left: of a server whose peers are gone for good, or of a
//! snapshot.
//!
//! Everything in the log counts, also what this server never heard was committed: an acknowledged write
//! may be among it. The server gets a new id, so that messages of the old cluster mean nothing to it,
//! and revisions jump ahead, so that no client sees time go back.

use std::io;
use std::path::Path;

use super::base::Base;
use super::datadir::{DataDir, DataDirError};
use super::files::DiskRef;
use super::raft::{Members, OpenError, replay, restart_log};
use super::snapshot::{self, SnapshotError};
use super::state::{Position, State};
use crate::base::clock::ClockRef;
use crate::base::rand::Rand;
use crate::base::seal::SealRef;
use crate::object::Revision;

/// How far revisions jump: nobody writes so much between a snapshot and its use.
const JUMP: u64 = 1_000_000_000;

/// Why a cluster could not be made anew. Until the last step the old one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot read what is left of the store; give a snapshot with --from")]
    Open(#[from] OpenError),
    #[error("cannot use the snapshot")]
    Snapshot(#[from] SnapshotError),
    #[error("the snapshot is of another cluster than the one in this data directory")]
    Other,
    #[error("cannot look for the store in {dir}")]
    Look { dir: String, source: io::Error },
}

/// What the new cluster has.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    pub objects: usize,
    pub revision: Revision,
}

/// Makes the store in `dir` that of a cluster of one, from the snapshot `from` or from what it has.
///
/// `is_meant` is asked whether a snapshot (second) may take the place of what is there (first).
pub fn reset(
    dir: &Path,
    from: Option<&Path>,
    disk: &DiskRef,
    seal: &SealRef,
    clock: ClockRef,
    rand: &dyn Rand,
    is_meant: &dyn Fn(&State, &State) -> bool,
) -> Result<Reset, ResetError> {
    let given = from.map(|path| snapshot::load(&**disk, path, seal)).transpose()?;
    let mut data = DataDir::open(dir, rand, false, false)?;
    let left = match (replay(&data, disk, seal, clock), &given) {
        (Ok(left), _) => left,
        (Err(error), Some(_)) => {
            tracing::warn!(%error, "what was in the store cannot be read; the snapshot takes its place");
            Base::default()
        }
        (Err(error), None) => return Err(error.into()),
    };
    if let Some(given) = &given
        && !is_meant(&left.state, &given.state)
    {
        return Err(ResetError::Other);
    }
    let newest = left.state.revision().max(left.state.reserved);
    let old = left.state.position();
    let mut base = given.unwrap_or(left);
    let known = base.state.position();
    let position = Position { index: old.index.max(known.index) + 1, term: old.term.max(known.term) + 1 };
    base.state.revision = Revision(newest.0.max(base.state.revision.0).max(base.state.reserved.0) + JUMP);
    base.state.reserved = base.state.revision;
    base.state.position = position;
    if seal.generation() != 0 {
        data.seals()?;
    }
    data.rename_member(rand)?;
    base.members = Members::alone(data.member);
    snapshot::save(&**disk, &data.snapshots(), &base, &*seal.now())?;
    data.set_single(true)?;
    restart_log(&data, disk, seal, position)?;
    Ok(Reset { objects: base.state.len(), revision: base.state.revision })
}
