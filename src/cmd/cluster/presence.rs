//! Being found: a server keeps its member object true, and calls for the others when it hears of no
//! leader.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::book::writes;
use super::{Carrier, MEMBER, Member};
use crate::base::fs;
use crate::base::service::Scope;
use crate::object::Reason;
use crate::store::{Role, Store};

/// How often the others are called while nobody leads.
const CALL_EVERY: Duration = Duration::from_secs(2);
const WRITE_RETRY: Duration = Duration::from_secs(5);

/// Where the others were when this server last knew.
const PEERS_FILE: &str = "peers.json";
/// How often that is written down, if it changed.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// Runs until the scope stops. `seed` is where the command line says that a server is; what is known of
/// the others is kept in `folder`.
pub fn start(scope: &Scope, carrier: Carrier, store: Store, seed: Option<String>, folder: PathBuf) {
    let inner = scope.clone();
    scope.spawn("presence", async move {
        tokio::select! {
            () = run(&carrier, &store, seed) => (),
            () = keep_peers(&carrier, &store, &folder) => (),
            () = inner.stopping() => (),
        }
    });
}

/// The others, as this server last knew them: it finds them also when its store is damaged.
pub fn last_known(folder: &Path) -> Vec<Member> {
    let text = fs::read_if_there(&folder.join(PEERS_FILE)).ok().flatten();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

async fn keep_peers(carrier: &Carrier, store: &Store, folder: &Path) {
    let mut members = store.members();
    let mut kept = last_known(folder);
    loop {
        let known = members.borrow_and_update().clone();
        let witnesses = carrier.book().all_stored().into_iter().filter(|it| it.is_witness);
        store.set_witnesses(witnesses.map(|it| it.number()).collect());
        let mut peers = carrier.book().all();
        peers.retain(|it| it.number() != store.id() && !it.is_removed && known.contains(it.number()));
        if peers != kept && (!peers.is_empty() || store.leads()) {
            let text = serde_json::to_vec(&peers).unwrap_or_default();
            match fs::write_atomic(&folder.join(PEERS_FILE), &text, 0o600) {
                Ok(()) => kept = peers,
                Err(error) => tracing::warn!(%error, "cannot note where the other servers are"),
            }
        }
        let changed = match known.voters.len() + known.learners.len() {
            0 | 1 => members.changed().await,
            _ => tokio::time::timeout(NOTE_EVERY, members.changed()).await.unwrap_or(Ok(())),
        };
        if changed.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn run(carrier: &Carrier, store: &Store, seed: Option<String>) {
    let mut role = store.role();
    let mut told = false; // a witness cannot look it up
    loop {
        let now = *role.borrow_and_update();
        let again = match now {
            Role::Follower { leader: None, .. } => {
                call_all(carrier, seed.as_deref()).await;
                Some(CALL_EVERY)
            }
            _ if told || is_true(carrier, store) => None,
            now => {
                let is_new = carrier.book().stored(store.id()).is_none();
                let was_told = write(carrier, store, now).await;
                told = was_told && carrier.own().is_some_and(|own| own.is_witness);
                if is_new && store.is_alone() {
                    forget_strangers(carrier, store).await;
                }
                (!told && !is_true(carrier, store)).then_some(WRITE_RETRY)
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

async fn write(carrier: &Carrier, store: &Store, role: Role) -> bool {
    let Some(own) = carrier.own() else { return false };
    let written = match role {
        Role::Leader { .. } => store.propose(writes(own)).await.map(drop).map_err(|error| error.to_string()),
        Role::Follower { leader: Some(id), .. } => {
            let body = Bytes::from(serde_json::to_vec(own).unwrap_or_default());
            carrier.post(id, MEMBER, body).await.map(drop).map_err(|failure| failure.status.message)
        }
        Role::Follower { leader: None, .. } => return false,
    };
    if let Err(why) = &written {
        tracing::debug!(why, "cannot tell the cluster where this server is; trying again");
    }
    written.is_ok()
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
