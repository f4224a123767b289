//! Telling users what happened: `Event` objects, written in the background.
//!
//! Recording never blocks and never fails its caller; when the queue is full, notes are dropped.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Client;
use super::correlate::{Correlator, Verdict};
use crate::base::clock::ClockRef;
use crate::base::service::Scope;
use crate::object::kind::EVENT;
use crate::object::tree::json;
use crate::object::view::Reference;
use crate::object::{Kind, ObjectRef, PatchKind, Reason, Timestamp, Tree, TreePath};

const QUEUE_NOTES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    Normal,
    Warning,
}

/// Something worth telling about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub regarding: Reference,
    pub kind: NoteKind,
    pub reason: String,
    pub message: String,
    /// What was tried, for those who report in the newer form (the scheduler does).
    pub action: Option<&'static str>,
    pub related: Option<Reference>,
}

impl Note {
    pub fn new(regarding: Reference, kind: NoteKind, reason: &str, message: impl Into<String>) -> Self {
        Self { regarding, kind, reason: reason.into(), message: message.into(), action: None, related: None }
    }

    pub fn normal(regarding: Reference, reason: &str, message: impl Into<String>) -> Self {
        Self::new(regarding, NoteKind::Normal, reason, message)
    }

    pub fn warning(regarding: Reference, reason: &str, message: impl Into<String>) -> Self {
        Self::new(regarding, NoteKind::Warning, reason, message)
    }
}

impl Reference {
    /// A full reference to `object`.
    pub fn to(kind: &Kind, object: &ObjectRef) -> Self {
        Self {
            api_version: kind.api_version(),
            kind: kind.kind.to_string(),
            namespace: object.key().namespace().into(),
            name: object.key().name().into(),
            uid: object.meta().uid().to_owned(),
            resource_version: object.revision().to_string(),
            field_path: String::new(),
        }
    }

    /// Its JSON, without the empty fields.
    pub fn to_tree(&self) -> Tree {
        let fields = [
            ("apiVersion", &self.api_version),
            ("kind", &self.kind),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("uid", &self.uid),
            ("resourceVersion", &self.resource_version),
            ("fieldPath", &self.field_path),
        ];
        let present = fields.into_iter().filter(|(_, text)| !text.is_empty());
        Tree::Object(present.map(|(name, text)| (name.to_owned(), Tree::from(text.as_str()))).collect())
    }
}

/// Where a component hands in its notes. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<(Arc<Source>, Note)>,
    source: Arc<Source>,
}

/// Who reports.
struct Source {
    component: String,
    host: String,
}

impl Recorder {
    /// Starts the task that writes what this recorder and those made from it are told.
    pub fn start(scope: &Scope, client: Client, clock: ClockRef, component: &str, host: &str) -> Self {
        let (queue, mut notes) = mpsc::channel::<(Arc<Source>, Note)>(QUEUE_NOTES_MAX);
        scope.spawn("events", async move {
            let mut writer = Writer { client, clock, correlator: Correlator::default() };
            while let Some((source, note)) = notes.recv().await {
                writer.write(&source, note).await;
            }
        });
        Self { queue, source: Arc::new(Source { component: component.into(), host: host.into() }) }
    }

    /// The same queue, reporting as another component.
    pub fn reporting_as(&self, component: &str) -> Self {
        let source = Source { component: component.into(), host: self.source.host.clone() };
        Self { queue: self.queue.clone(), source: Arc::new(source) }
    }

    pub fn record(&self, note: Note) {
        if let Err(mpsc::error::TrySendError::Full((_, note))) = self.queue.try_send((self.source.clone(), note)) {
            tracing::debug!(reason = note.reason, object = note.regarding.name, "event dropped: too many are waiting");
        }
    }
}

struct Writer {
    client: Client,
    clock: ClockRef,
    correlator: Correlator,
}

impl Writer {
    async fn write(&mut self, source: &Source, note: Note) {
        let now = Timestamp::from_nanos(self.clock.wall_nanos());
        let verdict = self.correlator.judge(&source.component, &note, now);
        let (id, message) = match verdict {
            Verdict::Drop => return,
            Verdict::New { id, message } => (id, message),
            Verdict::Again { id, event_name, count, message } => {
                let key = EVENT.key(namespace_of(&note), &event_name);
                let body = again(&note, count, &message, now);
                match self.client.patch(&EVENT, &key, "", PatchKind::Merge, &body).await {
                    Ok(_) => return,
                    Err(status) if status.is(Reason::NotFound) => {
                        self.correlator.lost(&id);
                        (id, message)
                    }
                    Err(status) => return tracing::debug!(%status, "event could not be counted"),
                }
            }
        };
        let name = format!("{}.{:x}", note.regarding.name, now.as_nanos());
        match self.client.create(&EVENT, first(source, &note, &name, &message, now)).await {
            Ok(_) => self.correlator.written(id, &name, now),
            // A namespace that is going away takes no more events.
            Err(status) => tracing::debug!(%status, "event could not be written"),
        }
    }
}

fn namespace_of(note: &Note) -> &str {
    if note.regarding.namespace.is_empty() { "default" } else { &note.regarding.namespace }
}

fn first(source: &Source, note: &Note, name: &str, message: &str, now: Timestamp) -> Tree {
    let mut event = json!({
        "metadata": {"name": name, "namespace": namespace_of(note)},
        "involvedObject": note.regarding.to_tree(),
        "reason": note.reason,
        "message": message,
        "type": format!("{:?}", note.kind),
        "reportingComponent": source.component,
    });
    match note.action {
        Some(action) => {
            event.set("eventTime", now.micros());
            event.set("action", action);
            event.set("reportingInstance", format!("{}-{}", source.component, source.host));
        }
        None => {
            event.set("firstTimestamp", now);
            event.set("lastTimestamp", now);
            event.set("count", 1);
            event.set("source.component", source.component.as_str());
            event.set("reportingInstance", source.host.as_str());
            if !source.host.is_empty() {
                event.set("source.host", source.host.as_str());
            }
        }
    }
    if let Some(related) = &note.related {
        event.set("related", related.to_tree());
    }
    event
}

fn again(note: &Note, count: u64, message: &str, now: Timestamp) -> Tree {
    match note.action {
        Some(_) => json!({"series": {"count": count, "lastObservedTime": now.micros()}}),
        None => json!({"count": count, "lastTimestamp": now, "message": message}),
    }
}
