//! Pod: containers that run together on one node.

use crate::object::field::FieldErrors;
use crate::object::sums;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at};
use crate::resources::def::GET_PATCH_UPDATE;
use crate::resources::podspec::{self, annotations, containers, resize, update};
use crate::resources::{ResourceDef, Rules, Special, Subresource, Version, meta, names};

use super::pod_status;

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["po"],
    categories: &["all"],
    subresources: &[
        Special::kind("attach", "PodAttachOptions", &["create", "get"]),
        Special::kind("binding", "Binding", &["create"]),
        Special::own("ephemeralcontainers", GET_PATCH_UPDATE),
        Special::foreign("eviction", "policy", "v1", "Eviction", &["create"]),
        Special::kind("exec", "PodExecOptions", &["create", "get"]),
        Special::own("log", &["get"]),
        Special::kind("portforward", "PodPortForwardOptions", &["create", "get"]),
        Special::kind("proxy", "PodProxyOptions", &["create", "delete", "get", "patch", "update"]),
        Special::own("resize", GET_PATCH_UPDATE),
        Subresource::Status,
    ],
    selectable: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ],
    columns: super::pod_columns::COLUMNS,
    rules: &Pod,
    ..ResourceDef::namespaced("", "Pod", "pods", "pod", &[Version::on("v1", "io.k8s.api.core.v1.Pod")])
};

pub struct Pod;

impl Rules for Pod {
    fn default(&self, pod: &mut Tree) {
        if !pod.at("spec").is_some_and(Tree::is_object) {
            pod.set("spec", json!({}));
        }
        podspec::defaults::pod(&mut pod["spec"]);
        pod_status::default(pod);
    }

    fn prepare_create(&self, pod: &mut Tree) {
        if pod.int("spec.terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
            pod.set("spec.terminationGracePeriodSeconds", 1);
        }
        let class = sums::qos_class(at(pod, "spec"));
        pod.set("status", json!({"phase": "Pending", "qosClass": class}));
        if !pod.items("spec.schedulingGates").is_empty() {
            let condition = pod_status::gated(pod.text("metadata.creationTimestamp"));
            pod.set("status.conditions", json!([condition]));
        }
    }

    fn prepare_status(&self, new: &mut Tree, old: &Tree) {
        if new.text("status.qosClass").is_empty() {
            let class = old.text("status.qosClass").to_owned();
            new.set("status.qosClass", class);
        }
    }

    fn prepare_update(&self, new: &mut Tree, old: &Tree) {
        // Only its own subresource adds ephemeral containers.
        if let Some(spec) = new.get_mut("spec") {
            update::put_back(spec, at(old, "spec"), "ephemeralContainers");
        }
    }

    fn prepare_subresource(&self, subresource: &str, new: &mut Tree, old: &Tree) {
        match subresource {
            "resize" => resize::prepare(new, old),
            "ephemeralcontainers" => {
                let added = at(new, "spec.ephemeralContainers").clone();
                let meta = at(new, "metadata").clone();
                *new = old.clone();
                new["metadata"] = meta;
                new.set("spec.ephemeralContainers", added);
            }
            _ => (),
        }
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_whole(new, old.is_some(), errors);
        let (meta, spec) = (At::root(new).child("metadata"), At::root(new).child("spec"));
        let Some(old) = old else {
            let ephemeral = spec.child("ephemeralContainers");
            if !ephemeral.is_empty() {
                ephemeral.forbidden(errors, "cannot be set on create");
            }
            if !spec.text("nodeName").is_empty() && !spec.child("schedulingGates").is_empty() {
                spec.child("nodeName").forbidden(errors, "cannot be set until all schedulingGates have been cleared");
            }
            annotations::check_seccomp_fields(meta.value, &spec, errors);
            annotations::check_app_armor_fields(meta.value, &spec, errors);
            return;
        };
        check_annotations_update(&meta, &spec, old, errors);
        update::check(&spec, at(old, "spec"), errors);
    }

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        let (meta, spec) = (At::root(new).child("metadata"), At::root(new).child("spec"));
        check_annotations_update(&meta, &spec, old, errors);
        pod_status::check(new, old, errors);
    }

    fn validate_subresource(&self, subresource: &str, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        check_whole(new, true, errors);
        match subresource {
            "resize" => resize::check(new, old, errors),
            "ephemeralcontainers" => check_ephemeral_update(new, old, errors),
            _ => (),
        }
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        podspec::warnings::of_spec(&At::root(new).child("spec"), at(new, "metadata"))
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn grace_period_seconds(&self, pod: &Tree, asked: Option<i64>) -> i64 {
        let ended = matches!(pod.text("status.phase"), "Failed" | "Succeeded");
        if pod.text("spec.nodeName").is_empty() || ended {
            return 0; // nothing runs that would have to be stopped
        }
        let period = asked.or(pod.int("spec.terminationGracePeriodSeconds")).unwrap_or(0);
        if period < 0 { 1 } else { period }
    }

    fn selectable_value(&self, at: &dyn Fn(&str) -> Option<Tree>, field: &str) -> Option<String> {
        let is_set = || at(field).and_then(|flag| flag.as_bool()).unwrap_or(false);
        (field == "spec.hostNetwork").then(|| is_set().to_string())
    }

    fn row_conditions(&self, pod: &Tree) -> Vec<Tree> {
        super::pod_columns::row_conditions(pod)
    }
}

/// What holds for every state of a pod. On updates its metadata is checked again as if it were
/// created, which is what upstream does.
fn check_whole(pod: &Tree, is_update: bool, errors: &mut FieldErrors) {
    let (meta, spec) = (At::root(pod).child("metadata"), At::root(pod).child("spec"));
    if is_update {
        meta::check_create(&meta, true, &names::dns1123_subdomain, errors);
        meta::check_kube_finalizers(&meta, errors);
    }
    annotations::check(&meta.child("annotations"), &spec, errors);
    podspec::check(&spec, meta.value, true, errors);
    if spec.text("serviceAccountName").is_empty() {
        for source in spec.child("volumes").items().flat_map(|volume| volume.child("projected.sources").items()) {
            let token = source.child("serviceAccountToken");
            if token.exists() {
                token.forbidden(errors, "must not be specified when serviceAccountName is not set");
            }
        }
    }
    for list in ["containers", "initContainers"] {
        spec.child(list).items().for_each(|container| containers::check_image_spaces(&container, errors));
    }
}

fn check_annotations_update(meta: &At, spec: &At, old: &Tree, errors: &mut FieldErrors) {
    let annotations = meta.child("annotations");
    annotations::check_update(&annotations, at(old, "metadata.annotations"), errors);
    annotations::check(&annotations, spec, errors);
}

fn check_ephemeral_update(new: &Tree, old: &Tree, errors: &mut FieldErrors) {
    check_annotations_update(&At::root(new).child("metadata"), &At::root(new).child("spec"), old, errors);
    if at(old, "metadata.annotations").get(annotations::MIRROR).is_some() {
        *errors = FieldErrors::default();
        return errors.forbidden("", "static pods do not support ephemeral containers");
    }
    const PATH: &str = "spec.ephemeralContainers";
    for before in old.items(PATH) {
        let name = before.text("name");
        match new.items(PATH).iter().find(|container| container.text("name") == name) {
            None => errors.forbidden(PATH, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(after) if after != before => {
                errors.forbidden(PATH, format!("existing ephemeral containers {name:?} may not be changed\n"));
            }
            Some(_) => (),
        }
    }
}
