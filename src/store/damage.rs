//! What was found not to be as it was written, and what became of it: for the log, `/metrics` and
//! whoever tells the users.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::metrics::Metrics;

/// How many are remembered; the count goes on.
const KEPT_MAX: usize = 64;

/// Which part of the store it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Log,
    Checkpoint,
    Snapshot,
}

/// What was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A flipped bit was found by its checksum and turned back.
    Mended { offset: u64 },
    /// It lies aside, and another copy took its place.
    Replaced { aside: PathBuf },
    /// It lies aside, and this server joined its cluster anew to get everything from the others.
    Rejoined { aside: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub part: Part,
    pub path: PathBuf,
    pub remedy: Remedy,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = match self.part {
            Part::Log => "log",
            Part::Checkpoint => "checkpoint",
            Part::Snapshot => "snapshot",
        };
        write!(f, "the store's {part} {} was damaged: ", self.path.display())?;
        match &self.remedy {
            Remedy::Mended { offset } => write!(f, "a flipped bit in byte {offset} was turned back"),
            Remedy::Replaced { aside } => write!(f, "another copy took its place; it is in {}", aside.display()),
            Remedy::Rejoined { aside } => {
                write!(f, "this server gets everything from the others; it is in {}", aside.display())
            }
        }
    }
}

/// The damages that were found so far. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Damages {
    found: watch::Sender<Vec<Damage>>,
    metrics: Arc<Metrics>,
}

impl Damages {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { found: watch::Sender::default(), metrics }
    }

    pub(super) fn add(&self, part: Part, path: impl Into<PathBuf>, remedy: Remedy) {
        let damage = Damage { part, path: path.into(), remedy };
        tracing::error!("{damage}");
        match part {
            Part::Log => self.metrics.damaged_logs.add(1),
            Part::Checkpoint => self.metrics.damaged_checkpoints.add(1),
            Part::Snapshot => self.metrics.damaged_snapshots.add(1),
        }
        self.found.send_if_modified(|found| {
            let has_room = found.len() < KEPT_MAX;
            found.extend(has_room.then_some(damage));
            has_room
        });
    }

    pub(super) fn found(&self) -> watch::Receiver<Vec<Damage>> {
        self.found.subscribe()
    }
}
