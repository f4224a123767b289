//! What `kubectl get events` shows; both kinds of Event are stored as the core one.

use crate::object::time::Timestamp;
use crate::object::tree::{Tree, TreePath};
use crate::resources::Column;
use crate::resources::cells::{age, text_or};

pub static COLUMNS: &[Column] = &[
    Column::with_now("Last Seen", |event, now| last_seen(event, now).into()),
    Column::path("Type", "type"),
    Column::path("Reason", "reason"),
    Column::with("Object", object),
    Column::path("Subobject", "involvedObject.fieldPath").wide(),
    Column::with("Source", source).wide(),
    Column::with("Message", |event| event.text("message").trim().into()),
    Column::with_now("First Seen", |event, now| first_seen(event, now).into()).wide(),
    Column::with("Count", count).wide(),
    Column::NAME.wide(),
];

fn first_seen(event: &Tree, now: Timestamp) -> String {
    age(event, if event.has("firstTimestamp") { "firstTimestamp" } else { "eventTime" }, now)
}

fn last_seen(event: &Tree, now: Timestamp) -> String {
    match () {
        () if event.has("series") => age(event, "series.lastObservedTime", now),
        () if event.has("lastTimestamp") => age(event, "lastTimestamp", now),
        () => first_seen(event, now),
    }
}

fn object(event: &Tree) -> Tree {
    let kind = event.text("involvedObject.kind").to_lowercase();
    match event.text("involvedObject.name") {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

fn source(event: &Tree) -> Tree {
    let component = text_or(event, "source.component", event.text("reportingComponent"));
    match text_or(event, "source.host", event.text("reportingInstance")) {
        "" => component.into(),
        instance => format!("{component}, {instance}").into(),
    }
}

fn count(event: &Tree) -> Tree {
    let count = if event.has("series") {
        event.int("series.count")
    } else {
        event.int("count").filter(|n| *n != 0).or(Some(1))
    };
    count.unwrap_or(0).into()
}
