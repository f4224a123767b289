//! CronJob: starts jobs by the clock.

use crate::object::time::Timestamp;
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::{age, container_list, selector};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["cj"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path("Schedule", "spec.schedule"),
        Column::path_or("Timezone", "spec.timeZone", "<none>"),
        Column::with("Suspend", suspended).of("boolean"),
        Column::count("Active", "status.active").of("integer"),
        Column::with_now("Last Schedule", last_schedule),
        Column::AGE,
        Column::with("Containers", |o| container_list(o, CONTAINERS, "name")).wide(),
        Column::with("Images", |o| container_list(o, CONTAINERS, "image")).wide(),
        Column::with("Selector", |o| selector(o.at("spec.jobTemplate.spec.selector")).into()).wide(),
    ],
    ..ResourceDef::namespaced(
        "batch",
        "CronJob",
        "cronjobs",
        "cronjob",
        &[Version::on("v1", "io.k8s.api.batch.v1.CronJob")],
    )
};

const CONTAINERS: &str = "spec.jobTemplate.spec.template.spec.containers";

fn suspended(object: &Tree) -> Tree {
    if object.flag("spec.suspend").unwrap_or(false) { "True" } else { "False" }.into()
}

fn last_schedule(object: &Tree, now: Timestamp) -> Tree {
    let path = "status.lastScheduleTime";
    if object.has(path) { age(object, path, now).into() } else { "<none>".into() }
}
