//! The pure part of recorded conversations with upstream: decode, default, validate, compare.
//!
//! Cases come from the directory that `SKIFF_FIDELITY` names (`../shared/fidelity/cases` by default).
//! Only requests that create something are replayed here, and of the answers only what needs no
//! admission and no other object; the rest is for a replay against a server.

use std::path::{Path, PathBuf};

use crate::object::schema;
use crate::object::tree::{Tree, TreePath};

use super::path::{complaints, errors_of};
use super::{Registry, Resource, meta};

/// How many steps are as upstream has them; only ever raised.
const SAME_MIN: usize = 660;

/// What a create came to.
enum Outcome {
    Created {
        object: Tree,
        warnings: Vec<String>,
    },
    Invalid(Tree),
    /// Refused before any rule was asked.
    Undecodable,
}

fn cases() -> PathBuf {
    std::env::var_os("SKIFF_FIDELITY")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fidelity/cases"), PathBuf::from)
}

/// Takes `/api/v1/namespaces/${ns}/pods?dryRun=All` apart.
fn target(path: &str) -> Option<(String, String, String, Option<String>)> {
    let path = path.split('?').next()?;
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let owned = |group: &str, plural: &str, ns: Option<&str>| {
        Some((group.to_owned(), version.to_owned(), plural.to_owned(), ns.map(str::to_owned)))
    };
    match rest {
        ["namespaces", namespace, plural] => owned(group, plural, Some(namespace)),
        [plural] => owned(group, plural, None),
        _ => None,
    }
}

fn create(resource: &Resource, version: &str, namespace: Option<&str>, body: &Tree) -> Outcome {
    let types = schema::builtin();
    let of = |version: &str| resource.version(version).and_then(|v| v.schema.of(types)).expect("a known type");
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let Ok(decoded) = schema::decode(&bytes, of(version)) else { return Outcome::Undecodable };
    let mut tree = decoded.tree;
    let asked = resource.api_version(version);
    let storage = types.kind(&resource.storage, &resource.kind).expect("a known storage type");
    schema::fill(&mut tree, of(version));
    if asked != *resource.storage {
        tree = resource.rules.convert(tree, &asked, &resource.storage);
    }
    schema::fill(&mut tree, storage);
    resource.rules.default(&mut tree);
    schema::fill(&mut tree, storage);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        tree.unset(&format!("metadata.{field}"));
    }
    tree.set("metadata.creationTimestamp", "<time>");
    tree.set("metadata.uid", "uid-1");
    if let Some(namespace) = namespace {
        tree.set_default("metadata.namespace", namespace);
    }
    if tree.text("metadata.name").is_empty() && !tree.text("metadata.generateName").is_empty() {
        let name = format!("{}xxxxx", tree.text("metadata.generateName"));
        tree.set("metadata.name", name);
    }
    if resource.rules.has_generation() {
        tree.set("metadata.generation", 1);
    }
    if resource.version(version).is_some_and(|v| v.has_status()) && !resource.rules.keeps_status() {
        tree.unset("status");
    }
    resource.rules.prepare_create(&mut tree);
    schema::fill(&mut tree, storage);
    if resource.kind == "Pod" && tree.text("spec.serviceAccountName").is_empty() {
        tree.set("spec.serviceAccountName", "default");
        tree.set("spec.serviceAccount", "default");
    }
    let errors = errors_of(|errors| {
        meta::validate(resource, &tree, None, errors);
        resource.rules.validate(&tree, None, errors);
    });
    if !errors.is_empty() {
        let status = errors.into_status(&resource.complaint_gvk(version), tree.text("metadata.name"));
        return Outcome::Invalid(status.to_json());
    }
    let warnings = complaints(|| resource.rules.warnings(&tree, None));
    let mut object =
        if asked == *resource.storage { tree } else { resource.rules.convert(tree, &resource.storage, &asked) };
    schema::fill(&mut object, of(version));
    object.set("apiVersion", asked);
    object.set("kind", &*resource.kind);
    Outcome::Created { object, warnings }
}

/// Leaves out what other parts of a server add.
fn comparable(mut object: Tree) -> Tree {
    for path in ["metadata.managedFields", "metadata.resourceVersion", "metadata.uid", "metadata.creationTimestamp"] {
        object.unset(path);
    }
    if let Some(finalizers) = object.at_mut("metadata.finalizers").and_then(Tree::as_array_mut) {
        finalizers.retain(|finalizer| !finalizer.as_str().is_some_and(|name| name.ends_with("-protection")));
    }
    if object.text("kind") == "Node" {
        object.unset("spec.taints");
    }
    if object.text("kind") == "CertificateSigningRequest" {
        for field in ["username", "groups", "extra", "uid"] {
            object.unset(&format!("spec.{field}"));
        }
    }
    if object.text("kind") == "Pod" {
        for field in ["tolerations", "priority", "preemptionPolicy", "serviceAccount", "serviceAccountName"] {
            object.unset(&format!("spec.{field}"));
        }
    }
    if object.text("kind") == "Service" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
            object.unset(&format!("spec.{field}"));
        }
        for port in object.at_mut("spec.ports").and_then(Tree::as_array_mut).into_iter().flatten() {
            port.unset("nodePort");
        }
    }
    without_empty(object)
}

/// Without `null`s and empty maps and lists, which are a matter of encoding.
fn without_empty(tree: Tree) -> Tree {
    match tree {
        Tree::Object(map) => Tree::Object(
            map.into_iter()
                .map(|(key, value)| (key, without_empty(value)))
                .filter(|(_, value)| !is_nothing(value))
                .collect(),
        ),
        Tree::Array(items) => Tree::Array(items.into_iter().map(without_empty).collect()),
        other => other,
    }
}

fn is_nothing(value: &Tree) -> bool {
    match value {
        Tree::Null => true,
        Tree::Object(map) => map.is_empty(),
        Tree::Array(items) => items.is_empty(),
        Tree::String(text) => text.is_empty(),
        _ => false,
    }
}

fn difference(ours: &Tree, theirs: &Tree) -> Option<String> {
    match (ours, theirs) {
        (Tree::Object(a), Tree::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let (a, b) = (a.get(key).unwrap_or(&Tree::Null), b.get(key).unwrap_or(&Tree::Null));
            difference(a, b).map(|rest| format!("{key}.{rest}"))
        }),
        (Tree::Array(a), Tree::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| Some(format!("[{at}].{}", difference(a, b)?)))
        }
        _ => (ours != theirs).then(|| format!(" ours {ours} theirs {theirs}")),
    }
}

/// `None` if the step is not for here; else what differs, if anything.
fn replay(registry: &Registry, step: &Tree) -> Option<Option<String>> {
    let known = |key: &str| step.get(key).is_none();
    if step.text("method") != "POST" || !step.get("body")?.is_object() || !known("wait") || !known("auth") {
        return None;
    }
    if step.text("compare") == "none" || step.has("headers.Content-Type") {
        return None;
    }
    let (group, version, plural, namespace) = target(step.text("path"))?;
    let resource = registry.find(&group, &version, &plural)?;
    if !resource.verbs.is_stored() || namespace.is_some() != resource.is_namespaced() {
        return None;
    }
    let expected = step.at("expect.body")?;
    let code = step.int("expect.status")?;
    if expected.get("kind").is_some_and(|kind| kind == "Status") && code != 422 {
        return None;
    }
    if !matches!(code, 201 | 422) || step.get("keep").is_some_and(|keep| !keep.is_null()) {
        return None;
    }
    let expected_warnings: Vec<String> = match step.at("expect.headers.warning") {
        Some(Tree::Array(list)) => list.iter().filter_map(Tree::as_str).map(str::to_owned).collect(),
        Some(Tree::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    Some(match create(&resource, &version, namespace.as_deref(), step.get("body")?) {
        Outcome::Undecodable => Some("does not decode".into()),
        Outcome::Invalid(status) if code == 422 => difference(&comparable(status), &comparable(expected.clone())),
        Outcome::Invalid(status) => Some(format!("refused: {}", status.text("message"))),
        Outcome::Created { .. } if code == 422 => Some(format!("accepted; theirs: {}", expected.text("message"))),
        Outcome::Created { object, warnings } => {
            let mut theirs = comparable(expected.clone());
            if object.text("kind") == "Pod" {
                drop_token_volume(&mut theirs);
                theirs = without_empty(theirs);
            }
            let body = difference(&comparable(object), &theirs);
            let shown: Vec<String> = warnings.iter().map(|text| format!("299 - {:?}", text)).collect();
            body.or_else(|| {
                (shown != expected_warnings).then(|| format!("warnings {shown:?} theirs {expected_warnings:?}"))
            })
        }
    })
}

/// The volume that admission adds to pods.
fn drop_token_volume(pod: &mut Tree) {
    let is_token = |entry: &Tree| entry.text("name").starts_with("kube-api-access-");
    let drop = |tree: &mut Tree, path: &str| {
        if let Some(list) = tree.at_mut(path).and_then(Tree::as_array_mut) {
            list.retain(|entry| !is_token(entry));
        }
    };
    drop(pod, "spec.volumes");
    for list in ["containers", "initContainers"] {
        for container in pod.at_mut(&format!("spec.{list}")).and_then(Tree::as_array_mut).into_iter().flatten() {
            drop(container, "volumeMounts");
        }
    }
}

#[test]
fn creates_are_answered_as_upstream_answers_them() {
    if !cases().is_dir() {
        return println!("no recorded cases at {}", cases().display());
    }
    let registry = Registry::built_in();
    let only = std::env::var("SKIFF_CASES").unwrap_or_default();
    let (mut same, mut different) = (0, Vec::new());
    for group in ["validation", "create-defaults", "update", "status", "names", "namespaces", "tables", "selectors"] {
        let mut files: Vec<PathBuf> = std::fs::read_dir(cases().join(group))
            .expect("recorded cases")
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files.iter().filter(|file| file.to_string_lossy().contains(&only)) {
            let text = std::fs::read_to_string(file)
                .unwrap()
                .replace("${ns}", "ns-1")
                .replace("${uniq}", "u1")
                .replace("<uid>", "uid-1");
            let case: Tree = serde_json::from_str(&text).unwrap();
            for (at, step) in case.items("steps").iter().enumerate() {
                match replay(&registry, step) {
                    None => (),
                    Some(None) => same += 1,
                    Some(Some(difference)) => {
                        different.push(format!("{group}/{} step {at}: {difference}", case.text("name")));
                    }
                }
            }
        }
    }
    println!("{same} steps the same, {} different", different.len());
    different.iter().for_each(|line| println!("{}", line.chars().take(900).collect::<String>()));
    assert!(!only.is_empty() || same >= SAME_MIN, "only {same} steps are as upstream has them");
}

/// The resource that a path reads, whether one object of it or all.
fn read_from(registry: &Registry, path: &str) -> Option<(std::sync::Arc<Resource>, String)> {
    let path = path.split('?').next()?;
    let (parent, _) = path.rsplit_once('/')?;
    [path, parent].into_iter().find_map(|path| {
        let (group, version, plural, _) = target(path)?;
        Some((registry.find(&group, &version, &plural)?, version))
    })
}

#[test]
fn columns_say_of_themselves_what_upstreams_say() {
    let dir = cases().join("tables");
    if !dir.is_dir() {
        return println!("no recorded cases at {}", dir.display());
    }
    let registry = Registry::built_in();
    let mut compared = std::collections::BTreeSet::new();
    for file in std::fs::read_dir(dir).expect("recorded cases").map(|entry| entry.unwrap().path()) {
        let case: Tree = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for step in case.items("steps") {
            let Some(theirs) = step.at("expect.body.columnDefinitions").filter(|columns| columns.is_array()) else {
                continue;
            };
            let Some((resource, version)) = read_from(&registry, step.text("path")) else { continue };
            let columns = &resource.version(&version).expect("a served version").columns;
            let ours = super::table::definitions(&resource, columns);
            assert_eq!(difference(&ours, theirs), None, "{} in {}", resource.plural, file.display());
            compared.insert(resource.plural.clone());
        }
    }
    assert!(compared.len() >= 30, "only {} resources were compared", compared.len());
}
