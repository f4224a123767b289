//! From a directory to a state and a log that continues it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use raft::eraftpb::{EntryType, HardState};

use super::inspect::{self, Damage as LogDamage};
use super::log::{Log, LogError, Saved};
use super::membership::Members;
use super::node::Node;
use crate::base::clock::ClockRef;
use crate::base::error::Chain;
use crate::base::rand::RandRef;
use crate::base::seal::SealRef;
use crate::store::applier::Applier;
use crate::store::base::Base;
use crate::store::damage::{Damages, Part, Remedy};
use crate::store::datadir::{DataDir, DataDirError};
use crate::store::entry::Entry as Ops;
use crate::store::files::{DiskRef, copy_aside, quarantine};
use crate::store::hub::Hub;
use crate::store::keeper::LogLimits;
use crate::store::reserve;
use crate::store::ring::RingLimits;
use crate::store::snapshot::{self, SnapshotError};
use crate::store::state::{Position, State};

/// A new log begins behind this entry, which nobody ever sees: a server that joins later then cannot
/// do with the log alone and receives a snapshot, in which the members are.
const GENESIS: Position = Position { index: 1, term: 1 };

/// How much of the log is read at once.
const REPLAY_BYTES: u64 = 8 << 20;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot open the store's log")]
    Log(#[from] LogError),
    #[error("cannot read what the store holds")]
    Snapshot(#[from] SnapshotError),
    #[error("no state to continue the log from, which begins behind entry {log_base}: neither {} nor a snapshot beside it can be read; restore a backup with `skiff server --cluster-reset --from FILE`; one of several servers whose others are well may remove its store and join again", checkpoint.display())]
    Lost { checkpoint: PathBuf, log_base: u64 },
    #[error(
        "the log is damaged at byte {offset} of {}, and writes behind it may have been acknowledged: restore a backup with `skiff server --cluster-reset --from FILE`, or go on with what is before it with `skiff server --cluster-reset`; one of several servers whose others are well may remove its store and join again",
        path.display()
    )]
    DamagedLog { path: PathBuf, offset: u64 },
    #[error("cannot look through the log in {}", dir.display())]
    Inspect { dir: PathBuf, source: io::Error },
    #[error("cannot make the end of the log durable again in {}: is the disk worn out?", path.display())]
    Harden { path: PathBuf, source: io::Error },
    #[error("cannot move a damaged part of the store aside")]
    Quarantine(#[source] io::Error),
    #[error("the store's task ended while it was opening")]
    Ended,
}

impl OpenError {
    /// Whether something is gone that this disk has nowhere else. Other servers may have it.
    pub(in crate::store) fn is_loss(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::DamagedLog { .. })
    }
}

/// Where the store was when it stopped, as far as checkpoint or snapshot say.
pub(in crate::store) struct Recovered {
    pub base: Base,
    /// The base is on the disk once only.
    pub single: bool,
    pub(super) node: Node,
}

/// Loads the newest state there is and opens the log behind it. Entries that the state lacks come out
/// of the node's first steps.
pub(in crate::store) fn recover(
    dir: &DataDir,
    disk: &DiskRef,
    seal: &SealRef,
    limits: LogLimits,
    rand: &RandRef,
    damages: &Damages,
) -> Result<Recovered, OpenError> {
    snapshot::clear(&**disk, &dir.snapshots());
    if let Some(LogDamage { path, offset }) = look_through(dir, disk, damages)? {
        return Err(OpenError::DamagedLog { path, offset });
    }
    match inspect::harden(&**disk, &dir.log()) {
        Err((path, source)) if source.kind() == io::ErrorKind::StorageFull => {
            // Only where blocks are never written in place; reads must go on there too.
            tracing::warn!(path = %path.display(), %source, "no space to write the end of the log again");
        }
        hardened => hardened.map_err(|(path, source)| OpenError::Harden { path, source })?,
    }
    let log = Arc::new(open_log(dir, disk, seal, limits)?);
    let saved = log.saved()?;
    let mut single = dir.is_single()?;
    let base = match load(dir, disk, seal, saved.base.index, damages)? {
        Some((base, from)) => {
            single |= from == From::Copy;
            base
        }
        None if saved.base.index <= GENESIS.index && dir.is_joining => Base::default(),
        None if saved.base.index <= GENESIS.index => genesis(dir.member),
        None => return Err(OpenError::Lost { checkpoint: dir.checkpoint(), log_base: saved.base.index }),
    };
    let position = base.state.position();
    if !continues(&log, &saved, position)? {
        if saved.last != Position::default() {
            tracing::error!(
                log_ends = saved.last.index,
                snapshot = position.index,
                "the log does not continue the snapshot: going on from the snapshot; what came after it is lost"
            );
        }
        // It was given by another server, and this one stopped before it could take it over.
        if position.index > GENESIS.index && !dir.is_witness {
            dir.set_single(true)?;
            single = true;
        }
        let term = saved.hard_state.term.max(position.term);
        let vote = if term == saved.hard_state.term { saved.hard_state.vote } else { 0 };
        log.reset(position, &HardState { term, vote, commit: position.index })?;
    }
    let node = Node::new(dir.member, log, &base.members, position.index, rand.clone())?;
    Ok(Recovered { base, single: single && !dir.is_witness, node })
}

/// Where there is no space for a file of the log, what was set aside for that is used.
fn open_log(dir: &DataDir, disk: &DiskRef, seal: &SealRef, limits: LogLimits) -> Result<Log, LogError> {
    let open = || Log::open(&dir.log(), disk.clone(), seal.clone(), limits.file_bytes());
    let log = match open() {
        Err(error) if error.is_full() && reserve::spend(&**disk, &dir.reserve()) => {
            tracing::warn!("the disk is full: opening the log with the space that was set aside for that");
            open()
        }
        opened => opened,
    }?;
    reserve::keep(&**disk, &dir.reserve());
    Ok(log)
}

/// The state after everything that is in the log, whether it was committed or not.
pub(in crate::store) fn replay(
    dir: &DataDir,
    disk: &DiskRef,
    seal: &SealRef,
    clock: ClockRef,
) -> Result<Base, OpenError> {
    let damages = Damages::default();
    if let Some(damage) = look_through(dir, disk, &damages)? {
        let aside = copy_aside(&dir.log()).map_err(OpenError::Quarantine)?;
        let inspect = |source| OpenError::Inspect { dir: dir.log(), source };
        inspect::cut_off(&**disk, &dir.log(), &damage).map_err(inspect)?;
        tracing::error!(
            path = %damage.path.display(), offset = damage.offset, copy = %aside.display(),
            "the log is damaged: going on with what is before"
        );
    }
    let log = Log::open(&dir.log(), disk.clone(), seal.clone(), LogLimits::default().file_bytes())?;
    let saved = log.saved()?;
    let base = load(dir, disk, seal, saved.base.index, &damages)?.map(|(base, _)| base).unwrap_or_default();
    let mut applier = Applier::new(Hub::new(base.state, RingLimits::default()), Arc::default(), clock);
    let mut next = applier.state().position().index.max(saved.base.index) + 1;
    while next <= saved.last.index {
        for entry in log.entries(next, saved.last.index + 1, REPLAY_BYTES)? {
            let position = Position { index: entry.index, term: entry.term };
            next = entry.index + 1;
            let ops = match entry.get_entry_type() {
                EntryType::EntryNormal => Ops::decode(&entry.data.into()),
                EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => Ok(Ops::default()),
            };
            let damaged = |source| LogError::Decode { what: "entry", source };
            applier.entry(position, ops.map_err(damaged)?);
        }
    }
    Ok(Base { state: applier.state().clone(), members: base.members })
}

/// Mends what can be mended in the log; what cannot is told.
fn look_through(dir: &DataDir, disk: &DiskRef, damages: &Damages) -> Result<Option<LogDamage>, OpenError> {
    let found = inspect::inspect(&**disk, &dir.log());
    let found = found.map_err(|source| OpenError::Inspect { dir: dir.log(), source })?;
    for LogDamage { path, offset } in found.mended {
        damages.add(Part::Log, path, Remedy::Mended { offset });
    }
    Ok(found.damage)
}

/// Lets the log begin anew behind `position`.
pub(in crate::store) fn restart_log(
    dir: &DataDir,
    disk: &DiskRef,
    seal: &SealRef,
    position: Position,
) -> Result<(), OpenError> {
    let log = Log::open(&dir.log(), disk.clone(), seal.clone(), LogLimits::default().file_bytes())?;
    let hard_state = HardState { term: position.term, commit: position.index, ..HardState::default() };
    Ok(log.reset(position, &hard_state)?)
}

/// Whether the log holds what comes after `position`. It does not when it ends before, and when it was
/// about to be replaced by a snapshot of another leader.
fn continues(log: &Log, saved: &Saved, position: Position) -> Result<bool, LogError> {
    if position.index <= saved.base.index {
        return Ok(true);
    }
    if position.index > saved.last.index {
        return Ok(false);
    }
    Ok(log.term(position.index)? == position.term)
}

/// Where a state was read.
#[derive(Clone, Copy, PartialEq)]
enum From {
    Snapshot,
    Copy,
}

impl From {
    fn part(self) -> Part {
        match self {
            Self::Snapshot => Part::Snapshot,
            Self::Copy => Part::Checkpoint,
        }
    }
}

/// The newest snapshot that the log continues, or if none can be read the second copy, which holds the same.
fn load(
    dir: &DataDir,
    disk: &DiskRef,
    seal: &SealRef,
    log_base: u64,
    damages: &Damages,
) -> Result<Option<(Base, From)>, OpenError> {
    let mut unreadable = None; // now; perhaps not later: that is no damage
    let snapshots = snapshot::list(&dir.snapshots()).into_iter().map(|path| (path, From::Snapshot));
    // In place of the copy may be none yet, or the database of an older skiff, which held the same.
    let copy = Some((dir.checkpoint(), From::Copy)).filter(|(path, _)| path.is_file());
    for (path, from) in snapshots.chain(copy) {
        match snapshot::load(&**disk, &path, seal) {
            Ok(base) if base.state.position().index >= log_base => {
                if from == From::Copy {
                    tracing::warn!("no snapshot can be used: going on from its second copy");
                }
                return Ok(Some((base, from)));
            }
            Ok(_) => tracing::warn!(path = %path.display(), log_base, "the snapshot is older than the log"),
            Err(error @ SnapshotError::Damaged { .. }) => {
                let aside = quarantine(&**disk, &path).map_err(OpenError::Quarantine)?;
                tracing::error!(error = %Chain(&error), "a snapshot cannot be used");
                damages.add(from.part(), path, Remedy::Replaced { aside });
            }
            Err(error @ (SnapshotError::Locked { .. } | SnapshotError::Newer { .. })) => return Err(error.into()),
            Err(error) => {
                tracing::error!(error = %Chain(&error), "cannot use a snapshot");
                unreadable = Some(OpenError::from(error));
            }
        }
    }
    unreadable.map_or(Ok(None), Err)
}

fn genesis(member: u64) -> Base {
    Base { state: State { position: GENESIS, ..State::default() }, members: Members::alone(member) }
}
