//! Taking snapshots by the clock.

use std::sync::Arc;
use std::time::Duration;

use super::{Backup, When};
use crate::base::service::Scope;
use crate::object::Timestamp;

/// A clock that is put forward or back is noticed after so long.
const NAP_MAX: Duration = Duration::from_secs(900);

impl Backup {
    /// Takes snapshots whenever they are due, until the scope stops.
    pub fn start(self: &Arc<Self>, scope: &Scope) {
        let Some(when) = self.config.when.clone() else { return };
        let (backup, inner) = (self.clone(), scope.clone());
        scope.spawn("snapshots", async move {
            tokio::select! {
                () = backup.follow(&when) => (),
                () = inner.stopping() => (),
            }
        });
    }

    async fn follow(&self, when: &When) {
        let mut asked = self.now();
        while let Some(due) = when.schedule.next(asked, &when.zone) {
            match turn(asked, due, self.now()) {
                Turn::Due => self.scheduled().await,
                Turn::Later(left) => {
                    tokio::time::sleep(left.min(NAP_MAX)).await;
                    continue;
                }
                Turn::PutBack => tracing::info!("the clock was put back: when the next snapshot is due is found anew"),
            }
            asked = self.now();
        }
        tracing::warn!("--snapshot-schedule-cron is never due: no snapshots are taken");
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.wall_nanos())
    }
}

/// What comes of it that a snapshot is due at a moment that was found at another.
#[derive(Debug, PartialEq)]
enum Turn {
    Due,
    Later(Duration),
    /// It is earlier than it was: the moment found may be years away.
    PutBack,
}

fn turn(asked: Timestamp, due: Timestamp, now: Timestamp) -> Turn {
    match u64::try_from(due.as_secs() - now.as_secs()) {
        _ if now < asked => Turn::PutBack,
        Err(_) | Ok(0) => Turn::Due,
        Ok(left) => Turn::Later(Duration::from_secs(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_at_its_time_and_found_anew_when_the_clock_was_put_back() {
        let at = Timestamp::from_secs;
        assert_eq!(turn(at(100), at(160), at(130)), Turn::Later(Duration::from_secs(30)));
        assert_eq!(turn(at(100), at(160), at(160)), Turn::Due);
        assert_eq!(turn(at(100), at(160), at(900_000_000)), Turn::Due);
        assert_eq!(turn(at(900_000_000), at(900_000_060), at(130)), Turn::PutBack);
    }
}
