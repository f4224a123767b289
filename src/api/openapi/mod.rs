//! OpenAPI documents: what `kubectl explain`, client-side validation and code generators read.
//!
//! They are made when somebody asks, from the schema table, the registry and packed texts, and not kept: version 3
//! has one document for each group version, version 2 one for everything.

mod custom;
mod definitions;
mod descriptions;
mod paths;
mod proto;

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::object::gvk::join_api_version;
use crate::object::schema::builtin;
use crate::object::tree::{Map, Tree, json};
use crate::resources::{Group, Resource, ResourceVersion, SchemaRef, Served};

use definitions::Definitions;

pub use descriptions::{Descriptions, Shelf};
pub use proto::{ACCEPTED as V2_PROTOBUF, CONTENT_TYPE as V2_PROTOBUF_TYPE, document as v2_protobuf};

const VERSION: &str = "v1.36.2";
/// Kinds that every group version knows for its requests and answers.
const COMMON: &[&str] = &["DeleteOptions", "Status", "Patch", "WatchEvent", "APIResourceList"];

/// How a version of OpenAPI writes things down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    V2,
    V3,
}

impl Form {
    fn reference(self, name: &str) -> Tree {
        let folder = match self {
            Self::V2 => "#/definitions",
            Self::V3 => "#/components/schemas",
        };
        json!({"$ref": format!("{folder}/{name}")})
    }
}

/// `/openapi/v3`: where the documents are. Their hashes let clients keep them.
pub fn index(served: &Served) -> Tree {
    let entry = |(group, version): (&Group, &str)| {
        let path = path_of(&group.name, version);
        let url = format!("/openapi/v3/{path}?hash={}", hash(group, version));
        (path, json!({"serverRelativeURL": url}))
    };
    let paths: Map = group_versions(served).map(entry).collect();
    json!({"paths": paths})
}

/// `/openapi/v3/api/v1` and `/openapi/v3/apis/GROUP/VERSION`; `None` if nothing is served there.
pub fn v3(served: &Served, texts: &Descriptions, group: &str, version: &str) -> Option<Tree> {
    let (group, version) = group_versions(served).find(|(found, at)| found.name == group && *at == version)?;
    let mut paths = Map::new();
    let mut needed = Definitions::new(Form::V3, served, texts);
    for (resource, at) in resources(group, version) {
        paths.extend(paths::of(resource, at, Form::V3));
        describe(&mut needed, resource, at);
    }
    let is_custom = resources(group, version).all(|(resource, _)| resource.is_custom);
    let info = if is_custom {
        json!({"title": "Kubernetes CRD Swagger", "version": "v0.1.0"})
    } else {
        json!({"title": "Kubernetes", "version": VERSION})
    };
    Some(json!({
        "openapi": "3.0.0",
        "info": info,
        "paths": paths,
        "components": {
            "schemas": needed.finish(),
            "securitySchemes": {"BearerToken": {
                "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey",
            }},
        },
    }))
}

/// `/openapi/v2`: everything in one document.
pub fn v2(served: &Served, texts: &Descriptions) -> Tree {
    let mut paths = Map::new();
    let mut needed = Definitions::new(Form::V2, served, texts);
    for (group, version) in group_versions(served) {
        for (resource, at) in resources(group, version) {
            paths.extend(paths::of(resource, at, Form::V2));
            describe(&mut needed, resource, at);
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": paths,
        "definitions": needed.finish(),
        "securityDefinitions": {"BearerToken": {
            "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey",
        }},
        "security": [{"BearerToken": []}],
    })
}

/// Changes whenever the document of a group version does.
pub fn hash(group: &Group, version: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(descriptions::LEN);
    for (resource, at) in resources(group, version) {
        let subresources: Vec<&str> = at.subresources.iter().map(|sub| sub.name()).collect();
        digest.update(format!("{}/{}/{}/{subresources:?}", resource.name, at.name, resource.kind));
        digest.update(custom::source(&at.schema).unwrap_or_default());
    }
    let mut text = String::new();
    for byte in digest.finalize() {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn group_versions(served: &Served) -> impl Iterator<Item = (&Group, &str)> {
    served.groups().flat_map(|group| group.versions.iter().map(move |version| (group, &**version)))
}

fn resources<'s>(group: &'s Group, version: &str) -> impl Iterator<Item = (&'s Resource, &'s ResourceVersion)> {
    group.resources().filter_map(move |resource| Some((&**resource, resource.version(version)?)))
}

/// Adds the definitions that a resource's operations name.
fn describe(needed: &mut Definitions<'_>, resource: &Resource, at: &ResourceVersion) {
    let meta = |kind: &&str| format!("apimachinery.pkg.apis.meta.v1.{kind}");
    COMMON.iter().map(meta).for_each(|name| needed.add(&name));
    match &at.schema {
        SchemaRef::Named(name) => {
            needed.add(name);
            needed.add(&format!("{name}List"));
        }
        SchemaRef::Own(..) => custom::describe(needed, resource, at),
    }
    for subresource in &at.subresources {
        if let Some(kind) = paths::kind_of(subresource, resource, at)
            && let Some(schema) = builtin().kind(&join_api_version(&kind.group, &kind.version), &kind.kind)
        {
            needed.add(&schema.node().name);
        }
    }
}

/// The name of a resource's definition at a version.
fn definition_name(resource: &Resource, at: &ResourceVersion) -> String {
    match &at.schema {
        SchemaRef::Named(name) => (*name).to_owned(),
        SchemaRef::Own(..) => custom::name(resource, at, &resource.kind),
    }
}

fn list_definition_name(resource: &Resource, at: &ResourceVersion) -> String {
    match &at.schema {
        SchemaRef::Named(name) => format!("{name}List"),
        SchemaRef::Own(..) => custom::name(resource, at, &resource.list_kind),
    }
}

/// Keys sorted by name, as a map is written.
type Named = BTreeMap<String, Tree>;

#[cfg(test)]
mod tests;
