//! Events live for an hour after they last happened.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::pipeline::Api;
use crate::base::service::Scope;
use crate::object::{GroupResource, ObjectRef, Status, Timestamp};
use crate::store::command::COMMAND_WRITES_MAX;
use crate::store::{Action, Command, Expect, KeyRange, Write};

const LIFE: Duration = Duration::from_secs(3_600);
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// When an event happened, as far as it says.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Times {
    last_timestamp: Option<Timestamp>,
    event_time: Option<Timestamp>,
    series: Option<Series>,
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
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let state = api.state();
        let events = KeyRange::resource(&GroupResource::new("", "events"));
        let now = api.now();
        let old: Vec<Write> = state.range(&events).filter(|event| is_over(event, now)).map(removal).collect();
        for writes in old.chunks(COMMAND_WRITES_MAX) {
            // What changed meanwhile is not old any more; all of its batch is tried again next time.
            // Only the leader can propose, and only it has to.
            if let Err(error) = api.store.propose(Command::new(writes.to_vec())).await {
                tracing::debug!(%error, "cannot take old events away");
            }
        }
    }
}

fn removal(event: &ObjectRef) -> Write {
    Write { key: event.key().clone(), expect: Expect::Revision(event.revision()), action: Action::Delete }
}

fn is_over(event: &ObjectRef, now: Timestamp) -> bool {
    let times: Times = serde_json::from_slice(event.bytes()).unwrap_or_default();
    let series = times.series.and_then(|series| series.last_observed_time);
    let told = [times.last_timestamp, times.event_time, series, event.meta().creation_timestamp];
    told.into_iter().flatten().max().is_some_and(|last| last + LIFE < now)
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
        assert!(is_over(&event(""), now));
        assert!(!is_over(&event(r#","lastTimestamp":"2026-01-01T01:00:00Z""#), now));
        assert!(!is_over(&event(r#","series":{"lastObservedTime":"2026-01-01T01:00:00.000000Z"}"#), now));
        assert!(is_over(&event(r#","eventTime":null,"lastTimestamp":"2026-01-01T00:10:00Z""#), now));
    }
}
