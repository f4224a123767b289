//! Annotations of pods that mean something, and fields that took their place.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;

use super::affinity::check_tolerations;
use super::each_container;

pub const MIRROR: &str = "kubernetes.io/config.mirror";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";

pub fn check(annotations: &At, spec: &At, errors: &mut FieldErrors) {
    let mirror = annotations.key(MIRROR);
    if mirror.exists() && spec.text("nodeName").is_empty() {
        mirror.invalid_text(errors, "must set spec.nodeName if mirror pod annotation is set");
    }
    check_old_tolerations(annotations, errors);
    let cost = annotations.key(DELETION_COST);
    if cost.exists() && !is_cost(cost.str()) {
        cost.invalid_text(errors, "must be a 32bit integer");
    }
    for (key, value) in annotations.entries() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            check_seccomp(&At::new(value.value, annotations.path_to(key)), errors);
        }
    }
    for (key, value) in annotations.entries() {
        let Some(name) = key.strip_prefix(APP_ARMOR) else { continue };
        if !each_container(spec).any(|container| container.text("name") == name) {
            errors.invalid(&*value.path, name, "container not found");
        }
        if !matches!(value.str(), "" | "runtime/default" | "unconfined") && !value.str().starts_with("localhost/") {
            value.invalid_text(errors, format!("invalid AppArmor profile name: {:?}", value.str()));
        }
    }
}

/// A 32-bit integer without a plus sign or leading zeros.
fn is_cost(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits == "0" || !digits.starts_with(['0', '+']);
    plain && text != "-0" && text.parse::<i32>().is_ok()
}

fn check_old_tolerations(annotations: &At, errors: &mut FieldErrors) {
    let text = annotations.key(TOLERATIONS);
    if text.is_empty() {
        return;
    }
    match serde_json::from_str::<Tree>(text.str()) {
        Ok(list) => check_tolerations(&At::new(&list, annotations.path_to(TOLERATIONS)), errors),
        Err(error) => errors.invalid(&*annotations.path, TOLERATIONS, error),
    }
}

fn check_seccomp(profile: &At, errors: &mut FieldErrors) {
    match profile.str().strip_prefix("localhost/") {
        Some(path) => {
            let path = Tree::from(path);
            super::paths::check_descending(&At::new(&path, &*profile.path), errors);
        }
        None if matches!(profile.str(), "runtime/default" | "docker/default" | "unconfined") => (),
        None => profile.invalid_text(errors, "must be a valid seccomp profile"),
    }
}

/// Where both an old annotation and its field are set, they have to agree.
pub fn check_seccomp_fields(meta: &Tree, spec: &At, errors: &mut FieldErrors) {
    let annotation = |key: &str| meta.get("annotations").and_then(|map| map.get(key)).and_then(Tree::as_str);
    let agree = |field: At, annotation: Option<&str>, errors: &mut FieldErrors| {
        let Some(text) = annotation.filter(|_| field.exists()) else { return };
        let local = text.strip_prefix("localhost/");
        let fits = match field.text("type") {
            "Unconfined" => text == "unconfined",
            "RuntimeDefault" => matches!(text, "runtime/default" | "docker/default"),
            "Localhost" => local.is_some(),
            _ => true,
        };
        if !fits {
            field.child("type").forbidden(errors, "seccomp type in annotation and field must match");
        } else if field.text("type") == "Localhost" && local != Some(field.text("localhostProfile")) {
            let detail = "seccomp profile in annotation and field must match";
            field.child("localhostProfile").forbidden(errors, detail);
        }
    };
    agree(spec.child("securityContext.seccompProfile"), annotation(SECCOMP_POD), errors);
    for container in each_container(spec) {
        let key = format!("{SECCOMP_CONTAINER}{}", container.text("name"));
        agree(container.child("securityContext.seccompProfile"), annotation(&key), errors);
    }
}

/// As [`check_seccomp_fields`], of AppArmor: only when a pod is created.
pub fn check_app_armor_fields(meta: &Tree, spec: &At, errors: &mut FieldErrors) {
    if spec.value.text("os.name") == "windows" {
        return;
    }
    for container in each_container(spec) {
        let own = container.child("securityContext.appArmorProfile");
        let profile = if own.exists() { own.clone() } else { spec.child("securityContext.appArmorProfile") };
        let key = format!("{APP_ARMOR}{}", container.text("name"));
        let annotation = meta.get("annotations").and_then(|map| map.get(&key)).and_then(Tree::as_str);
        let Some(text) = annotation.filter(|_| profile.exists()) else { continue };
        let local = text.strip_prefix("localhost/");
        let fits = match profile.text("type") {
            "Unconfined" => text == "unconfined",
            "RuntimeDefault" => text == "runtime/default",
            "Localhost" => local.is_some(),
            _ => true,
        };
        if !fits {
            own.child("type").forbidden(errors, "apparmor type in annotation and field must match");
        } else if profile.text("type") == "Localhost" && local != Some(profile.text("localhostProfile")) {
            let detail = "apparmor profile in annotation and field must match";
            own.child("localhostProfile").forbidden(errors, detail);
        }
    }
}

/// Some annotations of a pod may not change.
pub fn check_update(new: &At, old: &Tree, errors: &mut FieldErrors) {
    let old = At::new(old, &*new.path);
    for (key, value) in old.entries() {
        if new.key(key).value == value.value {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            value.forbidden(errors, "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            value.forbidden(errors, "may not remove or update mirror pod annotation");
        }
    }
    for (key, value) in new.entries().filter(|(key, _)| !old.key(key).exists()) {
        if key.starts_with(APP_ARMOR) {
            value.forbidden(errors, "may not add AppArmor annotations");
        }
        if key == MIRROR {
            value.forbidden(errors, "may not add mirror pod annotation");
        }
    }
}
