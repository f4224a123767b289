//! The tree of tasks: the only place that spawns.
//!
//! A [`Scope`] owns tasks and child scopes. Stopping a scope tells its tasks, waits for them, and
//! then returns, so that what was started last and depends on the rest can be stopped first. A task
//! that panics or returns an error is started again after a growing delay; it never takes the
//! process with it.

use std::cell::Cell;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Gate;

const RESTART_DELAY_MIN: Duration = Duration::from_millis(100);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(30);

/// Runs `work` to its end on this thread, from code that cannot wait otherwise; other tasks go on, on other
/// threads. The runtime must have several, as the server's has.
pub fn wait_here<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

/// A group of tasks that end together. Clones share the group.
#[derive(Clone)]
pub struct Scope {
    name: &'static str,
    stop: CancellationToken,
    tasks: TaskTracker,
    gate: Option<Gate>,
}

/// How long blocking work waits to begin and, asked again when it is done, took.
pub type Pace = fn() -> Duration;

thread_local! {
    static PACE: Cell<Option<Pace>> = const { Cell::new(None) };
}

impl Scope {
    pub fn root(name: &'static str) -> Self {
        Self { name, stop: CancellationToken::new(), tasks: TaskTracker::new(), gate: None }
    }

    /// A group whose tasks, and those of the groups inside it, run as `gate` lets them.
    pub fn behind(name: &'static str, gate: Gate) -> Self {
        Self { gate: Some(gate), ..Self::root(name) }
    }

    /// A group inside this one: stopped with it, or alone.
    pub fn child(&self, name: &'static str) -> Self {
        Self { name, stop: self.stop.child_token(), tasks: TaskTracker::new(), gate: self.gate.clone() }
    }

    /// Runs `task` once. It should end soon after [`Scope::stopping`].
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let scope = self.name;
        self.start(async move {
            if std::panic::AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(scope, task = name, "task panicked; this is a bug worth reporting");
            }
        });
    }

    /// Runs what `make` makes, again and again until the scope stops, with a growing delay after
    /// failures.
    pub fn supervise<F, E>(&self, name: &'static str, mut make: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let scope = self.clone();
        self.start(async move {
            let mut delay = RESTART_DELAY_MIN;
            loop {
                let started = tokio::time::Instant::now();
                let run = std::panic::AssertUnwindSafe(make()).catch_unwind();
                let ended = tokio::select! {
                    biased;
                    ended = run => ended,
                    () = scope.stop.cancelled() => return,
                };
                match ended {
                    Ok(Ok(())) if scope.stop.is_cancelled() => return,
                    Ok(Ok(())) => tracing::debug!(scope = scope.name, task = name, "task ended; starting it again"),
                    Ok(Err(error)) => {
                        tracing::warn!(scope = scope.name, task = name, %error, "task failed; starting it again")
                    }
                    Err(_) => tracing::error!(scope = scope.name, task = name, "task panicked; starting it again"),
                }
                delay = if started.elapsed() > RESTART_DELAY_MAX {
                    RESTART_DELAY_MIN
                } else {
                    (delay * 2).min(RESTART_DELAY_MAX)
                };
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(delay) => (),
                    () = scope.stop.cancelled() => return,
                }
            }
        });
    }

    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self.gate.clone() {
            Some(gate) => drop(self.tasks.spawn(gate.pass(task))),
            None => drop(self.tasks.spawn(task)),
        }
    }

    /// Starts blocking work off the event loop; what is returned waits for it.
    pub fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let pace = PACE.get();
        let started = match pace {
            Some(pace) => Err((pace(), work)),
            None => Ok(tokio::task::spawn_blocking(work)),
        };
        async move {
            match started {
                Ok(started) => match started.await {
                    Ok(done) => done,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                },
                Err((wait, work)) => {
                    tokio::time::sleep(wait).await;
                    let done = work();
                    tokio::time::sleep(pace.map_or(Duration::ZERO, |pace| pace())).await;
                    done
                }
            }
        }
    }

    /// From now on this thread's tasks do blocking work in their place, in one piece, and it takes as
    /// long as `pace` says: for simulations, in which only one thing happens at a time.
    pub fn simulate_blocking(pace: Pace) {
        PACE.set(Some(pace));
    }

    /// Does `work` at once. In a simulation a thread of its own does it: for libraries that keep things by
    /// thread, while all servers of a simulation share one.
    pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        if PACE.get().is_none() {
            return work();
        }
        let done = std::thread::scope(|scope| scope.spawn(work).join());
        done.unwrap_or_else(|panicked| std::panic::panic_any(panicked))
    }

    /// Resolves when the scope is told to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Tells every task to stop, without waiting.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells every task to stop and waits for them, at most `limit`. Returns whether all ended.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_failing_task_is_started_again_and_a_stop_ends_it() {
        let scope = Scope::root("test");
        let runs = Arc::new(AtomicU32::new(0));
        let seen = runs.clone();
        scope.supervise("fails", move || {
            let run = seen.fetch_add(1, Ordering::SeqCst);
            async move { if run == 1 { panic!("on purpose") } else { Err::<(), _>("on purpose") } }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(runs.load(Ordering::SeqCst) > 3);
        assert!(scope.stop(Duration::from_secs(1)).await);
    }
}
