//! Certificates are renewed while they are in use: a process that nobody restarts for years goes on.
//!
//! They are looked at once an hour, and as soon as the clock of this machine is set or the machine wakes up: what the
//! clock says then is believed. What is due is made anew and shown on new connections. What fails is told
//! in the log, as an Event of the node and in the metrics, and tried again. Authorities are not renewed, only warned
//! of.

mod agent;
mod page;
mod server;
#[cfg(test)]
pub mod site;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::future::BoxFuture;

pub use agent::OfAgent;
pub use page::page;
pub use server::OfServer;

use crate::base::backoff::Backoff;
use crate::base::clock::ClockRef;
use crate::base::service::Scope;
use crate::client::{Note, Recorder};
use crate::object::Timestamp;
use crate::object::view::Reference;

const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// Of what failed. There are four months to get it right.
const AGAIN: Backoff = Backoff::new(LOOK_EVERY, Duration::from_secs(6 * 3_600));
/// What is over or will soon be has stopped the cluster or will: that is worth more than sleep.
const URGENT: Duration = Duration::from_secs(24 * 3_600);
const AGAIN_URGENT: Duration = Duration::from_secs(300);
/// A clock that is put right by less than this is no news.
const STEP_MIN: Duration = Duration::from_secs(60);

/// A set of certificates that are renewed in the same way. Clones are the same set.
pub trait Renewing: Clone + Send + 'static {
    /// Renews what is due by this time, and tells what there is to worry about.
    fn look(&self, now_secs: i64) -> BoxFuture<'static, Vec<Trouble>>;
}

/// Something that somebody has to do something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: &'static str,
    /// What happened, and what would help.
    pub message: String,
    /// When it is too late, of what is to be tried again.
    pub ends_secs: Option<i64>,
}

/// Looks at certificates for as long as the process runs.
#[derive(Clone)]
pub struct Renewal<R> {
    pub of: R,
    pub clock: ClockRef,
    /// The machine's name, and who tells its users; nobody on a witness, which has no API.
    pub node: String,
    pub recorder: Option<Recorder>,
}

impl<R: Renewing> Renewal<R> {
    pub fn start(self, scope: &Scope) {
        scope.supervise("certificates", move || {
            let renewal = self.clone();
            async move { renewal.run().await }
        });
    }

    async fn run(self) -> Result<(), std::convert::Infallible> {
        let mut failures = 0;
        loop {
            let (now_secs, before) = (Timestamp::from_nanos(self.clock.wall_nanos()).as_secs(), ahead(&self.clock));
            let troubles = self.of.look(now_secs).await;
            let soonest = troubles.iter().filter_map(|trouble| trouble.ends_secs).min();
            failures = soonest.map_or(0, |_| failures + 1);
            troubles.into_iter().for_each(|trouble| self.tell(trouble));
            let wait = wait(failures, soonest.map(|ends| ends.saturating_sub(now_secs)));
            // Either way it is time for the next look.
            let _ = tokio::time::timeout(wait, stepped(&self.clock, before)).await;
        }
    }

    fn tell(&self, Trouble { reason, message, .. }: Trouble) {
        tracing::warn!(reason, "{message}");
        let Some(recorder) = &self.recorder else { return };
        let node = Reference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: self.node.clone(),
            uid: self.node.clone(),
            ..Reference::default()
        };
        recorder.record(Note::warning(node, reason, message));
    }
}

/// How long until the next look, after so many failures in a row; `left_secs` is what the first of them that ends
/// has left.
fn wait(failures: u32, left_secs: Option<i64>) -> Duration {
    match left_secs {
        None => LOOK_EVERY,
        Some(left) if left < URGENT.as_secs() as i64 => AGAIN_URGENT,
        Some(_) => AGAIN.delay(failures),
    }
}

/// How far the wall clock is ahead of the one that nobody can set.
fn ahead(clock: &ClockRef) -> i128 {
    clock.wall_nanos() - clock.elapsed().as_nanos() as i128
}

/// Returns when the wall clock is somewhere else than when it was so far ahead.
async fn stepped(clock: &ClockRef, before: i128) {
    loop {
        let set = clock.set();
        if ahead(clock).abs_diff(before) >= STEP_MIN.as_nanos() {
            return;
        }
        set.await;
    }
}
