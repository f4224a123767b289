//! Which of the names that a definition asks for it gets: those that nobody in its group has.

use std::collections::BTreeSet;

use crate::object::tree::{Tree, TreePath, json};

/// The names that a definition may use, and why it may not use all that it asked for.
pub struct Accepted {
    pub names: Tree,
    /// Reason and message of the last conflict.
    pub conflict: Option<(&'static str, String)>,
}

/// Every name that definitions of a group hold.
#[derive(Default)]
pub struct Used {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Used {
    /// The names that these definitions of one group were given.
    pub fn of<'t>(definitions: impl Iterator<Item = &'t Tree>) -> Self {
        let mut used = Self::default();
        for names in definitions.filter_map(|definition| definition.at("status.acceptedNames")) {
            used.resources.extend(["plural", "singular"].map(|name| names.text(name).to_owned()));
            used.resources.extend(names.items("shortNames").iter().filter_map(Tree::as_str).map(str::to_owned));
            used.kinds.extend(["kind", "listKind"].map(|name| names.text(name).to_owned()));
        }
        used
    }
}

/// Gives `definition` the names that are free; what it was given before it keeps.
pub fn accept(definition: &Tree, used: &Used) -> Accepted {
    let empty = json!({});
    let wanted = definition.at("spec.names").unwrap_or(&empty);
    let had = definition.at("status.acceptedNames").unwrap_or(&empty);
    let mut names = had.clone();
    let mut conflict = None;
    let mut take = |field: &str, reason: &'static str, used: &BTreeSet<String>, names: &mut Tree| {
        let name = wanted.text(field);
        if name != had.text(field) && used.contains(name) {
            conflict = Some((reason, in_use(name)));
        } else if !name.is_empty() {
            names.set(field, name);
        } else {
            names.unset(field);
        }
    };
    take("plural", "PluralConflict", &used.resources, &mut names);
    take("singular", "SingularConflict", &used.resources, &mut names);
    take("kind", "KindConflict", &used.kinds, &mut names);
    take("listKind", "ListKindConflict", &used.kinds, &mut names);
    let taken: Vec<String> = wanted
        .items("shortNames")
        .iter()
        .filter(|name| !had.items("shortNames").contains(name))
        .filter_map(Tree::as_str)
        .filter(|name| used.resources.contains(*name))
        .map(in_use)
        .collect();
    match taken.as_slice() {
        [] => copy(&mut names, wanted, "shortNames"),
        // A conflict of kinds is told rather than this one, because it is found later.
        [one] => conflict = conflict.or(Some(("ShortNamesConflict", one.clone()))),
        many => conflict = conflict.or(Some(("ShortNamesConflict", format!("[{}]", many.join(", "))))),
    }
    copy(&mut names, wanted, "categories");
    Accepted { names, conflict }
}

fn copy(names: &mut Tree, wanted: &Tree, field: &str) {
    match wanted.get(field) {
        Some(value) => {
            names.set(field, value.clone());
        }
        None => {
            names.unset(field);
        }
    }
}

fn in_use(name: &str) -> String {
    format!("{name:?} is already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_definition_gets_only_what_is_free() {
        let first = json!({"status": {"acceptedNames": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}}});
        let second = json!({"spec": {"names": {"plural": "gadgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}}});
        let accepted = accept(&second, &Used::of([&first].into_iter()));
        assert_eq!(accepted.names, json!({"plural": "gadgets"}));
        assert_eq!(accepted.conflict, Some(("ListKindConflict", "\"WidgetList\" is already in use".into())));
    }
}
