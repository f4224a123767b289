//! Node IPAM: gives each node a range of pod addresses out of the cluster's.
//!
//! All nodes are one key, so that no two are given the same range at the same time.

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
    let mut taken: Vec<IpNet> =
        nodes.iter().flat_map(|node| &node.spec.pod_cidrs).filter_map(|range| range.parse().ok()).collect();
    let clusters = plan.settings().cluster_cidrs.clone();
    if clusters.is_empty() {
        return;
    }
    for node in nodes.iter().filter(|node| node.spec.pod_cidrs.is_empty() && !node.is_deleting()) {
        let ranges: Option<Vec<IpNet>> = clusters.iter().map(|cluster| first_free(cluster, &taken)).collect();
        let Some(ranges) = ranges else {
            let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
            plan.event(node, NoteKind::Normal, "CIDRNotAvailable", message);
            continue;
        };
        let texts: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
        let body = json!({"metadata": {"uid": node.uid()}, "spec": {"podCIDR": texts[0], "podCIDRs": texts}});
        plan.patch(&NODE, node.key(), PatchKind::Merge, body);
        taken.extend(ranges);
    }
}

fn first_free(cluster: &IpNet, taken: &[IpNet]) -> Option<IpNet> {
    let bits = if cluster.addr().is_ipv4() { RANGE_BITS_V4 } else { RANGE_BITS_V6 };
    let mut ranges = cluster.subnets(bits.max(cluster.prefix_len())).ok()?;
    ranges.find(|range| !taken.iter().any(|other| other.contains(range) || range.contains(other)))
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
}
