//! What the server decides about `metadata`, whatever the kind.
//!
//! Pure: uids, suffixes and the time come from the caller.

use crate::object::time::Timestamp;
use crate::object::tree::{Tree, TreePath};
use crate::object::{Reason, Status};

/// Generated names are cut so that base and suffix fit into a DNS label.
const GENERATED_BASE_LEN_MAX: usize = 58;
pub const SUFFIX_LEN: usize = 5;

/// Takes away what a client may not choose about a new object.
pub fn wipe_system_fields(tree: &mut Tree) {
    if let Some(meta) = tree.get_mut("metadata").and_then(Tree::as_object_mut) {
        for field in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            meta.remove(field);
        }
    }
}

/// Puts the object into the namespace of the request, or complains that it is in another one.
pub fn match_namespace(tree: &mut Tree, expected: &str) -> Result<(), Status> {
    let stated = tree.text("metadata.namespace");
    if expected.is_empty() {
        tree.unset("metadata.namespace");
    } else if stated.is_empty() {
        tree.set("metadata.namespace", expected);
    } else if stated != expected {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Checks that the object is the one the URL names. An object without a name takes it from the URL
/// where `fill` allows that.
pub fn match_name(tree: &mut Tree, expected: &str, fill: bool) -> Result<(), Status> {
    match tree.text("metadata.name") {
        "" if fill => {
            tree.set("metadata.name", expected);
            Ok(())
        }
        "" => Err(Status::bad_request(format!(
            "the name of the object ({expected} based on URL) was undeterminable: name must be provided"
        ))),
        name if name == expected => Ok(()),
        name => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({expected})"
        ))),
    }
}

/// Says when and as whom the object came to be.
pub fn fill_system_fields(tree: &mut Tree, uid: String, now: Timestamp) {
    tree.set("metadata.uid", uid);
    tree.set("metadata.creationTimestamp", now);
}

/// Whether a name is to be made up from `generateName`.
pub fn wants_generated_name(tree: &Tree) -> bool {
    tree.text("metadata.name").is_empty() && !tree.text("metadata.generateName").is_empty()
}

pub fn generate_name(tree: &mut Tree, suffix: &str) {
    let base = tree.text("metadata.generateName");
    let mut end = base.len().min(GENERATED_BASE_LEN_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let name = format!("{}{suffix}", &base[..end]);
    tree.set("metadata.name", name);
}

/// A created object brings no version along.
pub fn refuse_version(tree: &Tree) -> Result<(), Status> {
    match parse_version(tree.text("metadata.resourceVersion"))? {
        None => Ok(()),
        Some(_) => Err(Status::new(Reason::Unknown, "resourceVersion should not be set on objects to be created")),
    }
}

/// The version that an updated object claims to change; none if it is absent, empty or 0.
pub fn parse_version(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(version) => Ok(Some(version)),
        Err(_) => Err(Status::new(Reason::Unknown, parse_uint_error(text))),
    }
}

/// As Go's `strconv.ParseUint` complains.
pub fn parse_uint_error(text: &str) -> String {
    let why = if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        "value out of range"
    } else {
        "invalid syntax"
    };
    format!("strconv.ParseUint: parsing {text:?}: {why}")
}

/// Puts back what no update changes.
pub fn keep_system_fields(new: &mut Tree, old: &Tree) {
    if new.text("metadata.uid").is_empty() {
        copy(new, old, "uid");
    }
    copy(new, old, "creationTimestamp");
    if old.has("metadata.deletionTimestamp") {
        copy(new, old, "deletionTimestamp");
    }
    if !new.has("metadata.deletionGracePeriodSeconds") {
        copy(new, old, "deletionGracePeriodSeconds");
    }
    new.unset("metadata.selfLink");
}

/// Makes `new.metadata.FIELD` what it is in `old`.
pub fn copy(new: &mut Tree, old: &Tree, field: &str) {
    let path = format!("metadata.{field}");
    match old.at(&path) {
        Some(value) => {
            new.set(&path, value.clone());
        }
        None => {
            new.unset(&path);
        }
    }
}

/// Names each owner once, warning of those named more often.
pub fn dedup_owners(tree: &mut Tree, after_admission: bool, warnings: &mut Vec<String>) {
    let Some(owners) = tree.at_mut("metadata.ownerReferences").and_then(Tree::as_array_mut) else { return };
    let mut kept: Vec<Tree> = Vec::with_capacity(owners.len());
    let mut repeated = Vec::new();
    for owner in owners.drain(..) {
        if kept.contains(&owner) {
            repeated.push(owner.text("uid").to_owned());
        } else {
            kept.push(owner);
        }
    }
    *owners = kept;
    if !repeated.is_empty() {
        let when = if after_admission { " after mutating admission happens" } else { "" };
        warnings.push(format!(
            ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            repeated.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn names_are_generated_and_cut() {
        let mut tree = json!({"metadata": {"generateName": "x".repeat(70)}});
        assert!(wants_generated_name(&tree));
        generate_name(&mut tree, "abcde");
        assert_eq!(tree.text("metadata.name").len(), 63);
    }

    #[test]
    fn an_update_cannot_rewrite_history() {
        let old = json!({"metadata": {"uid": "u", "creationTimestamp": "then", "deletionTimestamp": "soon"}});
        let mut new = json!({"metadata": {"creationTimestamp": "now"}});
        keep_system_fields(&mut new, &old);
        assert_eq!(new, old);
    }
}
