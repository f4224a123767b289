//! Being found: a server keeps its member object true, and calls for the others when it hears of no
//! leader.

use std::time::Duration;

use bytes::Bytes;

use super::book::writes;
use super::{Carrier, MEMBER};
use crate::base::service::Scope;
use crate::store::{Role, Store};

/// How often the others are called while nobody leads.
const CALL_EVERY: Duration = Duration::from_secs(1);
const WRITE_RETRY: Duration = Duration::from_secs(5);

/// Runs until the scope stops. `seed` is where the command line says that a server is.
pub fn start(scope: &Scope, carrier: Carrier, store: Store, seed: Option<String>) {
    let inner = scope.clone();
    scope.spawn("presence", async move {
        tokio::select! {
            () = run(&carrier, &store, seed) => (),
            () = inner.stopping() => (),
        }
    });
}

async fn run(carrier: &Carrier, store: &Store, seed: Option<String>) {
    let mut role = store.role();
    loop {
        let now = *role.borrow_and_update();
        let again = match now {
            Role::Follower { leader: None, .. } => {
                call_all(carrier, seed.as_deref()).await;
                Some(CALL_EVERY)
            }
            _ if is_true(carrier, store) => None,
            now => {
                write(carrier, store, now).await;
                (!is_true(carrier, store)).then_some(WRITE_RETRY)
            }
        };
        let waited = match again {
            Some(limit) => tokio::time::timeout(limit, role.changed()).await.unwrap_or(Ok(())),
            None => role.changed().await,
        };
        if waited.is_err() {
            return; // the store is gone
        }
    }
}

fn is_true(carrier: &Carrier, store: &Store) -> bool {
    carrier.book().stored(store.id()).as_ref() == carrier.own()
}

async fn write(carrier: &Carrier, store: &Store, role: Role) {
    let Some(own) = carrier.own() else { return };
    let written = match role {
        Role::Leader { .. } => store.propose(writes(own)).await.map(drop).map_err(|error| error.to_string()),
        Role::Follower { leader: Some(id), .. } => {
            let body = Bytes::from(serde_json::to_vec(own).unwrap_or_default());
            carrier.post(id, MEMBER, body).await.map(drop).map_err(|failure| failure.status.message)
        }
        Role::Follower { leader: None, .. } => Ok(()),
    };
    if let Err(why) = written {
        tracing::debug!(why, "cannot tell the cluster where this server is; trying again");
    }
}

async fn call_all(carrier: &Carrier, seed: Option<&str>) {
    let own = carrier.own().map(|own| own.id.clone());
    let known = carrier.book().all().into_iter().filter(|it| Some(&it.id) != own.as_ref()).map(|it| it.address);
    let addresses = seed.map(str::to_owned).into_iter().chain(known);
    let calls = addresses.map(|address| async move {
        if let Err(failure) = carrier.hello(&address).await {
            tracing::debug!(address, status = %failure.status, "no server there");
        }
    });
    futures_util::future::join_all(calls).await;
}
