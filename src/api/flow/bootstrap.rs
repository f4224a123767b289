//! The flow schemas and priority levels of a stock server, and how they are kept.
//!
//! The mandatory ones are always as they are here. The suggested ones are, until an administrator
//! sets their annotation to `false`, or changes one that has lost its annotation.

use super::config::{CATCH_ALL, EXEMPT};
use crate::object::tree::json;
use crate::object::{Tree, TreePath};

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
const LEVEL: &str = "PriorityLevelConfiguration";
const SCHEMA: &str = "FlowSchema";
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

/// Name, priority level, precedence, distinguisher, subjects (kind and name), and rules.
struct Schema(
    &'static str,
    &'static str,
    u32,
    Option<&'static str>,
    &'static [(&'static str, &'static str)],
    &'static [Rule],
);

enum Rule {
    /// Verbs, group, resources, and whether also outside of namespaces.
    Resources(&'static [&'static str], &'static str, &'static [&'static str], bool),
    /// Verbs and paths.
    Paths(&'static [&'static str], &'static [&'static str]),
}

const SCHEMAS: &[Schema] = &[
    Schema("exempt", "exempt", 1, None, &[("Group", "system:masters")], ALL),
    Schema("probes", "exempt", 2, None, EVERYBODY, &[Rule::Paths(&["get"], &["/healthz", "/readyz", "/livez"])]),
    Schema(
        "system-leader-election",
        "leader-election",
        100,
        Some("ByUser"),
        &[("User", "system:kube-controller-manager"), ("User", "system:kube-scheduler"), ("ServiceAccount", "*")],
        &[Rule::Resources(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false)],
    ),
    Schema(
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
    Schema("system-nodes", "system", 500, Some("ByUser"), NODES, ALL),
    Schema(
        "kube-controller-manager",
        "workload-high",
        800,
        Some("ByNamespace"),
        &[("User", "system:kube-controller-manager")],
        ALL,
    ),
    Schema("kube-scheduler", "workload-high", 800, Some("ByNamespace"), &[("User", "system:kube-scheduler")], ALL),
    Schema("kube-system-service-accounts", "workload-high", 900, Some("ByNamespace"), &[("ServiceAccount", "*")], ALL),
    Schema("service-accounts", "workload-low", 9000, Some("ByUser"), &[("Group", "system:serviceaccounts")], ALL),
    Schema("global-default", "global-default", 9900, Some("ByUser"), EVERYBODY, ALL),
    Schema("catch-all", "catch-all", 10000, Some("ByUser"), EVERYBODY, ALL),
];

/// Every bootstrap object: levels before the schemas that refer to them.
pub fn objects() -> Vec<Tree> {
    let exempt =
        head(LEVEL, EXEMPT, json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}));
    let levels = LIMITED.iter().map(|(name, shares, lendable, queues)| {
        let response = match queues {
            None => json!({"type": "Reject"}),
            Some((queues, hand)) => json!({
                "type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50},
            }),
        };
        head(
            LEVEL,
            name,
            json!({
                "type": "Limited",
                "limited": {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response},
            }),
        )
    });
    std::iter::once(exempt).chain(levels).chain(SCHEMAS.iter().map(flow_schema)).collect()
}

/// Those without which no request could be placed.
pub fn mandatory() -> impl Iterator<Item = Tree> {
    objects().into_iter().filter(is_mandatory)
}

fn is_mandatory(object: &Tree) -> bool {
    matches!(object.text("metadata.name"), EXEMPT | CATCH_ALL)
}

/// What to write instead of `stored`; nothing if it is as it should be, or as somebody wants it.
pub fn revise(wanted: &Tree, stored: &Tree) -> Option<Tree> {
    let note = annotation(stored);
    let follows = is_mandatory(wanted) || note.unwrap_or(stored.int("metadata.generation") == Some(1));
    let mut better = stored.clone();
    if follows && let Some(spec) = wanted.at("spec") {
        better.set("spec", spec.clone());
    }
    if note != Some(follows) {
        better.set_default("metadata.annotations", json!({}));
        if let Some(annotations) = better.at_mut("metadata.annotations").and_then(Tree::as_object_mut) {
            annotations.insert(AUTOUPDATE.into(), json!(follows.to_string()));
        }
    }
    (better != *stored).then_some(better)
}

/// Whether an object with a name that we do not know is one of an older release, to be removed.
pub fn is_left_over(stored: &Tree) -> bool {
    annotation(stored) == Some(true)
}

/// What the annotation says, if it says anything that Go takes for a truth value.
fn annotation(object: &Tree) -> Option<bool> {
    match object.map("metadata.annotations")?.get(AUTOUPDATE)?.as_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn flow_schema(Schema(name, level, precedence, distinguisher, subjects, schema_rules): &Schema) -> Tree {
    let subjects: Vec<Tree> = subjects.iter().map(|(kind, name)| subject(kind, name)).collect();
    let mut rules = json!({"subjects": subjects});
    for rule in *schema_rules {
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
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [rules],
    });
    if let Some(kind) = distinguisher {
        spec["distinguisherMethod"] = json!({"type": kind});
    }
    head(SCHEMA, name, spec)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> Tree {
        objects()
            .into_iter()
            .find(|object| object.text("metadata.name") == name && object.text("kind") == LEVEL)
            .unwrap()
    }

    fn stored(name: &str, generation: u64, note: Option<&str>, shares: u32) -> Tree {
        let mut object = wanted(name);
        object.set("metadata.generation", generation);
        object.unset("metadata.annotations");
        if let Some(note) = note {
            object.set("metadata.annotations", json!({AUTOUPDATE: note}));
        }
        object.set("spec.limited.nominalConcurrencyShares", shares);
        object
    }

    /// What becomes of a stored level: its shares and its annotation afterwards.
    fn revised(stored: &Tree) -> Option<(i64, String)> {
        let better = revise(&wanted(stored.text("metadata.name")), stored)?;
        let note = better.map("metadata.annotations")?.get(AUTOUPDATE)?.as_str()?.to_owned();
        Some((better.int("spec.limited.nominalConcurrencyShares")?, note))
    }

    #[test]
    fn suggested_objects_are_the_administrators_once_taken_over() {
        assert_eq!(revised(&stored("system", 1, Some("true"), 30)), None);
        assert_eq!(revised(&stored("system", 2, Some("true"), 77)), Some((30, "true".into())));
        assert_eq!(revised(&stored("system", 2, Some("false"), 77)), None);
        assert_eq!(revised(&stored("system", 1, None, 30)), Some((30, "true".into())));
        assert_eq!(revised(&stored("system", 2, None, 77)), Some((77, "false".into())));
        assert_eq!(revised(&stored("system", 2, Some("maybe"), 77)), Some((77, "false".into())));
    }

    #[test]
    fn mandatory_objects_are_never_the_administrators() {
        assert_eq!(revised(&stored("catch-all", 3, Some("false"), 77)), Some((5, "true".into())));
    }
}
