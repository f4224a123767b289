//! Watches over HTTP: events written one after another as they happen.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::{self, HeaderValue};

use crate::object::tree::{Tree, json};
use crate::object::{Call, Encoding, Event, ObjectRef, Revision, Status, Verb};
use crate::resources::Resource;

use super::answer::{Answer, Lasts, write};
use super::body::{self, BoxError};
use super::exchange::Exchange;
use super::flow::Seat;
use super::negotiate::{self, Format, Shape};
use super::pipeline::{Api, Events};
use super::respond::{View, Written};
use super::{encode, options};

/// Answers with the stream of events that the request asks for.
pub fn watch(api: &Arc<Api>, exchange: &Exchange, resource: Arc<Resource>, seat: Seat) -> Result<Answer, Status> {
    let format = negotiate::accept_for(&resource, exchange.header(header::ACCEPT), false)?;
    let target = exchange.line.target.clone().unwrap_or_default();
    let mut options = options::read(&exchange.line, Verb::Watch, None)?;
    if !target.name.is_empty() {
        options.field_selector = match options.field_selector.as_str() {
            "" => format!("metadata.name={}", target.name),
            other => format!("{other},metadata.name={}", target.name),
        };
    }
    let scope = match (target.name.is_empty(), target.namespace.is_empty()) {
        (false, _) => "resource",
        (true, false) => "namespace",
        (true, true) => "cluster",
    };
    let counted = api
        .metrics
        .long_running
        .with(&["WATCH", &target.group, &target.version, &target.resource, "", scope, "apiserver"])
        .hold();
    let sent = api.metrics.watch_events.with(&[&target.group, &target.version, &target.resource]);
    let sizes = api.metrics.watch_sizes.with(&[&target.group, &target.version, &target.resource]);
    let view = View {
        include: View::include(&exchange.line, format)?,
        version: target.version.clone(),
        format,
        gzip: false,
        now: api.now(),
        resource,
    };
    let call = Call {
        user: exchange.user.clone(),
        verb: Verb::Watch,
        target: crate::object::Target { name: String::new(), ..target },
        options,
        body: Default::default(),
        user_agent: exchange.header(header::USER_AGENT).into(),
    };
    let mut writer = Writer { view, columns_sent: false };
    let api_clock = api.clone();
    let watching = api.flow.estimates().watching(&exchange.line);
    let chunks = Beginning { events: api.watch_authorized(call)?, seat }.map(move |event| {
        let _held = (&watching, &counted);
        if writer.view.format.shape == Shape::Table {
            writer.view.now = api_clock.now();
        }
        let frame = writer.event(event);
        sent.add(1);
        sizes.observe_number(frame.len() as f64);
        Ok::<_, BoxError>(frame)
    });
    let content_type = match format.encoding {
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch".into(),
        encoding => negotiate::content_type(encoding).into(),
    };
    let mut answer = write(Written { code: 200, content_type, gzip: false, body: body::stream(chunks) });
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer.extensions_mut().insert(Lasts);
    Ok(answer)
}

/// The events of a watch; it keeps its seats until there is nothing more to say for now.
struct Beginning {
    events: Events,
    seat: Seat,
}

impl Stream for Beginning {
    type Item = Result<Event, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.events.as_mut().poll_next(context);
        if polled.is_pending() {
            self.seat.settle();
        }
        polled
    }
}

struct Writer {
    view: View,
    columns_sent: bool,
}

impl Writer {
    /// One event as it goes over the wire.
    fn event(&mut self, event: Result<Event, Status>) -> Bytes {
        match event {
            Ok(Event::Added(object)) => self.of("ADDED", &object),
            Ok(Event::Modified { object, .. }) => self.of("MODIFIED", &object),
            Ok(Event::Deleted(object)) => self.of("DELETED", &object),
            Ok(Event::Bookmark { revision, initial_done }) => {
                let object = self.bookmark(revision, initial_done);
                self.frame("BOOKMARK", object)
            }
            Err(status) => self.error(&status),
        }
    }

    fn of(&mut self, kind: &str, object: &ObjectRef) -> Bytes {
        let written = match self.view.format.shape {
            Shape::Table => {
                let first = !std::mem::replace(&mut self.columns_sent, true);
                Ok(self.view.table_event(object, first))
            }
            _ => self.view.one(object),
        };
        match written {
            Ok(bytes) => self.frame(kind, bytes),
            Err(status) => self.error(&status),
        }
    }

    fn error(&self, status: &Status) -> Bytes {
        let format = Format { shape: Shape::Whole, ..self.view.format };
        self.frame("ERROR", encode::status(&status.to_json(), format))
    }

    /// An object of the kind with nothing but a version.
    fn bookmark(&self, revision: Revision, initial_done: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_done {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let resource = &self.view.resource;
        let (kind, api_version) = match self.view.format.shape {
            Shape::Whole => (resource.kind.to_string(), resource.api_version(&self.view.version)),
            Shape::Table => ("Table".into(), format!("meta.k8s.io/{}", self.view.format.meta)),
            _ => ("PartialObjectMetadata".into(), format!("meta.k8s.io/{}", self.view.format.meta)),
        };
        let tree: Tree = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        match self.view.format.shape {
            Shape::Whole => {
                let version = resource.version(&self.view.version).unwrap_or(&resource.versions[0]);
                encode::object(&tree, version, self.view.format)
            }
            _ => encode::plain(&tree, self.view.format),
        }
    }

    fn frame(&self, kind: &str, object: Bytes) -> Bytes {
        match self.view.format.encoding {
            Encoding::Protobuf => encode::protobuf_event(kind, &object),
            Encoding::Yaml => {
                let mut frame = BytesMut::from(&b"---\n"[..]);
                let tree: Tree = serde_yaml::from_slice(&object).unwrap_or_default();
                frame.put_slice(&encode::plain(&json!({"type": kind, "object": tree}), self.view.format));
                frame.freeze()
            }
            _ => {
                let mut frame = BytesMut::with_capacity(object.len() + 40);
                frame.put_slice(b"{\"type\":\"");
                frame.put_slice(kind.as_bytes());
                frame.put_slice(b"\",\"object\":");
                frame.put_slice(object.trim_ascii_end());
                frame.put_slice(b"}\n");
                frame.freeze()
            }
        }
    }
}
