//! Where events wait to be written. A disk or a hook that is slow holds up no request: what has no
//! room is dropped, counted and told in the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::event::Facts;
use super::policy::Level;
use crate::api::metrics::Metrics;
use crate::base::service::Scope;

/// Events that wait for one writer.
const WAITING_MAX: usize = 10_000;
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Events handed to a writer at once.
const BATCH_MAX: usize = 400;
/// How long what is left may take when the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);
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
    /// Larger events are stripped of their objects.
    event_bytes_max: Option<usize>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Arc<[u8]>>,
    bytes: usize,
    dropped: u64,
}

impl Sink {
    pub fn new(metrics: Arc<Metrics>, event_bytes_max: Option<usize>) -> Self {
        Self { queues: Vec::new(), metrics, event_bytes_max }
    }

    /// Lets `writer` have every event from now on.
    pub fn add(&mut self, writer: impl Writer, scope: &Scope) {
        let queue = Arc::new(Queue::default());
        self.queues.push(queue.clone());
        let (metrics, inner) = (self.metrics.clone(), scope.clone());
        scope.spawn("audit", async move { queue.run(writer, metrics, inner).await });
    }

    pub fn count_level(&self, level: Level) {
        let name = format!("{level:?}");
        self.metrics.audit_levels.with(&[&name]).add(1);
    }

    /// Takes the event that `write` makes of `facts`.
    pub fn take(&self, level: Level, facts: &Facts, write: impl Fn(&Facts) -> Vec<u8>) {
        self.metrics.audit_events.with(&[]).add(1);
        let mut event = write(facts);
        if let Some(max) = self.event_bytes_max.filter(|max| event.len() > *max) {
            if level >= Level::Request {
                let mut small = Facts { request_object: None, response_object: None, ..facts.clone() };
                small.annotations.insert(TRUNCATED.into(), "true".into());
                event = write(&small);
            }
            if event.len() > max {
                self.metrics.audit_errors.with(&["truncate"]).add(1);
                return;
            }
        }
        let event: Arc<[u8]> = event.into();
        for queue in &self.queues {
            if !queue.push(event.clone()) {
                self.metrics.audit_errors.with(&["buffered"]).add(1);
            }
        }
    }
}

impl Queue {
    fn push(&self, event: Arc<[u8]>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if waiting.events.len() >= WAITING_MAX || waiting.bytes + event.len() > WAITING_BYTES_MAX {
            waiting.dropped += 1;
            return false;
        }
        waiting.bytes += event.len();
        waiting.events.push_back(event);
        let was_empty = waiting.events.len() == 1;
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        true
    }

    fn pop(&self) -> (Vec<Arc<[u8]>>, u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let count = waiting.events.len().min(BATCH_MAX);
        let batch: Vec<Arc<[u8]>> = waiting.events.drain(..count).collect();
        waiting.bytes -= batch.iter().map(|event| event.len()).sum::<usize>();
        (batch, std::mem::take(&mut waiting.dropped))
    }

    async fn run(&self, mut writer: impl Writer, metrics: Arc<Metrics>, scope: Scope) {
        let mut is_failing = false;
        let mut work = std::pin::pin!(async {
            loop {
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
                    tokio::select! {
                        () = self.filled.notified() => (),
                        () = scope.stopping() => (),
                    }
                    continue;
                }
                let count = batch.len() as u64;
                match writer.write(batch).await {
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
