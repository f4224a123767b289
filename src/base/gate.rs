//! A gate before tasks: lets them run, holds them still as SIGSTOP does, or ends them where they are as
//! a loss of power does. For simulations; tasks of the real program have none.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    state: State,
    /// Of the tasks behind the gate, so that all hear of a change.
    wakers: BTreeMap<u64, Waker>,
    last: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Nothing moves until it is open again.
    Shut,
    /// Nothing will ever move again.
    Gone,
}

impl Gate {
    pub fn open(&self) {
        self.turn(State::Open);
    }

    pub fn shut(&self) {
        self.turn(State::Shut);
    }

    /// Ends every task behind the gate, without letting it do anything more.
    pub fn end(&self) {
        self.turn(State::Gone);
    }

    /// Runs `task` behind the gate.
    pub async fn pass(self, task: impl Future<Output = ()>) {
        let mut task = std::pin::pin!(task);
        let place = self.enter();
        poll_fn(|context| {
            let state = {
                let mut inner = self.lock();
                inner.wakers.insert(place, context.waker().clone());
                inner.state
            };
            match state {
                State::Open => task.as_mut().poll(context),
                State::Shut => Poll::Pending,
                State::Gone => Poll::Ready(()),
            }
        })
        .await;
        self.lock().wakers.remove(&place);
    }

    fn enter(&self) -> u64 {
        let mut inner = self.lock();
        inner.last += 1;
        inner.last
    }

    fn turn(&self, state: State) {
        let wakers: Vec<Waker> = {
            let mut inner = self.lock();
            if inner.state == State::Gone {
                return;
            }
            inner.state = state;
            inner.wakers.values().cloned().collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::service::Scope;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_a_shut_gate_stands_still_and_behind_a_gone_one_is_dropped() {
        struct Told(Arc<AtomicU32>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.fetch_add(1000, Ordering::SeqCst);
            }
        }
        let (gate, count) = (Gate::default(), Arc::new(AtomicU32::new(0)));
        let scope = Scope::behind("test", gate.clone());
        let told = Told(count.clone());
        scope.child("child").spawn("counts", async move {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                told.0.fetch_add(1, Ordering::SeqCst);
            }
        });
        tokio::time::sleep(Duration::from_millis(105)).await;
        gate.shut();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(count.load(Ordering::SeqCst), 10);
        gate.open();
        tokio::time::sleep(Duration::from_millis(25)).await;
        assert!((12..14).contains(&count.load(Ordering::SeqCst)));
        gate.end();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(count.load(Ordering::SeqCst) >= 1000);
    }
}
