//! What a server answers, read back into what the pipeline would have given.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::object::{
    Call, Event, GroupResource, Key, List, Object, ObjectRef, Reply, Revision, Status, Tree, TreePath, Verb,
};

/// An event larger than this is no event of ours.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Subresources whose answers are the object itself.
const OF_THE_OBJECT: &[&str] = &["", "status", "finalize", "approval", "ephemeralcontainers", "resize"];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Head {
    kind: String,
    #[serde(rename = "apiVersion")]
    api_version: String,
    metadata: HeadMeta,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct HeadMeta {
    name: String,
    namespace: String,
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: String,
    remaining_item_count: Option<u64>,
    annotations: std::collections::BTreeMap<String, String>,
}

impl HeadMeta {
    fn revision(&self) -> Revision {
        Revision(self.resource_version.parse().unwrap_or_default())
    }
}

#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

/// Reads the body of a successful answer to `call`.
pub fn read(call: &Call, created: bool, bytes: Bytes) -> Result<Reply, Status> {
    let head: Head = parse(&bytes)?;
    if head.kind == "Status" && head.api_version == "v1" {
        return Ok(Reply::Success(parse(&bytes)?));
    }
    if call.verb == Verb::List || head.kind.ends_with("List") && call.verb == Verb::DeleteCollection {
        return list(&call.target.group_resource(), &head, &bytes);
    }
    let of_the_object = OF_THE_OBJECT.contains(&call.target.subresource.as_str());
    if of_the_object && !head.metadata.resource_version.is_empty() {
        let object = object(&call.target.group_resource(), &head.metadata, bytes);
        return Ok(Reply::Object { object, created });
    }
    Ok(Reply::Tree { tree: parse(&bytes)?, created })
}

fn list(resource: &GroupResource, head: &Head, bytes: &Bytes) -> Result<Reply, Status> {
    let kind = head.kind.strip_suffix("List").unwrap_or(&head.kind);
    let items: Items<'_> = parse(bytes)?;
    let items = items.items.unwrap_or_default().into_iter().map(|item| {
        let bytes = typed(item.get(), kind, &head.api_version)?;
        let own: Head = parse(&bytes)?;
        Ok(object(resource, &own.metadata, bytes))
    });
    Ok(Reply::List(List {
        items: items.collect::<Result<_, Status>>()?,
        revision: head.metadata.revision(),
        continue_token: head.metadata.continue_token.clone(),
        remaining: head.metadata.remaining_item_count,
    }))
}

/// An item with its kind and version in it, which lists may leave out.
fn typed(item: &str, kind: &str, api_version: &str) -> Result<Bytes, Status> {
    let own: Head = parse(item.as_bytes())?;
    let inner = item.trim().strip_prefix('{').ok_or_else(|| Status::internal("an item of the list is no object"))?;
    if !own.kind.is_empty() {
        return Ok(Bytes::copy_from_slice(item.as_bytes()));
    }
    let comma = if inner.trim_start().starts_with('}') { "" } else { "," };
    Ok(format!("{{\"kind\":{kind:?},\"apiVersion\":{api_version:?}{comma}{inner}").into())
}

fn object(resource: &GroupResource, meta: &HeadMeta, bytes: Bytes) -> ObjectRef {
    Object::new(Key::new(resource, &meta.namespace, &meta.name), meta.revision(), bytes)
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Status> {
    serde_json::from_slice(bytes)
        .map_err(|error| Status::internal(format!("the server's answer is not what it should be: {error}")))
}

/// The text of a `Warning` header: `299 - "text"`.
pub fn warning(value: &http::HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.strip_prefix("299 ")?;
    let (_, quoted) = text.split_once('"')?;
    Some(quoted.strip_suffix('"')?.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// A watch's bytes, cut into events.
pub struct Lines {
    resource: GroupResource,
    buffer: BytesMut,
    /// Of the buffer, up to where no end of line was found.
    searched: usize,
}

impl Lines {
    pub fn of(resource: GroupResource) -> Self {
        Self { resource, buffer: BytesMut::new(), searched: 0 }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event, if it is there. An error is the last.
    pub fn next(&mut self) -> Option<Result<Event, Status>> {
        loop {
            let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                let too_long = self.searched > LINE_BYTES_MAX;
                return too_long.then(|| Err(Status::internal("an event of the watch is too long")));
            };
            let line = self.buffer.split_to(self.searched + end + 1).freeze();
            self.searched = 0;
            if !line.trim_ascii().is_empty() {
                return Some(self.event(&line));
            }
        }
    }

    fn event(&self, line: &Bytes) -> Result<Event, Status> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            #[serde(borrow)]
            object: &'a RawValue,
        }
        let wire: Wire<'_> = parse(line)?;
        let bytes = line.slice_ref(wire.object.get().as_bytes());
        if wire.kind == "ERROR" {
            let tree: Tree = parse(&bytes)?;
            let code = tree.int("code").and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
            return Err(Status::from_wire(code, &bytes));
        }
        let meta = parse::<Head>(&bytes)?.metadata;
        if wire.kind == "BOOKMARK" {
            let initial_done = meta.annotations.get("k8s.io/initial-events-end").is_some_and(|value| value == "true");
            return Ok(Event::Bookmark { revision: meta.revision(), initial_done });
        }
        let object = object(&self.resource, &meta, bytes);
        match wire.kind {
            "ADDED" => Ok(Event::Added(object)),
            "MODIFIED" => Ok(Event::Modified { previous: object.clone(), object }),
            "DELETED" => Ok(Event::Deleted(object)),
            other => Err(Status::internal(format!("the watch has an event of type {other:?}"))),
        }
    }
}
