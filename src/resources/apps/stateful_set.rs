//! StatefulSet: pods with stable names and storage.

use super::ready;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::cells::{CONTAINERS, IMAGES};
use crate::resources::check::{At, at};
use crate::resources::defaults::{each, set_if_empty};
use crate::resources::numbers::{self, amount_or_percent, check_at_most_100_percent, check_int_or_percent, go_struct};
use crate::resources::podspec::{self, template, update};
use crate::resources::{Column, ResourceDef, Rules, ScalePaths, Subresource, Version};
use crate::resources::{claims, names};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sts"],
    categories: &["all"],
    subresources: &[Subresource::Scale(ScalePaths::WORKLOAD), Subresource::Status],
    columns: &[Column::NAME, Column::with("Ready", ready), Column::AGE, CONTAINERS, IMAGES],
    rules: &StatefulSet,
    ..ResourceDef::namespaced(
        "apps",
        "StatefulSet",
        "statefulsets",
        "statefulset",
        &[Version::on("v1", "io.k8s.api.apps.v1.StatefulSet")],
    )
};

pub struct StatefulSet;

impl Rules for StatefulSet {
    fn default(&self, new: &mut Tree) {
        template::default(new, "spec.template");
        set_if_empty(new, "spec.podManagementPolicy", "OrderedReady");
        if new.text("spec.updateStrategy.type").is_empty() {
            new.set("spec.updateStrategy.type", "RollingUpdate");
            new.set_default("spec.updateStrategy.rollingUpdate", json!({}));
        }
        let rolling = new.has("spec.updateStrategy.rollingUpdate");
        if rolling && new.text("spec.updateStrategy.type") == "RollingUpdate" {
            new.set_default("spec.updateStrategy.rollingUpdate.partition", 0);
        }
        set_if_empty(new, "spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "Retain");
        set_if_empty(new, "spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Retain");
        new.set_default("spec.replicas", 1);
        new.set_default("spec.revisionHistoryLimit", 10);
        each(new, "spec.volumeClaimTemplates", |claim| {
            claim.set_default("spec.volumeMode", "Filesystem");
            set_if_empty(claim, "status.phase", "Pending");
            set_if_empty(claim, "apiVersion", "v1");
            set_if_empty(claim, "kind", "PersistentVolumeClaim");
        });
    }

    fn prepare_create(&self, new: &mut Tree) {
        new.unset("spec.updateStrategy.rollingUpdate.maxUnavailable"); // off by default upstream
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_spec(&At::root(new).child("spec"), old.is_none(), errors);
        let Some(old) = old else { return };
        let mut rest = at(new, "spec").clone();
        for field in [
            "replicas",
            "template",
            "updateStrategy",
            "minReadySeconds",
            "ordinals",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
        ] {
            update::put_back(&mut rest, at(old, "spec"), field);
        }
        if &rest != at(old, "spec") {
            errors.forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                 'minReadySeconds' are forbidden",
            );
        }
    }

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        let status = At::root(new).child("status");
        const PARTS: &[&str] = &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        numbers::check_counts(&status, &["replicas"], errors);
        numbers::check_counts(&status, PARTS, errors);
        numbers::check_counts(&status, &["observedGeneration", "collisionCount"], errors);
        for part in PARTS {
            numbers::check_part(&status, part, "replicas", "status.replicas", errors);
        }
        numbers::check_part(&status, "availableReplicas", "readyReplicas", "status.readyReplicas", errors);
        numbers::check_collisions(&status, old, errors);
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        names::dns1123_label(name, is_prefix)
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let template = At::root(new).child("spec.template");
        podspec::warnings::of_spec(&template.child("spec"), at(new, "spec.template.metadata"))
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn check_spec(spec: &At, is_new: bool, errors: &mut FieldErrors) {
    let policy = spec.child("podManagementPolicy");
    match policy.str() {
        "" => policy.required(errors, ""),
        "OrderedReady" | "Parallel" => (),
        _ => policy.invalid(errors, "must be 'OrderedReady' or 'Parallel'"),
    }
    check_strategy(&spec.child("updateStrategy"), errors);
    for field in ["whenDeleted", "whenScaled"] {
        let retention = spec.child("persistentVolumeClaimRetentionPolicy").child(field);
        if !matches!(retention.str(), "Retain" | "Delete") {
            retention.not_supported(errors, &["Retain", "Delete"]);
        }
    }
    if is_new {
        spec.child("volumeClaimTemplates").items().for_each(|claim| claims::check_spec(&claim.child("spec"), errors));
    }
    spec.child("replicas").nonnegative(errors);
    spec.child("minReadySeconds").nonnegative(errors);
    spec.child("ordinals.start").nonnegative(errors);
    let service = spec.child("serviceName");
    if is_new && !service.is_empty() {
        service.format(errors, names::is_dns1123_label(service.str()));
    }
    let selector = spec.child("selector");
    let readable = template::check_selector(&selector, "statefulset", errors);
    let pods = with_claims(spec);
    let pods = At::new(&pods, spec.path_to("template"));
    if !readable {
        selector.invalid_text(errors, "");
    } else if !selector.exists() || !crate::resources::labels::is_empty_selector(selector.value) {
        template::check_selected(&pods, &selector, errors);
    }
    template::check(&pods, errors);
    template::check_long_running(&pods, "StatefulSet", errors);
}

/// The template as its pods will be: each claim template is a volume of theirs.
fn with_claims(spec: &At) -> Tree {
    let mut pods = spec.child("template").value.clone();
    pods.unset("spec.subdomain");
    pods.unset("spec.hostname");
    let templates = spec.child("volumeClaimTemplates").items();
    let claims: Vec<&str> = templates.map(|claim| claim.value.text("metadata.name")).collect();
    if !claims.is_empty() {
        let volume = |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        let own = pods.items("spec.volumes").iter().filter(|volume| !claims.contains(&volume.text("name")));
        let volumes: Vec<Tree> = claims.iter().map(volume).chain(own.cloned()).collect();
        pods.set("spec.volumes", volumes);
    }
    pods
}

fn check_strategy(strategy: &At, errors: &mut FieldErrors) {
    let rolling = strategy.child("rollingUpdate");
    match strategy.text("type") {
        "" => strategy.required(errors, ""),
        "OnDelete" if rolling.exists() => errors.invalid_shown(
            &*rolling.path,
            &go_struct(rolling.value, &["partition", "maxUnavailable"]),
            "only allowed for updateStrategy 'RollingUpdate'",
        ),
        "OnDelete" => (),
        "RollingUpdate" => {
            rolling.child("partition").nonnegative(errors);
            let unavailable = rolling.child("maxUnavailable");
            if unavailable.exists() {
                check_int_or_percent(&unavailable, errors);
                if amount_or_percent(unavailable.value) == 0 {
                    unavailable.invalid(errors, "cannot be 0");
                }
                check_at_most_100_percent(&unavailable, errors);
            }
        }
        _ => errors.invalid_shown(
            &*strategy.path,
            &go_struct(strategy.value, &["type", "rollingUpdate"]),
            "must be 'RollingUpdate' or 'OnDelete'",
        ),
    }
}
