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
        while let Some(due) = when.schedule.next(self.now(), &when.zone) {
            while let Some(left) = left_until(due, self.now()) {
                tokio::time::sleep(left.min(NAP_MAX)).await;
            }
            self.scheduled().await;
        }
        tracing::warn!("--snapshot-schedule-cron is never due: no snapshots are taken");
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.wall_nanos())
    }
}

/// `None` when it is time.
fn left_until(due: Timestamp, now: Timestamp) -> Option<Duration> {
    let secs = due.as_secs() - now.as_secs();
    u64::try_from(secs).ok().filter(|secs| *secs > 0).map(Duration::from_secs)
}
