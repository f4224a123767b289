//! Job: runs pods until enough of them have succeeded.

use crate::resources::{ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["all"],
    subresources: &[Subresource::Status],
    selectable: &["status.successful"],
    ..ResourceDef::namespaced("batch", "Job", "jobs", "job", &[Version::on("v1", "io.k8s.api.batch.v1.Job")])
};
