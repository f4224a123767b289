//! What a witness answers: its peers, and whoever wants to know whether it is there.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;

use super::{ADDRESS, Carrier, FROM, HELLO, MESSAGES, RENEWALS, STATE, VERSION, presence, version};
use crate::api::answer::{Answer, BODY_BYTES_MAX, failure, read_body_up_to};
use crate::api::authn::Authn;
use crate::api::elsewhere::NOT_LEADER;
use crate::api::exchange::Peer;
use crate::api::extension::Reply;
use crate::api::negotiate::Format;
use crate::api::server::Site;
use crate::base::service::Scope;
use crate::cmd::encryption::{Encryption, KEYS, REWRITE, VIEW};
use crate::cmd::renewal;
use crate::object::{Reason, Status};
use crate::security::pki::{Pki, SERVER_USER};
use crate::store::network::BODY_BYTES_MAX as MESSAGES_BYTES_MAX;
use crate::store::{Ask, Store};

pub struct WitnessServer {
    pub authn: Authn,
    pub pki: Arc<Pki>,
    pub store: Store,
    pub carrier: Carrier,
    pub data_dir: std::path::PathBuf,
    /// Its log holds Secrets like that of any server.
    pub encryption: Encryption,
}

impl WitnessServer {
    /// Keeps this server known to the others.
    pub fn start(&self, scope: &Scope, seed: Option<String>) {
        presence::start(scope, self.carrier.clone(), self.store.clone(), seed, self.data_dir.join("server"));
        self.encryption.start(scope);
    }

    async fn reply(&self, request: Request<Incoming>, peer: &Peer) -> Result<Reply, Status> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if parts.method == Method::GET && ["/livez", "/readyz", "/healthz"].contains(&path) {
            return Ok(Reply::text("ok".to_owned()));
        }
        // Others come here when they believe that this server leads; they ask again elsewhere.
        let not_leader = || Status::new(Reason::ServiceUnavailable, NOT_LEADER);
        let ask = match path {
            MESSAGES => Some(Ask::Messages),
            RENEWALS => Some(Ask::Renewals),
            STATE => Some(Ask::State),
            HELLO | KEYS | VIEW | REWRITE | "/metrics" => None,
            _ => return Err(not_leader()),
        };
        let user = self.authn.authenticate(&HeaderMap::new(), &peer.certificates, path)?;
        if path == "/metrics" && user.in_group("system:masters") {
            return Ok(Reply::text(self.store.metrics_page() + &renewal::page(&self.pki)));
        }
        if parts.method != Method::POST || user.name != SERVER_USER {
            return Err(Status::new(Reason::Forbidden, "only servers of this cluster may ask this"));
        }
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        version::check_running(header(VERSION))?;
        if let Ok(id) = u64::from_str_radix(header(FROM), 16) {
            self.carrier.book().hear_address(id, header(ADDRESS));
        }
        let limit = if matches!(path, MESSAGES | KEYS) { MESSAGES_BYTES_MAX } else { BODY_BYTES_MAX };
        let body: Bytes = read_body_up_to(body, limit).await?;
        match ask {
            None if matches!(path, KEYS | VIEW | REWRITE) => self.encryption.answer_server(path, &body).await,
            None => Ok(Reply::json(&self.carrier.book().all())),
            Some(ask) => {
                let answer = self.store.answer(ask, &body);
                answer.map(Reply::Bytes).map_err(|error| Status::bad_request(error.to_string()))
            }
        }
    }
}

impl Site for WitnessServer {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Arc<Peer>) -> BoxFuture<'static, Answer> {
        Box::pin(async move {
            match self.reply(request, &peer).await {
                Ok(reply) => reply.into_answer(),
                Err(status) => failure(&status, Format::JSON),
            }
        })
    }
}
