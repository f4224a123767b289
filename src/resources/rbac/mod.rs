//! Resources of rbac.authorization.k8s.io.

pub mod cluster_role;
pub mod cluster_role_binding;
pub mod role;
pub mod role_binding;
mod rules;

use crate::object::tree::{Tree, TreePath};

/// Names of a binding's subjects of one kind; service accounts with their namespaces.
fn subjects(object: &Tree, kind: &str) -> Tree {
    let named = |subject: &Tree| match kind {
        "ServiceAccount" => format!("{}/{}", subject.text("namespace"), subject.text("name")),
        _ => subject.text("name").to_owned(),
    };
    let subjects = object.items("subjects").iter().filter(|subject| subject.text("kind") == kind);
    subjects.map(named).collect::<Vec<_>>().join(", ").into()
}
