//! Whether a hook (or policy) is to be asked about a request.

use std::sync::Arc;

use crate::api::admission::{Attributes, Operation};
use crate::object::tree::{Tree, TreePath, from_tree};
use crate::object::view::LabelSelector;
use crate::object::{Status, StringMap};
use crate::resources::Registry;

/// Kinds that decide about admission, about which nobody is asked.
const EXEMPT: &[&str] = &[
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// Group, version and resource in which a hook wants to see a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub group: String,
    pub version: String,
    pub resource: String,
}

pub fn is_exempt(on: &Attributes<'_>) -> bool {
    on.resource.group == "admissionregistration.k8s.io" && EXEMPT.contains(&on.resource.plural.as_ref())
}

/// How a hook with these rules sees the request; `None` if they are not about it.
pub fn matching(rules: &[Tree], policy: &str, on: &Attributes<'_>, registry: &Registry) -> Option<Seen> {
    let own = Seen {
        group: on.resource.group.to_string(),
        version: on.version.to_owned(),
        resource: on.resource.plural.to_string(),
    };
    if rules.iter().any(|rule| fits(rule, &own, on)) {
        return Some(own);
    }
    if policy == "Exact" {
        return None;
    }
    let others = equivalents(&own, on, registry);
    rules.iter().find_map(|rule| others.iter().find(|other| fits(rule, other, on)).cloned())
}

/// The same objects under other versions, and for events under the other group.
fn equivalents(own: &Seen, on: &Attributes<'_>, registry: &Registry) -> Vec<Seen> {
    let table = registry.load();
    let same = table.resources().filter(|resource: &&Arc<_>| resource.stored_as == on.resource.stored_as);
    let versions = same.flat_map(|resource| {
        resource.versions.iter().map(|version| Seen {
            group: resource.group.to_string(),
            version: version.name.to_string(),
            resource: resource.plural.to_string(),
        })
    });
    versions.filter(|other| other != own).collect()
}

fn fits(rule: &Tree, seen: &Seen, on: &Attributes<'_>) -> bool {
    let lists = |field: &str, value: &str| rule.items(field).iter().any(|item| item == "*" || item == value);
    let names = rule.items("resourceNames");
    lists("operations", on.operation.as_str())
        && lists("apiGroups", &seen.group)
        && lists("apiVersions", &seen.version)
        && scope_fits(rule.text("scope"), on)
        && (names.is_empty() || names.iter().any(|name| name == on.name))
        && rule.items("resources").iter().filter_map(Tree::as_str).any(|text| {
            let (resource, sub) = text.split_once('/').unwrap_or((text, ""));
            (resource == "*" || resource == seen.resource) && (sub == "*" || sub == on.subresource)
        })
}

fn scope_fits(scope: &str, on: &Attributes<'_>) -> bool {
    match scope {
        "Namespaced" => on.resource.is_namespaced(),
        "Cluster" => !on.resource.is_namespaced(),
        _ => true,
    }
}

/// Whether both selectors of a hook select the request's namespace and object.
pub fn selected(hook: &Tree, on: &Attributes<'_>, object: Option<&Tree>) -> Result<bool, Status> {
    Ok(namespace_selected(hook, on, object)? && object_selected(hook, on, object))
}

fn namespace_selected(hook: &Tree, on: &Attributes<'_>, object: Option<&Tree>) -> Result<bool, Status> {
    let selector = selector(hook, "namespaceSelector");
    let is_namespace = on.is("namespaces");
    if selector.is_empty() || (on.namespace.is_empty() && !is_namespace) {
        return Ok(true);
    }
    let labels = match (is_namespace, on.operation, object) {
        (true, Operation::Create | Operation::Update, Some(object)) => labels(object),
        _ => {
            let name = if is_namespace { on.name } else { on.namespace };
            let found = on.get("namespaces", "", name);
            let namespaces = crate::object::GroupResource::new("", "namespaces");
            found.ok_or_else(|| Status::not_found(&namespaces, name))?.meta().labels.clone()
        }
    };
    Ok(selector.matches(&labels))
}

fn object_selected(hook: &Tree, on: &Attributes<'_>, object: Option<&Tree>) -> bool {
    let selector = selector(hook, "objectSelector");
    selector.is_empty() || [object, on.old].into_iter().flatten().any(|object| selector.matches(&labels(object)))
}

pub fn selector(hook: &Tree, field: &str) -> LabelSelector {
    let selector = hook.get(field).filter(|selector| selector.is_object());
    selector.and_then(|selector| from_tree(selector).ok()).unwrap_or_default()
}

fn labels(object: &Tree) -> StringMap {
    let labels = object.map("metadata.labels").into_iter().flatten();
    labels.map(|(key, value)| (key.to_string(), value.as_str().unwrap_or_default().to_owned())).collect()
}
