//! ResourcePoolStatusRequest: asks how full pools of devices are.

use crate::object::time::{Timestamp, human_duration};
use crate::object::tree::{Tree, TreePath};
use crate::resources::cells::{condition, has_condition};
use crate::resources::{Column, ResourceDef, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path("Driver", "spec.driver"),
        Column::with("Total", |o| sum(o, "totalDevices")),
        Column::with("Available", |o| sum(o, "availableDevices")),
        Column::with("Allocated", |o| sum(o, "allocatedDevices")),
        Column::with("Unavailable", |o| sum(o, "unavailableDevices")),
        Column::with("Errors", errors),
        Column::number("Pools", "status.poolCount"),
        Column::with("Status", |o| status(o).into()),
        Column::with_now("Completed", completed),
    ],
    ..ResourceDef::cluster(
        "resource.k8s.io",
        "ResourcePoolStatusRequest",
        "resourcepoolstatusrequests",
        "resourcepoolstatusrequest",
        &[Version::off("v1alpha3", "io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequest")],
    )
};

fn has_sums(object: &Tree) -> bool {
    object.has("status") && status(object) != "Failed"
}

fn sum(object: &Tree, field: &str) -> Tree {
    let sum: i64 = object.items("status.pools").iter().filter_map(|pool| pool.int(field)).sum();
    if has_sums(object) { sum.to_string().into() } else { "-".into() }
}

fn errors(object: &Tree) -> Tree {
    let count = object.items("status.pools").iter().filter(|pool| pool.has("validationError")).count();
    if has_sums(object) { count.to_string().into() } else { "-".into() }
}

fn status(object: &Tree) -> String {
    let (pools, shown) = (object.int("status.poolCount").unwrap_or(0), object.items("status.pools").len());
    match () {
        () if has_condition(object, "Complete") && pools > shown as i64 => format!("Complete ({shown}/{pools} pools)"),
        () if has_condition(object, "Complete") => "Complete".into(),
        () if has_condition(object, "Failed") => "Failed".into(),
        () => "Pending".into(),
    }
}

fn completed(object: &Tree, now: Timestamp) -> Tree {
    let complete = condition(object, "Complete").filter(|condition| condition.text("status") == "True");
    let time = complete.and_then(|condition| Timestamp::parse(condition.text("lastTransitionTime")));
    time.map_or("<none>".into(), |time| human_duration(now.secs_since(time)).into())
}
