//! Configuration files of the `apiserver.config.k8s.io` kind: no field in them may be unknown.

use crate::object::tree::{Tree, TreePath};

const GROUP: &str = "apiserver.config.k8s.io";
const VERSIONS: &[&str] = &["v1alpha1", "v1beta1", "v1"];

/// Reads a file that must be of `kind`.
pub fn open(text: &str, kind: &str) -> Result<Tree, String> {
    let tree: Tree = serde_yaml::from_str(text).map_err(|error| format!("not YAML: {error}"))?;
    let version = tree.text("apiVersion").strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/'));
    if tree.text("kind") != kind || !version.is_some_and(|one| VERSIONS.contains(&one)) {
        return Err(format!("want kind {kind} of apiVersion {GROUP}/v1"));
    }
    Ok(tree)
}

/// Notes the fields of the map at `at` that are none of `known`.
pub fn only(tree: &Tree, at: &str, known: &[&str], unknown: &mut Vec<String>) {
    let fields = tree.as_object().into_iter().flat_map(|map| map.keys());
    for field in fields.filter(|field| !known.contains(&field.as_str())) {
        let dot = if at.is_empty() { "" } else { "." };
        unknown.push(format!("unknown field \"{at}{dot}{field}\""));
    }
}

/// The error about unknown fields, if there are any.
pub fn complaint(unknown: &[String]) -> Option<String> {
    (!unknown.is_empty()).then(|| format!("strict decoding error: {}", unknown.join(", ")))
}
