//! The machine's clock, which root may set: here to what it says already.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime, clock_settime};
use skiff::base::clock::SystemClock;

#[tokio::test]
async fn whoever_waits_for_the_clock_to_be_set_is_told_at_once() {
    let set = SystemClock::shared().set();
    let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap();
    clock_settime(ClockId::CLOCK_REALTIME, now).expect("these tests set the clock: run them as root");
    tokio::time::timeout(Duration::from_secs(5), set).await.expect("told");
}
