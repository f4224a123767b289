//! Job: runs pods until enough of them have succeeded.

use super::{job_spec, job_status};
use crate::object::field::FieldErrors;
use crate::object::time::{Timestamp, human_duration};
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::has_condition;
use crate::resources::cells::{CONTAINERS, IMAGES, SELECTOR};
use crate::resources::check::{At, at};
use crate::resources::podspec;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

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
    rules: &Job,
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

pub struct Job;

impl Rules for Job {
    fn default(&self, new: &mut Tree) {
        job_spec::default(new, "spec");
        job_spec::share_labels(new);
        job_spec::default_of_job(new);
    }

    fn prepare_create(&self, new: &mut Tree) {
        if new.flag("spec.manualSelector") != Some(true) {
            job_spec::select_own_pods(new);
        }
    }

    fn settle(&self, new: &mut Tree) {
        job_spec::share_labels(new);
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let spec = At::root(new).child("spec");
        let Some(old) = old else {
            job_spec::check_generated_selector(new, errors);
            job_spec::check_with_selector(&spec, errors);
            return job_spec::check_host_names(new, errors);
        };
        job_spec::check_with_selector(&spec, errors);
        job_spec::check_update(new, old, errors);
    }

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        job_status::check(new, old, errors);
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        let template = At::root(new).child("spec.template");
        podspec::warnings::of_spec(&template.child("spec"), at(new, "spec.template.metadata"))
    }

    fn selectable_value(&self, at: &dyn Fn(&str) -> Option<Tree>, field: &str) -> Option<String> {
        let succeeded = || at("status.succeeded").and_then(|count| count.as_i64()).unwrap_or(0);
        (field == "status.successful").then(|| succeeded().to_string())
    }

    fn has_generation(&self) -> bool {
        true
    }
}
