//! Answers written out in the form that the client asked for.
//!
//! What is stored in the version and encoding of the request is passed on byte for byte; everything
//! else is converted object by object, as the connection takes it.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::object::tree::{Tree, TreePath, json};
use crate::object::{Encoding, List, ObjectRef, Reply, Status, Timestamp};
use crate::resources::{Resource, ResourceVersion, table};

use super::body::{self, AnswerBody, GZIP_BYTES_MIN, Parts};
use super::encode;
use super::negotiate::{Format, Shape};
use super::request::RequestLine;

/// What of each object is shown beside its row in a Table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    #[default]
    Metadata,
    Object,
    None,
}

/// How one request's objects are written.
#[derive(Clone)]
pub struct View {
    pub resource: Arc<Resource>,
    /// The version of the request.
    pub version: String,
    pub format: Format,
    pub include: Include,
    /// Bodies that are long are compressed.
    pub gzip: bool,
    pub now: Timestamp,
}

/// A body with its status code.
pub struct Written {
    pub code: u16,
    pub content_type: String,
    pub gzip: bool,
    pub body: AnswerBody,
}

impl View {
    /// Reads the options of the chosen shape.
    pub fn include(line: &RequestLine, format: Format) -> Result<Include, Status> {
        if format.shape != Shape::Table {
            return Ok(Include::default());
        }
        Ok(match line.param("includeObject").unwrap_or_default() {
            "" | "Metadata" => Include::Metadata,
            "Object" => Include::Object,
            "None" => Include::None,
            other => {
                return Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
                )));
            }
        })
    }

    /// Writes a successful reply.
    pub fn reply(&self, reply: Reply) -> Result<Written, Status> {
        match reply {
            Reply::Object { object, created } => self.written(code(created), self.one(&object)?),
            Reply::Tree { tree, created } => self.written(code(created), self.one_tree(&tree)?),
            Reply::Success(tree) => {
                let code = tree.int("code").and_then(|code| u16::try_from(code).ok()).unwrap_or(200);
                self.written(code, encode::status(&tree, self.format))
            }
            Reply::List(list) => self.list(list),
        }
    }

    /// A reply as the client reads it, whatever encoding it asked for.
    pub fn shown(&self, reply: &Reply) -> Option<Tree> {
        use futures_util::FutureExt;
        use http_body_util::BodyExt;
        let format = Format { encoding: Encoding::Json, pretty: false, ..self.format };
        let written = Self { format, gzip: false, ..self.clone() }.reply(reply.clone()).ok()?;
        let whole = written.body.collect().now_or_never()?.ok()?;
        serde_json::from_slice(&whole.to_bytes()).ok()
    }

    /// One stored object, as a whole body.
    pub fn one(&self, object: &ObjectRef) -> Result<Bytes, Status> {
        let plain = self.format.encoding == Encoding::Json && !self.format.pretty;
        match self.format.shape {
            Shape::Whole if plain && self.is_stored_version() => Ok(object.bytes().clone()),
            Shape::PartialObject if plain => Ok(partial(object.bytes(), self.format.meta)),
            _ => self.one_tree(&object.tree()),
        }
    }

    /// One object in any of its versions.
    pub fn one_tree(&self, tree: &Tree) -> Result<Bytes, Status> {
        match self.format.shape {
            // What subresources answer with (scales, tokens) has a kind of its own.
            Shape::Whole if tree.text("kind") != self.resource.kind => Ok(encode::plain(tree, self.format)),
            Shape::Whole => {
                let tree = self.in_version(tree);
                Ok(encode::object(&tree, self.schema_version(), self.format))
            }
            Shape::PartialObject => Ok(encode::plain(&self.partial(tree), self.format)),
            Shape::Table => {
                let mut table = self.table(json!({"resourceVersion": tree.text("metadata.resourceVersion")}));
                table["rows"] = json!([self.row(tree)]);
                Ok(encode::plain(&table, self.format))
            }
            Shape::PartialList => Err(super::negotiate::no_such_shape()),
        }
    }

    /// A Table of one watched object; clients know the columns after the first.
    pub fn table_event(&self, object: &ObjectRef, first: bool) -> Bytes {
        let tree = object.tree();
        let mut table = self.table(json!({"resourceVersion": tree.text("metadata.resourceVersion")}));
        table["rows"] = json!([self.row(&tree)]);
        if !first {
            table["columnDefinitions"] = Tree::Null;
        }
        encode::plain(&table, self.format)
    }

    fn list(&self, list: List) -> Result<Written, Status> {
        let mut meta = json!({"resourceVersion": list.revision.to_string()});
        if list.revision.0 == 0 {
            meta = json!({"resourceVersion": ""});
        }
        // Lists of custom objects say that they do not go on.
        if !list.continue_token.is_empty() || self.resource.is_custom && self.format.shape == Shape::Whole {
            meta["continue"] = list.continue_token.as_str().into();
        }
        if let Some(remaining) = list.remaining {
            meta["remainingItemCount"] = remaining.into();
        }
        let (kind, api_version) = match self.format.shape {
            Shape::Whole => (self.resource.list_kind.to_string(), self.resource.api_version(&self.version)),
            Shape::PartialList | Shape::PartialObject => {
                ("PartialObjectMetadataList".into(), format!("meta.k8s.io/{}", self.format.meta))
            }
            Shape::Table => {
                let mut table = self.table(meta);
                table["rows"] = list.items.iter().map(|object| self.row(&object.tree())).collect();
                return self.written(200, encode::plain(&table, self.format));
            }
        };
        if self.format.encoding == Encoding::Json && !self.format.pretty {
            let head =
                format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{meta},\"items\":[");
            return Ok(self.spliced(list.items, head));
        }
        let items: Vec<Tree> = list.items.iter().map(|object| self.item_tree(object)).collect();
        let tree = json!({"kind": kind, "apiVersion": api_version, "metadata": meta, "items": items});
        self.written(200, encode::list(&tree, self.schema_version(), self.format))
    }

    /// A JSON list that is put together while it is sent.
    fn spliced(&self, items: Vec<ObjectRef>, head: String) -> Written {
        let exact = self.format.shape == Shape::Whole && self.is_stored_version();
        let skip = if exact { self.item_prefix_len() } else { 0 };
        let bytes = |object: &ObjectRef| if exact { object.bytes().len() - skip } else { 2_048 };
        let commas = items.len().saturating_sub(1);
        let len = (head.len() + items.iter().map(bytes).sum::<usize>() + commas + 3) as u64;
        let gzip = self.gzip && len >= GZIP_BYTES_MIN;
        let parts = ListParts {
            view: self.clone(),
            items: items.into_iter(),
            head: Some(head),
            skip,
            exact,
            first: true,
            ended: false,
        };
        let body = if exact { body::spliced(parts, len, gzip) } else { body::unsized_splice(parts, gzip) };
        Written { code: 200, content_type: self.format.content_type().into(), gzip, body }
    }

    /// How many bytes of a stored object come before its `metadata`: items of upstream's own lists
    /// do not repeat kind and apiVersion.
    fn item_prefix_len(&self) -> usize {
        if self.resource.is_custom {
            return 0;
        }
        prefix(&self.resource).len()
    }

    fn item_tree(&self, object: &ObjectRef) -> Tree {
        let tree = object.tree();
        if self.format.shape != Shape::Whole {
            return self.partial(&tree);
        }
        let mut tree = self.in_version(&tree).into_owned();
        if !self.resource.is_custom {
            tree.unset("kind");
            tree.unset("apiVersion");
        }
        tree
    }

    /// The metadata alone. Upstream takes it from before the conversion to `v1`, which is what gives
    /// a DaemonSet the annotation of its template's generation.
    fn partial(&self, tree: &Tree) -> Tree {
        const GENERATION: &str = "deprecated.daemonset.template.generation";
        let mut partial = partial_tree(tree, self.format.meta);
        if self.resource.name.as_str() == "daemonsets.apps"
            && let Some(notes) = partial.at_mut("metadata.annotations").and_then(Tree::as_object_mut)
        {
            notes.remove(GENERATION);
            if notes.is_empty() {
                partial.unset("metadata.annotations");
            }
        }
        partial
    }

    fn table(&self, metadata: Tree) -> Tree {
        json!({
            "kind": "Table",
            "apiVersion": format!("meta.k8s.io/{}", self.format.meta),
            "metadata": metadata,
            "columnDefinitions": table::definitions(&self.resource, &self.schema_version().columns),
            "rows": [],
        })
    }

    fn row(&self, stored: &Tree) -> Tree {
        let object = match self.include {
            Include::Metadata => self.partial(stored),
            Include::Object => self.in_version(stored).into_owned(),
            Include::None => Tree::Null,
        };
        let columns = &self.schema_version().columns;
        let shown = if self.resource.is_custom { self.in_version(stored) } else { std::borrow::Cow::Borrowed(stored) };
        table::row(&self.resource, columns, &shown, object, self.now)
    }

    fn in_version<'t>(&self, tree: &'t Tree) -> std::borrow::Cow<'t, Tree> {
        encode::in_version(tree, &self.resource, &self.version)
    }

    fn is_stored_version(&self) -> bool {
        self.resource.storage == self.resource.api_version(&self.version)
    }

    fn schema_version(&self) -> &ResourceVersion {
        self.resource.version(&self.version).unwrap_or(&self.resource.versions[0])
    }

    fn written(&self, code: u16, bytes: Bytes) -> Result<Written, Status> {
        let gzip = self.gzip && bytes.len() as u64 >= GZIP_BYTES_MIN;
        let len = bytes.len() as u64;
        let body = if gzip { body::spliced(body::Whole(Some(bytes)), len, true) } else { body::full(bytes) };
        Ok(Written { code, content_type: self.format.content_type().into(), gzip, body })
    }
}

fn code(created: bool) -> u16 {
    if created { 201 } else { 200 }
}

/// What every stored object of the resource begins with, but for the brace.
fn prefix(resource: &Resource) -> String {
    format!("\"kind\":\"{}\",\"apiVersion\":\"{}\",", resource.kind, resource.storage)
}

struct ListParts {
    view: View,
    items: std::vec::IntoIter<ObjectRef>,
    head: Option<String>,
    skip: usize,
    exact: bool,
    first: bool,
    ended: bool,
}

impl Parts for ListParts {
    fn next(&mut self, chunk: &mut BytesMut) -> bool {
        if let Some(head) = self.head.take() {
            chunk.put_slice(head.as_bytes());
        }
        let Some(object) = self.items.next() else {
            if !std::mem::replace(&mut self.ended, true) {
                chunk.put_slice(b"]}\n");
            }
            return false;
        };
        if !std::mem::replace(&mut self.first, false) {
            chunk.put_u8(b',');
        }
        match (self.exact, self.skip) {
            (true, 0) => chunk.put_slice(object.bytes()),
            (true, skip) => {
                chunk.put_u8(b'{');
                chunk.put_slice(&object.bytes()[skip + 1..]);
            }
            (false, _) if self.view.format.shape == Shape::Whole => {
                let tree = self.view.item_tree(&object);
                chunk.put_slice(&encode::object(&tree, self.view.schema_version(), Format::JSON));
            }
            (false, _) => chunk.put_slice(&partial(object.bytes(), self.view.format.meta)),
        }
        true
    }
}

/// An object's metadata alone, cut out of its JSON.
fn partial(bytes: &[u8], meta: &str) -> Bytes {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        metadata: Option<&'a RawValue>,
    }
    let metadata = serde_json::from_slice::<Envelope<'_>>(bytes).ok().and_then(|envelope| envelope.metadata);
    let metadata = metadata.map_or("{}", RawValue::get);
    format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/{meta}\",\"metadata\":{metadata}}}")
        .into()
}

fn partial_tree(tree: &Tree, meta: &str) -> Tree {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{meta}"),
        "metadata": tree.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}
