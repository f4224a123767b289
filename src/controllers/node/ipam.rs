//! Node IPAM: gives each node a range of pod addresses out of the cluster's.
//!
//! All nodes are one key, so that no two are given the same range at the same time.

use std::collections::HashSet;

use ipnet::IpNet;

use crate::client::{Change, NoteKind, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::NODE;
use crate::object::tree::json;
use crate::object::view::Node;
use crate::object::{Key, PatchKind};

pub static CONTROLLER: Controller = Controller {
    name: "node-controller",
    component: "cidrAllocator",
    kind: None,
    woken_by: &[Wake::By(&NODE, |_, change| all_nodes(change))],
    reconcile,
};

const RANGE_BITS_V4: u8 = 24;
const RANGE_BITS_V6: u8 = 64;

fn all_nodes(change: &Change) -> Vec<Key> {
    let needs =
        |node: &crate::object::ObjectRef| Seen::<Node>::new(node).is_some_and(|node| node.spec.pod_cidrs.is_empty());
    match &change.after {
        Some(node) if !needs(node) => Vec::new(),
        _ => vec![NODE.key("", "")],
    }
}

fn reconcile(snap: &Snapshot, _: &Key, plan: &mut Plan) {
    let nodes = snap.list::<Node>("");
    let taken: HashSet<IpNet> =
        nodes.iter().flat_map(|node| &node.spec.pod_cidrs).filter_map(|range| range.parse().ok()).collect();
    let settings = plan.settings().clone();
    if settings.cluster_cidrs.is_empty() {
        return;
    }
    let mut clusters: Vec<_> = settings.cluster_cidrs.iter().map(|cluster| free(cluster, &taken)).collect();
    for node in nodes.iter().filter(|node| node.spec.pod_cidrs.is_empty() && !node.is_deleting()) {
        let ranges: Option<Vec<IpNet>> = clusters.iter_mut().map(Iterator::next).collect();
        let Some(ranges) = ranges else {
            let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
            plan.event(node, NoteKind::Normal, "CIDRNotAvailable", message);
            continue;
        };
        let texts: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
        let body = json!({"metadata": {"uid": node.uid()}, "spec": {"podCIDR": texts[0], "podCIDRs": texts}});
        plan.patch(&NODE, node.key(), PatchKind::Merge, body);
    }
}

/// The ranges of a cluster that overlap with none that is taken. Most of those that are have the size of
/// ours, so that only the others need comparing one by one.
fn free<'t>(cluster: &IpNet, taken: &'t HashSet<IpNet>) -> impl Iterator<Item = IpNet> + 't {
    let bits = if cluster.addr().is_ipv4() { RANGE_BITS_V4 } else { RANGE_BITS_V6 };
    let bits = bits.max(cluster.prefix_len());
    let odd: Vec<&IpNet> = taken.iter().filter(|other| other.prefix_len() != bits).collect();
    let overlaps = move |range: &IpNet| odd.iter().any(|other| other.contains(range) || range.contains(*other));
    let ranges = cluster.subnets(bits).into_iter().flatten();
    ranges.filter(move |range| !taken.contains(range) && !overlaps(range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check_key;
    use expect_test::expect;

    #[test]
    fn each_node_gets_the_first_free_range() {
        check_key(
            &CONTROLLER,
            &NODE.key("", ""),
            r#"
            node n1 spec.podCIDRs=["10.42.1.0/24"]
            node n2
            node n3
            "#,
            expect![[r#"
                patch node/n2 {"metadata":{"uid":"node-n2"},"spec":{"podCIDR":"10.42.0.0/24","podCIDRs":["10.42.0.0/24"]}}
                patch node/n3 {"metadata":{"uid":"node-n3"},"spec":{"podCIDR":"10.42.2.0/24","podCIDRs":["10.42.2.0/24"]}}
            "#]],
        );
    }

    #[test]
    fn ranges_of_another_size_are_kept_clear_of() {
        check_key(
            &CONTROLLER,
            &NODE.key("", ""),
            r#"
            node n1 spec.podCIDRs=["10.42.0.0/23"]
            node n2 spec.podCIDRs=["10.42.2.64/26"]
            node n3
            "#,
            expect![[r#"
                patch node/n3 {"metadata":{"uid":"node-n3"},"spec":{"podCIDR":"10.42.3.0/24","podCIDRs":["10.42.3.0/24"]}}
            "#]],
        );
    }
}
