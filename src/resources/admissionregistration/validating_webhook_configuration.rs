//! ValidatingWebhookConfiguration: webhooks that may refuse requests.

use crate::resources::{Column, ResourceDef, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    columns: &[Column::NAME, Column::count("Webhooks", "webhooks").of("integer"), Column::AGE],
    ..ResourceDef::cluster(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
        &[Version::on("v1", "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration")],
    )
};
