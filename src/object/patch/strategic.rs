//! Strategic merge patch: lists are merged by key where the schema says so, and directives in the
//! patch replace, delete and order.
//!
//! Directives: `$patch: replace|delete` in a map or list element, `$retainKeys` in a map,
//! `$deleteFromPrimitiveList/FIELD` and `$setElementOrder/FIELD` beside a list.

use crate::object::schema::{Decoded, Field, Schema};
use crate::object::status::{Reason, Status};
use crate::object::tree::{Map, Tree};

use super::{Patched, read_object};

mod order;

use order::{arrange, check_order, split_by};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

const BAD_RETAIN_KEYS: &str = "invalid patch format of retainKeys";
const BAD_ORDER: &str = "invalid patch format of setElementOrder list";
const LIST_OF_LISTS: &str = "lists of lists are not supported";

type Entries = Map;

/// Patches a document whose type is `schema`.
pub fn apply(document: Tree, patch: &[u8], schema: Schema<'_>) -> Result<Patched, Status> {
    let Decoded { tree, complaints } = read_object(patch, |why| why)?;
    let (Tree::Object(document), Tree::Object(patch)) = (document, tree) else {
        return Err(Status::bad_request("invalid JSON document"));
    };
    let merged = merge_map(document, patch, Some(schema))?;
    Ok(Patched { tree: Tree::Object(merged), complaints })
}

/// How the list or map under a field is merged.
struct Strategy<'t, 'f> {
    schema: Option<Schema<'t>>,
    field: Option<&'f Field>,
}

impl Strategy<'_, '_> {
    fn merge_key(&self) -> &str {
        self.field.and_then(|field| field.patch_merge_key.as_deref()).unwrap_or_default()
    }
}

fn strategy<'t>(schema: Option<Schema<'t>>, name: &str) -> Strategy<'t, 't> {
    Strategy {
        schema: schema.and_then(|schema| schema.child(name)),
        field: schema.and_then(|schema| schema.field(name)),
    }
}

fn merge_map(mut original: Entries, mut patch: Entries, schema: Option<Schema<'_>>) -> Result<Entries, Status> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Entries::new()),
            _ => Err(failed(format!("unknown patch type: {} in map: {}", show(&directive), show_map(&patch)))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    let ordered: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).map(ToString::to_string).collect();
    for directive in ordered {
        let order = patch.remove(&directive).unwrap_or_default();
        let name = &directive[SET_ORDER.len()..];
        set_order(&mut original, &mut patch, name, &order, strategy(schema, name))?;
    }
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_FROM) {
            if let (Some(Tree::Array(list)), Tree::Array(gone)) = (original.get_mut(name), &value) {
                list.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if value.is_null() {
            original.remove(&key);
            continue;
        }
        let here = strategy(schema, &key);
        let merged = match (original.remove(&key), value) {
            (Some(Tree::Object(old)), Tree::Object(new)) => {
                if here.field.is_some_and(|field| field.patch.replace) {
                    Some(Tree::Object(new))
                } else {
                    Some(Tree::Object(merge_map(old, new, here.schema)?))
                }
            }
            (Some(Tree::Array(old)), Tree::Array(new)) => {
                if here.field.is_some_and(|field| field.patch.merge) {
                    Some(Tree::Array(merge_list(old, new, &here)?))
                } else {
                    Some(Tree::Array(new))
                }
            }
            (_, new) => clean(new),
        };
        original.extend(merged.map(|merged| (key, merged)));
    }
    Ok(original)
}

/// Drops every key that `$retainKeys` does not name.
fn retain_keys(original: &mut Entries, patch: &mut Entries) -> Result<(), Status> {
    let Some(kept) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Tree::Array(kept) = kept else { return Err(Status::bad_request(BAD_RETAIN_KEYS)) };
    let is_kept = |key: &str| kept.iter().any(|name| name.as_str() == Some(key));
    let stray = patch.iter().any(|(key, value)| {
        !value.is_null() && !key.starts_with(DELETE_FROM) && !key.starts_with(SET_ORDER) && !is_kept(key)
    });
    if stray {
        return Err(Status::bad_request(BAD_RETAIN_KEYS));
    }
    original.retain(|key, _| is_kept(key));
    Ok(())
}

/// Merges the list `name` and puts it in the order of a `$setElementOrder` directive.
fn set_order(
    original: &mut Entries,
    patch: &mut Entries,
    name: &str,
    order: &Tree,
    here: Strategy<'_, '_>,
) -> Result<(), Status> {
    let list_of = |value: Option<Tree>| match value {
        None => Ok(None),
        Some(Tree::Array(list)) => Ok(Some(list)),
        Some(_) => Err(Status::bad_request(BAD_ORDER)),
    };
    let Tree::Array(order) = order else { return Err(Status::bad_request(BAD_ORDER)) };
    let old = list_of(original.get(name).cloned())?;
    let new = list_of(patch.remove(name))?;
    check_order(new.as_deref().unwrap_or_default(), order, here.merge_key())?;
    let merged = match (&old, new) {
        (None, None) => return Ok(()),
        (Some(old), None) => old.clone(),
        (None, Some(new)) => new.into_iter().filter_map(clean).collect(),
        (Some(old), Some(new)) if here.field.is_some_and(|field| field.patch.merge) => {
            merge_list(old.clone(), new, &here)?
        }
        (Some(_), Some(new)) => new,
    };
    let (in_order, others) = split_by(merged, order, here.merge_key())?;
    let arranged = arrange(in_order, others, order, &old.unwrap_or_default(), here.merge_key());
    original.insert(name.to_owned().into(), Tree::Array(arranged));
    Ok(())
}

fn merge_list(old: Vec<Tree>, new: Vec<Tree>, here: &Strategy<'_, '_>) -> Result<Vec<Tree>, Status> {
    if old.is_empty() && new.is_empty() {
        return Ok(old);
    }
    let elements = || old.iter().chain(&new);
    if elements().next().is_some_and(Tree::is_array) {
        return Err(Status::new(Reason::Other(422), LIST_OF_LISTS));
    }
    let are_maps = elements().all(Tree::is_object);
    if !are_maps && elements().any(Tree::is_object) {
        return Err(failed(format!("list element types are not identical: [{} {}]", show_list(&old), show_list(&new))));
    }
    let (merged, server, order) = if are_maps {
        merge_elements(old, new, here)?
    } else {
        let mut merged = old.clone();
        for item in &new {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        (merged, old, new)
    };
    let (in_patch, others) = split_by(merged, &order, here.merge_key())?;
    Ok(arrange(in_patch, others, &order, &server, here.merge_key()))
}

/// Merges maps by their key: the merged list, the old list without what the patch deletes, and the
/// patch without directives.
fn merge_elements(
    mut old: Vec<Tree>,
    new: Vec<Tree>,
    here: &Strategy<'_, '_>,
) -> Result<(Vec<Tree>, Vec<Tree>, Vec<Tree>), Status> {
    let key = here.merge_key();
    if key.is_empty() {
        return Err(failed("cannot merge lists without merge key for map".into()));
    }
    let (mut patch, mut is_replaced) = (Vec::new(), false);
    for item in new {
        match item.get(DIRECTIVE).map(|directive| directive.as_str()) {
            None => patch.push(item),
            Some(Some("delete")) => {
                let gone = item.get(key).ok_or_else(|| no_key(&item, key))?;
                old.retain(|other| other.get(key) != Some(gone));
            }
            Some(Some("replace")) => is_replaced = true,
            Some(Some("merge")) => return Err(failed("merging lists cannot yet be specified in the patch".into())),
            Some(_) => {
                return Err(failed(format!("unknown patch type: {} in map: {}", show(&item[DIRECTIVE]), show(&item))));
            }
        }
    }
    if is_replaced {
        return Ok((patch.clone(), patch, Vec::new()));
    }
    let mut merged = old.clone();
    for item in &patch {
        let value = item.get(key).ok_or_else(|| no_key(item, key))?;
        let schema = here.schema.and_then(Schema::items);
        match merged.iter_mut().find(|other| other.get(key) == Some(value)) {
            Some(Tree::Object(found)) => {
                let patch = item.as_object().cloned().unwrap_or_default();
                *found = merge_map(std::mem::take(found), patch, schema)?;
            }
            _ => merged.extend(clean(item.clone())),
        }
    }
    Ok((merged, old, patch))
}

/// A new value without `null`s and directives; `None` for one that a directive deletes.
fn clean(value: Tree) -> Option<Tree> {
    match value {
        Tree::Object(map) if map.contains_key(DIRECTIVE) => None,
        Tree::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Some(Tree::Object(kept.filter_map(|(key, value)| Some((key, clean(value)?))).collect()))
        }
        Tree::Array(list) => Some(Tree::Array(list.into_iter().filter_map(clean).collect())),
        scalar => Some(scalar),
    }
}

/// What upstream answers with 500.
fn failed(message: String) -> Status {
    Status::new(Reason::Unknown, message)
}

fn no_key(item: &Tree, key: &str) -> Status {
    failed(format!("map: {} does not contain declared merge key: {key}", show(item)))
}

/// A patch as Go's `%v` shows it; empty for what is no JSON.
pub fn show_patch(patch: &[u8]) -> String {
    super::read_object(patch, |why| why).map(|decoded| show(&decoded.tree)).unwrap_or_default()
}

/// A value as Go's `%v` shows it.
fn show(value: &Tree) -> String {
    match value {
        Tree::Object(map) => show_map(map),
        Tree::Array(list) => show_list(list),
        Tree::String(text) => text.clone(),
        Tree::Null => "<nil>".into(),
        other => other.to_string(),
    }
}

fn show_map(map: &Entries) -> String {
    let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", show(value))).collect();
    format!("map[{}]", entries.join(" "))
}

fn show_list(list: &[Tree]) -> String {
    format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
