//! Whether the node is under pressure: from the moment something is short until it has been plenty
//! for five minutes, so that pods do not come back only to be evicted again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::signals::{Observed, Shared};
use crate::kubelet::node::status::Pressure;

const CALM_AFTER: Duration = Duration::from_secs(300);

/// Shared by who observes the node and who tells of it. Times are those of the running clock.
#[derive(Debug, Default)]
pub struct Pressures(Mutex<Last>);

/// When each was short last.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    memory: Option<Duration>,
    disk: Option<Duration>,
}

impl Pressures {
    /// Takes in what is short at `now`.
    pub fn note(&self, short: &[Observed], now: Duration) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for observed in short {
            match observed.threshold.shared {
                Shared::Memory => last.memory = Some(now),
                Shared::Disk | Shared::Inodes => last.disk = Some(now),
            }
        }
    }

    pub fn at(&self, now: Duration) -> Pressure {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |at: Option<Duration>| at.is_some_and(|at| now.saturating_sub(at) < CALM_AFTER);
        Pressure { memory: lasts(last.memory), disk: lasts(last.disk), pids: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::evict::signals::MEMORY;

    #[test]
    fn pressure_outlasts_its_cause() {
        let (pressures, secs) = (Pressures::default(), Duration::from_secs);
        assert_eq!(pressures.at(secs(400)), Pressure::default());
        pressures.note(&[Observed::new(&MEMORY, 0, 1)], secs(400));
        pressures.note(&[], secs(410));
        assert!(pressures.at(secs(699)).memory && !pressures.at(secs(699)).disk);
        assert!(!pressures.at(secs(700)).memory);
    }
}
