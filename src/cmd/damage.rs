//! Tells the users as an Event what of the store was found damaged, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::ClockRef;
use crate::base::service::Scope;
use crate::client::Client;
use crate::object::kind::EVENT;
use crate::object::tree::json;
use crate::object::{Timestamp, Tree};
use crate::store::{Damage, Store};

const RETRY: Duration = Duration::from_secs(10);
const TRIES_MAX: u32 = 30;

pub struct Reporter {
    pub store: Store,
    pub client: Client,
    /// Of the machine whose disk it was.
    pub node: Arc<str>,
    pub clock: ClockRef,
}

impl Reporter {
    pub fn start(self, scope: &Scope) {
        let inner = scope.clone();
        scope.spawn("damages", async move {
            tokio::select! {
                () = self.run() => (),
                () = inner.stopping() => (),
            }
        });
    }

    async fn run(self) {
        let (mut damages, mut told) = (self.store.damages(), 0);
        loop {
            let found = damages.borrow_and_update().clone();
            for damage in found.iter().skip(told) {
                self.tell(damage).await;
            }
            told = found.len();
            if damages.changed().await.is_err() {
                return;
            }
        }
    }

    async fn tell(&self, damage: &Damage) {
        let event = event(damage, &self.node, Timestamp::from_nanos(self.clock.wall_nanos()));
        for _ in 0..TRIES_MAX {
            match self.client.create(&EVENT, event.clone()).await {
                Ok(_) => return,
                Err(status) => tracing::debug!(%status, "cannot tell of a damage yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn event(damage: &Damage, node: &str, now: Timestamp) -> Tree {
    let now = now.to_string();
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"generateName": format!("{node}."), "namespace": "default"},
        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node},
        "reason": "StoreDamaged", "message": damage.to_string(), "type": "Warning",
        "source": {"component": "skiff", "host": node}, "reportingComponent": "skiff", "reportingInstance": node,
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Part, Remedy};

    #[test]
    fn the_event_says_what_was_done() {
        let damage = Damage { part: Part::Log, path: "/db/log/1".into(), remedy: Remedy::Mended { offset: 7 } };
        let event = event(&damage, "edge-1", Timestamp::from_nanos(0));
        assert_eq!(event["message"], "the store's log /db/log/1 was damaged: a flipped bit in byte 7 was turned back");
        assert_eq!(event["involvedObject"]["name"], "edge-1");
    }
}
