//! Fetches an issuer's keys: at the start, every now and then, and when a token names one unknown.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Uri, header};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::IssuerConfig;
use super::keys::Keys;
use crate::api::outgoing::{self, Outgoing};
use crate::base::service::Scope;
use crate::object::tree::{Tree, TreePath};

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
const TIMEOUT: Duration = Duration::from_secs(30);
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// Keys that an issuer has withdrawn are believed no longer than this.
const REFRESH_EVERY: Duration = Duration::from_secs(600);
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// However many unknown keys are named, the issuer is not asked more often.
const ASK_EVERY: Duration = Duration::from_secs(1);

pub struct Provider {
    issuer: String,
    discovery_url: String,
    outgoing: Outgoing,
    keys: ArcSwap<Keys>,
    /// When the issuer was last asked; held while it is.
    asked: Mutex<Option<Instant>>,
}

impl Provider {
    pub fn new(config: &IssuerConfig, scope: &Scope) -> Result<Self, String> {
        let discovery_url = match &config.discovery_url {
            Some(url) => url.clone(),
            None => format!("{}{WELL_KNOWN}", config.url.trim_end_matches('/')),
        };
        let tls = outgoing::trusting(config.authorities.as_deref())?;
        Ok(Self {
            issuer: config.url.clone(),
            discovery_url,
            outgoing: Outgoing::new(tls, scope.clone(), TIMEOUT, DOCUMENT_BYTES_MAX),
            keys: ArcSwap::default(),
            asked: Mutex::default(),
        })
    }

    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// Keeps the keys new until `scope` stops.
    pub fn follow(self: &Arc<Self>, scope: &Scope) {
        let (provider, inner) = (self.clone(), scope.clone());
        scope.spawn("issuer", async move {
            loop {
                let next = match provider.refresh().await {
                    Ok(()) => REFRESH_EVERY,
                    Err(why) => {
                        tracing::warn!(issuer = provider.issuer, why, "cannot fetch the keys of an issuer of tokens");
                        RETRY_EVERY
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(next) => (),
                    () = inner.stopping() => return,
                }
            }
        });
    }

    /// Asks the issuer for its keys if `id` is unknown and nobody has asked just now.
    pub async fn look_for(&self, id: Option<&str>) {
        let is_known = |keys: &Keys| !keys.is_empty() && keys.has(id);
        if is_known(&self.keys()) {
            return;
        }
        let mut asked = self.asked.lock().await;
        if is_known(&self.keys()) || asked.is_some_and(|when| when.elapsed() < ASK_EVERY) {
            return;
        }
        let fetched = self.fetch().await;
        *asked = Some(Instant::now());
        match fetched {
            Ok(keys) => self.keys.store(Arc::new(keys)),
            Err(why) => tracing::debug!(issuer = self.issuer, why, "cannot fetch the keys of an issuer of tokens"),
        }
    }

    /// Asks the issuer for its keys.
    pub async fn refresh(&self) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        let fetched = self.fetch().await;
        *asked = Some(Instant::now());
        self.keys.store(Arc::new(fetched?));
        Ok(())
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let document = self.get(&self.discovery_url).await?;
        let issuer = document.text("issuer");
        if issuer != self.issuer {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {issuer:?}",
                self.issuer
            ));
        }
        let keys = Keys::read(&self.get(document.text("jwks_uri")).await?);
        if keys.is_empty() { Err("the issuer has no keys that can be used".into()) } else { Ok(keys) }
    }

    async fn get(&self, url: &str) -> Result<Tree, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?}: {error}"))?;
        let request = Request::get(uri).header(header::ACCEPT, "application/json").body(Bytes::new());
        let (code, body) =
            self.outgoing.send(request.map_err(|error| error.to_string())?).await.map_err(|why| why.to_string())?;
        if !code.is_success() {
            return Err(format!("{url}: {code}"));
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }
}
