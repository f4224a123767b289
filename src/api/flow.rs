//! How much is worked on at once.
//!
//! Reads and writes have a limit each; what is over it is told to come back in a second, because a
//! queue would only make everybody late. Watches and other long requests count against a limit of
//! their own. Administrators are never turned away: somebody must be able to repair things.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::object::User;

use super::metrics::{Held, Metrics};

pub const READS_MAX: usize = 400;
pub const WRITES_MAX: usize = 200;
pub const LONG_RUNNING_MAX: usize = 20_000;

/// What kind of load a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Read,
    Write,
    LongRunning,
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "readOnly",
            Self::Write => "mutating",
            Self::LongRunning => "longRunning",
        }
    }
}

pub struct Flow {
    metrics: Arc<Metrics>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    long_running: Arc<Semaphore>,
}

/// The right to be worked on, given back when dropped.
pub struct Seat {
    _permit: Option<OwnedSemaphorePermit>,
    _counted: Held,
}

/// There is no seat.
#[derive(Debug)]
pub struct TooMany;

impl Flow {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            long_running: Arc::new(Semaphore::new(LONG_RUNNING_MAX)),
        }
    }

    pub fn enter(&self, load: Load, user: &User) -> Result<Seat, TooMany> {
        let seats = match load {
            Load::Read => &self.reads,
            Load::Write => &self.writes,
            Load::LongRunning => &self.long_running,
        };
        let permit = seats.clone().try_acquire_owned().ok();
        if permit.is_none() && !user.in_group("system:masters") {
            self.metrics.rejected.with(&[load.name()]).add(1);
            return Err(TooMany);
        }
        Ok(Seat { _permit: permit, _counted: self.metrics.inflight.with(&[load.name()]).hold() })
    }
}
