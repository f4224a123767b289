//! The annotation that client-side apply keeps, so that kubectl can change to server-side apply.

use crate::object::codec::json::to_json;
use crate::object::schema::decode_untyped;
use crate::object::tree::{Tree, TreePath};

use super::set::Set;
use super::typed::Place;
use super::walk::{compare, fields_of};

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields that client-side apply set and that nobody changed since: taking them over is no
/// conflict.
pub fn unchanged_since(live: &Tree, api_version: &str, place: Place<'_>) -> Set {
    let last = annotation(live).and_then(|text| decode_untyped(text.as_bytes()).ok());
    let Some(last) = last.map(|decoded| decoded.tree).filter(|last| last.text("apiVersion") == api_version) else {
        return Set::default();
    };
    let mut errors = Vec::new();
    place.validate(&last, "", false, &mut errors);
    if !errors.is_empty() {
        return Set::default();
    }
    let changes = compare(&last, live, place);
    fields_of(&last, place).difference(&changes.modified).difference(&changes.added).difference(&changes.removed)
}

/// Brings the annotation up to date if there is one, for clients that still apply the old way.
pub fn refresh(object: &mut Tree, config: &Tree) {
    if annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(Tree::Object(annotations)) = config.at_mut("metadata.annotations") {
        annotations.remove(ANNOTATION);
    }
    let mut text = String::from_utf8_lossy(&to_json(&config, None)).into_owned();
    text.push('\n');
    object.set("metadata.annotations", object.at("metadata.annotations").cloned().unwrap_or_default());
    object["metadata"]["annotations"][ANNOTATION] = text.into();
}

fn annotation(object: &Tree) -> Option<&str> {
    let text = object.at("metadata.annotations")?.get(ANNOTATION)?.as_str()?;
    (!text.is_empty()).then_some(text)
}
