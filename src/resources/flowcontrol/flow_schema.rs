//! FlowSchema: which requests have which priority level.

use super::{check_conditions, check_fixed};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::cells;
use crate::resources::check::{At, at};
use crate::resources::names;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path("PriorityLevel", "spec.priorityLevelConfiguration.name"),
        Column::number("MatchingPrecedence", "spec.matchingPrecedence").of("string"),
        Column::path_or("DistinguisherMethod", "spec.distinguisherMethod.type", "<none>"),
        Column::AGE,
        Column::with("MissingPL", dangling),
    ],
    rules: &FlowSchema,
    ..ResourceDef::cluster(
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        "flowschemas",
        "flowschema",
        &[Version::on("v1", "io.k8s.api.flowcontrol.v1.FlowSchema")],
    )
};

/// Whether the priority level that it names is missing.
fn dangling(object: &Tree) -> Tree {
    cells::condition(object, "Dangling").map_or("?", |condition| condition.text("status")).into()
}

pub struct FlowSchema;

impl Rules for FlowSchema {
    fn default(&self, new: &mut Tree) {
        if new.int("spec.matchingPrecedence").unwrap_or_default() == 0 {
            new.set("spec.matchingPrecedence", 1000);
        }
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        let name = new.text("metadata.name");
        check_spec(name, &At::root(new).child("spec"), errors);
        if let Some(fixed) = fixed(name) {
            check_fixed("FlowSchemaSpec", at(new, "spec"), &fixed, &format!("spec of '{name}'"), errors);
        }
        check_conditions(&At::root(new).child("status.conditions"), errors);
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        check_conditions(&At::root(new).child("status.conditions"), errors);
    }
}

/// The specs of the schemas that upstream cannot do without.
fn fixed(name: &str) -> Option<Tree> {
    let (precedence, groups, method) = match name {
        "exempt" => (1, &["system:masters"][..], Tree::Null),
        "catch-all" => (10000, &["system:unauthenticated", "system:authenticated"][..], json!({"type": "ByUser"})),
        _ => return None,
    };
    let subjects: Vec<Tree> = groups.iter().map(|group| json!({"kind": "Group", "group": {"name": group}})).collect();
    Some(json!({
        "priorityLevelConfiguration": {"name": name},
        "matchingPrecedence": precedence,
        "distinguisherMethod": method,
        "rules": [{
            "subjects": subjects,
            "resourceRules": [{
                "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
            }],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }],
    }))
}

fn check_spec(name: &str, spec: &At, errors: &mut FieldErrors) {
    const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
    let precedence = spec.child("matchingPrecedence");
    match precedence.int().unwrap_or_default() {
        ..=0 => precedence.invalid(errors, "must be a positive value"),
        1 if name != "exempt" => {
            precedence.invalid(errors, "only the schema named 'exempt' may have matchingPrecedence 1");
        }
        10001.. => precedence.invalid(errors, "must not be greater than 10000"),
        _ => {}
    }
    let method = spec.child("distinguisherMethod");
    if method.exists() && !METHODS.contains(&method.text("type")) {
        let shown = format!("{{\"Type\":{:?}}}", method.text("type"));
        errors.not_supported_shown(method.path_to("type"), &shown, &METHODS);
    }
    let level = spec.child("priorityLevelConfiguration.name");
    if level.is_empty() {
        level.required(errors, "must reference a priority level");
    } else {
        level.format(errors, names::is_dns1123_subdomain(level.str()));
    }
    for rule in spec.child("rules").items() {
        check_rule(&rule, errors);
    }
}

fn check_rule(rule: &At, errors: &mut FieldErrors) {
    let subjects = rule.child("subjects");
    if subjects.is_empty() {
        subjects.required(errors, "subjects must contain at least one value");
    }
    subjects.items().for_each(|subject| check_subject(&subject, errors));
    let (resources, paths) = (rule.child("resourceRules"), rule.child("nonResourceRules"));
    if resources.is_empty() && paths.is_empty() {
        rule.required(errors, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    resources.items().for_each(|rule| check_resource_rule(&rule, errors));
    paths.items().for_each(|rule| check_path_rule(&rule, errors));
}

fn check_subject(subject: &At, errors: &mut FieldErrors) {
    const KINDS: [(&str, &str); 3] = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = subject.child("kind");
    let Some((_, own)) = KINDS.into_iter().find(|(name, _)| *name == kind.str()) else {
        return kind.not_supported(errors, &["Group", "ServiceAccount", "User"]);
    };
    let who = subject.child(own);
    let name = who.child("name");
    if !who.exists() {
        who.required(errors, &format!("{own} is required when subject kind is '{}'", kind.str()));
    } else if name.is_empty() {
        name.required(errors, "");
    } else if own == "serviceAccount" && name.str() != "*" {
        name.format(errors, names::is_dns1123_subdomain(name.str()));
    }
    if who.exists() && own == "serviceAccount" {
        let namespace = who.child("namespace");
        if namespace.is_empty() {
            namespace.required(errors, "must specify namespace for service account");
        } else {
            namespace.format(errors, names::is_dns1123_label(namespace.str()));
        }
    }
    for (name, other) in KINDS {
        if other != own && subject.has(other) {
            let detail = format!("{other} is forbidden when subject kind is not '{name}'");
            errors.forbidden(subject.path_to(other), detail);
        }
    }
}

/// A list that is `*` alone, or names things one by one.
fn check_list(list: &At, missing: &str, what: &str, errors: &mut FieldErrors) {
    if list.is_empty() {
        list.required(errors, missing);
    } else if list.len() > 1 && has_all(list) {
        list.invalid(errors, format!("if '*' is present, must not specify other {what}"));
    }
}

fn has_all(list: &At) -> bool {
    list.items().any(|item| item.str() == "*")
}

fn check_verbs(verbs: &At, errors: &mut FieldErrors) {
    const VERBS: [&str; 9] =
        ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
    check_list(verbs, "verbs must contain at least one value", "verbs", errors);
    if !has_all(verbs) && !verbs.items().all(|verb| VERBS.contains(&verb.str())) {
        verbs.not_supported(errors, &VERBS);
    }
}

fn check_resource_rule(rule: &At, errors: &mut FieldErrors) {
    check_verbs(&rule.child("verbs"), errors);
    let groups = rule.child("apiGroups");
    check_list(&groups, "resource rules must supply at least one api group", "api groups", errors);
    let resources = rule.child("resources");
    check_list(&resources, "resource rules must supply at least one resource", "resources", errors);
    let namespaces = rule.child("namespaces");
    if !namespaces.is_empty() || !rule.child("clusterScope").flag() {
        let missing = "resource rules that are not cluster scoped must supply at least one namespace";
        check_list(&namespaces, missing, "namespaces", errors);
    }
    if !has_all(&namespaces) {
        for namespace in namespaces.items() {
            for complaint in names::is_dns1123_label(namespace.str()) {
                let intro = "each member of this list must be '*' or a DNS-1123 label; ";
                namespace.invalid_text(errors, format!("{intro}{complaint}"));
            }
        }
    }
}

fn check_path_rule(rule: &At, errors: &mut FieldErrors) {
    check_verbs(&rule.child("verbs"), errors);
    let urls = rule.child("nonResourceURLs");
    check_list(&urls, "nonResourceURLs must contain at least one value", "non-resource URLs", errors);
    if has_all(&urls) {
        return;
    }
    for url in urls.items() {
        let path = url.str();
        let detail = match path {
            "" => "must not be empty",
            "/" => continue,
            _ if !path.starts_with('/') => "must start with slash",
            _ if path.contains(' ') => "must not contain white-space",
            _ if path.contains("//") => "must not contain double slash",
            _ if path.contains('*') && (path.matches('*').count() > 1 || !path.ends_with("/*")) => {
                "wildcard can only do suffix matching"
            }
            _ => continue,
        };
        url.invalid_text(errors, detail);
    }
}
