//! From a directory to a state and a log that continues it.

use std::path::PathBuf;
use std::sync::Arc;

use raft::eraftpb::HardState;

use super::log::{Log, LogError};
use super::membership::Members;
use super::node::Node;
use crate::base::error::Chain;
use crate::store::base::Base;
use crate::store::datadir::{DataDir, DataDirError};
use crate::store::disk;
use crate::store::files::DiskRef;
use crate::store::snapshot;
use crate::store::state::{Position, State};

/// A new log begins behind this entry, which nobody ever sees: a server that joins later then cannot
/// do with the log alone and receives a snapshot, in which the members are.
const GENESIS: Position = Position { index: 1, term: 1 };

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot open the store's log")]
    Log(#[from] LogError),
    #[error("no state to continue the log from, which begins behind entry {log_base}: neither {} nor a snapshot beside it can be read; restore a backup", checkpoint.display())]
    Lost { checkpoint: PathBuf, log_base: u64 },
    #[error("the store's task ended while it was opening")]
    Ended,
}

/// Where the store was when it stopped, as far as checkpoint or snapshot say.
pub(in crate::store) struct Recovered {
    pub base: Base,
    pub(super) node: Node,
}

/// Loads the newest state there is and opens the log behind it. Entries that the state lacks come out
/// of the node's first steps.
pub(in crate::store) fn recover(dir: &DataDir, disk: &DiskRef) -> Result<Recovered, OpenError> {
    let log = Arc::new(Log::open(&dir.log(), disk.clone())?);
    let saved = log.saved()?;
    let base = match load(dir, disk, saved.base.index)? {
        Some(base) => base,
        None if saved.base.index <= GENESIS.index => genesis(dir.member),
        None => return Err(OpenError::Lost { checkpoint: dir.checkpoint(), log_base: saved.base.index }),
    };
    let position = base.state.position();
    if saved.last.index < position.index {
        if saved.last != Position::default() {
            tracing::error!(
                log_ends = saved.last.index,
                checkpoint = position.index,
                "the log ends before the checkpoint: going on from the checkpoint; what came after it is lost"
            );
        }
        let hard_state = HardState { term: saved.hard_state.term.max(position.term), ..HardState::default() };
        log.reset(position, &HardState { commit: position.index, ..hard_state })?;
    }
    let node = Node::new(dir.member, log, &base.members, position.index)?;
    Ok(Recovered { base, node })
}

/// The checkpoint, or if it is damaged the newest snapshot that the log continues.
fn load(dir: &DataDir, disk: &DiskRef, log_base: u64) -> Result<Option<Base>, OpenError> {
    let continued = |base: &Base| base.state.position().index >= log_base;
    match disk::load(&dir.checkpoint()) {
        Ok(Some(base)) if continued(&base) => return Ok(Some(base)),
        Ok(Some(base)) => {
            let found = base.state.position().index;
            tracing::warn!(found, log_base, "the checkpoint is older than the log: using the snapshot");
        }
        Ok(None) => (),
        Err(error) => {
            let aside = dir.quarantine_checkpoint()?;
            let error = Chain(&error).to_string();
            tracing::error!(error, aside = %aside.display(), "moved the checkpoint aside: rebuilding from snapshot and log");
        }
    }
    for path in snapshot::list(&dir.snapshots()) {
        match snapshot::load(&**disk, &path) {
            Ok(base) if continued(&base) => return Ok(Some(base)),
            Ok(_) => tracing::warn!(path = %path.display(), log_base, "the snapshot is older than the log"),
            Err(error) => tracing::error!(error = %Chain(&error), "cannot use a snapshot"),
        }
    }
    Ok(None)
}

fn genesis(member: u64) -> Base {
    Base { state: State { position: GENESIS, ..State::default() }, members: Members::alone(member) }
}
