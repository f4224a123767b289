//! Cluster role aggregation: a role with an aggregation rule has the rules of all roles that its
//! selectors choose, in order of their names, each rule once.

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::CLUSTER_ROLE;
use crate::object::tree::json;
use crate::object::view::ClusterRole;
use crate::object::{Key, Tree};

const MANAGER: &str = "clusterrole-aggregation-controller";

pub static CONTROLLER: Controller = Controller {
    name: MANAGER,
    component: MANAGER,
    kind: Some(&CLUSTER_ROLE),
    woken_by: &[Wake::By(&CLUSTER_ROLE, aggregating_roles)],
    reconcile,
};

/// A change of any role may concern every role that aggregates.
fn aggregating_roles(snap: &Snapshot, _: &Change) -> Vec<Key> {
    let roles = snap.list::<ClusterRole>("");
    roles.iter().filter(|role| role.aggregation_rule.is_some()).map(|role| role.key().clone()).collect()
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(role) = snap.get::<ClusterRole>(key) else { return };
    if role.is_deleting() || role.aggregation_rule.is_none() {
        return;
    }
    let rules = aggregated(&role, &snap.list::<ClusterRole>(""));
    if rules != rules_of(&role) {
        plan.apply(&CLUSTER_ROLE, json!({"metadata": {"name": role.name()}, "rules": rules}), MANAGER);
    }
}

fn aggregated(role: &Seen<ClusterRole>, all: &[Seen<ClusterRole>]) -> Vec<Tree> {
    let selectors = role.aggregation_rule.as_ref().map_or(&[][..], |rule| &rule.cluster_role_selectors);
    let mut chosen: Vec<&Seen<ClusterRole>> = all.iter().filter(|other| other.key() != role.key()).collect();
    chosen.sort_by(|one, other| one.name().cmp(other.name()));
    let mut rules: Vec<Tree> = Vec::new();
    for selector in selectors {
        for other in chosen.iter().filter(|other| selector.matches(&other.meta().labels)) {
            for rule in rules_of(other) {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    rules
}

fn rules_of(role: &ClusterRole) -> Vec<Tree> {
    role.rules.iter().flatten().map(|rule| rule.tree()).collect()
}
