//! DaemonSet: one pod on every node that will have it.
//!
//! Pods are tied to their nodes by node affinity and placed by the scheduler. A new template
//! replaces pods a few at a time; what pods ran is known by the hash they carry.

mod rollout;

use std::collections::{BTreeMap, HashSet};

use crate::client::{Change, NoteKind, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Told, Wake};
use crate::controllers::shared::hash::template_hash;
use crate::controllers::shared::history::History;
use crate::controllers::shared::ownership::{claim, would_adopt};
use crate::controllers::shared::pods::{availability, from_template};
use crate::controllers::shared::status::sparse;
use crate::object::kind::{CONTROLLER_REVISION, DAEMON_SET, NODE, POD};
use crate::object::tree::{from_tree, json};
use crate::object::view::{ControllerRevision, DaemonSet, Node, Pod, PodSpec, node_matches, untolerated};
use crate::object::{Key, Tree, TreePath};

use rollout::Rollout;

pub static CONTROLLER: Controller = Controller {
    name: "daemon-set-controller",
    component: "daemonset-controller",
    kind: Some(&DAEMON_SET),
    woken_by: &[
        Wake::OwnerOf(&POD),
        Wake::OwnerOf(&CONTROLLER_REVISION),
        Wake::By(&POD, |snap, change| would_adopt::<DaemonSet>(snap, change, |set| set.spec.selector.clone())),
        Wake::By(&NODE, all_if_placement_changed),
    ],
    reconcile,
};

const HASH_LABEL: &str = "controller-revision-hash";
const GENERATION_LABEL: &str = "pod-template-generation";
const BURST_MAX: usize = 250;

/// Taints of ailing nodes that daemons put up with.
const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

fn all_if_placement_changed(snap: &Snapshot, change: &Change) -> Vec<Key> {
    let read = |node: &Option<_>| node.as_ref().and_then(Seen::<Node>::new);
    let same = match (read(&change.before), read(&change.after)) {
        (Some(before), Some(after)) => {
            before.meta().labels == after.meta().labels
                && before.spec.taints == after.spec.taints
                && before.spec.unschedulable == after.spec.unschedulable
        }
        _ => false,
    };
    if same { Vec::new() } else { snap.list::<DaemonSet>("").iter().map(|set| set.key().clone()).collect() }
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(set) = snap.get::<DaemonSet>(key) else { return };
    let template = with_tolerations(set.spec.template.tree());
    let revisions = claim::<_, ControllerRevision>(snap, &set, &set.spec.selector, |_| true, plan);
    let history = History::new(revisions, &set.spec.template.tree());
    let known = set.status.collision_count;
    let hash_of = |taken| template_hash(&set.spec.template.tree(), Some(taken).filter(|taken| *taken > 0).or(known));
    let (hash, taken) = history.free_hash(&set, known.unwrap_or(0), hash_of);
    let collisions = Some(taken).filter(|taken| *taken > 0).or(known);
    let pods = claim::<_, Pod>(snap, &set, &set.spec.selector, |_| true, plan);
    let nodes = Nodes::of(snap, &template, &pods);
    let present_hash =
        history.present().and_then(|revision| revision.meta().label(HASH_LABEL)).unwrap_or(&hash).to_owned();
    if !set.is_deleting() {
        history.record(&set, &set.spec.template.tree(), HASH_LABEL, &hash, plan);
        nodes.place(snap, &set, &template, &present_hash, plan);
        rollout::update(&nodes.nodes, &Rollout { snap, set: &set, template: &template, hash: &present_hash }, plan);
        let live: HashSet<&str> = pods.iter().filter_map(|pod| pod.meta().label(HASH_LABEL)).collect();
        let in_use = |revision: &Seen<ControllerRevision>| {
            revision.meta().label(HASH_LABEL).is_some_and(|hash| live.contains(hash))
        };
        history.truncate(set.spec.revision_history_limit.unwrap_or(10), in_use, plan);
    }
    nodes.report(snap, &set, &present_hash, collisions, plan);
}

fn with_tolerations(mut template: Tree) -> Tree {
    template.set_default("spec.tolerations", json!([]));
    let on_host = template.flag("spec.hostNetwork") == Some(true);
    let network = on_host.then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    if let Some(Tree::Array(list)) = template.at_mut("spec.tolerations") {
        for (key, effect) in TOLERATED.iter().copied().chain(network) {
            let wanted = json!({"key": key, "operator": "Exists", "effect": effect});
            if !list.contains(&wanted) {
                list.push(wanted);
            }
        }
    }
    template
}

/// Every node, with the daemons on it.
struct Nodes {
    nodes: Vec<OnNode>,
}

struct OnNode {
    name: String,
    /// A daemon should be put here.
    wanted: bool,
    /// One that is here may stay.
    may_stay: bool,
    pods: Vec<Seen<Pod>>,
}

impl Nodes {
    fn of(snap: &Snapshot, template: &Tree, pods: &[Seen<Pod>]) -> Self {
        let spec: PodSpec = template.get("spec").and_then(|spec| from_tree(spec).ok()).unwrap_or_default();
        let mut by_node: BTreeMap<String, Vec<Seen<Pod>>> = BTreeMap::new();
        for pod in pods {
            by_node.entry(node_of(pod)).or_default().push(pod.clone());
        }
        let nodes = snap.list::<Node>("").into_iter().map(|node| {
            let selected = (spec.node_name.is_empty() || spec.node_name == node.name())
                && node_matches(&spec.node_selector, spec.affinity.as_deref(), &node.meta().labels, node.name());
            let tolerates = |effects: &[&str]| untolerated(&node.spec.taints, &spec.tolerations, effects).is_none();
            OnNode {
                name: node.name().into(),
                wanted: selected && tolerates(&["NoSchedule", "NoExecute"]),
                may_stay: selected && tolerates(&["NoExecute"]),
                pods: by_node.remove(node.name()).unwrap_or_default(),
            }
        });
        Self { nodes: nodes.collect() }
    }

    /// Creates what is missing and deletes what is too much, or dead.
    fn place(&self, snap: &Snapshot, set: &Seen<DaemonSet>, template: &Tree, hash: &str, plan: &mut Plan) {
        let mut creates = 0;
        for node in &self.nodes {
            let (failed, alive): (Vec<_>, Vec<_>) =
                node.pods.iter().filter(|pod| !pod.is_deleting()).partition(|pod| pod.is_terminal());
            for pod in &failed {
                let place = format!("{}/{} on node {}", pod.namespace(), pod.name(), node.name);
                let (reason, message) = match pod.status.phase.as_str() {
                    "Failed" => ("FailedDaemonPod", format!("Found failed daemon pod {place}, will try to kill it")),
                    _ => ("SucceededDaemonPod", format!("Found succeeded daemon pod {place}, will try to delete it")),
                };
                plan.event(set, NoteKind::Warning, reason, message);
                plan.delete(pod, Some(Told::pod_deleted(set)));
            }
            let going = node.pods.iter().any(|pod| pod.is_deleting());
            if node.wanted && alive.is_empty() && failed.is_empty() && !going && creates < BURST_MAX {
                creates += 1;
                plan.create_and_tell(&POD, daemon(set, template, hash, &node.name), Told::pod_created(set));
            }
            let rollout = Rollout { snap, set, template, hash };
            let excess = if node.may_stay { rollout.excess(&alive) } else { alive };
            for pod in excess {
                plan.delete(pod, Some(Told::pod_deleted(set)));
            }
        }
    }

    fn report(&self, snap: &Snapshot, set: &Seen<DaemonSet>, hash: &str, collisions: Option<i64>, plan: &mut Plan) {
        let (mut desired, mut current, mut misplaced, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
        for node in &self.nodes {
            let alive: Vec<_> = node.pods.iter().filter(|pod| pod.is_active()).collect();
            let oldest = oldest_first(&alive).first().copied();
            desired += i64::from(node.wanted);
            match oldest {
                Some(_) if !node.wanted => misplaced += 1,
                Some(pod) => {
                    current += 1;
                    ready += i64::from(pod.is_ready());
                    match availability(pod, set.spec.min_ready_seconds, snap.now()) {
                        Some(left) if left.is_zero() => available += 1,
                        Some(left) => plan.again_after(left),
                        None => (),
                    }
                    updated += i64::from(pod.meta().label(HASH_LABEL) == Some(hash));
                }
                None => (),
            }
        }
        let status = json!({
            "currentNumberScheduled": current, "numberMisscheduled": misplaced, "desiredNumberScheduled": desired,
            "numberReady": ready, "observedGeneration": set.meta().generation, "updatedNumberScheduled": updated,
            "numberAvailable": available, "numberUnavailable": (desired - available).max(0),
        });
        let mut status =
            sparse(status, &["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"]);
        if let Some(count) = collisions {
            status.set("collisionCount", count);
        }
        plan.status(set, status);
    }
}

/// Where a daemon is, or is meant to be.
fn node_of(pod: &Seen<Pod>) -> String {
    if pod.is_scheduled() {
        return pod.spec.node_name.clone();
    }
    let affinity = pod.spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let terms = affinity.and_then(|nodes| nodes.required.as_ref()).map(|required| &required.node_selector_terms);
    let fields = terms.into_iter().flatten().flat_map(|term| &term.match_fields);
    fields
        .filter(|field| field.key == "metadata.name")
        .find_map(|field| field.values.first().cloned())
        .unwrap_or_default()
}

fn oldest_first<'p>(pods: &[&'p Seen<Pod>]) -> Vec<&'p Seen<Pod>> {
    let mut pods = pods.to_vec();
    pods.sort_by_key(|pod| (!pod.is_scheduled(), pod.meta().creation_timestamp, pod.name().to_owned()));
    pods
}

fn daemon(set: &Seen<DaemonSet>, template: &Tree, hash: &str, node: &str) -> Tree {
    let mut pod = from_template(set, template);
    pod.set("metadata.generateName", format!("{}-", set.name()));
    pod.set_default("metadata.labels", json!({}));
    pod["metadata"]["labels"][HASH_LABEL] = hash.into();
    if let Some(generation) = set.meta().annotation("deprecated.daemonset.template.generation") {
        pod["metadata"]["labels"][GENERATION_LABEL] = generation.into();
    }
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    pod.set(
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        json!([term]),
    );
    pod
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    const NODES: &str = r#"
        node n1
        node n2 spec.taints=[{"key":"k","effect":"NoSchedule"}]
        node n3 spec.taints=[{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"}]
    "#;

    #[test]
    fn daemons_go_where_they_are_tolerated() {
        check(
            &CONTROLLER,
            &format!("ds d\n {NODES}"),
            expect![[r#"
            create controllerrevision/d-7cdf7fdbdb app=d controller-revision-hash=7cdf7fdbdb spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"d"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
            create pod/d-* app=d controller-revision-hash=7cdf7fdbdb
            create pod/d-* app=d controller-revision-hash=7cdf7fdbdb
            status daemonset/d currentNumberScheduled=0 desiredNumberScheduled=2 numberMisscheduled=0 numberReady=0 numberUnavailable=2 observedGeneration=1
        "#]],
        );
    }

    #[test]
    fn daemons_on_nodes_that_do_not_match_go() {
        check(
            &CONTROLLER,
            r#"
            ds d spec.template={"metadata":{"labels":{"app":"d"}},"spec":{"nodeSelector":{"a":"b"}}}
            node n1
            pod a owner=d node=n1 ready
            "#,
            expect![[r#"
                create controllerrevision/d-58998cb486 app=d controller-revision-hash=58998cb486 spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"d"}},"spec":{"nodeSelector":{"a":"b"}}}}
                delete pod/a
                status daemonset/d currentNumberScheduled=0 desiredNumberScheduled=0 numberMisscheduled=1 numberReady=0 observedGeneration=1
            "#]],
        );
    }

    #[test]
    fn a_new_template_replaces_one_daemon_at_a_time() {
        check(
            &CONTROLLER,
            r#"
            ds d spec.updateStrategy={"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1}}
            node n1
            node n2
            pod a owner=d node=n1 ready
            pod b owner=d node=n2 ready
            "#,
            expect![[r#"
                create controllerrevision/d-7cdf7fdbdb app=d controller-revision-hash=7cdf7fdbdb spec={"template":{"$patch":"replace","metadata":{"labels":{"app":"d"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}
                delete pod/a
                status daemonset/d currentNumberScheduled=2 desiredNumberScheduled=2 numberAvailable=2 numberMisscheduled=0 numberReady=2 observedGeneration=1
            "#]],
        );
    }
}
