//! The agent's side of joining.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, header};
use http_body_util::Full;

use super::{AUTHORITIES, Answer, NODE, PROXY_USER, Request};
use crate::base::clock::SystemClock;
use crate::base::fs;
use crate::client::remote::{Endpoint, Remote, read};
use crate::cmd::config::{AgentConfig, NetworkConfig};
use crate::object::{Reason, Status, Timestamp};
use crate::security::current::Current;
use crate::security::join::JoinToken;
use crate::security::pki::node_client;
use crate::security::{Identity, ca, hex, random_bytes, tls};

/// Clocks may be a day apart.
const CLOCKS_APART_MAX_SECS: u64 = 86_400;
const RETRY: Duration = Duration::from_secs(3);
const NOBODY: &str = "";
/// The files of its keys.
const KUBELET: &str = "client-kubelet";
const PROXY: &str = "client-kube-proxy";
const SERVING: &str = "serving-kubelet";

/// What a node got when it joined.
pub struct Joined {
    pub held: Held,
    pub client_ca: String,
    pub network: NetworkConfig,
}

/// The certificates of a node, and the connections on which it shows them. Clones share them.
#[derive(Clone)]
pub struct Held {
    pub backend: Arc<Remote>,
    pub kubelet: Arc<Current>,
    pub proxy: Arc<Current>,
    pub serving: Arc<Current>,
}

impl Held {
    fn all(&self) -> [&Arc<Current>; 3] {
        [&self.kubelet, &self.proxy, &self.serving]
    }

    /// When the first of them ends.
    pub fn ends_secs(&self) -> i64 {
        self.all().map(|current| current.ends_secs()).into_iter().min().unwrap_or_default()
    }

    pub fn count_failure(&self) {
        self.all().into_iter().for_each(|current| current.count_failure());
    }
}

/// Joins the server, however long it takes to come up. A wrong token is final; where the server
/// cannot be reached, what it gave the last time will do.
pub async fn join(config: &AgentConfig) -> Result<Joined> {
    let files = Files(config.data_dir.join("agent"));
    fs::private_dir(&files.0)?;
    loop {
        match ask(config, &files).await {
            Ok(answer) => {
                fs::write_atomic(&files.at("joined.json"), &serde_json::to_vec(&answer)?, 0o600)?;
                return joined(config, &files, answer);
            }
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Unreachable(status)) => {
                if let Some(text) = fs::read_if_there(&files.at("joined.json"))? {
                    tracing::warn!(%status, "cannot reach the server; starting as it said the last time");
                    return joined(config, &files, serde_json::from_str(&text).context("joined.json is damaged")?);
                }
                tracing::warn!(%status, "cannot join yet; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Joins again, with the same keys. What comes is shown from now on, and found at the next start.
pub async fn renew(config: &AgentConfig, held: &Held) -> Result<(), Failure> {
    let files = Files(config.data_dir.join("agent"));
    let answer = ask(config, &files).await?;
    held.kubelet.replace(files.identity(KUBELET, &answer.kubelet)?)?;
    held.proxy.replace(files.identity(PROXY, &answer.proxy)?)?;
    held.serving.replace(files.identity(SERVING, &answer.serving)?)?;
    held.backend.reconnect();
    fs::write_atomic(&files.at("joined.json"), &serde_json::to_vec(&answer)?, 0o600)?;
    Ok(())
}

pub enum Failure {
    Unreachable(Status),
    Final(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

/// The agent's folder: keys are made once, so that certificates can be renewed for them.
struct Files(PathBuf);

impl Files {
    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn keep(&self, name: &str, make: impl FnOnce() -> Result<String>) -> Result<String> {
        let path = self.at(name);
        if let Some(text) = fs::read_if_there(&path)? {
            return Ok(text);
        }
        let text = make()?;
        fs::write_atomic(&path, text.as_bytes(), 0o600)?;
        Ok(text)
    }

    fn key(&self, name: &str) -> Result<String> {
        self.keep(&format!("{name}.key"), || Ok(ca::new_key()?))
    }

    fn identity(&self, name: &str, certificate: &str) -> Result<Identity> {
        Ok(Identity { certificate: certificate.to_owned(), key: self.key(name)? })
    }
}

async fn ask(config: &AgentConfig, files: &Files) -> Result<Answer, Failure> {
    let token = config.token.as_ref().map(|token| JoinToken::parse(&token.0));
    let token = token.context("give --token or --token-file: `skiff token` prints it on the server")?;
    let endpoint = Endpoint { host: config.server.host.clone(), port: config.server.port };
    let name = &config.node.name;
    let request = Request {
        node_name: name.clone(),
        addresses: config.node.ips.clone(),
        password: files.keep("node-password", || Ok(hex(&random_bytes::<16>())))?,
        kubelet: ca::request(&files.key(KUBELET)?)?,
        proxy: ca::request(&files.key(PROXY)?)?,
        serving: ca::request(&files.key(SERVING)?)?,
    };
    let body = Bytes::from(serde_json::to_vec(&request)?);
    let answer = ask_with_token(&endpoint, &token, &files.at("server-ca.crt"), NODE, body).await?;
    Ok(serde_json::from_slice(&answer).context("the server's answer is not what it should be")?)
}

/// Posts `body` to a server that the token vouches for; `trusted` keeps its authority.
pub async fn ask_with_token(
    endpoint: &Endpoint,
    token: &JoinToken,
    trusted: &Path,
    path: &str,
    body: Bytes,
) -> Result<Bytes, Failure> {
    let authority = authority(endpoint, token, trusted).await?;
    let server = Remote::new(endpoint.clone(), [(NOBODY.to_owned(), tls::client_config(&authority, None)?)]);
    send(&server, Method::POST, path, Some(&token.reveal()), body).await
}

/// The server's authority: the one known already, or the one that the token vouches for.
async fn authority(endpoint: &Endpoint, token: &JoinToken, file: &Path) -> Result<String, Failure> {
    if let Some(known) = fs::read_if_there(file)?
        && token.accepts_authority(&known)
    {
        return Ok(known);
    }
    let stranger = Remote::new(endpoint.clone(), [(NOBODY.to_owned(), tls::unverified_client_config(None)?)]);
    let request = http::Request::builder().uri(AUTHORITIES).body(Full::default())?;
    let response = stranger.send(NOBODY, request).await.map_err(Failure::Unreachable)?;
    compare_clocks(response.headers(), SystemClock::shared().wall_nanos())?;
    if !response.status().is_success() {
        let why = format!("{} is no server of skiff: it answers {}", endpoint.authority(), response.status());
        return Err(Failure::Unreachable(Status::new(Reason::ServiceUnavailable, why)));
    }
    let pem = read(response.into_body()).await.map_err(Failure::Unreachable)?;
    let pem = String::from_utf8(pem.into()).context("the server's authority is no PEM")?;
    if token.authority_hash.is_empty() {
        tracing::warn!("the token does not say which server to trust; trusting the one that answers");
    }
    if !token.accepts_authority(&pem) {
        return Err(Failure::Final(anyhow::anyhow!(
            "{} is not the server that the token belongs to: its authority is another; `skiff token` prints the right \
             token on a server of the cluster to join",
            endpoint.authority()
        )));
    }
    fs::write_atomic(file, pem.as_bytes(), 0o600)?;
    Ok(pem)
}

/// Certificates are good for a time only: with a clock far off none would be believed, and nobody would
/// know why.
fn compare_clocks(headers: &http::HeaderMap, now_nanos: i128) -> Result<(), Failure> {
    let date = headers.get(header::DATE).and_then(|value| value.to_str().ok());
    let Some(theirs) = date.and_then(Timestamp::parse_rfc1123) else { return Ok(()) };
    let ours = Timestamp::from_nanos(now_nanos);
    match ours.as_secs().abs_diff(theirs.as_secs()) > CLOCKS_APART_MAX_SECS {
        false => Ok(()),
        true => Err(Failure::Final(anyhow::anyhow!(
            "this machine's clock says {ours}, the server's {theirs}: set the clock that is wrong, then start again"
        ))),
    }
}

async fn send(server: &Remote, method: Method, path: &str, token: Option<&str>, body: Bytes) -> Result<Bytes, Failure> {
    let mut request = http::Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = server.send(NOBODY, request.body(Full::new(body))?).await.map_err(Failure::Unreachable)?;
    let code = response.status();
    let bytes = read(response.into_body()).await.map_err(Failure::Unreachable)?;
    if code.is_success() {
        return Ok(bytes);
    }
    let status = Status::from_wire(code.as_u16(), &bytes);
    match status.reason {
        Reason::Unauthorized | Reason::Forbidden | Reason::BadRequest => {
            Err(Failure::Final(anyhow::anyhow!("the server refuses this machine: {status}")))
        }
        _ => Err(Failure::Unreachable(status)),
    }
}

fn joined(config: &AgentConfig, files: &Files, answer: Answer) -> Result<Joined> {
    let authority = fs::read_if_there(&files.at("server-ca.crt"))?;
    let Some(authority) = authority else { bail!("{} is gone", files.at("server-ca.crt").display()) };
    let kubelet = Current::new(files.identity(KUBELET, &answer.kubelet)?)?;
    let proxy = Current::new(files.identity(PROXY, &answer.proxy)?)?;
    let serving = Current::new(files.identity(SERVING, &answer.serving)?)?;
    let endpoint = Endpoint { host: config.server.host.clone(), port: config.server.port };
    let identities = [
        (node_client(&config.node.name).common_name, tls::client_config_as(&authority, kubelet.clone())?),
        (PROXY_USER.to_owned(), tls::client_config_as(&authority, proxy.clone())?),
    ];
    Ok(Joined {
        held: Held { backend: Arc::new(Remote::new(endpoint, identities)), kubelet, proxy, serving },
        client_ca: answer.client_ca,
        network: answer.network.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_years_apart_are_named() {
        let headers = |date: &str| [(header::DATE, date.parse().expect("a date"))].into_iter().collect();
        let now = 1_800_000_000_i128 * 1_000_000_000;
        let near = Timestamp::from_nanos(now + 3_600 * 1_000_000_000).rfc1123();
        assert!(compare_clocks(&headers(&near), now).is_ok());
        let Err(Failure::Final(error)) = compare_clocks(&headers("Sat, 28 Nov 2020 10:00:00 GMT"), now) else {
            panic!("years apart")
        };
        assert!(error.to_string().contains("2020-11-28T10:00:00Z") && error.to_string().contains("set the clock"));
        assert!(compare_clocks(&headers("no date"), now).is_ok(), "whoever says nothing is believed");
    }
}
