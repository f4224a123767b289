//! ResourceClaimTemplate: a template of claims, one for each pod.

use super::{claim_checks, default_requests};
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::{At, immutable};
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    columns: &[Column::NAME, Column::AGE],
    rules: &ResourceClaimTemplate,
    ..ResourceDef::namespaced(
        "resource.k8s.io",
        "ResourceClaimTemplate",
        "resourceclaimtemplates",
        "resourceclaimtemplate",
        &[
            Version::on("v1", "io.k8s.api.resource.v1.ResourceClaimTemplate"),
            Version::off("v1beta2", "io.k8s.api.resource.v1beta2.ResourceClaimTemplate"),
            Version::off("v1beta1", "io.k8s.api.resource.v1beta1.ResourceClaimTemplate"),
        ],
    )
};

pub struct ResourceClaimTemplate;

impl Rules for ResourceClaimTemplate {
    fn default(&self, new: &mut Tree) {
        default_requests(new, "spec.spec.devices.requests");
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        match old {
            Some(old) => immutable(errors, new, old, "spec"),
            None => claim_checks::check(&At::root(new).child("spec.spec.devices"), errors),
        }
    }
}
