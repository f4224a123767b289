//! ValidatingWebhookConfiguration: webhooks that may refuse requests.

use super::webhook_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::at;
use crate::resources::{Column, ResourceDef, Rules, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    columns: &[Column::NAME, Column::count("Webhooks", "webhooks").of("integer"), Column::AGE],
    rules: &ValidatingWebhookConfiguration,
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration")],
    )
};

pub struct ValidatingWebhookConfiguration;

impl Rules for ValidatingWebhookConfiguration {
    fn default(&self, new: &mut Tree) {
        webhook_checks::default(new);
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
