//! CSIDriver: what a storage driver can do.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at, immutable};
use crate::resources::{Column, ResourceDef, Rules, Version};
use std::collections::BTreeSet;

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::with("AttachRequired", |o| o.flag("spec.attachRequired").unwrap_or(true).into()).of("boolean"),
        Column::with("PodInfoOnMount", |o| o.flag("spec.podInfoOnMount").unwrap_or(false).into()).of("boolean"),
        Column::with("StorageCapacity", |o| o.flag("spec.storageCapacity").unwrap_or(false).into()).of("boolean"),
        Column::with("TokenRequests", audiences),
        Column::with("RequiresRepublish", |o| o.flag("spec.requiresRepublish").unwrap_or(false).into()).of("boolean"),
        Column::with("Modes", modes),
        Column::AGE,
    ],
    rules: &CSIDriver,
    ..ResourceDef::cluster(
        "storage.k8s.io",
        "CSIDriver",
        "csidrivers",
        "csidriver",
        &[Version::on("v1", "io.k8s.api.storage.v1.CSIDriver")],
    )
};

fn audiences(object: &Tree) -> Tree {
    let requests = object.items("spec.tokenRequests");
    if requests.is_empty() && !object.has("spec.tokenRequests") {
        return "<unset>".into();
    }
    requests.iter().map(|request| request.text("audience")).collect::<Vec<_>>().join(",").into()
}

fn modes(object: &Tree) -> Tree {
    let modes: Vec<&str> = object.items("spec.volumeLifecycleModes").iter().filter_map(Tree::as_str).collect();
    if modes.is_empty() { "<none>".into() } else { modes.join(",").into() }
}

pub struct CSIDriver;

impl Rules for CSIDriver {
    fn default(&self, new: &mut Tree) {
        for (field, value) in [
            ("attachRequired", true),
            ("podInfoOnMount", false),
            ("storageCapacity", false),
            ("requiresRepublish", false),
            ("seLinuxMount", false),
        ] {
            new.set_default(&format!("spec.{field}"), value);
        }
        new.set_default("spec.fsGroupPolicy", "ReadWriteOnceWithFSType");
        if new.items("spec.volumeLifecycleModes").is_empty() {
            new.set("spec.volumeLifecycleModes", json!(["Persistent"]));
        }
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_spec(&At::root(new).child("spec"), errors);
        if let Some(old) = old {
            // Upstream misspells the first field.
            let attach = At::new(at(new, "spec.attachRequired"), "spec.attachedRequired");
            attach.immutable(errors, at(old, "spec.attachRequired"));
            immutable(errors, new, old, "spec.volumeLifecycleModes");
        }
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let unset = !new.items("spec.tokenRequests").is_empty() && !new.has("spec.serviceAccountTokenInSecrets");
        let warning = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to \
                       prevent possible logging of tokens in volume attributes";
        if unset { vec![warning.into()] } else { Vec::new() }
    }

    fn bumps_generation(&self, new: &Tree, old: &Tree) -> bool {
        ["tokenRequests", "requiresRepublish"]
            .iter()
            .any(|field| at(new, &format!("spec.{field}")) != at(old, &format!("spec.{field}")))
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_spec(spec: &At, errors: &mut FieldErrors) {
    const POLICIES: &[&str] = &["File", "None", "ReadWriteOnceWithFSType"];
    let policy = spec.child("fsGroupPolicy");
    if policy.exists() && !POLICIES.contains(&policy.str()) {
        policy.not_supported(errors, POLICIES);
    }
    let mut seen = BTreeSet::new();
    for request in spec.child("tokenRequests").items() {
        let (audience, expiration) = (request.child("audience"), request.child("expirationSeconds"));
        if !seen.insert(audience.str()) {
            errors.duplicate(&*audience.path, audience.str());
            continue;
        }
        let Some(seconds) = expiration.int() else { continue };
        if seconds < 600 {
            expiration.invalid(errors, "may not specify a duration less than 10 minutes");
        }
        if seconds > 1 << 32 {
            expiration.invalid(errors, "may not specify a duration larger than 2^32 seconds");
        }
    }
    let modes = spec.child("volumeLifecycleModes");
    for mode in modes.items().filter(|mode| !matches!(mode.str(), "Persistent" | "Ephemeral")) {
        errors.not_supported(&*modes.path, mode.str(), &["Persistent", "Ephemeral"]);
    }
    let period = spec.child("nodeAllocatableUpdatePeriodSeconds");
    if period.int().is_some_and(|seconds| seconds < 10) {
        period.invalid(errors, "must be greater than or equal to 10 seconds");
    }
    let in_secrets = spec.child("serviceAccountTokenInSecrets");
    if in_secrets.exists() && spec.child("tokenRequests").is_empty() {
        in_secrets.invalid(errors, "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
}
