//! A manifest: YAML or JSON documents, some of them lists, as objects in the order to apply them.

use crate::object::codec::yaml;
use crate::object::{Tree, TreePath};

const OBJECTS_MAX: usize = 10_000;

/// The objects of a file: definitions of kinds first, then namespaces, then the rest as written.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Tree>, String> {
    let documents = yaml::documents(bytes).map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for document in documents {
        let tree = serde_json::from_slice(&document).map_err(|error| error.to_string())?;
        flatten(tree, &mut objects)?;
    }
    objects.sort_by_key(rank);
    Ok(objects)
}

fn flatten(tree: Tree, objects: &mut Vec<Tree>) -> Result<(), String> {
    let (version, kind) = (tree.text("apiVersion"), tree.text("kind"));
    if version.is_empty() || kind.is_empty() {
        return Err("a document has no apiVersion and kind".into());
    }
    if kind.ends_with("List") && tree.has("items") {
        return tree.items("items").iter().try_for_each(|item| flatten(item.clone(), objects));
    }
    if tree.text("metadata.name").is_empty() {
        return Err(format!("a {kind} has no metadata.name"));
    }
    if objects.len() == OBJECTS_MAX {
        return Err(format!("there are more than {OBJECTS_MAX} objects"));
    }
    objects.push(tree);
    Ok(())
}

fn rank(tree: &Tree) -> usize {
    const FIRST: &[&str] = &["CustomResourceDefinition", "Namespace"];
    FIRST.iter().position(|kind| tree.text("kind") == *kind).unwrap_or(FIRST.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let name = |tree: &Tree| format!("{} {}", tree.text("kind"), tree.text("metadata.name"));
        parse(text.as_bytes()).map(|objects| objects.iter().map(name).collect())
    }

    #[test]
    fn documents_and_lists_become_objects_with_what_others_need_in_front() {
        let text = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- {apiVersion: v1, kind: Namespace, metadata: {name: first}}
---
# nothing here
---
{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"s\"}}
";
        assert_eq!(names(text).unwrap(), ["Namespace first", "ConfigMap a", "Secret s"]);
        assert_eq!(names("").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(names("a: b").unwrap_err(), "a document has no apiVersion and kind");
        assert_eq!(names("{apiVersion: v1, kind: Pod}").unwrap_err(), "a Pod has no metadata.name");
        assert!(names("kind: [").unwrap_err().contains("yaml"));
    }
}
