//! What a pod's containers ask for together.

use std::collections::BTreeMap;

use crate::object::quantity::Quantity;
use crate::object::tree::{Tree, TreePath};

/// Amounts by resource.
pub type Sum = BTreeMap<String, Quantity>;

/// What has to be free on a node for the containers of a pod spec: the main ones and sidecars run
/// together; of the other init containers only the greediest counts, with the sidecars before it.
pub fn container_requests(spec: &Tree) -> Sum {
    container_sum(spec, |container| amounts(container, "resources.requests"))
}

pub fn container_limits(spec: &Tree) -> Sum {
    container_sum(spec, |container| amounts(container, "resources.limits"))
}

/// The amount of a validated quantity; zero for anything else.
fn amount(value: &Tree) -> Quantity {
    value.as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO)
}

/// The amounts in the map at `path`.
pub fn amounts(tree: &Tree, path: &str) -> Sum {
    tree.map(path).into_iter().flatten().map(|(name, value)| (name.to_string(), amount(value))).collect()
}

/// As [`container_requests`], of whatever `of` says of one container.
pub fn container_sum(spec: &Tree, of: impl Fn(&Tree) -> Sum) -> Sum {
    let mut together = Sum::new();
    spec.items("containers").iter().for_each(|container| add(&mut together, &of(container)));
    let (mut sidecars, mut greediest) = (Sum::new(), Sum::new());
    for container in spec.items("initContainers") {
        let own = of(container);
        if container.text("restartPolicy") == "Always" {
            add(&mut together, &own);
            add(&mut sidecars, &own);
            raise(&mut greediest, &sidecars);
        } else {
            let mut beside = own;
            add(&mut beside, &sidecars);
            raise(&mut greediest, &beside);
        }
    }
    raise(&mut together, &greediest);
    together
}

/// Adds up by resource.
pub fn add(sum: &mut Sum, more: &Sum) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *entry = if entry.is_zero() { *amount } else { *entry + *amount };
    }
}

/// Lifts what is lower than in `floor`.
pub fn raise(sum: &mut Sum, floor: &Sum) {
    for (name, amount) in floor {
        let entry = sum.entry(name.clone()).or_insert(*amount);
        *entry = (*entry).max(*amount);
    }
}

/// The quality-of-service class: `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(spec: &Tree) -> &'static str {
    let pod_level = spec.at("resources").filter(|r| ["requests", "limits"].iter().any(|kind| has_any(r, kind)));
    let of_containers = spec.items("containers").iter().chain(spec.items("initContainers"));
    let all: Vec<&Tree> = match pod_level {
        Some(resources) => vec![resources],
        None => of_containers.map(|container| container.get("resources").unwrap_or(&Tree::Null)).collect(),
    };
    let positive = |resources: &Tree, kind: &str, name: &str| {
        resources.at(kind).and_then(|list| list.get(name)).map(amount).filter(|q| !q.is_zero() && !q.is_negative())
    };
    let each = |wanted: &dyn Fn(&Tree, &str) -> bool, any: bool| {
        let mut pairs = all.iter().flat_map(|resources| ["cpu", "memory"].map(|name| wanted(resources, name)));
        if any { pairs.any(|yes| yes) } else { pairs.all(|yes| yes) }
    };
    let asks = |r: &Tree, name: &str| positive(r, "requests", name).or(positive(r, "limits", name)).is_some();
    let fixed = |r: &Tree, name: &str| {
        let limit = positive(r, "limits", name);
        limit.is_some() && positive(r, "requests", name).is_none_or(|request| Some(request) == limit)
    };
    match () {
        () if !each(&asks, true) => "BestEffort",
        () if each(&fixed, false) => "Guaranteed",
        () => "Burstable",
    }
}

fn has_any(resources: &Tree, kind: &str) -> bool {
    resources.map(kind).is_some_and(|list| list.keys().any(|name| matches!(name.as_str(), "cpu" | "memory")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn sidecars_add_up_and_other_init_containers_compete() {
        let requests = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let spec = json!({
            "containers": [{"resources": requests("1")}],
            "initContainers": [
                {"resources": requests("500m"), "restartPolicy": "Always"}, {"resources": requests("2")},
            ],
        });
        assert_eq!(container_requests(&spec)["cpu"].to_string(), "2500m");
    }

    #[test]
    fn equal_limits_guarantee_and_nothing_at_all_is_best_effort() {
        let pod = |resources: Tree| json!({"containers": [{"resources": resources}]});
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(qos_class(&pod(full)), "Guaranteed");
        assert_eq!(qos_class(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        assert_eq!(qos_class(&pod(json!({}))), "BestEffort");
    }
}
