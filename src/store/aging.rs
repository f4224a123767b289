//! History grows old also while nobody writes.

use std::sync::Arc;
use std::time::Duration;

use super::hub::Hub;
use super::metrics::Metrics;
use crate::base::clock::ClockRef;

/// How far apart looks at it are at least: an idle server is to sleep.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Forgets what is too old, for as long as it is polled.
pub(super) async fn run(hub: Arc<Hub>, metrics: Arc<Metrics>, clock: ClockRef) {
    let mut advanced = hub.advanced();
    loop {
        let now = clock.elapsed();
        let kept = hub.forget_old(now);
        metrics.keeps(kept);
        match kept.expires {
            Some(at) => tokio::time::sleep(at.saturating_sub(now).max(LOOK_EVERY)).await,
            None if advanced.changed().await.is_err() => return,
            None => (),
        }
    }
}
