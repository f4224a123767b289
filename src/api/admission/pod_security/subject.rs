//! A pod, or the template of one, as the checks look at it.

use std::collections::BTreeSet;

use crate::object::tree::{Tree, TreePath};

pub struct Subject<'p> {
    pub pod: &'p Tree,
}

/// What a check found: a short reason, and who does what.
pub struct Found {
    pub reason: String,
    pub detail: String,
}

/// Values that were found, in order, each once.
pub type Values = BTreeSet<String>;

impl<'p> Subject<'p> {
    pub fn of(pod: &'p Tree) -> Self {
        Self { pod }
    }

    pub fn containers(&self) -> impl Iterator<Item = &'p Tree> {
        let list = |name: &str| self.pod.items(&format!("spec.{name}")).iter();
        list("initContainers").chain(list("containers")).chain(list("ephemeralContainers"))
    }

    /// Names of the containers that `is_bad`.
    pub fn bad(&self, mut is_bad: impl FnMut(&'p Tree) -> bool) -> Vec<&'p str> {
        self.containers().filter(|container| is_bad(container)).map(|container| container.text("name")).collect()
    }

    pub fn annotations(&self) -> impl Iterator<Item = (&'p str, &'p str)> {
        let annotations = self.pod.map("metadata.annotations").into_iter().flatten();
        annotations.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// Pods of Windows have none of what these checks are about.
    pub fn is_windows(&self) -> bool {
        self.pod.text("spec.os.name") == "windows"
    }

    /// Root in a user namespace of its own is not the node's root.
    pub fn has_own_users(&self) -> bool {
        self.pod.flag("spec.hostUsers") == Some(false)
    }
}

/// `container "a"`, `containers "a", "b"`.
pub fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `pod and container "a"`; none if nobody is to blame.
pub fn setters(pod: bool, names: &[&str]) -> Option<String> {
    let named = (!names.is_empty()).then(|| containers(names));
    let parts: Vec<String> = pod.then(|| "pod".to_owned()).into_iter().chain(named).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

pub fn quoted<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    items.join(", ")
}

pub fn plural<'t>(one: &'t str, many: &'t str, count: usize) -> &'t str {
    if count == 1 { one } else { many }
}

pub fn found(reason: impl Into<String>, detail: impl Into<String>) -> Option<Found> {
    Some(Found { reason: reason.into(), detail: detail.into() })
}
