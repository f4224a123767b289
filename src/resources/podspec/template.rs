//! Pod templates of workloads.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::At;
use crate::resources::labels::{self, check_annotations, check_labels, selects};

use super::{annotations, defaults};

/// Fills in the template at `path`.
pub fn default(tree: &mut Tree, path: &str) {
    if !tree.has(path) {
        tree.set(path, json!({"metadata": {}, "spec": {}}));
    }
    if let Some(template) = tree.at_mut(path).and_then(|template| template.as_object_mut()) {
        defaults::template(template.entry("spec").or_insert_with(|| json!({})));
    }
}

/// Upstream names a template's labels and annotations without `metadata`.
pub fn check(template: &At, errors: &mut FieldErrors) {
    let meta = template.child("metadata");
    let moved = |field: &str| At::new(meta.child(field).value, template.path_to(field));
    check_labels(&moved("labels"), errors);
    check_annotations(&moved("annotations"), errors);
    let spec = template.child("spec");
    annotations::check(&moved("annotations"), &spec, errors);
    super::check(&spec, meta.value, false, errors);
    annotations::check_seccomp_fields(meta.value, &spec, errors);
    let ephemeral = spec.child("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden(errors, "ephemeral containers not allowed in pod template");
    }
}

/// Whether the selector of a workload picks the pods of its template. No selector picks nothing.
pub fn check_selected(template: &At, selector: &At, errors: &mut FieldErrors) {
    let labels = template.child("metadata.labels");
    if !selector.exists() || !selects(selector.value, labels.value) {
        labels.invalid(errors, "`selector` does not match template `labels`");
    }
}

/// A selector that has to be there and to pick something; `owner` is who has it. Tells whether it
/// can be read at all.
pub fn check_selector(selector: &At, owner: &str, errors: &mut FieldErrors) -> bool {
    if !selector.exists() {
        selector.required(errors, "");
        return true;
    }
    let before = errors.list.len();
    labels::check_selector(selector, errors);
    let readable = errors.list.len() == before;
    if labels::is_empty_selector(selector.value) {
        errors.invalid(&*selector.path, json!({}), format!("empty selector is invalid for {owner}"));
    }
    readable
}

/// Pods of `owner` are always restarted, and have no deadline.
pub fn check_long_running(template: &At, owner: &str, errors: &mut FieldErrors) {
    let restart = template.child("spec.restartPolicy");
    if restart.str() != "Always" {
        restart.not_supported(errors, &["Always"]);
    }
    let deadline = template.child("spec.activeDeadlineSeconds");
    if deadline.exists() {
        deadline.forbidden(errors, format!("activeDeadlineSeconds in {owner} is not Supported"));
    }
}
