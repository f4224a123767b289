//! The only place that asks what time it is.
//!
//! Everything that waits or stamps takes a [`Clock`], so that tests and the simulator run hours in
//! milliseconds. Time here is a plain number; what it means is the caller's business.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use nix::sys::time::{TimeSpec, time_t};
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::watch;

/// Wall-clock and monotonic time.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970. May jump when the machine's clock is set.
    fn wall_nanos(&self) -> i128;
    /// Time since some fixed moment. Never goes back.
    fn elapsed(&self) -> Duration;

    /// Returns when the wall clock has been set since the call, or the machine was asleep; costs nothing until then.
    /// Never returns where nobody can tell.
    fn set(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

pub type ClockRef = Arc<dyn Clock>;

/// The machine's clock.
pub struct SystemClock(Instant);

impl SystemClock {
    pub fn shared() -> ClockRef {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for SystemClock {
    fn wall_nanos(&self) -> i128 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        }
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn set(&self) -> BoxFuture<'static, ()> {
        let timer = cancelled_when_set();
        Box::pin(async move {
            match timer {
                Ok(timer) => drop(timer.readable().await),
                Err(error) => {
                    tracing::debug!(%error, "nobody will tell when the clock is set");
                    std::future::pending().await
                }
            }
        })
    }
}

/// A timer for the end of time, which the kernel cancels when the clock is set; that is all there is to be read. A
/// pipe's end is what can be waited for without `unsafe`.
fn cancelled_when_set() -> io::Result<Receiver> {
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer.set(Expiration::OneShot(TimeSpec::new(time_t::MAX, 0)), flags)?;
    Receiver::from_owned_fd_unchecked(timer.into())
}

/// A clock that stands still until it is told to move.
pub struct ManualClock {
    start_nanos: i128,
    elapsed_nanos: AtomicU64,
    /// By how much the wall clock was set meanwhile.
    set_nanos: watch::Sender<i128>,
}

impl ManualClock {
    pub fn starting_at(start_nanos: i128) -> Arc<Self> {
        Arc::new(Self { start_nanos, elapsed_nanos: AtomicU64::new(0), set_nanos: watch::Sender::new(0) })
    }

    /// Sets the wall clock, so many seconds forwards or back.
    pub fn step(&self, secs: i64) {
        self.set_nanos.send_modify(|nanos| *nanos += i128::from(secs) * 1_000_000_000);
    }

    pub fn advance(&self, by: Duration) {
        self.elapsed_nanos.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_nanos(&self) -> i128 {
        self.start_nanos + i128::from(self.elapsed_nanos.load(Ordering::SeqCst)) + *self.set_nanos.borrow()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_nanos.load(Ordering::SeqCst))
    }

    fn set(&self) -> BoxFuture<'static, ()> {
        let mut sets = self.set_nanos.subscribe();
        Box::pin(async move { drop(sets.changed().await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_nobody_sets_says_nothing() {
        let set = SystemClock::shared().set();
        assert!(tokio::time::timeout(Duration::from_millis(50), set).await.is_err());
        assert!(cancelled_when_set().is_ok(), "else it could not say anything");
    }
}
