//! Job: runs pods until enough of them have succeeded.

use crate::object::time::{Timestamp, human_duration};
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::has_condition;
use crate::resources::cells::{CONTAINERS, IMAGES, SELECTOR};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["all"],
    subresources: &[Subresource::Status],
    selectable: &["status.successful"],
    columns: &[
        Column::NAME,
        Column::with("Status", status),
        Column::with("Completions", completions),
        Column::with_now("Duration", duration),
        Column::AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    ..ResourceDef::namespaced("batch", "Job", "jobs", "job", &[Version::on("v1", "io.k8s.api.batch.v1.Job")])
};

fn status(object: &Tree) -> Tree {
    let is = |kind| has_condition(object, kind);
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if object.has("metadata.deletionTimestamp") => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
    .into()
}

fn completions(object: &Tree) -> Tree {
    let succeeded = object.int("status.succeeded").unwrap_or(0);
    match (object.int("spec.completions"), object.int("spec.parallelism").unwrap_or(0)) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
    .into()
}

fn duration(object: &Tree, now: Timestamp) -> Tree {
    let time = |path| Timestamp::parse(object.text(path));
    let Some(start) = time("status.startTime") else { return "".into() };
    human_duration(time("status.completionTime").unwrap_or(now).secs_since(start)).into()
}
