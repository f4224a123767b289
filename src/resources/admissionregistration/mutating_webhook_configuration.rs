//! MutatingWebhookConfiguration: webhooks that may change requests.

use super::webhook_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::at;
use crate::resources::defaults::each;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    columns: &[Column::NAME, Column::count("Webhooks", "webhooks").of("integer"), Column::AGE],
    rules: &MutatingWebhookConfiguration,
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration")],
    )
};

pub struct MutatingWebhookConfiguration;

impl Rules for MutatingWebhookConfiguration {
    fn default(&self, new: &mut Tree) {
        webhook_checks::default(new);
        each(new, "webhooks", |hook| hook.set_default("reinvocationPolicy", "Never"));
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn bumps_generation(&self, new: &Tree, old: &Tree) -> bool {
        at(new, "webhooks") != at(old, "webhooks")
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        webhook_checks::check(new, old, errors);
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}
