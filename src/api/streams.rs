//! Where the streams of an HTTP/2 connection run: what is answered and done with as a task of its own, what lasts in
//! the connection's task.
//!
//! Requests are worked on by all processors at once. A watch has next to nothing to do, and what it does is write to
//! its connection: when an event wakes ten watches of a connection, one task is woken instead of ten and one more,
//! and what they write goes out together.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::task::AtomicWaker;
use futures_util::{FutureExt, StreamExt};

use crate::base::service::Scope;

tokio::task_local! {
    /// Whether the stream that is being polled will last.
    static LASTS: Cell<bool>;
}

/// The streams of one connection. Clones share them.
#[derive(Clone)]
pub struct Streams {
    scope: Scope,
    lasting: Arc<Lasting>,
}

#[derive(Default)]
struct Lasting {
    /// Those that the connection has not taken over yet.
    new: Mutex<Vec<BoxFuture<'static, ()>>>,
    connection: AtomicWaker,
    phase: AtomicU8,
}

/// Nobody runs it: who wants it wakes it.
const IDLE: u8 = 0;
/// The streams run, and then the connection will.
const RUNNING: u8 = 1;
/// As that, and somebody wanted it.
const WANTED: u8 = 2;
/// How often the streams run before others have their turn. A set of futures asks for a second time whenever
/// all of it has run.
const ROUNDS_MAX: usize = 3;

/// Says that the answer to the request that is being polled will last. Over HTTP/1, where a connection has one
/// request at a time, nothing follows from it.
pub fn last() {
    let _ = LASTS.try_with(|lasts| lasts.set(true));
}

impl Streams {
    /// Those that do not last are tasks of `scope`.
    pub fn new(scope: Scope) -> Self {
        Self { scope, lasting: Arc::default() }
    }

    /// Runs `connection`, and beside it the streams that last; these end with it.
    pub async fn run<F: Future>(&self, connection: F) -> F::Output {
        let (mut connection, mut lasting) = (pin!(connection), FuturesUnordered::new());
        let waker = Waker::from(self.lasting.clone());
        std::future::poll_fn(|context| {
            self.lasting.connection.register(context.waker());
            // First, so that the connection sends what they write.
            let is_done = (0..ROUNDS_MAX).any(|_| {
                self.lasting.phase.store(RUNNING, Ordering::Release);
                lasting.extend(self.lasting.take());
                while let Poll::Ready(Some(())) = lasting.poll_next_unpin(&mut Context::from_waker(&waker)) {}
                self.lasting.phase.swap(IDLE, Ordering::AcqRel) == RUNNING
            });
            if !is_done {
                context.waker().wake_by_ref();
            }
            connection.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await
    }

    /// Polls a stream, and hands it over once it is one that lasts.
    fn poll(&self, stream: &mut Option<BoxFuture<'static, ()>>, context: &mut Context<'_>) -> Poll<()> {
        let Some(running) = stream else { return Poll::Ready(()) };
        let (polled, lasts) =
            LASTS.sync_scope(Cell::new(false), || (running.poll_unpin(context), LASTS.with(Cell::get)));
        if polled.is_pending() && lasts {
            self.lasting.put(stream.take());
            return Poll::Ready(());
        }
        polled
    }
}

impl Lasting {
    fn put(&self, stream: Option<BoxFuture<'static, ()>>) {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).extend(stream);
        self.connection.wake();
    }

    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Wakes the connection, unless it is running.
impl Wake for Lasting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let want = |phase| (phase != IDLE).then_some(WANTED);
        if self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, want).is_err() {
            self.connection.wake();
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let streams = self.clone();
        let caught = AssertUnwindSafe(stream).catch_unwind().map(|ended| {
            if ended.is_err() {
                tracing::error!("an answer panicked while it was sent; this is a bug worth reporting");
            }
        });
        let mut stream = Some(caught.boxed());
        self.scope.spawn("http2", std::future::poll_fn(move |context| streams.poll(&mut stream, context)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::rt::Executor;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::{Notify, oneshot};

    /// A stream that lasts: it counts how often it was woken, and panics the fourth time.
    fn lasting(streams: &Streams, woken: &Arc<Notify>, times: &Arc<AtomicUsize>) {
        let (woken, times) = (woken.clone(), times.clone());
        streams.execute(async move {
            last();
            loop {
                woken.notified().await;
                assert!(times.fetch_add(1, Ordering::SeqCst) < 3, "on purpose");
            }
        });
    }

    #[tokio::test]
    async fn what_lasts_runs_in_the_connection_and_ends_with_it() {
        let scope = Scope::root("test");
        let streams = Streams::new(scope.clone());
        let (woken, times) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        lasting(&streams, &woken, &times);
        let (answered, answer) = oneshot::channel();
        streams.execute(async move { answered.send(()).unwrap() });
        answer.await.unwrap();
        woken.notify_one();
        tokio::task::yield_now().await;
        assert_eq!(times.load(Ordering::SeqCst), 0, "nobody runs the connection");

        let (end, ended) = oneshot::channel();
        let connection = tokio::spawn(async move { streams.run(ended).await });
        for so_far in 1..=2 {
            while times.load(Ordering::SeqCst) < so_far {
                tokio::task::yield_now().await;
            }
            woken.notify_one();
        }
        tokio::task::yield_now().await;
        end.send("over").unwrap();
        assert_eq!(connection.await.unwrap(), Ok("over"));
        assert_eq!(Arc::strong_count(&times), 1, "the stream went with the connection");
        assert!(scope.stop(std::time::Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn what_a_stream_writes_costs_the_connection_no_second_turn() {
        let streams = Streams::new(Scope::root("test"));
        let (woken, writes) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (turns, waker) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Waker::noop().clone())));
        let (woken_again, written, connection_waker) = (woken.clone(), writes.clone(), waker.clone());
        streams.execute(async move {
            last();
            loop {
                woken_again.notified().await;
                written.fetch_add(1, Ordering::SeqCst);
                connection_waker.lock().unwrap().wake_by_ref();
            }
        });
        let counted = turns.clone();
        let connection = std::future::poll_fn(move |context| {
            counted.fetch_add(1, Ordering::SeqCst);
            waker.lock().unwrap().clone_from(context.waker());
            Poll::<()>::Pending
        });
        let connection = tokio::spawn(async move { streams.run(connection).await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let before = turns.load(Ordering::SeqCst);
        woken.notify_one();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!((writes.load(Ordering::SeqCst), turns.load(Ordering::SeqCst)), (1, before + 1));
        connection.abort();
    }

    #[tokio::test]
    async fn one_that_panics_takes_no_other_with_it() {
        let streams = Streams::new(Scope::root("test"));
        let (woken, times) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (other_woken, other) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        lasting(&streams, &woken, &times);
        lasting(&streams, &other_woken, &other);
        let running = streams.clone();
        let connection = tokio::spawn(async move { running.run(std::future::pending::<()>()).await });
        while Arc::strong_count(&times) > 1 {
            woken.notify_one();
            tokio::task::yield_now().await;
        }
        other_woken.notify_one();
        while other.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(Arc::strong_count(&other), 2);
        connection.abort();
    }
}
