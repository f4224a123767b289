//! CronJob: starts jobs by the clock.

use super::job_spec;
use crate::object::cron::Schedule;
use crate::object::field::FieldErrors;
use crate::object::time::Timestamp;
use crate::object::tree::{Tree, TreePath};
use crate::object::zone::Zone;
use crate::resources::cells::{age, container_list, selector};
use crate::resources::check::{At, at};
use crate::resources::defaults::set_if_empty;
use crate::resources::inner;
use crate::resources::podspec;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

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
    rules: &CronJob,
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

pub struct CronJob;

impl Rules for CronJob {
    fn default(&self, new: &mut Tree) {
        set_if_empty(new, "spec.concurrencyPolicy", "Allow");
        new.set_default("spec.suspend", false);
        new.set_default("spec.successfulJobsHistoryLimit", 3);
        new.set_default("spec.failedJobsHistoryLimit", 1);
        job_spec::default(new, "spec.jobTemplate.spec");
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        check_spec(&At::root(new).child("spec"), old, errors);
        let name = At::root(new).child("metadata.name");
        if old.is_none() && name.len() > 52 {
            name.invalid(errors, "must be no more than 52 characters");
        }
    }

    fn warnings(&self, new: &Tree, _old: Option<&Tree>) -> Vec<String> {
        const TEMPLATE: &str = "spec.jobTemplate.spec.template";
        let template = At::root(new).child(TEMPLATE);
        podspec::warnings::of_spec(&template.child("spec"), template.child("metadata").value)
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn check_spec(spec: &At, old: Option<&Tree>, errors: &mut FieldErrors) {
    let (schedule, zone) = (spec.child("schedule"), spec.child("timeZone"));
    if schedule.is_empty() {
        schedule.required(errors, "");
    } else {
        if let Err(complaint) = Schedule::parse(schedule.str()) {
            schedule.invalid(errors, complaint);
        }
        let zoned = schedule.str().contains("TZ");
        let may_be_zoned = old.is_some_and(|old| old.text("spec.schedule").contains("TZ"));
        if zoned && may_be_zoned && zone.exists() {
            schedule.invalid(errors, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        } else if zoned && !may_be_zoned {
            schedule.invalid(errors, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
    }
    spec.child("startingDeadlineSeconds").nonnegative(errors);
    if old.is_none_or(|old| at(old, "spec.timeZone") != zone.value) {
        check_zone(&zone, errors);
    }
    spec.child("concurrencyPolicy").one_of(errors, &["Allow", "Forbid", "Replace"]);
    let job = spec.child("jobTemplate.spec");
    job_spec::check(&job, errors);
    let (selector, manual) = (job.child("selector"), job.child("manualSelector"));
    if selector.exists() {
        let shown = inner::compact("selector", selector.value);
        errors.invalid_shown(&*selector.path, &shown, "`selector` will be auto-generated");
    }
    if manual.flag() {
        manual.not_supported(errors, &["nil", "false"]);
    }
    spec.child("successfulJobsHistoryLimit").nonnegative(errors);
    spec.child("failedJobsHistoryLimit").nonnegative(errors);
}

/// The name of a time zone that there is.
fn check_zone(zone: &At, errors: &mut FieldErrors) {
    let Some(name) = zone.value.as_str() else { return };
    if name.is_empty() {
        return zone.invalid(errors, "timeZone must be nil or non-empty string");
    }
    let well_formed = |part: &str| {
        (1..=14).contains(&part.len())
            && !part.starts_with('-')
            && !matches!(part, "." | "..")
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_+".contains(&c))
    };
    if !name.split('/').all(well_formed) {
        return zone.invalid(errors, format!("unknown time zone {name}"));
    }
    if name.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        zone.invalid(errors, detail);
    }
    if name != "Local" && Zone::named(name).is_none() {
        zone.invalid(errors, format!("unknown time zone {name}"));
    }
}
