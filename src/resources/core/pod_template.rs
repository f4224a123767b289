//! PodTemplate: a template of pods, stored by itself.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::{container_list, labels};
use crate::resources::check::At;
use crate::resources::podspec::template;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[
        Column::NAME,
        Column::with("Containers", |o| container_list(o, "template.spec.containers", "name")),
        Column::with("Images", |o| container_list(o, "template.spec.containers", "image")),
        Column::with("Pod Labels", |o| labels(o.at("template.metadata.labels")).into()),
    ],
    rules: &PodTemplate,
    ..ResourceDef::namespaced(
        "",
        "PodTemplate",
        "podtemplates",
        "podtemplate",
        &[Version::on("v1", "io.k8s.api.core.v1.PodTemplate")],
    )
};

pub struct PodTemplate;

impl Rules for PodTemplate {
    fn default(&self, new: &mut Tree) {
        template::default(new, "template");
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        template::check(&At::root(new).child("template"), errors);
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn bumps_generation(&self, new: &Tree, old: &Tree) -> bool {
        new.get("template") != old.get("template")
    }
}
