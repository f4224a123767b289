//! Being found: a server keeps its member object true, and calls for the others when it hears of no
//! leader.

use std::time::Duration;

use bytes::Bytes;

use super::book::writes;
use super::{Carrier, MEMBER, Member};
use crate::base::service::Scope;
use crate::object::Reason;
use crate::store::{Role, Store};

/// How often the others are called while nobody leads.
const CALL_EVERY: Duration = Duration::from_secs(2);
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
                let is_new = carrier.book().stored(store.id()).is_none();
                write(carrier, store, now).await;
                if is_new && store.is_alone() {
                    forget_strangers(carrier, store).await;
                }
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

/// A server that is alone marks all others as removed: they were members of the cluster before it was
/// reset, and must not come back with what they have.
async fn forget_strangers(carrier: &Carrier, store: &Store) {
    for other in carrier.book().all_stored().into_iter().filter(|it| it.number() != store.id() && !it.is_removed) {
        let removed = Member { is_removed: true, ..other };
        if let Err(error) = store.propose(writes(&removed)).await {
            tracing::debug!(%error, "cannot mark a former member");
        }
    }
}

async fn call_all(carrier: &Carrier, seed: Option<&str>) {
    let own = carrier.own().map(|own| own.id.clone());
    let known = carrier.book().all().into_iter().filter(|it| Some(&it.id) != own.as_ref()).map(|it| it.address);
    let addresses = seed.map(str::to_owned).into_iter().chain(known);
    let calls = addresses.map(|address| async move {
        match carrier.hello(&address).await {
            Ok(()) => (),
            Err(failure) if failure.status.is(Reason::Forbidden) => {
                tracing::error!(address, why = failure.status.message, "the others refuse this server");
            }
            Err(failure) => tracing::debug!(address, status = %failure.status, "no server there"),
        }
    });
    futures_util::future::join_all(calls).await;
}
