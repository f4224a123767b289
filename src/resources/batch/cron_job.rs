//! CronJob: starts jobs by the clock.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["cj"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    ..ResourceDef::namespaced(
        "batch",
        "CronJob",
        "cronjobs",
        "cronjob",
        &[Version::on("v1", "io.k8s.api.batch.v1.CronJob")],
    )
};
