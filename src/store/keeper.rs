//! Keeps the log short: decides when a checkpoint is due, and takes it.
//!
//! A checkpoint is the newest snapshot, and the same once more in a file elsewhere: the second copy, for
//! the day on which the first cannot be read. The order matters, for a crash may come between any two
//! steps: first the snapshot is durable, then the second copy, and only then may the log forget what is in
//! both.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use super::base::Base;
use super::damage::{Damages, Part, Remedy};
use super::files::{DiskRef, aside, quarantine, remove_all};
use super::snapshot::{self, Packing, SnapshotError};
use super::state::Position;
use crate::base::error::Chain;
use crate::base::seal::SealRef;

/// When the log is long enough to be cut.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Beyond this many bytes more than all objects have: then neither copy of the state costs more than the
    /// log that made it necessary, of which history keeps a part.
    pub bytes: u64,
    /// Each cost the disk a block at least: many small entries are no reason to write much more than that.
    pub entries: usize,
}

/// What the smallest write costs a disk.
const BLOCK_BYTES: u64 = 4_096;

impl Default for LogLimits {
    fn default() -> Self {
        Self { bytes: 32 << 20, entries: 50_000 }
    }
}

impl LogLimits {
    /// The log is kept in files of this size, the unit in which space is given back.
    pub(super) fn file_bytes(self) -> u64 {
        (self.bytes / 4).clamp(64 << 10, 8 << 20)
    }
}

/// Why the log could not be cut. It grows until the next try.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    #[error("cannot write a snapshot")]
    Snapshot(#[from] SnapshotError),
    #[error("cannot move {} out of the way", path.display())]
    Aside { path: PathBuf, source: io::Error },
}

/// How long the log is, and from where.
#[derive(Debug)]
pub(super) struct Keeper {
    limits: LogLimits,
    /// Index and size of each entry since the last checkpoint.
    sizes: VecDeque<(u64, u32)>,
    bytes: u64,
    /// Not before the log is this long again: the last try found nothing to cut, or failed.
    patience: u64,
    /// What the log continues is on the disk once, and a checkpoint is to be the second copy.
    single: bool,
}

impl Keeper {
    pub fn new(limits: LogLimits) -> Self {
        Self { limits, sizes: VecDeque::new(), bytes: 0, patience: 0, single: false }
    }

    pub fn limits(&self) -> LogLimits {
        self.limits
    }

    pub fn set_single(&mut self, single: bool) {
        self.single = single;
    }

    pub fn is_single(&self) -> bool {
        self.single
    }

    pub fn add(&mut self, index: u64, size: usize) {
        self.sizes.push_back((index, u32::try_from(size).unwrap_or(u32::MAX)));
        self.bytes += size as u64;
    }

    /// Whether it is time for a checkpoint, of a state with `object_bytes`. Entries take `share` of their
    /// bytes on the disk: where they compress well a log of twice the objects is still a short one.
    pub fn is_due(&self, object_bytes: u64, share: f64) -> bool {
        let worth = (object_bytes as f64 * (1.0 / share.max(0.5)).clamp(1.0, 2.0)) as u64;
        let many = self.sizes.len() > self.limits.entries && self.sizes.len() as u64 * BLOCK_BYTES > object_bytes;
        let long = self.bytes > self.limits.bytes + worth || many;
        (long || self.single) && self.bytes >= self.patience
    }

    /// The newest entry that a log of a `part`th of its limit can do without, for who keeps nothing else.
    pub fn newest(&self, part: u64) -> Option<u64> {
        let mut rest = self.bytes;
        let is_rest_short = |(at, (_, size)): (usize, &(u64, u32))| {
            rest -= u64::from(*size);
            rest <= self.limits.bytes / part && self.sizes.len() - at <= self.limits.entries / part as usize + 1
        };
        self.sizes.iter().enumerate().position(is_rest_short).map(|at| self.sizes[at].0)
    }

    /// Nothing was cut: do not try again before the log has grown by another quarter of its limit.
    pub fn wait(&mut self) {
        self.patience = self.bytes + self.limits.bytes / 4;
    }

    /// The log was cut up to `index`.
    pub fn cut(&mut self, index: u64) {
        while self.sizes.front().is_some_and(|(first, _)| *first <= index) {
            self.bytes -= self.sizes.pop_front().map_or(0, |(_, size)| u64::from(size));
        }
        self.patience = 0;
    }
}

/// A checkpoint to be taken, away from the event loop.
pub(super) struct Checkpoint {
    pub base: Base,
    pub disk: DiskRef,
    pub snapshots: PathBuf,
    /// Where the second copy is.
    pub copy: PathBuf,
    pub seal: SealRef,
    /// Nothing of what was written before is to be left, not even what was moved aside.
    pub is_afresh: bool,
    pub damages: Damages,
}

impl Checkpoint {
    /// Tells where it was taken, once it is durable.
    pub fn take(self) -> Result<Position, KeepError> {
        snapshot::save(&*self.disk, &self.snapshots, &self.base, &*self.seal)?;
        self.look_at_old_copy()?;
        snapshot::export(&*self.disk, &self.copy, &self.base, &*self.seal, Packing::Blocks)?;
        if self.is_afresh {
            snapshot::list_aside(&self.snapshots).iter().for_each(|path| drop(self.disk.remove(path)));
            remove_all(&aside(&self.copy)).map_err(|source| self.in_the_way(source))?;
        }
        Ok(self.base.state.position)
    }

    /// Nobody reads the copy while all is well: here, where it is to be replaced, it shows whether it would
    /// have been of use.
    fn look_at_old_copy(&self) -> Result<(), KeepError> {
        if self.copy.is_dir() {
            // A database, of an older skiff.
            return remove_all(&self.copy).map_err(|source| self.in_the_way(source));
        }
        if let Err(error @ SnapshotError::Damaged { .. }) = snapshot::check(&*self.disk, &self.copy) {
            let aside = quarantine(&*self.disk, &self.copy).map_err(|source| self.in_the_way(source))?;
            tracing::error!(error = %Chain(&error), "the second copy of the state cannot be used");
            self.damages.add(Part::Checkpoint, &self.copy, Remedy::Replaced { aside });
        }
        Ok(())
    }

    fn in_the_way(&self, source: io::Error) -> KeepError {
        KeepError::Aside { path: self.copy.clone(), source }
    }
}
