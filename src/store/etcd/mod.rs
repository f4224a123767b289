//! The state in an etcd that others operate, instead of the log that is built in.
//!
//! ```text
//! propose ─► one transaction: what is expected, and that this server leads ─► etcd ─► answer
//!                                                                              │
//! state and events published ◄── everything below PREFIX/state, in order ◄─────┘
//! ```
//!
//! The state is in memory as ever, fed by a watch. A write is answered when etcd has it and its event
//! has come. One server leads, by a key on its lease; the others hand writes to it as they do with raft.
//! Only this folder speaks etcd's language. `docs/design/etcd.md` says why it is so.

mod client;
mod compact;
mod connect;
mod error;
mod follow;
mod handle;
mod layout;
mod lease;
mod picture;
mod proto;
mod standing;
#[cfg(test)]
pub(in crate::store) mod testing;
mod txn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use client::{Etcd, EtcdOptions};
pub use connect::Endpoint;
pub use error::{EtcdError, EtcdErrorKind};
pub(in crate::store) use handle::Handle;

use super::backend::Backend;
use super::damage::Damages;
use super::hub::Hub;
use super::metrics::Metrics;
use super::raft::Members;
use super::ring::RingLimits;
use super::{Health, Role, Store, aging};
use crate::base::clock::ClockRef;
use crate::base::seal::NoSeal;
use crate::base::service::Scope;
use follow::{Follower, read_all};
use handle::{READERS_MAX, Shy, answer_readers};
use lease::{Identity, Keeper, LIFE};
use standing::Standing;
use tokio::sync::{mpsc, watch};

/// How long a server waits for another of its name to go.
const NAMESAKE_MAX: Duration = Duration::from_secs(LIFE.as_secs() + 3);
/// How long others are told that this server is gone, when it stops.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// What a store over etcd is made of.
#[derive(Clone)]
pub struct External {
    pub etcd: Etcd,
    /// This server's id, of its name: who has the same one is the same server.
    pub id: u64,
    /// Where a state of this server's own would be: there is none.
    pub dir: PathBuf,
    /// Of this server's data, so that it knows its own traces from those of a namesake.
    pub instance: String,
    pub clock: ClockRef,
    pub history: RingLimits,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    #[error("another server of this name uses this etcd: choose another --node-name")]
    Namesake,
}

impl Store {
    /// Opens the store that is kept in etcd, and runs it in `scope`. Returns when everything that was
    /// acknowledged before the call is in the state.
    pub async fn external(external: External, scope: &Scope) -> Result<Self, ExternalError> {
        let External { etcd, id, dir, instance, clock, history } = external;
        let roles = watch::Sender::new(Role::Follower { term: 0, leader: None });
        let who = Identity { id, instance };
        let keeper = Keeper { etcd: etcd.clone(), who, standing: Standing::new(roles.clone()), clock: clock.clone() };
        let picture = alone_of_its_name(&keeper).await?;
        let hub = Hub::new(picture.state.clone(), history);
        let metrics = Arc::<Metrics>::default();
        let members = watch::Sender::new(Members::default());
        let health = watch::Sender::new(Health::Good);
        let (readers, waiting) = mpsc::channel(READERS_MAX);
        let handle = Handle {
            keeper: keeper.clone(),
            hub: hub.clone(),
            metrics: metrics.clone(),
            role: roles.subscribe(),
            members: members.subscribe(),
            health: health.clone(),
            readers,
            under_way: Handle::slots(),
            shy_until: Shy::new(clock.clone()),
        };
        let follower = Follower {
            etcd: etcd.clone(),
            picture,
            hub: hub.clone(),
            metrics: metrics.clone(),
            clock,
            standing: keeper.standing.clone(),
            members: members.clone(),
            health: health.clone(),
        };
        follower.tell();
        let time = follower.clock.clone();
        let (running, shy) = (scope.clone(), handle.shy_until.clone());
        let (role, kept, counts) = (roles.subscribe(), hub.clone(), metrics.clone());
        scope.spawn("etcd", async move {
            tokio::select! {
                () = follower.run() => (),
                () = keeper.clone().run() => (),
                () = keeper.clone().campaign(|| shy.is_now()) => (),
                () = answer_readers(etcd.clone(), kept.clone(), waiting) => (),
                () = compact::run(etcd.clone(), role, history.age) => (),
                () = aging::run(kept.clone(), counts, time) => (),
                () = running.stopping() => (),
            }
            let _ = tokio::time::timeout(FAREWELL_MAX, keeper.end()).await;
            keeper.standing.set_lease(None);
            kept.close();
        });
        Ok(Self {
            hub,
            metrics: metrics.clone(),
            health: health.subscribe(),
            role: roles.subscribe(),
            alone: Arc::default(),
            damages: Damages::new(metrics.clone()),
            dir: dir.into(),
            id,
            replaces: None,
            is_joining: false,
            seal: NoSeal::shared(),
            members: members.subscribe(),
            backend: Backend::Etcd(handle),
        })
    }
}

/// What is in etcd, once nobody else is there who has this server's name. What an earlier run of this
/// server left behind is taken away, so that nobody waits for it.
async fn alone_of_its_name(keeper: &Keeper) -> Result<picture::Picture, ExternalError> {
    let deadline = tokio::time::Instant::now() + NAMESAKE_MAX;
    loop {
        let picture = read_all(&keeper.etcd).await?;
        let Some((instance, lease)) = picture.servers.get(&keeper.who.id) else { return Ok(picture) };
        if *instance == keeper.who.instance {
            keeper.take_over(*lease).await;
        } else if tokio::time::Instant::now() > deadline {
            return Err(ExternalError::Namesake);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
