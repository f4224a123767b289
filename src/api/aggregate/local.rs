//! APIService objects for what we serve: one for each group version, so that clients which list them
//! see all there is.

use std::collections::BTreeMap;

use crate::object::tree::{Tree, TreePath, json};
use crate::object::{GroupResource, Key};
use crate::resources::Served;
use crate::store::{KeyRange, State};

use super::SERVICES;

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// The place of custom groups, behind all others.
const CUSTOM: (i64, i64) = (1000, 100);

/// Groups in upstream's order with the priority of each, and of their versions where there are several.
const PRIORITIES: &[(&str, i64, &[(&str, i64)])] = &[
    ("", 18000, &[("v1", 1)]),
    ("apps", 17800, &[]),
    ("events.k8s.io", 17750, &[]),
    ("authentication.k8s.io", 17700, &[]),
    ("authorization.k8s.io", 17600, &[]),
    ("autoscaling", 17500, &[("v2", 30)]),
    ("batch", 17400, &[]),
    ("certificates.k8s.io", 17300, &[("v1beta1", 9)]),
    ("networking.k8s.io", 17200, &[("v1beta1", 9)]),
    ("policy", 17100, &[]),
    ("rbac.authorization.k8s.io", 17000, &[]),
    ("storage.k8s.io", 16800, &[("v1beta1", 9)]),
    ("apiextensions.k8s.io", 16700, &[]),
    ("admissionregistration.k8s.io", 16700, &[("v1beta1", 12)]),
    ("scheduling.k8s.io", 16600, &[]),
    ("coordination.k8s.io", 16500, &[("v1beta1", 13)]),
    ("node.k8s.io", 16300, &[]),
    ("discovery.k8s.io", 16200, &[]),
    ("resource.k8s.io", 16200, &[("v1", 21), ("v1beta2", 15), ("v1beta1", 9)]),
    ("flowcontrol.apiserver.k8s.io", 16100, &[("v1", 21)]),
];
const STABLE: i64 = 15;

/// What is to be written about our own groups.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    pub create: Vec<Tree>,
    pub delete: Vec<String>,
}

/// Compares the objects that there are with those that there should be.
pub fn changes(state: &State, served: &Served) -> Changes {
    let wanted = wanted(state, served);
    let mut changes = Changes::default();
    let (plural, group) = SERVICES.split_once('.').unwrap_or_default();
    for object in state.range(&KeyRange::resource(&GroupResource::new(group, plural))) {
        let is_ours = object.meta().label(MANAGED) == Some("true");
        if is_ours && !object.meta().is_deleting() && !wanted.contains_key(object.key().name()) {
            changes.delete.push(object.key().name().to_owned());
        }
    }
    let is_missing = |name: &String| state.get(&Key::of(SERVICES, "", name)).is_none();
    changes.create = wanted.into_iter().filter(|(name, _)| is_missing(name)).map(|(_, object)| object).collect();
    changes
}

fn wanted(state: &State, served: &Served) -> BTreeMap<String, Tree> {
    let mut wanted = BTreeMap::new();
    for (group, priority, versions) in PRIORITIES {
        for version in served.group(group).map_or(&[][..], |group| &group.versions) {
            let own = versions.iter().find(|(name, _)| name == version).map_or(STABLE, |(_, own)| *own);
            let (name, object) = service(group, version, (*priority, own), "onstart");
            wanted.insert(name, object);
        }
    }
    let definitions = GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
    for object in state.range(&KeyRange::resource(&definitions)).filter(|object| !object.meta().is_deleting()) {
        let definition = object.tree();
        let group = definition.text("spec.group");
        for version in definition.items("spec.versions").iter().filter(|v| v.flag("served") == Some(true)) {
            let (name, object) = service(group, version.text("name"), CUSTOM, "true");
            wanted.entry(name).or_insert(object);
        }
    }
    wanted
}

fn service(group: &str, version: &str, priority: (i64, i64), managed: &str) -> (String, Tree) {
    let name = format!("{version}.{group}");
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "labels": {MANAGED: managed}},
        "spec": {
            "group": group, "version": version,
            "groupPriorityMinimum": priority.0, "versionPriority": priority.1,
        },
    });
    (name, object)
}
