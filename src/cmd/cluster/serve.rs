//! What a server answers to its peers, to those that want to be, and to `skiff member`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::book::writes;
use super::join::{Credentials, Introduction};
use super::{
    ADDRESS, Arrival, Carrier, FROM, HELLO, MEMBER, MEMBERS, MESSAGES, Member, MemberView, PROMOTE, REMOVE, RENEWALS,
    STATE, VERSION, Which, presence, version,
};
use crate::api::Api;
use crate::api::exchange::Exchange;
use crate::api::extension::Reply;
use crate::backup::Backup;
use crate::base::service::Scope;
use crate::cmd::config::NetworkConfig;
use crate::cmd::encryption::{self, Encryption};
use crate::cmd::snapshot;
use crate::object::{Reason, Status};
use crate::security::pki::{Pki, SERVER_USER};
use crate::store::network::BODY_BYTES_MAX;
use crate::store::{Ask, Change, ChangeError, Role};

const ADDRESS_BYTES_MAX: usize = 256;
/// How often a change is tried while another is under way or leaders change.
const TRIES_MAX: u32 = 40;
const RETRY: std::time::Duration = std::time::Duration::from_millis(250);

pub struct ClusterServer {
    pub api: Arc<Api>,
    pub carrier: Carrier,
    pub pki: Arc<Pki>,
    pub network: NetworkConfig,
    pub data_dir: PathBuf,
    /// Neither is there if the state is in etcd.
    pub backup: Option<Arc<Backup>>,
    pub encryption: Option<Encryption>,
}

impl ClusterServer {
    /// Keeps this server known to the others.
    pub fn start(&self, scope: &Scope, seed: Option<String>) {
        let folder = self.data_dir.join("server");
        presence::start(scope, self.carrier.clone(), self.api.store.clone(), seed, folder);
        if let Some(encryption) = &self.encryption {
            encryption.start(scope);
        }
    }

    pub fn body_bytes_max(path: &str) -> Option<usize> {
        matches!(path, MESSAGES | encryption::KEYS).then_some(BODY_BYTES_MAX)
    }

    /// What a new server needs, for whoever knows the token.
    pub fn credentials(&self, body: &[u8]) -> Result<Reply, Status> {
        let own: Introduction = read(body)?;
        version::check(&own.version)?;
        self.check_name(&own.name, "")?;
        let files = self.pki.shared().map_err(Status::internal)?;
        tracing::info!(name = own.name, "a server asks to join");
        let network = (&self.network).into();
        let keys = self.encryption.as_ref().map(|it| it.keyring.text()).unwrap_or_default();
        Ok(Reply::json(&Credentials { files, network, members: self.carrier.book().all(), keys }))
    }

    pub async fn answer(&self, exchange: &Exchange, body: Bytes) -> Result<Reply, Status> {
        let from = self.asker(exchange)?;
        match (exchange.method.as_str(), exchange.line.path.as_str(), from) {
            ("POST", MESSAGES, Asker::Server) => self.ask(Ask::Messages, &body),
            ("POST", RENEWALS, Asker::Server) => self.ask(Ask::Renewals, &body),
            ("POST", STATE, Asker::Server) => self.ask(Ask::State, &body),
            ("POST", HELLO, Asker::Server) => Ok(Reply::json(&self.carrier.book().all())),
            ("POST", MEMBER, Asker::Server) => self.take_in(exchange, body).await,
            ("GET" | "POST", MEMBERS, _) => self.members(exchange, body).await,
            ("POST", snapshot::PATH, Asker::Administrator) => self.save(&body).await,
            ("GET", encryption::PATH, Asker::Administrator) => Ok(self.encryption()?.views().await),
            ("POST", encryption::PATH, Asker::Administrator) => self.encryption()?.change(&body).await,
            ("POST", path @ (encryption::KEYS | encryption::VIEW | encryption::REWRITE), Asker::Server) => {
                self.encryption()?.answer_server(path, &body).await
            }
            ("POST", REMOVE, _) => self.change(exchange, body, Change::Remove).await,
            ("POST", PROMOTE, _) => self.change(exchange, body, Change::Promote).await,
            _ => Err(Status::new(Reason::NotFound, "the server could not find the requested resource")),
        }
    }

    fn asker(&self, exchange: &Exchange) -> Result<Asker, Status> {
        let user = self.api.authn.authenticate(&HeaderMap::new(), &exchange.peer.certificates, &exchange.line.path)?;
        if user.name == SERVER_USER {
            self.hear(exchange)?;
            return Ok(Asker::Server);
        }
        match user.in_group("system:masters") {
            true => Ok(Asker::Administrator),
            false => {
                Err(Status::new(Reason::Forbidden, "only administrators and servers of this cluster may ask this"))
            }
        }
    }

    /// Remembers where the asking server is; one that was removed is refused.
    fn hear(&self, exchange: &Exchange) -> Result<(), Status> {
        version::check_running(exchange.header(VERSION))?;
        let (id, address) = (exchange.header(FROM), exchange.header(ADDRESS));
        let id = u64::from_str_radix(id, 16).unwrap_or_default();
        if self.carrier.book().stored(id).is_some_and(|member| member.is_removed) {
            let why = "this server was removed from the cluster: to join again, stop it and remove its --data-dir";
            return Err(Status::new(Reason::Forbidden, why));
        }
        if id != 0 && !address.is_empty() && address.len() <= ADDRESS_BYTES_MAX {
            self.carrier.book().hear_address(id, address);
        }
        Ok(())
    }

    fn ask(&self, ask: Ask, body: &[u8]) -> Result<Reply, Status> {
        let answer = self.api.store.answer(ask, body);
        answer.map(Reply::Bytes).map_err(|error| Status::bad_request(error.to_string()))
    }

    async fn save(&self, body: &[u8]) -> Result<Reply, Status> {
        let Some(backup) = &self.backup else {
            let why = "the state is kept in etcd (--datastore-endpoint): `etcdctl snapshot save` saves it";
            return Err(Status::new(Reason::Conflict, why));
        };
        Ok(Reply::json(&snapshot::take(backup, read(body)?).await?))
    }

    fn encryption(&self) -> Result<&Encryption, Status> {
        let why = "the state is kept in etcd (--datastore-endpoint): whoever operates it encrypts its disks";
        self.encryption.as_ref().ok_or_else(|| Status::new(Reason::Conflict, why))
    }

    /// Writes down where the asking server is, and makes it a member if it is none.
    async fn take_in(&self, exchange: &Exchange, body: Bytes) -> Result<Reply, Status> {
        if let Some(answer) = self.ask_leader(exchange, MEMBER, &body).await {
            return answer;
        }
        let Arrival { member, replaces }: Arrival = read(&body)?;
        version::check(&member.version)?;
        let replaced = self.carrier.book().all_stored().into_iter().find(|it| it.id == replaces);
        if let Some(replaced) = replaced.filter(|it| it.name == member.name) {
            self.replace(replaced).await?;
        }
        self.check_name(&member.name, &member.id)?;
        let store = &self.api.store;
        store.propose(writes(&member)).await.map_err(unavailable)?;
        let id = member.number();
        if !store.members().borrow().contains(id) {
            tracing::info!(name = member.name, address = member.address, id = member.id, "a server joins");
            self.change_as_leader(Change::Add(id)).await?;
        }
        Ok(Reply::json(&self.carrier.book().all()))
    }

    /// A server lost a part of what it had acknowledged, and comes back as another. What the one that it
    /// was had promised counts no more; the rest must be a majority without it.
    async fn replace(&self, replaced: Member) -> Result<(), Status> {
        tracing::warn!(name = replaced.name, id = replaced.id, "a server lost data and comes back under a new id");
        self.change_as_leader(Change::Remove(replaced.number())).await?;
        let removed = Member { is_removed: true, ..replaced };
        self.api.store.propose(writes(&removed)).await.map(drop).map_err(unavailable)
    }

    async fn members(&self, exchange: &Exchange, body: Bytes) -> Result<Reply, Status> {
        if let Some(answer) = self.ask_leader(exchange, MEMBERS, &body).await
            && answer.is_ok()
        {
            return answer;
        }
        let status = self.api.store.status().await.ok_or_else(|| unavailable("the store is closed"))?;
        let stored = self.carrier.book().all_stored();
        let view = |it: &crate::store::MemberStatus| MemberView {
            member: stored
                .iter()
                .find(|member| member.number() == it.id)
                .cloned()
                .unwrap_or_else(|| Member { id: super::hex(it.id), ..Member::default() }),
            is_voter: it.is_voter,
            is_leader: status.leader == Some(it.id),
            is_restoring: it.is_restoring,
            behind: it.matched.map(|matched| status.last_index.saturating_sub(matched)),
            heard_ago_ms: it.heard_ago.map(|ago| ago.as_millis() as u64),
        };
        Ok(Reply::json(&status.members.iter().map(view).collect::<Vec<_>>()))
    }

    async fn change(&self, exchange: &Exchange, body: Bytes, change: fn(u64) -> Change) -> Result<Reply, Status> {
        if let Some(answer) = self.ask_leader(exchange, &exchange.line.path, &body).await {
            return answer;
        }
        let which: Which = read(&body)?;
        let stored = self.carrier.book().all_stored();
        let named = stored.iter().filter(|it| !it.is_removed && (it.id == which.member || it.name == which.member));
        let members = self.api.store.members().borrow().clone();
        let Some(member) = named.into_iter().find(|it| members.contains(it.number())) else {
            return Err(Status::new(
                Reason::NotFound,
                format!("no member {:?}: see `skiff member list`", which.member),
            ));
        };
        let change = change(member.number());
        self.change_as_leader(change).await?;
        if matches!(change, Change::Remove(_)) {
            let removed = Member { is_removed: true, ..member.clone() };
            self.api.store.propose(writes(&removed)).await.map_err(unavailable)?;
        }
        Ok(Reply::json(member))
    }

    async fn change_as_leader(&self, change: Change) -> Result<(), Status> {
        for _ in 0..TRIES_MAX {
            match self.api.store.change_members(change).await {
                Ok(()) => return Ok(()),
                Err(ChangeError::Busy | ChangeError::Unknown) => tokio::time::sleep(RETRY).await,
                Err(
                    error @ (ChangeError::NoMajority { .. } | ChangeError::NotLearner { .. } | ChangeError::External),
                ) => {
                    return Err(Status::new(Reason::Conflict, error.to_string()));
                }
                Err(error @ (ChangeError::NotLeader { .. } | ChangeError::Closed)) => return Err(unavailable(error)),
            }
        }
        Err(unavailable(ChangeError::Busy))
    }

    /// The leader's answer, if another server leads.
    async fn ask_leader(&self, exchange: &Exchange, path: &str, body: &Bytes) -> Option<Result<Reply, Status>> {
        let role = *self.api.store.role().borrow();
        let Role::Follower { leader, .. } = role else { return None };
        let came_from_leader = leader.is_some_and(|leader| exchange.header(FROM) == super::hex(leader));
        let leader = leader.filter(|leader| *leader != self.api.store.id() && !came_from_leader);
        let Some(leader) = leader else { return Some(Err(unavailable("no server leads the cluster"))) };
        let answer = self.carrier.post(leader, path, body.clone()).await;
        Some(answer.map(Reply::Bytes).map_err(|failure| failure.status))
    }

    fn check_name(&self, name: &str, id: &str) -> Result<(), Status> {
        let members = self.api.store.members().borrow().clone();
        let stored = self.carrier.book().all_stored();
        let taken = stored.iter().find(|it| it.name == name && it.id != id && members.contains(it.number()));
        let Some(taken) = taken else { return Ok(()) };
        let why = format!(
            "server {} at {} has the name {name:?} already: choose another --node-name, or `skiff member remove {name}` first",
            taken.id, taken.address
        );
        Err(Status::new(Reason::Forbidden, why))
    }
}

/// Who asks.
enum Asker {
    Server,
    Administrator,
}

fn read<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Status> {
    serde_json::from_slice(body).map_err(|error| Status::bad_request(format!("this makes no sense: {error}")))
}

fn unavailable(error: impl std::fmt::Display) -> Status {
    Status::new(Reason::ServiceUnavailable, error.to_string())
}
