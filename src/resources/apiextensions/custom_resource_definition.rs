//! CustomResourceDefinition: a resource that a user adds.

use std::cell::RefCell;

use super::{schema_checks, spec_checks};
use crate::object::field::FieldErrors;
use crate::object::quote::Quoted;
use crate::object::schema::custom::{Props, is_supported_format};
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at, immutable};
use crate::resources::defaults::set_if_empty;
use crate::resources::{ResourceDef, Rules, Subresource, Version, cells};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    subresources: &[Subresource::Status],
    rules: &CustomResourceDefinition,
    ..ResourceDef::cluster(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "customresourcedefinition",
        &[Version::on("v1", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition")],
    )
};

pub struct CustomResourceDefinition;

impl Rules for CustomResourceDefinition {
    fn default(&self, new: &mut Tree) {
        let kind = new.text("spec.names.kind").to_owned();
        set_if_empty(new, "spec.names.singular", kind.to_lowercase());
        if !kind.is_empty() {
            set_if_empty(new, "spec.names.listKind", format!("{kind}List"));
        }
        new.set_default("spec.conversion", json!({"strategy": "None"}));
        if let Some(client) = new.at_mut("spec.conversion.webhook.clientConfig") {
            crate::resources::webhooks::default_client(client);
        }
        if new.items("status.storedVersions").is_empty() {
            add_stored_version(new);
        }
    }

    fn prepare_create(&self, new: &mut Tree) {
        add_stored_version(new);
    }

    fn prepare_update(&self, new: &mut Tree, _old: &Tree) {
        add_stored_version(new);
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let object = At::root(new);
        let wanted = format!("{}.{}", new.text("spec.names.plural"), new.text("spec.group"));
        if old.is_none() && new.text("metadata.name") != wanted {
            object.child("metadata.name").invalid_text(errors, "must be spec.names.plural+\".\"+spec.group");
        }
        let schemas = old.is_none_or(|old| !schema_checks::is_same(new, old));
        spec_checks::check_spec(&object.child("spec"), schemas, errors);
        if let Some(old) = old {
            let mut fixed = vec!["spec.group", "spec.names.plural"];
            if cells::condition(old, "Established").is_some_and(|condition| condition.text("status") == "True") {
                fixed.splice(..0, ["spec.scope", "spec.names.kind"]);
            }
            for path in fixed {
                immutable(errors, new, old, path);
            }
        }
        spec_checks::check_names(&object.child("status.acceptedNames"), errors);
        check_stored_versions(new, errors);
        if !old.is_some_and(|old| approval(old) == approval(new)) {
            check_approval(new, errors);
        }
        let preserve = object.child("spec.preserveUnknownFields");
        let was = old.is_some_and(|old| at(old, "spec.preserveUnknownFields").as_bool() == Some(true));
        if preserve.flag() && !was {
            let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
            preserve.invalid(errors, detail);
        }
    }

    fn warnings(&self, new: &Tree, old: Option<&Tree>) -> Vec<String> {
        let before = old.map(unknown_formats).unwrap_or_default();
        let new = unknown_formats(new).into_iter().filter(|format| !before.contains(format));
        new.map(|format| format!("unrecognized format {}", Quoted(&format))).collect()
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        spec_checks::check_names(&At::root(new).child("status.acceptedNames"), errors);
    }
}

/// Formats that say nothing about values, as often as they stand there.
fn unknown_formats(crd: &Tree) -> Vec<String> {
    let found = RefCell::new(Vec::new());
    for schema in crd.items("spec.versions").iter().filter_map(|version| version.at("schema.openAPIV3Schema")) {
        let Some(props) = Props::read(schema) else { continue };
        props.any(&|props| {
            if !props.format.is_empty() && !is_supported_format(&props.r#type, &props.format) {
                found.borrow_mut().push(props.format.clone());
            }
            false
        });
    }
    found.into_inner()
}

/// Objects may be stored in what is, or ever was, the storage version.
fn add_stored_version(new: &mut Tree) {
    let storage = new.items("spec.versions").iter().find(|version| version.flag("storage") == Some(true));
    let Some(name) = storage.map(|version| version.text("name").to_owned()) else { return };
    let mut stored = new.items("status.storedVersions").to_vec();
    if !stored.iter().any(|version| version.as_str() == Some(&*name)) {
        stored.push(name.into());
        new.set("status.storedVersions", Tree::Array(stored));
    }
}

fn check_stored_versions(new: &Tree, errors: &mut FieldErrors) {
    let stored = At::root(new).child("status.storedVersions");
    if stored.is_empty() {
        return errors.invalid(&*stored.path, Tree::Null, "must have at least one stored version");
    }
    let versions = new.items("spec.versions");
    for version in versions.iter().filter(|version| version.flag("storage") == Some(true)) {
        let name = version.text("name");
        if !stored.items().any(|one| one.str() == name) {
            stored.invalid(errors, format!("must have the storage version {name}"));
        }
    }
    for one in stored.items().filter(|one| !versions.iter().any(|version| version.text("name") == one.str())) {
        let name = one.str();
        one.invalid(
            errors,
            format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {name} and removes \
                 {name} from status.storedVersions"
            ),
        );
    }
}

const APPROVED: &str = "api-approved.kubernetes.io";

#[derive(PartialEq, Eq)]
enum Approval {
    Missing,
    Invalid,
    Given,
}

fn annotation(crd: &Tree) -> &str {
    crd.map("metadata.annotations").and_then(|all| all.get(APPROVED)).and_then(Tree::as_str).unwrap_or_default()
}

fn approval(crd: &Tree) -> Approval {
    let is_url =
        |text: &str| text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with('/') && !rest.is_empty());
    match annotation(crd) {
        "" => Approval::Missing,
        text if text.starts_with("unapproved") || is_url(text) => Approval::Given,
        _ => Approval::Invalid,
    }
}

/// Groups of the Kubernetes community are for APIs that it approved.
fn check_approval(new: &Tree, errors: &mut FieldErrors) {
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let group = new.text("spec.group");
    let protected = ["k8s.io", "kubernetes.io"];
    if !protected.iter().any(|end| group.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))) {
        return;
    }
    let path = format!("metadata.annotations[{APPROVED}]");
    let must = format!("protected groups must have approval annotation {APPROVED:?}");
    match approval(new) {
        Approval::Missing => errors.required(path, format!("{must}, {SEE}")),
        Approval::Invalid => {
            let detail = format!("{must} with either a URL or a reason starting with \"unapproved\", {SEE}");
            errors.invalid(path, annotation(new), detail);
        }
        Approval::Given => {}
    }
}
