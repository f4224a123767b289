//! What a resize may change: amounts of CPU and memory.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at};
use crate::resources::defaults::each;

use super::update::put_back;
use crate::object::sums::qos_class;

/// Puts back everything that a resize does not concern.
pub fn prepare(new: &mut Tree, old: &Tree) {
    let asked = new.get("spec").cloned().unwrap_or_default();
    let meta = new.get("metadata").cloned();
    *new = old.clone();
    if let Some(meta) = meta {
        new["metadata"] = meta;
    }
    if asked.has("resources") {
        new.set("spec.resources", at(&asked, "resources").clone());
    }
    for list in ["containers", "initContainers"] {
        let path = format!("spec.{list}");
        let containers = asked.items(list);
        let known = |name: &str| old.items(&path).iter().any(|container| container.text("name") == name);
        if containers.len() != old.items(&path).len() || !containers.iter().all(|one| known(one.text("name"))) {
            if asked.has(list) {
                new.set(&path, containers.to_vec()); // which is refused
            }
            continue;
        }
        each(new, &path, |container| {
            let wanted = containers.iter().find(|one| one.text("name") == container.text("name"));
            for field in ["resources", "resizePolicy"] {
                match wanted.and_then(|one| one.get(field)) {
                    Some(value) => drop(container.set(field, value.clone())),
                    None => drop(container.unset(field)),
                }
            }
        });
    }
    if at(new, "spec") != at(old, "spec") {
        new.set("metadata.generation", old.int("metadata.generation").unwrap_or(0) + 1);
    }
}

pub fn check(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    let spec = At::root(new).child("spec");
    let before = at(old, "spec");
    let refuse_all = |detail: &str, errors: &mut FieldErrors| {
        *errors = FieldErrors::default();
        errors.forbidden("", detail);
    };
    if old.at("metadata.annotations").is_some_and(|map| map.get(super::annotations::MIRROR).is_some()) {
        return refuse_all("static pods cannot be resized", errors);
    }
    if old.text("spec.os.name") == "windows" {
        return refuse_all("windows pods cannot be resized", errors);
    }
    if qos_class(before) != qos_class(spec.value) {
        let class = old.text("status.qosClass");
        errors.invalid(&*spec.path, class, "Pod QOS Class may not change as a result of resizing");
    }
    let running = old.items("status.containerStatuses").iter().find(|status| status.has("state.running"));
    if running.is_some_and(|status| !status.has("resources")) {
        spec.forbidden(errors, "Pod running on node without support for resize");
    }
    if !check_order(&spec, before, errors) {
        return;
    }
    for list in ["initContainers", "containers"] {
        for (container, before) in spec.child(list).items().zip(before.items(list)) {
            check_removed(&container.child("resources"), at(before, "resources"), errors);
        }
    }
    check_only_amounts(&spec, before, errors);
}

fn check_order(spec: &At, old: &Tree, errors: &mut FieldErrors) -> bool {
    let count = errors.list.len();
    for list in ["containers", "initContainers"] {
        let containers = spec.child(list);
        if containers.len() != old.items(list).len() {
            containers.forbidden(errors, format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (container, old) in containers.items().zip(old.items(list)) {
            if container.text("name") != old.text("name") {
                let detail = format!("{list} may not be renamed or reordered on resize");
                container.child("name").forbidden(errors, detail);
            }
        }
    }
    errors.list.len() == count
}

fn check_removed(resources: &At, old: &Tree, errors: &mut FieldErrors) {
    for (kind, name) in [("requests", "resource requests"), ("limits", "resource limits")] {
        let list = resources.child(kind);
        if old.map(kind).is_some_and(|old| old.keys().any(|resource| !list.key(resource).exists())) {
            list.forbidden(errors, format!("{name} cannot be removed"));
        }
    }
}

fn check_only_amounts(spec: &At, old: &Tree, errors: &mut FieldErrors) {
    let count = errors.list.len();
    let mut rest = spec.value.clone();
    let detail = "only cpu and memory resources are mutable";
    for list in ["containers", "initContainers"] {
        for (place, before) in old.items(list).iter().enumerate() {
            let Some(mine) = rest.get_mut(list).and_then(|containers| containers.get_mut(place)) else { continue };
            restore(mine, before);
            if mine == before {
                continue;
            }
            if list == "containers" {
                spec.forbidden(errors, detail);
            } else {
                let place = spec.child(list).index(place);
                place.forbidden(errors, "only cpu and memory resources for init or sidecar containers are mutable");
            }
        }
    }
    restore(&mut rest, old);
    if errors.list.len() == count && &rest != old {
        spec.forbidden(errors, detail);
    }
}

/// Puts back what an object with `resources` had of CPU and memory.
fn restore(new: &mut Tree, old: &Tree) {
    for kind in ["requests", "limits"] {
        for name in ["cpu", "memory"] {
            let before = at(old, &format!("resources.{kind}")).get(name).cloned();
            match before {
                Some(value) => {
                    new.set(&format!("resources.{kind}"), at(new, &format!("resources.{kind}")).clone());
                    if !new.at(&format!("resources.{kind}")).is_some_and(Tree::is_object) {
                        new.set(&format!("resources.{kind}"), json!({}));
                    }
                    new.set(&format!("resources.{kind}.{name}"), value);
                }
                None => {
                    new.unset(&format!("resources.{kind}.{name}"));
                }
            }
        }
        let path = format!("resources.{kind}");
        if new.map(&path).is_some_and(|map| map.is_empty()) && !old.has(&path) {
            new.unset(&path);
        }
    }
    if !old.has("resources") && new.map("resources").is_some_and(|map| map.is_empty()) {
        put_back(new, old, "resources");
    }
}
