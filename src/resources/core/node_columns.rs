//! What `kubectl get nodes` shows.

use std::collections::BTreeSet;

use crate::object::tree::{Name, Tree, TreePath};
use crate::resources::Column;
use crate::resources::cells::{condition, text_or};

pub static COLUMNS: &[Column] = &[
    Column::NAME,
    Column::with("Status", status),
    Column::with("Roles", roles),
    Column::AGE,
    Column::path("Version", "status.nodeInfo.kubeletVersion"),
    Column::with("Internal-IP", |node| address(node, "InternalIP")).wide(),
    Column::with("External-IP", |node| address(node, "ExternalIP")).wide(),
    Column::path_or("OS-Image", "status.nodeInfo.osImage", "<unknown>").wide(),
    Column::with("Kernel-Version", kernel).wide(),
    Column::path_or("Container-Runtime", "status.nodeInfo.containerRuntimeVersion", "<unknown>").wide(),
];

fn status(node: &Tree) -> Tree {
    let ready = match condition(node, "Ready").map(|condition| condition.text("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node.flag("spec.unschedulable") == Some(true) {
        return format!("{ready},SchedulingDisabled").into();
    }
    ready.into()
}

fn roles(node: &Tree) -> Tree {
    let role = |(key, value): (&Name, &Tree)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None if *key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
        None => None,
    };
    let labels = node.map("metadata.labels").into_iter().flatten();
    let roles: BTreeSet<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    if roles.is_empty() { "<none>".into() } else { roles.into_iter().collect::<Vec<_>>().join(",").into() }
}

fn address(node: &Tree, kind: &str) -> Tree {
    let mut addresses = node.items("status.addresses").iter();
    addresses.find(|address| address.text("type") == kind).map_or("<none>", |address| address.text("address")).into()
}

fn kernel(node: &Tree) -> Tree {
    let version = text_or(node, "status.nodeInfo.kernelVersion", "<unknown>");
    match node.text("status.nodeInfo.architecture") {
        "" => version.into(),
        architecture => format!("{version} ({architecture})").into(),
    }
}
