//! LimitRanger: containers get the namespace's default resources, and what is outside of its limits
//! is refused.

use std::collections::BTreeMap;

use super::{Attributes, Operation, Plugin};
use crate::object::quantity::Quantity;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::{Status, StringMap};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub struct LimitRanger;

/// Amounts by resource name, in the text they came in.
type Amounts = BTreeMap<String, Quantity>;

impl Plugin for LimitRanger {
    fn admit(&self, on: &Attributes<'_>, pod: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if !on.creates("pods") {
            return Ok(());
        }
        for range in on.list("limitranges", on.namespace) {
            set_defaults(&range.tree(), pod);
        }
        Ok(())
    }

    fn validate(&self, on: &Attributes<'_>, object: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        let resized = on.operation == Operation::Update && on.is("pods/resize");
        let is_pod = on.creates("pods") || resized;
        let is_claim = matches!(on.operation, Operation::Create | Operation::Update) && on.is("persistentvolumeclaims");
        let Some(object) = object.filter(|_| is_pod || is_claim) else { return Ok(()) };
        for range in on.list("limitranges", on.namespace) {
            let complaints = if is_pod { check_pod(&range.tree(), object) } else { check_claim(&range.tree(), object) };
            if let Some(told) = aggregate(complaints) {
                return Err(on.forbidden(object, told));
            }
        }
        Ok(())
    }
}

/// Several complaints as one, each once.
fn aggregate(complaints: Vec<String>) -> Option<String> {
    let mut distinct: Vec<String> = Vec::new();
    for complaint in complaints {
        if !distinct.contains(&complaint) {
            distinct.push(complaint);
        }
    }
    match distinct.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

fn set_defaults(range: &Tree, pod: &mut Tree) {
    let (mut requests, mut limits) = (StringMap::new(), StringMap::new());
    for limit in range.items("spec.limits").iter().filter(|limit| limit.text("type") == "Container") {
        requests.extend(&texts(limit, "defaultRequest"));
        limits.extend(&texts(limit, "default"));
    }
    let mut told: Vec<String> = Vec::new();
    for (list, what) in [("spec.containers", "container"), ("spec.initContainers", "init container")] {
        let containers = pod.at_mut(list).and_then(Tree::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
        for container in containers {
            let name = container.text("name").to_owned();
            // Limits first: what the request would have been defaulted from is settled by then.
            let set_limits = add_missing(container, "limits", &limits);
            let set_requests = add_missing(container, "requests", &requests);
            for (set, kind) in [(set_requests, "request"), (set_limits, "limit")] {
                if !set.is_empty() {
                    told.push(format!("{} {kind} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        if !pod.has("metadata.annotations") {
            pod.set("metadata.annotations", json!({}));
        }
        if let Some(annotations) = pod.at_mut("metadata.annotations").and_then(Tree::as_object_mut) {
            annotations.insert(ANNOTATION.into(), format!("LimitRanger plugin set: {}", told.join("; ")).into());
        }
    }
}

/// Adds what the container does not say itself; the names of what was added.
fn add_missing(container: &mut Tree, kind: &str, defaults: &StringMap) -> Vec<String> {
    let path = format!("resources.{kind}");
    let mut added = Vec::new();
    for (name, amount) in defaults {
        if container.at(&path).and_then(|given| given.get(name)).is_some() {
            continue;
        }
        if !container.has(&path) {
            container.set(&path, json!({}));
        }
        if let Some(amounts) = container.at_mut(&path).and_then(Tree::as_object_mut) {
            amounts.insert(name.to_owned().into(), amount.into());
            added.push(name.to_owned());
        }
    }
    added
}

fn texts(tree: &Tree, path: &str) -> StringMap {
    let entries = tree.map(path).into_iter().flatten();
    entries.filter_map(|(name, amount)| Some((name.as_str(), amount.as_str()?))).collect()
}

fn amounts(tree: &Tree, path: &str) -> Amounts {
    texts(tree, path).iter().filter_map(|(name, text)| Some((name.to_owned(), Quantity::parse(text).ok()?))).collect()
}

fn check_pod(range: &Tree, pod: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for limit in range.items("spec.limits") {
        match limit.text("type") {
            "Container" => {
                let containers = pod.items("spec.containers").iter().chain(pod.items("spec.initContainers"));
                for container in containers {
                    let (requests, limits) =
                        (amounts(container, "resources.requests"), amounts(container, "resources.limits"));
                    check(limit, &requests, &limits, &mut complaints);
                }
            }
            "Pod" => check(limit, &total(pod, "requests"), &total(pod, "limits"), &mut complaints),
            _ => (),
        }
    }
    complaints
}

fn check_claim(range: &Tree, claim: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    let requests = amounts(claim, "spec.resources.requests");
    for limit in range.items("spec.limits").iter().filter(|limit| limit.text("type") == "PersistentVolumeClaim") {
        let kind = limit.text("type");
        for (name, least) in amounts(limit, "min") {
            at_least(kind, &name, least, requests.get(&name), None, &mut complaints);
        }
        for (name, most) in amounts(limit, "max") {
            match requests.get(&name) {
                None => complaints.push(format!("maximum {name} usage per {kind} is {most}.  No request is specified")),
                Some(request) if *request > most => {
                    complaints.push(format!("maximum {name} usage per {kind} is {most}, but request is {request}"));
                }
                Some(_) => (),
            }
        }
    }
    complaints
}

fn check(limit: &Tree, requests: &Amounts, limits: &Amounts, complaints: &mut Vec<String>) {
    let kind = limit.text("type");
    for (name, least) in amounts(limit, "min") {
        at_least(kind, &name, least, requests.get(&name), limits.get(&name), complaints);
    }
    for (name, most) in amounts(limit, "max") {
        let (request, limit) = (requests.get(&name), limits.get(&name));
        let usage = format!("maximum {name} usage per {kind} is {most}");
        match (limit, request) {
            (None, _) => complaints.push(format!("{usage}.  No limit is specified")),
            (Some(limit), _) if *limit > most => complaints.push(format!("{usage}, but limit is {limit}")),
            (_, Some(request)) if *request > most => complaints.push(format!("{usage}, but request is {request}")),
            _ => (),
        }
    }
    for (name, most) in amounts(limit, "maxLimitRequestRatio") {
        let usage = format!("{name} max limit to request ratio per {kind} is {most}, but");
        let nonzero = |amount: Option<&Quantity>| amount.filter(|amount| !amount.is_zero()).copied();
        match (nonzero(requests.get(&name)), nonzero(limits.get(&name))) {
            (None, _) => complaints.push(format!("{usage} no request is specified or request is 0")),
            (_, None) => complaints.push(format!("{usage} no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let ratio = limit.approximate() / request.approximate();
                if ratio > most.approximate() {
                    complaints.push(format!("{usage} provided ratio is {ratio:.6}"));
                }
            }
        }
    }
}

fn at_least(
    kind: &str,
    name: &str,
    least: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
    complaints: &mut Vec<String>,
) {
    let usage = format!("minimum {name} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => complaints.push(format!("{usage}.  No request is specified")),
        (Some(request), _) if *request < least => complaints.push(format!("{usage}, but request is {request}")),
        (_, Some(limit)) if *limit < least => complaints.push(format!("{usage}, but limit is {limit}")),
        _ => (),
    }
}

/// What a pod asks for as a whole: its containers together, or more where starting needs more.
pub(super) fn total(pod: &Tree, kind: &str) -> Amounts {
    let path = format!("resources.{kind}");
    let mut sum = Amounts::new();
    for container in pod.items("spec.containers") {
        add(&mut sum, &amounts(container, &path));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in pod.items("spec.initContainers") {
        let mine = amounts(container, &path);
        let mut now = sidecars.clone();
        add(&mut now, &mine);
        if container.text("restartPolicy") == "Always" {
            add(&mut sum, &mine);
            sidecars = now.clone();
        }
        raise(&mut starting, &now);
    }
    raise(&mut sum, &starting);
    sum.extend(amounts(pod, &format!("spec.resources.{kind}")));
    sum
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let before = sum.get(name).copied().unwrap_or(Quantity::ZERO);
        sum.insert(name.clone(), before + *amount);
    }
}

fn raise(sum: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        if sum.get(name).is_none_or(|present| present < amount) {
            sum.insert(name.clone(), *amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range() -> Tree {
        json!({"spec": {"limits": [{
            "type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"},
        }]}})
    }

    #[test]
    fn defaults_fill_what_is_not_said_and_are_told() {
        let mut pod = json!({"spec": {"containers": [{"name": "c"}]}});
        set_defaults(&range(), &mut pod);
        assert_eq!(pod.items("spec.containers")[0]["resources"]["limits"]["cpu"], "500m");
        let told = pod["metadata"]["annotations"][ANNOTATION].as_str().unwrap();
        assert_eq!(told, "LimitRanger plugin set: cpu request for container c; cpu limit for container c");
        assert!(check_pod(&range(), &pod).is_empty());
    }

    #[test]
    fn what_is_over_the_limit_is_refused() {
        let pod = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}});
        assert_eq!(check_pod(&range(), &pod), ["maximum cpu usage per Container is 1, but limit is 2"]);
    }
}
