//! A situation and its consequence, as text.
//!
//! One object a line: kind, name, then marks. `path=value` sets a field (a JSON value, or text);
//! the short forms are in [`MARKS`]. Objects are a minute old unless they say otherwise.
//!
//! ```text
//! rs  web    replicas=2 spec.minReadySeconds=5
//! pod web-a  owner=web node=n1 ready
//! ```

use std::sync::Arc;
use std::time::Duration;

use expect_test::Expect;

use super::runtime::{Controller, Failure, Plan, Settings, Signer, SignerRef};
use crate::client::Snapshot;
use crate::object::kind::{self, BUILT_IN};
use crate::object::tree::json;
use crate::object::view::CertificateRequestSpec;
use crate::object::{Key, Kind, Object, ObjectRef, Revision, Timestamp, Tree, TreePath};

/// Signs by writing down what it was asked for.
struct Scribe;

impl Signer for Scribe {
    fn account_token(&self, secret: &Key, account: &str, uid: &str) -> Result<String, String> {
        Ok(format!("{account} {uid} {}", secret.name()))
    }

    fn node_of(&self, request: &CertificateRequestSpec) -> Option<String> {
        request.request.starts_with("system:node:").then(|| request.request.clone())
    }

    fn sign(&self, _: &CertificateRequestSpec, _: Timestamp) -> Option<Result<String, String>> {
        None
    }
}

/// When all tests take place.
pub const NOW: i64 = 1_800_000_000;

/// Short names of kinds.
const KINDS: &[(&str, &Kind)] = &[
    ("rs", &kind::REPLICA_SET),
    ("rc", &kind::REPLICATION_CONTROLLER),
    ("ds", &kind::DAEMON_SET),
    ("sts", &kind::STATEFUL_SET),
    ("ns", &kind::NAMESPACE),
    ("sa", &kind::SERVICE_ACCOUNT),
    ("svc", &kind::SERVICE),
    ("pvc", &kind::PERSISTENT_VOLUME_CLAIM),
    ("pv", &kind::PERSISTENT_VOLUME),
    ("vac", &kind::VOLUME_ATTRIBUTES_CLASS),
    ("pdb", &kind::POD_DISRUPTION_BUDGET),
    ("csr", &kind::CERTIFICATE_SIGNING_REQUEST),
];

/// Marks that say more than one field's worth.
const MARKS: &[(&str, fn(&mut Tree, &str, &[ObjectRef]))] = &[
    ("owner", |tree, name, others| {
        let owner = others.iter().find(|other| other.key().name() == name).expect("owners come first");
        let kind = Kind::built_in(owner.key().resource()).expect("a built-in owner");
        let reference = json!({
            "apiVersion": kind.api_version(), "kind": kind.kind, "name": name, "uid": owner.meta().uid(),
            "controller": true, "blockOwnerDeletion": true,
        });
        tree.set("metadata.ownerReferences", json!([reference]));
        let template = owner.tree();
        if let Some(labels) = template.at("spec.template.metadata.labels") {
            tree.set_default("metadata.labels", labels.clone());
        }
    }),
    ("node", |tree, name, _| {
        tree.set("spec.nodeName", name);
    }),
    ("replicas", |tree, count, _| {
        tree.set("spec.replicas", count.parse::<i64>().expect("a number"));
    }),
    ("labels", |tree, labels, _| {
        tree.set("metadata.labels", string_map(labels));
    }),
    ("annotations", |tree, labels, _| {
        tree.set("metadata.annotations", string_map(labels));
    }),
    ("selector", |tree, labels, _| {
        tree.set("spec.selector.matchLabels", string_map(labels));
    }),
    ("ready", |tree, ago, _| {
        tree.set("status.phase", "Running");
        let since = ago.parse().unwrap_or(30);
        push_condition(tree, json!({"type": "Ready", "status": "True", "lastTransitionTime": ago_secs(since)}));
    }),
    ("phase", |tree, phase, _| {
        tree.set("status.phase", phase);
    }),
    ("type", |tree, name, _| {
        tree.set("type", name);
    }),
    ("age", |tree, secs, _| {
        tree.set("metadata.creationTimestamp", ago_secs(secs.parse().expect("seconds")));
    }),
    ("deleting", |tree, _, _| {
        tree.set("metadata.deletionTimestamp", ago_secs(1));
    }),
    ("finalizer", |tree, name, _| {
        tree.set("metadata.finalizers", json!([name]));
    }),
    ("ip", |tree, ip, _| {
        tree.set("status.podIP", ip);
        tree.set("status.podIPs", json!([{"ip": ip}]));
    }),
];

fn push_condition(tree: &mut Tree, condition: Tree) {
    tree.set_default("status.conditions", json!([]));
    if let Some(Tree::Array(list)) = tree.at_mut("status.conditions") {
        list.push(condition);
    }
}

/// `a=b,c=d` as a map; here written `a:b,c:d`.
fn string_map(text: &str) -> Tree {
    let pairs = text.split(',').map(|pair| pair.split_once(':').unwrap_or((pair, "")));
    Tree::Object(pairs.map(|(key, value)| (key.to_owned(), Tree::from(value))).collect())
}

pub fn ago_secs(secs: u64) -> Tree {
    Tree::from((Timestamp::from_secs(NOW) - Duration::from_secs(secs)).to_string())
}

/// Reads a situation.
pub fn situation(text: &str) -> Vec<ObjectRef> {
    let mut objects = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let object = object_of(line, objects.len() as u64 + 1, &objects);
        objects.push(object);
    }
    objects
}

fn object_of(line: &str, revision: u64, others: &[ObjectRef]) -> ObjectRef {
    let mut words = line.split_whitespace();
    let (word, name) = (words.next().expect("a kind"), words.next().expect("a name"));
    let kind = kind_named(word);
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) if kind.namespaced => (namespace, name),
        _ => (if kind.namespaced { "default" } else { "" }, name),
    };
    let mut tree = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind,
        "metadata": {
            "name": name, "uid": format!("{word}-{name}"), "resourceVersion": revision.to_string(),
            "creationTimestamp": ago_secs(60), "generation": 1,
        },
    });
    if kind.namespaced {
        tree.set("metadata.namespace", namespace);
    }
    workload_defaults(kind, name, &mut tree);
    for mark in words {
        let (mark, value) = mark.split_once('=').unwrap_or((mark, ""));
        match MARKS.iter().find(|(known, _)| *known == mark) {
            Some((_, make)) => make(&mut tree, value, others),
            None => {
                assert!(
                    mark.contains('.') || tree.get(mark).is_some() || value.starts_with(['{', '[']),
                    "mark {mark}?"
                );
                let value = serde_json::from_str(value).unwrap_or_else(|_| Tree::from(value));
                set_path(&mut tree, mark, value);
            }
        }
    }
    Object::new(kind.key(namespace, name), Revision(revision), tree.to_string().into())
}

/// As `set`, but keeps keys with `\.` in them together.
fn set_path(tree: &mut Tree, path: &str, value: Tree) {
    tree.set(path, value);
}

fn kind_named(word: &str) -> &'static Kind {
    let short = KINDS.iter().find(|(short, _)| *short == word).map(|(_, kind)| *kind);
    let long = || BUILT_IN.iter().copied().find(|kind| kind.kind.to_lowercase() == word);
    short.or_else(long).unwrap_or_else(|| panic!("no kind {word}"))
}

/// Workloads select `app=NAME`, and their template has that label.
fn workload_defaults(kind: &Kind, name: &str, tree: &mut Tree) {
    let is_workload = ["ReplicaSet", "Deployment", "DaemonSet", "StatefulSet", "Job", "ReplicationController"];
    if is_workload.contains(&&*kind.kind) {
        let path = if kind.kind == "ReplicationController" { "spec.selector" } else { "spec.selector.matchLabels" };
        tree.set(path, json!({"app": name}));
        tree.set(
            "spec.template",
            json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
        );
    }
}

pub fn snapshot(text: &str) -> Snapshot {
    Snapshot::of(situation(text), Timestamp::from_secs(NOW))
}

/// Reconciles the first object of the controller's kind and compares the plan.
#[track_caller]
pub fn check(controller: &Controller, text: &str, expect: Expect) {
    check_after(controller, text, None, expect);
}

/// As [`check`], after an attempt that failed.
#[track_caller]
pub fn check_after(controller: &Controller, text: &str, failure: Option<Failure>, expect: Expect) {
    let objects = situation(text);
    let of_kind = |object: &&ObjectRef| controller.kind.is_none_or(|kind| kind.is(object.key().resource()));
    let key = objects.iter().find(of_kind).expect("an object of the controller's kind").key().clone();
    run(controller, &key, objects, failure, expect);
}

/// Reconciles `key`, which need not exist.
#[track_caller]
pub fn check_key(controller: &Controller, key: &Key, text: &str, expect: Expect) {
    run(controller, key, situation(text), None, expect);
}

/// The plan for `key`, as text.
pub fn plan_of(controller: &Controller, key: &Key, text: &str) -> String {
    plan(controller, key, situation(text), None)
}

#[track_caller]
fn run(controller: &Controller, key: &Key, objects: Vec<ObjectRef>, failure: Option<Failure>, expect: Expect) {
    expect.assert_eq(&plan(controller, key, objects, failure));
}

fn plan(controller: &Controller, key: &Key, objects: Vec<ObjectRef>, failure: Option<Failure>) -> String {
    let settings = Settings {
        cluster_cidrs: vec!["10.42.0.0/16".parse().expect("a range")],
        root_ca: "PEM".into(),
        signer: Some(SignerRef(Arc::new(Scribe))),
    };
    let mut plan = Plan::new(Arc::new(settings), failure);
    (controller.reconcile)(&Snapshot::of(objects, Timestamp::from_secs(NOW)), key, &mut plan);
    plan.to_string()
}
