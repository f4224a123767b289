//! JSON patch (RFC 6902): a list of operations, all of which must work.

use crate::object::schema::decode_untyped;
use crate::object::status::{Reason, Status};
use crate::object::tree::{Map, Tree, TreePath};

use super::{Patched, rejected};

/// More operations than this are refused.
const OPERATIONS_MAX: usize = 10_000;
const FIELDS: &[&str] = &["op", "path", "from", "value"];

/// An operation could not be carried out.
struct Failed;

pub fn apply(mut document: Tree, patch: &[u8]) -> Result<Patched, Status> {
    let bad = |why: &str| Status::bad_request(format!("error decoding patch: {why}"));
    let decoded = decode_untyped(patch).map_err(|error| bad(&error.to_string()))?;
    let operations = match decoded.tree {
        Tree::Array(operations) => operations,
        Tree::Null => Vec::new(),
        other => return Err(bad(&misfit(&other, "value of type []handlers.jsonPatchOp"))),
    };
    operations.iter().try_for_each(check).map_err(|why| bad(&why))?;
    if operations.len() > OPERATIONS_MAX {
        let message =
            format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}", operations.len());
        return Err(Status::new(Reason::RequestEntityTooLarge, message));
    }
    let mut complaints = decoded.complaints;
    for (index, operation) in operations.iter().enumerate() {
        let Tree::Object(fields) = operation else { return Err(rejected()) };
        let unknown = fields.keys().filter(|key| !FIELDS.contains(&key.as_str()));
        complaints.extend(unknown.map(|key| format!("unknown field {:?}", format!("[{index}].{key}"))));
        perform(&mut document, operation).map_err(|Failed| rejected())?;
    }
    complaints.iter_mut().for_each(|complaint| complaint.insert_str(0, "json patch "));
    Ok(Patched { tree: document, complaints })
}

/// Complains of what is no operation, as Go's decoder does.
fn check(operation: &Tree) -> Result<(), String> {
    match operation {
        Tree::Object(fields) => {
            let texts = ["op", "path", "from"].into_iter().filter_map(|name| Some((name, fields.get(name)?)));
            let wrong = texts.into_iter().find(|(_, value)| !value.is_string() && !value.is_null());
            match wrong {
                Some((name, value)) => Err(misfit(value, &format!("struct field jsonPatchOp.{name} of type string"))),
                None => Ok(()),
            }
        }
        Tree::Null => Ok(()),
        other => Err(misfit(other, "value of type handlers.jsonPatchOp")),
    }
}

fn misfit(value: &Tree, wanted: &str) -> String {
    let kind = match value {
        Tree::Object(_) => "object",
        Tree::Array(_) => "array",
        Tree::String(_) => "string",
        Tree::Bool(_) => "bool",
        Tree::Number(_) | Tree::Null => "number",
    };
    format!("json: cannot unmarshal {kind} into Go {wanted}")
}

fn perform(document: &mut Tree, operation: &Tree) -> Result<(), Failed> {
    let path = |name: &str| operation.get(name).and_then(Tree::as_str).ok_or(Failed).and_then(pointer);
    let value = || operation.get("value").cloned().ok_or(Failed);
    match operation.text("op") {
        "add" => add(document, &path("path")?, value()?),
        "remove" => remove(document, &path("path")?).map(drop),
        "replace" => {
            let path = path("path")?;
            // What is not in a map yet is put there, as upstream's library does.
            if let Some((last, parents)) = path.split_last()
                && let Ok(Tree::Object(map)) = find_mut(document, parents)
            {
                map.insert(last.into(), value()?);
                return Ok(());
            }
            *find_mut(document, &path)? = value()?;
            Ok(())
        }
        "move" => {
            let moved = remove(document, &path("from")?)?;
            add(document, &path("path")?, moved)
        }
        "copy" => {
            let copied = find(document, &path("from")?).ok_or(Failed)?.clone();
            add(document, &path("path")?, copied)
        }
        "test" => {
            let wanted = operation.get("value").unwrap_or(&Tree::Null);
            let found = find(document, &path("path")?).unwrap_or(&Tree::Null);
            if same(found, wanted) { Ok(()) } else { Err(Failed) }
        }
        _ => Err(Failed),
    }
}

/// The objects that a patch's operations go through, as a document of nothing else.
pub fn reached(patch: &Tree) -> Tree {
    let mut all = Tree::Object(Map::new());
    for operation in patch.as_array().into_iter().flatten() {
        for name in ["path", "from"] {
            let steps = operation.get(name).and_then(Tree::as_str).map(pointer);
            let Some(Ok(steps)) = steps else { continue };
            let mut here = &mut all;
            for step in steps.split_last().map_or(&[][..], |(_, parents)| parents) {
                here = &mut here[step.as_str()];
                if here.is_null() {
                    *here = Tree::Object(Map::new());
                }
            }
        }
    }
    all
}

/// The steps of a JSON pointer.
fn pointer(text: &str) -> Result<Vec<String>, Failed> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let steps = text.strip_prefix('/').ok_or(Failed)?.split('/');
    Ok(steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

/// The index that a step means in a list of `len` elements; negative ones count from its end.
fn index(step: &str, len: usize) -> Option<usize> {
    let index: i64 = step.parse().ok()?;
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

fn find<'d>(document: &'d Tree, path: &[String]) -> Option<&'d Tree> {
    path.iter().try_fold(document, |here, step| match here {
        Tree::Object(map) => map.get(step),
        Tree::Array(list) => list.get(index(step, list.len())?),
        _ => None,
    })
}

fn find_mut<'d>(document: &'d mut Tree, path: &[String]) -> Result<&'d mut Tree, Failed> {
    let found = path.iter().try_fold(document, |here, step| match here {
        Tree::Object(map) => map.get_mut(step),
        Tree::Array(list) => {
            let index = index(step, list.len())?;
            list.get_mut(index)
        }
        _ => None,
    });
    found.ok_or(Failed)
}

fn add(document: &mut Tree, path: &[String], value: Tree) -> Result<(), Failed> {
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    match find_mut(document, parents)? {
        Tree::Object(map) => {
            map.insert(last.into(), value);
        }
        Tree::Array(list) if last == "-" => list.push(value),
        Tree::Array(list) => {
            let place = index(last, list.len() + 1).ok_or(Failed)?;
            list.insert(place, value);
        }
        _ => return Err(Failed),
    }
    Ok(())
}

fn remove(document: &mut Tree, path: &[String]) -> Result<Tree, Failed> {
    let (last, parents) = path.split_last().ok_or(Failed)?;
    match find_mut(document, parents)? {
        Tree::Object(map) => map.remove(last).ok_or(Failed),
        Tree::Array(list) => {
            let place = index(last, list.len()).ok_or(Failed)?;
            Ok(list.remove(place))
        }
        _ => Err(Failed),
    }
}

/// Equal as JSON: `1` and `1.0` are the same number.
fn same(one: &Tree, two: &Tree) -> bool {
    match (one, two) {
        (Tree::Number(one), Tree::Number(two)) => one == two || one.as_f64() == two.as_f64(),
        (Tree::Array(one), Tree::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same(one, two))
        }
        (Tree::Object(one), Tree::Object(two)) => {
            one.len() == two.len()
                && one.iter().all(|(key, value)| two.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == two,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    fn check(document: Tree, patch: Tree, wanted: Option<Tree>) {
        let patched = apply(document, patch.to_string().as_bytes());
        match wanted {
            Some(wanted) => assert_eq!(patched.unwrap().tree, wanted),
            None => assert_eq!(patched.unwrap_err(), rejected()),
        }
    }

    #[test]
    fn operations_are_carried_out_in_order() {
        check(
            json!({"data": {"a": "1", "b": "2"}, "list": [1, 2, 3]}),
            json!([
                {"op": "test", "path": "/data/a", "value": "1"},
                {"op": "add", "path": "/data/x~1y", "value": {"z": null}},
                {"op": "remove", "path": "/data/b"},
                {"op": "replace", "path": "/data/a", "value": "9"},
                {"op": "copy", "from": "/data/a", "path": "/copy"},
                {"op": "move", "from": "/list/0", "path": "/list/-"},
                {"op": "add", "path": "/list/1", "value": 7},
                {"op": "replace", "path": "/data/new", "value": 0},
            ]),
            Some(json!({"data": {"a": "9", "x/y": {"z": null}, "new": 0}, "list": [2, 7, 3, 1], "copy": "9"})),
        );
    }

    #[test]
    fn one_that_cannot_be_carried_out_fails_the_patch() {
        for operation in [
            json!({"op": "test", "path": "/a", "value": 2}),
            json!({"op": "remove", "path": "/none"}),
            json!({"op": "replace", "path": "/list/0", "value": 1}),
            json!({"op": "replace", "path": "/none/deeper", "value": 1}),
            json!({"op": "add", "path": "/none/deeper", "value": 1}),
            json!({"op": "add", "path": "/list/9", "value": 1}),
            json!({"op": "remove", "path": "/list/9"}),
            json!({"op": "nonsense", "path": "/a"}),
            json!({"op": "add", "path": "/a"}),
        ] {
            check(json!({"a": 1, "list": []}), json!([operation]), None);
        }
    }

    #[test]
    fn odd_patches_are_complained_about() {
        let patched = apply(json!({}), br#"[{"op":"add","path":"/a","value":1,"colour":"red","op":"add"}]"#).unwrap();
        assert_eq!(
            patched.complaints,
            [r#"json patch duplicate field "[0].op""#, r#"json patch unknown field "[0].colour""#]
        );
    }

    #[test]
    fn what_is_no_operation_is_told_by_its_kind() {
        let told = |patch: &str| apply(json!({}), patch.as_bytes()).map(|_| ()).unwrap_err().message;
        let begin = "error decoding patch: json: cannot unmarshal";
        assert_eq!(told("7"), format!("{begin} number into Go value of type []handlers.jsonPatchOp"));
        assert_eq!(told("[true]"), format!("{begin} bool into Go value of type handlers.jsonPatchOp"));
        assert_eq!(
            told(r#"[{"op": 1}]"#),
            format!("{begin} number into Go struct field jsonPatchOp.op of type string")
        );
        assert!(told("[null]").starts_with("the server rejected our request"));
        assert!(apply(json!({}), b"null").is_ok());
    }
}
