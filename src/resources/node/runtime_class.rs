//! RuntimeClass: which container runtime runs a pod.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::numbers::go_struct;
use crate::resources::podspec::affinity::check_tolerations;
use crate::resources::{Column, ResourceDef, Rules, Version};
use crate::resources::{labels, names, quantities};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::path("Handler", "handler"), Column::AGE],
    rules: &RuntimeClass,
    ..ResourceDef::cluster(
        "node.k8s.io",
        "RuntimeClass",
        "runtimeclasses",
        "runtimeclass",
        &[Version::on("v1", "io.k8s.api.node.v1.RuntimeClass")],
    )
};

pub struct RuntimeClass;

impl Rules for RuntimeClass {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            return immutable(errors, new, old, "handler");
        }
        let root = At::root(new);
        let handler = root.child("handler");
        if handler.is_empty() {
            handler.required(errors, "");
        } else {
            handler.format(errors, names::is_dns1123_label(handler.str()));
        }
        for (name, amount) in root.child("overhead.podFixed").entries() {
            let amount = At::new(amount.value, format!("overhead.limits[{name}]"));
            quantities::check_container_name(name, &amount.path, errors);
            quantities::check_amount(name, &amount, errors);
        }
        labels::check_labels(&root.child("scheduling.nodeSelector"), errors);
        check_all_tolerations(&root.child("scheduling.tolerations"), errors);
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_all_tolerations(tolerations: &At, errors: &mut FieldErrors) {
    const FIELDS: &[&str] = &["key", "operator", "value", "effect", "tolerationSeconds"];
    check_tolerations(tolerations, errors);
    let key =
        |toleration: &At| ["key", "operator", "value", "effect"].map(|field| toleration.value.text(field).to_owned());
    let mut seen: Vec<[String; 4]> = Vec::new();
    for toleration in tolerations.items() {
        if seen.contains(&key(&toleration)) {
            let mut whole = toleration.value.clone();
            FIELDS[..4].iter().for_each(|field| whole.set_default(field, ""));
            errors.duplicate_shown(&*toleration.path, &go_struct(&whole, FIELDS), "");
        }
        seen.push(key(&toleration));
    }
}
