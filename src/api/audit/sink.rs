//! Where events wait to be written. In batches, a disk or a hook that is slow holds up no request: what has
//! no room is dropped, counted and told in the log. Blocking, a request goes on when its event is written.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::event::Facts;
use super::options::{Mode, Options, Truncate};
use super::policy::Level;
use super::throttle::Throttle;
use crate::api::metrics::Metrics;
use crate::base::service::Scope;

/// Bytes of events that wait for one writer.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long what is left may take when the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long a request waits for its event; then it counts as lost.
const BLOCKING_MAX: Duration = Duration::from_secs(60);
/// Says that the event once had objects.
pub const TRUNCATED: &str = "audit.k8s.io/truncated";

/// Something that events are written to, in batches, in order.
pub trait Writer: Send + 'static {
    fn name(&self) -> &'static str;
    /// Writes events, each a line of JSON without its end.
    fn write(&mut self, batch: Vec<Arc<[u8]>>) -> impl Future<Output = Result<(), String>> + Send;
}

/// All writers' queues.
pub struct Sink {
    queues: Vec<Arc<Queue>>,
    metrics: Arc<Metrics>,
}

struct Queue {
    options: Options,
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    bytes: usize,
    dropped: u64,
}

struct Event {
    text: Arc<[u8]>,
    /// Who waits to hear whether it is written.
    written: Option<oneshot::Sender<bool>>,
}

/// An event that its request waits for.
pub struct Pending {
    written: oneshot::Receiver<bool>,
    is_strict: bool,
}

impl Pending {
    /// Waits until the event is written or lost; false if the request must not go on without it.
    pub async fn settle(self) -> bool {
        let written = tokio::time::timeout(BLOCKING_MAX, self.written).await;
        matches!(written, Ok(Ok(true))) || !self.is_strict
    }
}

impl Sink {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { queues: Vec::new(), metrics }
    }

    /// Lets `writer` have every event from now on.
    pub fn add(&mut self, writer: impl Writer, options: Options, scope: &Scope) {
        let queue = Arc::new(Queue { options, waiting: Mutex::default(), filled: Notify::new() });
        self.queues.push(queue.clone());
        let (metrics, inner) = (self.metrics.clone(), scope.clone());
        scope.spawn("audit", async move { queue.run(writer, metrics, inner).await });
    }

    pub fn count_level(&self, level: Level) {
        let name = format!("{level:?}");
        self.metrics.audit_levels.with(&[&name]).add(1);
    }

    /// Takes the event that `write` makes of `facts`; gives what is to be waited for.
    pub fn take(&self, level: Level, facts: &Facts, write: impl Fn(&Facts) -> Vec<u8>) -> Vec<Pending> {
        self.metrics.audit_events.with(&[]).add(1);
        let whole: Arc<[u8]> = write(facts).into();
        let mut pending = Vec::new();
        for queue in &self.queues {
            let fits = |event: &[u8]| queue.options.truncate.is_none_or(|limits| event.len() <= limits.event_bytes);
            let event = if fits(&whole) {
                whole.clone()
            } else {
                let small = if level >= Level::Request { write(&without_objects(facts)).into() } else { whole.clone() };
                if !fits(&small) {
                    self.metrics.audit_errors.with(&["truncate"]).add(1);
                    continue;
                }
                small
            };
            match queue.push(event) {
                Ok(awaited) => pending.extend(awaited),
                Err(Full) => self.metrics.audit_errors.with(&["buffered"]).add(1),
            }
        }
        pending
    }
}

fn without_objects(facts: &Facts) -> Facts {
    let mut small = Facts { request_object: None, response_object: None, ..facts.clone() };
    small.annotations.insert(TRUNCATED.into(), "true".into());
    small
}

/// There is no room for the event, and nobody has to wait for some.
struct Full;

impl Queue {
    fn push(&self, text: Arc<[u8]>) -> Result<Option<Pending>, Full> {
        let (written, pending) = match self.options.mode {
            Mode::Batch => (None, None),
            Mode::Blocking | Mode::BlockingStrict => {
                let (sender, receiver) = oneshot::channel();
                let is_strict = self.options.mode == Mode::BlockingStrict;
                (Some(sender), Some(Pending { written: receiver, is_strict }))
            }
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if waiting.events.len() >= self.options.buffer || waiting.bytes + text.len() > WAITING_BYTES_MAX {
            waiting.dropped += 1;
            // Who waits hears of it at once, for the sender is gone.
            return pending.map(Some).ok_or(Full);
        }
        waiting.bytes += text.len();
        waiting.events.push_back(Event { text, written });
        let is_due = waiting.events.len() == 1 || waiting.events.len() == self.options.batch.size;
        drop(waiting);
        if is_due {
            self.filled.notify_one();
        }
        Ok(pending)
    }

    fn count(&self) -> usize {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).events.len()
    }

    /// The next events to write together, and how many were dropped since.
    fn pop(&self) -> (Vec<Event>, u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let bytes_max = self.options.truncate.map_or(usize::MAX, |Truncate { batch_bytes, .. }| batch_bytes);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(event) = waiting.events.front().filter(|_| batch.len() < self.options.batch.size) {
            if !batch.is_empty() && bytes + event.text.len() > bytes_max {
                break;
            }
            bytes += event.text.len();
            batch.extend(waiting.events.pop_front());
        }
        waiting.bytes -= bytes;
        (batch, std::mem::take(&mut waiting.dropped))
    }

    /// Waits until there is a batch: so many events, or some and so long since the first.
    async fn ready(&self) {
        while self.count() == 0 {
            self.filled.notified().await;
        }
        if self.options.batch.wait.is_zero() {
            return;
        }
        let full = async {
            while self.count() < self.options.batch.size {
                self.filled.notified().await;
            }
        };
        let _ = tokio::time::timeout(self.options.batch.wait, full).await;
    }

    async fn run(&self, mut writer: impl Writer, metrics: Arc<Metrics>, scope: Scope) {
        let mut throttle = self.options.batch.rate.map(Throttle::new);
        let mut is_failing = false;
        let mut work = std::pin::pin!(async {
            loop {
                tokio::select! {
                    () = self.ready() => (),
                    () = scope.stopping() => (),
                }
                if let Some(throttle) = throttle.as_mut().filter(|_| !scope.is_stopping()) {
                    throttle.take().await;
                }
                let (batch, dropped) = self.pop();
                if dropped > 0 {
                    tracing::warn!(
                        backend = writer.name(),
                        dropped,
                        "audit events were dropped: the writer is too slow"
                    );
                }
                if batch.is_empty() {
                    if scope.is_stopping() {
                        return;
                    }
                    continue;
                }
                let texts: Vec<Arc<[u8]>> = batch.iter().map(|event| event.text.clone()).collect();
                let count = batch.len() as u64;
                let outcome = writer.write(texts).await;
                for written in batch.into_iter().filter_map(|event| event.written) {
                    // Who does not wait any more does not need to hear.
                    let _ = written.send(outcome.is_ok());
                }
                match outcome {
                    Ok(()) => is_failing = false,
                    Err(error) => {
                        metrics.audit_errors.with(&[writer.name()]).add(count);
                        if !std::mem::replace(&mut is_failing, true) {
                            tracing::warn!(backend = writer.name(), error, "cannot write audit events; they are lost");
                        }
                    }
                }
            }
        });
        tokio::select! {
            () = work.as_mut() => return,
            () = scope.stopping() => (),
        }
        let _ = tokio::time::timeout(DRAIN_MAX, work).await;
    }
}
