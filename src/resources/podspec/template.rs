//! Pod templates of workloads.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::At;
use crate::resources::labels::{check_annotations, check_labels, is_empty_selector, selects};

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

pub fn check(template: &At, errors: &mut FieldErrors) {
    let meta = template.child("metadata");
    check_labels(&meta.child("labels"), errors);
    check_annotations(&meta.child("annotations"), errors);
    let spec = template.child("spec");
    annotations::check(&meta.child("annotations"), &spec, errors);
    super::check(&spec, meta.value, false, errors);
    annotations::check_seccomp_fields(meta.value, &spec, errors);
    let ephemeral = spec.child("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden(errors, "ephemeral containers not allowed in pod template");
    }
}

/// The template of a workload: its labels have to match the selector, its pods are restarted.
pub fn check_of_workload(template: &At, selector: &Tree, errors: &mut FieldErrors) {
    if !is_empty_selector(selector) {
        let labels = template.child("metadata.labels");
        if !selects(selector, labels.value) {
            let shown = if labels.exists() { labels.value.clone() } else { Tree::Null };
            errors.invalid(&*labels.path, shown, "`selector` does not match template `labels`");
        }
    }
    check(template, errors);
    let restart = template.child("spec.restartPolicy");
    if restart.str() != "Always" {
        restart.not_supported(errors, &["Always"]);
    }
    let deadline = template.child("spec.activeDeadlineSeconds");
    if deadline.exists() {
        deadline.forbidden(errors, "activeDeadlineSeconds in ReplicaSet is not Supported");
    }
}
