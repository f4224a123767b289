//! Custom resources: what a CustomResourceDefinition makes of the registry.
//!
//! A definition becomes the same [`Resource`] that a row of the built-in table becomes; nothing
//! outside of this module and `api::crd` can tell them apart but by [`Resource::is_custom`].

mod embedded;
mod expressions;
mod rules;

use std::sync::Arc;

pub use rules::{CustomRules, VersionRules};

use crate::object::GroupResource;
use crate::object::gvk::join_api_version;
use crate::object::schema::custom::{Props, types_of};
use crate::object::tree::{Tree, TreePath};

use super::column::{Columns, CustomColumn};
use super::def::{ScalePaths, Scope, Subresource, Verbs};
use super::resource::{Resource, ResourceVersion, RulesRef, SchemaRef, Text};
use super::table;

/// What upstream says of the columns that it shows where a definition names none.
/// The resource that a definition's accepted names and served versions describe; `None` if it
/// serves no version.
pub fn resource_of(definition: &Tree) -> Option<Resource> {
    let group = definition.text("spec.group").to_owned();
    let names = definition.at("status.acceptedNames")?;
    let name = |path: &str| Text::from(names.text(path).to_owned());
    let list = |path: &str| names.items(path).iter().filter_map(|n| Some(Text::from(n.as_str()?.to_owned()))).collect();
    let all = definition.items("spec.versions");
    let mut served: Vec<&Tree> = all.iter().filter(|version| version.flag("served") == Some(true)).collect();
    served.sort_by_key(|version| std::cmp::Reverse(super::registry::version_rank(version.text("name"))));
    let storage = all.iter().find(|version| version.flag("storage") == Some(true))?.text("name");
    let versions: Vec<ResourceVersion> =
        served.iter().map(|version| version_of(version, names.text("kind"), &group)).collect();
    let rules = CustomRules::of(definition);
    let is_terminating = definition.has("metadata.deletionTimestamp");
    (!versions.is_empty()).then(|| Resource {
        kind: name("kind"),
        list_kind: name("listKind"),
        plural: name("plural"),
        singular: name("singular"),
        short_names: list("shortNames"),
        categories: list("categories"),
        scope: if definition.text("spec.scope") == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
        versions,
        verbs: if is_terminating { Verbs::CustomTerminating } else { Verbs::Custom },
        rules: RulesRef::Shared(Arc::new(rules)),
        is_custom: true,
        storage: join_api_version(&group, storage).into(),
        name: GroupResource::new(&group, names.text("plural")),
        stored_as: GroupResource::new(&group, names.text("plural")),
        group: group.into(),
    })
}

/// The schema of a version, as its definition has it.
pub fn schema_of(version: &Tree) -> Props {
    version.at("schema.openAPIV3Schema").and_then(Props::read).unwrap_or_default()
}

fn version_of(version: &Tree, kind: &str, group: &str) -> ResourceVersion {
    let (mut types, root) = types_of(&schema_of(version));
    types.source = version.at("schema.openAPIV3Schema").map(|schema| schema.to_string().into());
    let name = version.text("name");
    let mut subresources = Vec::new();
    if version.has("subresources.status") {
        subresources.push(Subresource::Status);
    }
    if let Some(scale) = version.at("subresources.scale") {
        subresources.push(Subresource::Scale(scale_paths(scale)));
    }
    let deprecation = match (version.flag("deprecated"), version.text("deprecationWarning")) {
        (Some(true), "") => format!("{group}/{name} {kind} is deprecated"),
        (Some(true), warning) => warning.to_owned(),
        _ => String::new(),
    };
    ResourceVersion {
        name: name.to_owned().into(),
        schema: SchemaRef::Own(Arc::new(types), root),
        subresources,
        columns: Columns::Custom(columns_of(version)),
        selectable: version
            .items("selectableFields")
            .iter()
            .map(|field| Text::from(without_dot(field.text("jsonPath")).to_owned()))
            .collect(),
        deprecation,
    }
}

fn scale_paths(scale: &Tree) -> ScalePaths {
    let path = |name: &str| without_dot(scale.text(name)).to_owned().into();
    ScalePaths {
        replicas: path("specReplicasPath"),
        status_replicas: path("statusReplicasPath"),
        selector: path("labelSelectorPath"),
    }
}

fn without_dot(path: &str) -> &str {
    path.strip_prefix('.').unwrap_or(path)
}

fn columns_of(version: &Tree) -> Vec<CustomColumn> {
    let columns = version.items("additionalPrinterColumns");
    if columns.is_empty() {
        return vec![CustomColumn {
            name: "Age".into(),
            kind: "date".into(),
            format: String::new(),
            description: table::about("", "Age").into(),
            priority: 0,
            json_path: ".metadata.creationTimestamp".into(),
        }];
    }
    let column = |column: &Tree| CustomColumn {
        name: column.text("name").into(),
        kind: column.text("type").into(),
        format: column.text("format").into(),
        description: column.text("description").into(),
        priority: column.int("priority").and_then(|priority| i32::try_from(priority).ok()).unwrap_or(0),
        json_path: column.text("jsonPath").into(),
    };
    columns.iter().map(column).collect()
}
