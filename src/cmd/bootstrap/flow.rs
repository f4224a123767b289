//! The flow schemas and priority levels of a stock server. They are there to be read and to be
//! referred to; how requests are really limited is decided in `api::flow`.

use super::{Item, with_fields};
use crate::object::tree::json;
use crate::object::{Tree, TreePath};

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Name, shares, lendable per cent, and queues with their hand size.
const LIMITED: &[(&str, u32, u32, Option<(u32, u32)>)] = &[
    ("catch-all", 5, 0, None),
    ("global-default", 20, 50, Some((128, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("node-high", 40, 25, Some((64, 6))),
    ("system", 30, 33, Some((64, 6))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
];

const ALL: &[Rule] = &[Rule::Resources(&["*"], "*", &["*"], true), Rule::Paths(&["*"], &["*"])];
const EVERYBODY: &[(&str, &str)] = &[("Group", "system:unauthenticated"), ("Group", "system:authenticated")];
const NODES: &[(&str, &str)] = &[("Group", "system:nodes")];

struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: u32,
    distinguisher: Option<&'static str>,
    subjects: &'static [(&'static str, &'static str)],
    rules: &'static [Rule],
}

enum Rule {
    /// Verbs, group, resources, and whether also outside of namespaces.
    Resources(&'static [&'static str], &'static str, &'static [&'static str], bool),
    /// Verbs and paths.
    Paths(&'static [&'static str], &'static [&'static str]),
}

const SCHEMAS: &[Schema] = &[
    schema("exempt", "exempt", 1, None, &[("Group", "system:masters")], ALL),
    schema("probes", "exempt", 2, None, EVERYBODY, &[Rule::Paths(&["get"], &["/healthz", "/readyz", "/livez"])]),
    schema(
        "system-leader-election",
        "leader-election",
        100,
        Some("ByUser"),
        &[("User", "system:kube-controller-manager"), ("User", "system:kube-scheduler"), ("ServiceAccount", "*")],
        &[Rule::Resources(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false)],
    ),
    schema(
        "system-node-high",
        "node-high",
        400,
        Some("ByUser"),
        NODES,
        &[
            Rule::Resources(&["*"], "", &["nodes", "nodes/status"], true),
            Rule::Resources(&["*"], "coordination.k8s.io", &["leases"], false),
        ],
    ),
    schema("system-nodes", "system", 500, Some("ByUser"), NODES, ALL),
    schema(
        "kube-controller-manager",
        "workload-high",
        800,
        Some("ByNamespace"),
        &[("User", "system:kube-controller-manager")],
        ALL,
    ),
    schema("kube-scheduler", "workload-high", 800, Some("ByNamespace"), &[("User", "system:kube-scheduler")], ALL),
    schema("kube-system-service-accounts", "workload-high", 900, Some("ByNamespace"), &[("ServiceAccount", "*")], ALL),
    schema("service-accounts", "workload-low", 9000, Some("ByUser"), &[("Group", "system:serviceaccounts")], ALL),
    schema("global-default", "global-default", 9900, Some("ByUser"), EVERYBODY, ALL),
    schema("catch-all", "catch-all", 10000, Some("ByUser"), EVERYBODY, ALL),
];

const fn schema(
    name: &'static str,
    level: &'static str,
    precedence: u32,
    distinguisher: Option<&'static str>,
    subjects: &'static [(&'static str, &'static str)],
    rules: &'static [Rule],
) -> Schema {
    Schema { name, level, precedence, distinguisher, subjects, rules }
}

pub fn objects() -> Vec<Item> {
    let exempt = head(
        "PriorityLevelConfiguration",
        "exempt",
        json!({
            "type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0},
        }),
    );
    let levels = LIMITED.iter().map(|(name, shares, lendable, queues)| {
        let response = match queues {
            None => json!({"type": "Reject"}),
            Some((queues, hand)) => json!({
                "type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50},
            }),
        };
        head(
            "PriorityLevelConfiguration",
            name,
            json!({
                "type": "Limited",
                "limited": {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response},
            }),
        )
    });
    let all = std::iter::once(exempt).chain(levels).chain(SCHEMAS.iter().map(flow_schema));
    all.map(|tree| Item::new(tree, keep_spec)).collect()
}

/// The specification follows ours unless the administrator took it over.
fn keep_spec(wanted: &Tree, stored: &Tree) -> Option<Tree> {
    let auto = stored.map("metadata.annotations").and_then(|notes| notes.get(AUTOUPDATE));
    if auto == Some(&json!("false")) { None } else { with_fields(wanted, stored, &["spec"]) }
}

fn flow_schema(schema: &Schema) -> Tree {
    let subjects: Vec<Tree> = schema.subjects.iter().map(|(kind, name)| subject(kind, name)).collect();
    let mut rules = json!({"subjects": subjects});
    for rule in schema.rules {
        let (field, rule) = match rule {
            Rule::Paths(verbs, paths) => ("nonResourceRules", json!({"verbs": verbs, "nonResourceURLs": paths})),
            Rule::Resources(verbs, group, resources, cluster) => {
                let mut rule =
                    json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
                if *cluster {
                    rule["clusterScope"] = json!(true);
                }
                ("resourceRules", rule)
            }
        };
        rules.set_default(field, json!([]));
        if let Some(list) = rules.at_mut(field).and_then(Tree::as_array_mut) {
            list.push(rule);
        }
    }
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": schema.level},
        "matchingPrecedence": schema.precedence,
        "rules": [rules],
    });
    if let Some(kind) = schema.distinguisher {
        spec["distinguisherMethod"] = json!({"type": kind});
    }
    head("FlowSchema", schema.name, spec)
}

fn subject(kind: &str, name: &str) -> Tree {
    match kind {
        "User" => json!({"kind": kind, "user": {"name": name}}),
        "Group" => json!({"kind": kind, "group": {"name": name}}),
        _ => json!({"kind": kind, "serviceAccount": {"name": name, "namespace": "kube-system"}}),
    }
}

fn head(kind: &str, name: &str, spec: Tree) -> Tree {
    json!({
        "apiVersion": API_VERSION, "kind": kind,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}},
        "spec": spec,
    })
}
