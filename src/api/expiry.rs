//! Events live for an hour (`--event-ttl`) after they were last written.
//!
//! They go in batches, each one entry of the log: what is looked at every few minutes costs no more
//! syncs than that.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::pipeline::Api;
use crate::base::service::Scope;
use crate::object::{GroupResource, ObjectRef, Status, Timestamp};
use crate::store::command::COMMAND_WRITES_MAX;
use crate::store::{Action, Command, Expect, KeyRange, Write};

/// How often old events are looked for: as exactly as a twelfth of their life, within these bounds.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// When an event happened and was written, as far as it says.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Times {
    last_timestamp: Option<Timestamp>,
    event_time: Option<Timestamp>,
    series: Option<Series>,
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<Timestamp>,
    managed_fields: Vec<Managed>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Managed {
    time: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    last_observed_time: Option<Timestamp>,
}

/// Takes old events away from now on.
pub fn start(api: &Arc<Api>, scope: &Scope) {
    let api = api.clone();
    scope.supervise("expiry", move || run(api.clone()));
}

async fn run(api: Arc<Api>) -> Result<(), Status> {
    let life = api.settings.limits.event_ttl;
    loop {
        tokio::time::sleep((life / 12).clamp(LOOK_EVERY.0, LOOK_EVERY.1)).await;
        if !api.store.decides() {
            continue;
        }
        let state = api.state();
        let events = KeyRange::resource(&GroupResource::new("", "events"));
        let now = api.now();
        let old: Vec<Write> = state.range(&events).filter(|event| is_over(event, life, now)).map(removal).collect();
        for writes in old.chunks(COMMAND_WRITES_MAX) {
            // What changed meanwhile is not old any more; all of its batch is tried again next time.
            if let Err(error) = api.store.propose(Command::new(writes.to_vec())).await {
                tracing::debug!(%error, "cannot take old events away");
            }
        }
    }
}

fn removal(event: &ObjectRef) -> Write {
    Write { key: event.key().clone(), expect: Expect::Revision(event.revision()), action: Action::Delete }
}

fn is_over(event: &ObjectRef, life: Duration, now: Timestamp) -> bool {
    let times: Times = serde_json::from_slice(event.bytes()).unwrap_or_default();
    let series = times.series.and_then(|series| series.last_observed_time);
    let told = [times.last_timestamp, times.event_time, series, times.metadata.creation_timestamp];
    let written = times.metadata.managed_fields.into_iter().map(|managed| managed.time);
    told.into_iter().chain(written).flatten().max().is_some_and(|last| last + life < now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Key, Object, Revision};

    #[test]
    fn events_that_go_on_happening_stay() {
        let event = |times: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"e","namespace":"ns","creationTimestamp":"2026-01-01T00:00:00Z"}}{times}}}"#
            );
            Object::new(Key::of("events", "ns", "e"), Revision(1), text.into_bytes().into())
        };
        let now = Timestamp::parse("2026-01-01T01:30:00Z").unwrap();
        let is_over = |event: ObjectRef, now| is_over(&event, Duration::from_secs(3_600), now);
        let written = r#"{"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z","managedFields":[{"time":"2026-01-01T01:00:00Z"}]}}"#;
        assert!(!is_over(Object::new(Key::of("events", "ns", "e"), Revision(1), written.as_bytes().into()), now));
        assert!(is_over(event(""), now));
        assert!(!is_over(event(r#","lastTimestamp":"2026-01-01T01:00:00Z""#), now));
        assert!(!is_over(event(r#","series":{"lastObservedTime":"2026-01-01T01:00:00.000000Z"}"#), now));
        assert!(is_over(event(r#","eventTime":null,"lastTimestamp":"2026-01-01T00:10:00Z""#), now));
    }
}
