//! ResourceQuota: how much a namespace may use altogether.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::quantities::{check_amount, check_quota_name};
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};
use std::collections::BTreeSet;

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["quota"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::with("Request", |o| usage(o, false)),
        Column::with("Limit", |o| usage(o, true)),
        Column::AGE,
    ],
    rules: &ResourceQuota,
    ..ResourceDef::namespaced(
        "",
        "ResourceQuota",
        "resourcequotas",
        "resourcequota",
        &[Version::on("v1", "io.k8s.api.core.v1.ResourceQuota")],
    )
};

/// `resource: used/hard` of each resource that is (or is not) a limit.
fn usage(quota: &Tree, limits: bool) -> Tree {
    let used =
        |name: &str| quota.at("status.used").map_or("0", |used| used.get(name).and_then(Tree::as_str).unwrap_or("0"));
    let hard = quota.map("status.hard").into_iter().flatten();
    let chosen = hard.filter(|(name, _)| name.starts_with("limits.") == limits);
    let shown = chosen.map(|(name, hard)| format!("{name}: {}/{}", used(name), hard.as_str().unwrap_or("0")));
    shown.collect::<Vec<_>>().join(", ").into()
}

pub struct ResourceQuota;

impl Rules for ResourceQuota {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        check_list(&spec.child("hard"), errors);
        check_scopes(&spec, errors);
        let selector = spec.child("scopeSelector");
        if selector.exists() {
            check_selector(&selector, &spec, errors);
        }
        let set = |tree: &Tree| -> BTreeSet<String> {
            tree.items("spec.scopes").iter().filter_map(Tree::as_str).map(str::to_owned).collect()
        };
        if old.is_some_and(|old| set(old) != set(new)) {
            spec.child("scopes").invalid(errors, "field is immutable");
        }
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        check_list(&At::root(new).child("status.hard"), errors);
        check_list(&At::root(new).child("status.used"), errors);
    }
}

const SCOPES: &[&str] =
    &["BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating"];
/// Resources that pods have whose scope is not only about being there.
const COMPUTE: &[&str] = &[
    "cpu",
    "memory",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
    "requests.ephemeral-storage",
    "limits.ephemeral-storage",
    "ephemeral-storage",
];

fn check_list(list: &At, errors: &mut FieldErrors) {
    for (name, amount) in list.entries() {
        check_quota_name(name, &amount.path, errors);
        check_amount(name, &amount, errors);
    }
}

/// Whether a scope makes sense for a resource that quotas know.
fn fits(scope: &str, resource: &str) -> bool {
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || COMPUTE.contains(&resource)
        }
        "BestEffort" => resource == "pods",
        _ => true,
    }
}

fn is_known(resource: &str) -> bool {
    !resource.contains('/') && !resource.starts_with("count/")
}

fn check_scopes(spec: &At, errors: &mut FieldErrors) {
    let scopes = spec.child("scopes");
    for scope in scopes.items() {
        if !SCOPES.contains(&scope.str()) {
            scopes.invalid(errors, "unsupported scope");
        }
        for (resource, _) in spec.child("hard").entries().filter(|(name, _)| is_known(name)) {
            if !fits(scope.str(), resource) {
                scopes.invalid(errors, "unsupported scope applied to resource");
            }
        }
    }
    check_pairs(&scopes.items().map(|scope| scope.str()).collect(), &scopes, errors);
}

fn check_pairs(set: &BTreeSet<&str>, place: &At, errors: &mut FieldErrors) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| set.contains(scope)) {
            place.invalid(errors, "conflicting scopes");
        }
    }
}

/// Upstream names the list for each of its elements.
fn check_selector(selector: &At, spec: &At, errors: &mut FieldErrors) {
    let list = selector.child("matchExpressions");
    let mut seen = BTreeSet::new();
    for requirement in list.items() {
        let moved = |field: &str| At::new(requirement.child(field).value, list.path_to(field));
        let (scope, operator, values) = (moved("scopeName"), moved("operator"), moved("values"));
        if !SCOPES.contains(&scope.str()) {
            scope.invalid_text(errors, "unsupported scope");
        }
        for (resource, _) in spec.child("hard").entries().filter(|(name, _)| is_known(name)) {
            if !fits(scope.str(), resource) {
                errors.invalid_shown(&*list.path, &shown(selector), "unsupported scope applied to resource");
            }
        }
        if SCOPES.contains(&scope.str()) && scope.str() != "PriorityClass" && operator.str() != "Exists" {
            operator.invalid_text(
                errors,
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                 ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        match operator.str() {
            "In" | "NotIn" if values.is_empty() => values
                .required(errors, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"),
            "Exists" | "DoesNotExist" if !values.is_empty() => values
                .invalid(errors, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => (),
            _ => operator.invalid_text(errors, "not a valid selector operator"),
        }
        seen.insert(scope.str());
    }
    check_pairs(&seen, &list, errors);
}

/// A selector as upstream's internal type has it.
fn shown(selector: &At) -> String {
    let requirement = |requirement: At| {
        let text = |field: &str| Tree::from(requirement.text(field));
        let (scope, operator, values) = (text("scopeName"), text("operator"), requirement.child("values").value);
        format!("{{\"ScopeName\":{scope},\"Operator\":{operator},\"Values\":{values}}}")
    };
    let list: Vec<String> = selector.child("matchExpressions").items().map(requirement).collect();
    format!("{{\"MatchExpressions\":[{}]}}", list.join(","))
}
