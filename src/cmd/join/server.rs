//! The server's side of joining.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, header};

use super::{AUTHORITIES, Answer, NODE, PREFIX, PROXY_USER, Request, kubelet_sans};
use crate::api::answer::BODY_BYTES_MAX;
use crate::api::exchange::Exchange;
use crate::api::extension::{Extension, Reply};
use crate::base::clock::ClockRef;
use crate::client::Client;
use crate::cmd::cluster::{ClusterServer, SERVER};
use crate::cmd::config::NetworkConfig;
use crate::cmd::renewal;
use crate::object::kind::SECRET;
use crate::object::tree::json;
use crate::object::{Reason, Status, Timestamp, Tree};
use crate::resources::names;
use crate::security::ca::{LEAF_LIFETIME, Subject};
use crate::security::join::JoinToken;
use crate::security::pki::{Pki, node_client, node_server};
use crate::security::{hex, same_secret};

const ADDRESSES_MAX: usize = 16;
const PASSWORD_BYTES_MAX: usize = 256;

pub struct JoinServer {
    pub pki: Arc<Pki>,
    pub token: JoinToken,
    pub network: NetworkConfig,
    /// May read and write the Secrets that hold nodes' passwords.
    pub client: Client,
    pub clock: ClockRef,
    /// Answers everything that is not about nodes.
    pub cluster: ClusterServer,
}

impl Extension for JoinServer {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn body_bytes_max(&self, path: &str) -> usize {
        ClusterServer::body_bytes_max(path).unwrap_or(BODY_BYTES_MAX)
    }

    fn metrics(&self) -> String {
        renewal::page(&self.pki)
    }

    fn answer<'a>(&'a self, exchange: &'a Exchange, body: Bytes) -> BoxFuture<'a, Result<Reply, Status>> {
        Box::pin(async move {
            match (exchange.method.as_str(), exchange.line.path.as_str()) {
                ("GET", AUTHORITIES) => {
                    let now = Timestamp::from_nanos(self.clock.wall_nanos());
                    Ok(Reply::TextAt(self.pki.server_ca.pem().to_owned(), now))
                }
                ("POST", NODE) => {
                    self.check_secret(&exchange.headers)?;
                    let request = serde_json::from_slice(&body)
                        .map_err(|error| Status::bad_request(format!("this is no request to join: {error}")))?;
                    Ok(Reply::json(&self.admit(&request).await?))
                }
                ("POST", SERVER) => {
                    self.check_secret(&exchange.headers)?;
                    self.cluster.credentials(&body)
                }
                _ => self.cluster.answer(exchange, body).await,
            }
        })
    }
}

impl JoinServer {
    fn check_secret(&self, headers: &HeaderMap) -> Result<(), Status> {
        let offered = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let offered = JoinToken::parse(offered.strip_prefix("Bearer ").unwrap_or_default());
        if self.token.accepts_secret(offered.secret()) {
            return Ok(());
        }
        Err(Status::new(
            Reason::Unauthorized,
            "this is not the token of this cluster: `skiff token` prints it on a server",
        ))
    }

    async fn admit(&self, request: &Request) -> Result<Answer, Status> {
        let name = &request.node_name;
        let wrong = names::is_dns1123_subdomain(name);
        if let Some(wrong) = wrong.first() {
            return Err(Status::bad_request(format!("{name:?} cannot be a node's name: {wrong}")));
        }
        if request.addresses.len() > ADDRESSES_MAX || request.password.len() > PASSWORD_BYTES_MAX {
            return Err(Status::bad_request("too many addresses, or too long a password"));
        }
        self.check_password(name, &request.password).await?;
        let proxy = Subject::client(PROXY_USER, "");
        let serving = node_server(name, kubelet_sans(name, &request.addresses));
        let answer = Answer {
            kubelet: self.sign_client(&request.kubelet, &node_client(name))?,
            proxy: self.sign_client(&request.proxy, &proxy)?,
            serving: self.sign(&self.pki.server_ca, &request.serving, &serving)?,
            client_ca: self.pki.client_ca.pem().to_owned(),
            network: (&self.network).into(),
        };
        tracing::info!(node = name, "a node joined");
        Ok(answer)
    }

    /// The first to join as a node sets its password; later ones must know it.
    async fn check_password(&self, node: &str, password: &str) -> Result<(), Status> {
        let secret_name = format!("{node}.node-password.skiff");
        if let Some(stored) = self.client.find(&SECRET, "kube-system", &secret_name).await? {
            let tree = stored.tree();
            let hash = tree.at_hash().unwrap_or_default();
            return if same_secret(&hash, hash_of(node, password).as_bytes()) {
                Ok(())
            } else {
                let why = format!(
                    "another machine has joined as {node:?}: choose another --node-name, or delete the Secret \
                     kube-system/{secret_name}"
                );
                Err(Status::new(Reason::Forbidden, why))
            };
        }
        let tree = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "skiff.io/node-password", "immutable": true,
            "metadata": {"name": secret_name, "namespace": "kube-system"},
            "data": {"hash": BASE64.encode(hash_of(node, password))},
        });
        self.client.create(&SECRET, tree).await.map(drop)
    }

    fn sign_client(&self, request: &str, subject: &Subject) -> Result<String, Status> {
        self.sign(&self.pki.client_ca, request, subject)
    }

    fn sign(
        &self,
        authority: &crate::security::ca::Authority,
        request: &str,
        subject: &Subject,
    ) -> Result<String, Status> {
        let now = Timestamp::from_nanos(self.clock.wall_nanos()).as_secs();
        let signed = authority.sign_request(request, subject, LEAF_LIFETIME, now);
        signed.map_err(|error| Status::bad_request(format!("bad certificate request: {error}")))
    }
}

/// The password is random and long, so that a plain hash hides it well.
fn hash_of(node: &str, password: &str) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(format!("{node}\n{password}")))
}

trait StoredHash {
    fn at_hash(&self) -> Option<Vec<u8>>;
}

impl StoredHash for Tree {
    fn at_hash(&self) -> Option<Vec<u8>> {
        BASE64.decode(self.get("data")?.get("hash")?.as_str()?).ok()
    }
}
