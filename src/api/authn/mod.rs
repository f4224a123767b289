//! Who asks? From a connection's certificates and a request's headers to a user.
//!
//! In upstream's order: a front proxy speaking for somebody, a client certificate, a bearer token (for
//! bootstrapping, of another issuer, of a service account, known to a webhook); with none of these it is `system:anonymous`. Something presented and found wrong is never
//! anonymous but refused with 401, without saying why: the log does, at debug level.

mod certificate;
mod impersonate;
pub mod legacy;
pub mod oidc;
mod service_account;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::{HeaderMap, header};
use rustls_pki_types::CertificateDer;

use super::hooks::token::{Answer, TokenWebhook};
use crate::base::clock::ClockRef;
use crate::object::{Key, ObjectRef, Reason, Status, Timestamp, Tree, TreePath, User};
use crate::security::SecurityError;
use crate::security::same_secret;
use crate::security::tokens::TokenKey;
use crate::store::Store;

pub use impersonate::impersonate;

use certificate::Certificates;
use legacy::LegacyUse;
use oidc::Issuers;
use service_account::ServiceAccounts;

pub const AUTHENTICATED: &str = "system:authenticated";
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
pub const ANONYMOUS: &str = "system:anonymous";

/// A token in a WebSocket's list of protocols, for browsers, which cannot set headers.
const WEBSOCKET_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// Where the objects that tokens are bound to are looked up.
pub trait Objects: Send + Sync + 'static {
    fn get(&self, key: &Key) -> Option<ObjectRef>;
}

impl Objects for Store {
    fn get(&self, key: &Key) -> Option<ObjectRef> {
        self.state().get(key).cloned()
    }
}

/// What to believe.
pub struct Trust<'a> {
    /// Signs the certificates of users.
    pub client_ca: &'a CertificateDer<'static>,
    /// Signs the certificates of proxies that may name somebody else in headers.
    pub request_header_ca: &'a CertificateDer<'static>,
    pub token_key: Arc<TokenKey>,
    /// Of service-account tokens: the first signs, the others are believed too.
    pub issuers: Vec<String>,
    /// What tokens for this API are for.
    pub audiences: Vec<String>,
}

pub struct Authn {
    users: Certificates,
    proxies: Certificates,
    accounts: ServiceAccounts,
    /// Other issuers; replaced when their configuration changes.
    others: ArcSwap<Issuers>,
    /// Asked about tokens that nobody here knows; set once at start, if anybody is.
    pub webhook: OnceLock<TokenWebhook>,
    /// Legacy tokens seen in use.
    pub(super) used: LegacyUse,
    objects: Arc<dyn Objects>,
    clock: ClockRef,
}

/// A token's user, and the audiences among those asked for that it is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUser {
    pub user: Arc<User>,
    pub audiences: Vec<String>,
}

/// Nobody that we know. Why is for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    fn because(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl Authn {
    pub fn new(trust: Trust<'_>, objects: Arc<dyn Objects>, clock: ClockRef) -> Result<Self, SecurityError> {
        Ok(Self {
            users: Certificates::of(trust.client_ca)?,
            proxies: Certificates::of(trust.request_header_ca)?,
            accounts: ServiceAccounts::new(trust.token_key, trust.issuers, trust.audiences),
            others: ArcSwap::default(),
            webhook: OnceLock::new(),
            used: LegacyUse::default(),
            objects,
            clock,
        })
    }

    /// As [`Authn::authenticate`], for those who can wait: asks also issuers for new keys, and the webhook.
    pub async fn recognize(
        &self,
        headers: &HeaderMap,
        certificates: &[CertificateDer<'static>],
        path: &str,
    ) -> Result<Arc<User>, Status> {
        if !self.others.load().is_empty()
            && let Some(token) = bearer(headers)
        {
            self.prepare_for(&token).await;
        }
        let found = match (self.identify(headers, certificates, path), self.webhook.get()) {
            (Err(why), Some(webhook)) => match bearer(headers) {
                Some(token) => self.through(webhook, &token, &[], why).await.map(|found| found.user),
                None => Err(why),
            },
            (found, _) => found,
        };
        found.map_err(unauthorized)
    }

    /// The user of a bearer token that is good for one of `audiences` (the API's own if empty), whoever
    /// knows them.
    pub async fn owner_of(&self, token: &str, audiences: &[String]) -> Result<TokenUser, Refused> {
        self.prepare_for(token).await;
        match (self.token_user(token, audiences), self.webhook.get()) {
            (Err(why), Some(webhook)) => self.through(webhook, token, audiences, why).await,
            (found, _) => found,
        }
    }

    /// Asks the issuer of the token for the key that it names, if that is not known yet.
    async fn prepare_for(&self, token: &str) {
        self.others.load_full().look_for_key_of(token).await;
    }

    /// What the webhook says of a token that is refused here because of `why`.
    async fn through(
        &self,
        webhook: &TokenWebhook,
        token: &str,
        audiences: &[String],
        why: Refused,
    ) -> Result<TokenUser, Refused> {
        let own = self.audiences();
        match webhook.ask(token, if audiences.is_empty() { own } else { audiences }, own).await {
            Ok(Answer::User(user, audiences)) => Ok(TokenUser { user: authenticated(user), audiences }),
            Ok(Answer::Nobody(told)) if told.is_empty() => Err(why),
            Ok(Answer::Nobody(told)) => Err(Refused::because(format!("{why}; the webhook: {told}"))),
            Err(failed) => {
                tracing::warn!(why = failed, "cannot ask the authentication webhook");
                Err(Refused::because(format!("{why}; the webhook failed: {failed}")))
            }
        }
    }

    /// Believes other issuers from now on.
    pub fn believe(&self, others: Issuers) {
        self.others.store(Arc::new(others));
    }

    /// The user who sent a request for `path` with `headers` over a connection on which `certificates` were
    /// presented (and their key proved).
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        certificates: &[CertificateDer<'static>],
        path: &str,
    ) -> Result<Arc<User>, Status> {
        self.identify(headers, certificates, path).map_err(unauthorized)
    }

    /// The user of a bearer token that is good for one of `audiences` (the API's own if empty).
    pub fn token_user(&self, token: &str, audiences: &[String]) -> Result<TokenUser, Refused> {
        if let Some((id, secret)) = bootstrap_token(token) {
            let user = self.bootstrap_user(id, secret)?;
            return self.for_this_api(user, audiences);
        }
        if let Some(user) = self.others.load().user(token, self.now().as_secs()) {
            return self.for_this_api(user?, audiences);
        }
        self.accounts.user(token, audiences, self.objects.as_ref(), &self.used, self.now())
    }

    /// The audiences of tokens for this API.
    pub fn audiences(&self) -> &[String] {
        self.accounts.audiences()
    }

    /// A user whose token names no audience of its own here.
    fn for_this_api(&self, user: Arc<User>, asked: &[String]) -> Result<TokenUser, Refused> {
        let audiences = self.accounts.own_of(asked);
        if audiences.is_empty() {
            return Err(Refused::because(format!("token is for the audiences of this API, not for {asked:?}")));
        }
        Ok(TokenUser { user, audiences })
    }

    fn identify(
        &self,
        headers: &HeaderMap,
        certificates: &[CertificateDer<'static>],
        path: &str,
    ) -> Result<Arc<User>, Refused> {
        let now = self.now().as_secs();
        let mut refused = None;
        if !certificates.is_empty() {
            if headers.contains_key("x-remote-user") && self.proxies.user(certificates, now).is_ok() {
                return Ok(Arc::new(proxied(headers)));
            }
            match self.users.user(certificates, now) {
                Ok(user) => return Ok(user),
                Err(why) => refused = Some(why),
            }
        }
        match (bearer(headers), refused) {
            (Some(token), _) => self.token_user(&token, &[]).map(|found| found.user),
            (None, Some(why)) => Err(why),
            (None, None) if self.others.load().anonymous.allows(path) => Ok(User::named(ANONYMOUS, &[UNAUTHENTICATED])),
            (None, None) => Err(Refused::because("no credentials")),
        }
    }

    fn bootstrap_user(&self, id: &str, secret: &str) -> Result<Arc<User>, Refused> {
        let key = Key::of("secrets", "kube-system", &format!("bootstrap-token-{id}"));
        let object = self.objects.get(&key).ok_or_else(|| Refused::because("no such bootstrap token"))?;
        let tree = object.tree();
        let data = |name: &str| secret_text(&tree, name);
        let is_good = tree.text("type") == "bootstrap.kubernetes.io/token"
            && !object.meta().is_deleting()
            && data("token-id") == id
            && same_secret(data("token-secret").as_bytes(), secret.as_bytes())
            && data("usage-bootstrap-authentication") == "true"
            && match data("expiration").as_str() {
                "" => true,
                text => Timestamp::parse(text).is_some_and(|end| end > self.now()),
            };
        if !is_good {
            return Err(Refused::because(format!("bootstrap token {id} is wrong, expired or not for this")));
        }
        let groups = data("auth-extra-groups");
        let extra = groups.split(',').map(str::trim).filter(|group| group.starts_with("system:bootstrappers:"));
        let groups: Vec<&str> = ["system:bootstrappers"].into_iter().chain(extra).chain([AUTHENTICATED]).collect();
        Ok(User::named(&format!("system:bootstrap:{id}"), &groups))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.wall_nanos())
    }
}

fn unauthorized(why: Refused) -> Status {
    tracing::debug!(%why, "refused credentials");
    Status::new(Reason::Unauthorized, "Unauthorized")
}

/// With the group of everybody who is known.
fn authenticated(user: Arc<User>) -> Arc<User> {
    if user.name == ANONYMOUS || user.in_group(AUTHENTICATED) || user.in_group(UNAUTHENTICATED) {
        return user;
    }
    let mut user = Arc::unwrap_or_clone(user);
    user.groups.push(AUTHENTICATED.into());
    Arc::new(user)
}

/// Takes a bootstrap token apart: six characters, a dot, sixteen.
fn bootstrap_token(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let lower = |text: &str| text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (id.len() == 6 && secret.len() == 16 && lower(id) && lower(secret)).then_some((id, secret))
}

fn secret_text(secret: &Tree, name: &str) -> String {
    let encoded = secret.map("data").and_then(|data| data.get(name)).and_then(Tree::as_str).unwrap_or_default();
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    String::from_utf8(decoded).unwrap_or_default()
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    if let Some((scheme, token)) = text.split_once(' ')
        && scheme.eq_ignore_ascii_case("bearer")
        && !token.trim().is_empty()
    {
        return Some(token.trim().to_owned());
    }
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut protocols = protocols.flat_map(|list| list.split(',')).map(str::trim);
    let encoded = protocols.find_map(|protocol| protocol.strip_prefix(WEBSOCKET_PROTOCOL))?;
    BASE64.decode(encoded.trim_end_matches('=')).ok().and_then(|token| String::from_utf8(token).ok())
}

/// Whom a front proxy speaks for.
fn proxied(headers: &HeaderMap) -> User {
    let all = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
    let mut user = User { name: first("x-remote-user"), uid: first("x-remote-uid"), ..User::default() };
    user.groups = all("x-remote-group");
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix("x-remote-extra-") {
            user.extra.insert(impersonate::unescape(key), all(name.as_str()));
        }
    }
    if user.name != ANONYMOUS && !user.in_group(AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.into());
    }
    user
}

#[cfg(test)]
mod tests;
