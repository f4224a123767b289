//! Users by the tokens of other issuers (OpenID Connect): who they are is the issuer's word, what that
//! means here is configuration.

pub mod config;
mod keys;
mod mapping;
mod provider;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::{AUTHENTICATED, Refused};
use crate::base::service::Scope;
use crate::object::User;

pub use config::{Anonymous, Config, IssuerConfig};
pub use mapping::{Mapping, Source};
use provider::Provider;

/// Verified tokens are remembered this long, as upstream does.
const REMEMBERED_SECS: i64 = 10;
const REMEMBERED_MAX: usize = 4096;

/// The issuers that are believed, besides this cluster itself.
#[derive(Default)]
pub struct Issuers {
    issuers: Vec<Issuer>,
    pub anonymous: Anonymous,
    remembered: Mutex<HashMap<[u8; 32], (Arc<User>, i64)>>,
}

struct Issuer {
    config: IssuerConfig,
    provider: Arc<Provider>,
}

impl Issuers {
    /// Believes what `config` says; asks for keys within `scope`.
    pub fn new(config: Config, scope: &Scope) -> Result<Self, String> {
        let issuer = |config: IssuerConfig| {
            let provider = Provider::new(&config, scope).map_err(|why| format!("issuer {}: {why}", config.url))?;
            Ok::<_, String>(Issuer { provider: Arc::new(provider), config })
        };
        let issuers = config.issuers.into_iter().map(issuer).collect::<Result<_, _>>()?;
        Ok(Self { issuers, anonymous: config.anonymous, remembered: Mutex::default() })
    }

    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Keeps everybody's keys new until `scope` stops.
    pub fn follow(&self, scope: &Scope) {
        self.issuers.iter().for_each(|issuer| issuer.provider.follow(scope));
    }

    /// Fetches all keys now; the error names the first issuer that has none.
    pub async fn refresh(&self) -> Result<(), String> {
        for issuer in &self.issuers {
            issuer.provider.refresh().await.map_err(|why| format!("issuer {}: {why}", issuer.config.url))?;
        }
        Ok(())
    }

    /// Sees to it that the key that a token names is known, if the token's issuer has it.
    pub async fn look_for_key_of(&self, token: &str) {
        if self.issuers.is_empty() {
            return;
        }
        if let Some((issuer, header)) = keys::untrusted(token)
            && let Some(issuer) = self.of(&issuer)
        {
            issuer.provider.look_for(header.kid.as_deref()).await;
        }
    }

    /// The user of a token; `None` if none of the issuers made it.
    pub fn user(&self, token: &str, now_secs: i64) -> Option<Result<Arc<User>, Refused>> {
        if self.issuers.is_empty() {
            return None;
        }
        let (issuer, _) = keys::untrusted(token)?;
        let issuer = self.of(&issuer)?;
        Some(self.verified(issuer, token, now_secs).map_err(|why| Refused::because(format!("oidc: {why}"))))
    }

    fn verified(&self, issuer: &Issuer, token: &str, now_secs: i64) -> Result<Arc<User>, String> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.remembered.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&digest).cloned();
        if let Some((user, _)) = known.filter(|(_, until)| now_secs <= *until) {
            return Ok(user);
        }
        let claims = issuer.provider.keys().verify(token, &issuer.config.algorithms)?;
        let ends = keys::check(&claims, &issuer.config.url, &issuer.config.audiences, now_secs)?;
        let mut user = issuer.config.mapping.user(&claims)?;
        if !user.in_group(AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.into());
        }
        let user = Arc::new(user);
        let mut remembered = self.remembered.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(digest, (user.clone(), ends.min(now_secs + REMEMBERED_SECS)));
        Ok(user)
    }

    fn of(&self, url: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.config.url == url)
    }
}

#[cfg(test)]
mod tests;
