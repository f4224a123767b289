//! Trees and Statuses as bytes of the encoding that was asked for.

use std::borrow::Cow;

use bytes::Bytes;

use crate::object::codec::{json, protobuf, yaml};
use crate::object::gvk::join_api_version;
use crate::object::schema::{Schema, builtin};
use crate::object::tree::{Tree, TreePath};
use crate::object::{Encoding, Status};
use crate::resources::{Resource, ResourceVersion};
use crate::store::Payload;

use super::negotiate::Format;

/// An object of a version of a resource.
pub fn object(tree: &Tree, version: &ResourceVersion, format: Format) -> Bytes {
    // A subresource's answer may be of another kind than its resource.
    let own = builtin().kind(tree.text("apiVersion"), tree.text("kind"));
    in_encoding(tree, own.or(version.schema.of(builtin())), format)
}

/// A list of objects of a version of a resource.
pub fn list(tree: &Tree, version: &ResourceVersion, format: Format) -> Bytes {
    if format.encoding != Encoding::Protobuf {
        return in_encoding(tree, None, format);
    }
    in_encoding(tree, of_kind(tree, format).or(version.schema.of(builtin())), format)
}

/// Something that is of no version of its resource: tables, metadata alone.
pub fn plain(tree: &Tree, format: Format) -> Bytes {
    in_encoding(tree, of_kind(tree, format), format)
}

/// The schema of the kind that a tree says it is. Metadata alone has one only where it cannot be written
/// without: its JSON says just what is there.
fn of_kind(tree: &Tree, format: Format) -> Option<Schema<'static>> {
    let (api_version, kind) = (tree.text("apiVersion"), tree.text("kind"));
    match api_version.starts_with("meta.k8s.io/") {
        true if format.encoding != Encoding::Protobuf => None,
        true => builtin().named(&format!("apimachinery.pkg.apis.meta.v1.{kind}")),
        false => builtin().kind(api_version, kind),
    }
}

/// A `metav1.Status`.
pub fn status(tree: &Tree, format: Format) -> Bytes {
    in_encoding(tree, builtin().named("apimachinery.pkg.apis.meta.v1.Status"), format)
}

/// One event of a watch, with its length in front.
pub fn protobuf_event(kind: &str, object: &[u8]) -> Bytes {
    let event = protobuf::watch_event(kind, object);
    let len = u32::try_from(event.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&len[..], &event].concat().into()
}

fn in_encoding(tree: &Tree, schema: Option<Schema<'_>>, format: Format) -> Bytes {
    let mut bytes = match (format.encoding, schema) {
        (Encoding::Yaml, _) => return yaml::to_yaml(tree).into(),
        (Encoding::Protobuf, Some(schema)) => return protobuf::encode(tree, schema).into(),
        _ if format.pretty => json::indent(&json::to_json(tree, schema)),
        _ => json::to_json(tree, schema),
    };
    if format.pretty {
        bytes.push(b'\n');
    }
    bytes.into()
}

/// What is put into the store for an object in the storage version.
pub fn payload(tree: &Tree, resource: &Resource) -> Result<Payload, Status> {
    let schema =
        storage_schema(resource).ok_or_else(|| Status::internal(format!("{} has no schema", resource.name)))?;
    let encoded = json::encode(tree, schema);
    let revision_at = u32::try_from(encoded.revision_at).unwrap_or_default();
    Ok(Payload { bytes: encoded.bytes.into(), revision_at })
}

/// The schema of the version that objects are stored in.
pub fn storage_schema(resource: &Resource) -> Option<Schema<'_>> {
    if resource.is_custom {
        // Custom objects are written in the order of their keys, whatever the version.
        return resource.versions.first()?.schema.of(builtin());
    }
    let stored = resource.versions.iter().find(|version| resource.api_version(&version.name) == resource.storage);
    match stored {
        Some(version) => version.schema.of(builtin()),
        None => builtin().kind(&resource.storage, &resource.kind),
    }
}

/// The tree in `version` of the resource's own group; borrowed if it is that already.
pub fn in_version<'t>(tree: &'t Tree, resource: &Resource, version: &str) -> Cow<'t, Tree> {
    let wanted = join_api_version(&resource.group, version);
    convert(tree, resource, &wanted)
}

/// The tree in the version that is stored.
pub fn in_storage(tree: Tree, resource: &Resource) -> Tree {
    let wanted = resource.storage.to_string();
    match convert(&tree, resource, &wanted) {
        Cow::Borrowed(_) => tree,
        Cow::Owned(converted) => converted,
    }
}

fn convert<'t>(tree: &'t Tree, resource: &Resource, wanted: &str) -> Cow<'t, Tree> {
    let now = tree.text("apiVersion");
    if now == wanted || now.is_empty() || tree.text("kind") != resource.kind {
        return Cow::Borrowed(tree);
    }
    let mut converted = resource.rules.convert(tree.clone(), now, wanted);
    converted.set("apiVersion", wanted);
    Cow::Owned(converted)
}
