//! Lets the API ask those whom flags or a file name what is allowed; the file is read again when it
//! changes. And the webhook that knows tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::config::{Authorizers, TokenWebhookConfig, look};
use crate::api::Api;
use crate::api::authz::config::{Config, Entry};
use crate::api::authz::{Authorizer, Chain};
use crate::api::hooks::Hook;
use crate::api::hooks::access::AccessWebhook;
use crate::api::hooks::token::TokenWebhook;
use crate::base::clock::ClockRef;
use crate::base::hex::hex;
use crate::base::service::Scope;
use crate::security::kubeconfig::Kubeconfig;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How long a webhook that knows tokens may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks the webhook about tokens that nobody here knows.
pub fn start_tokens(api: &Api, wanted: &TokenWebhookConfig, scope: &Scope, clock: ClockRef) -> Result<()> {
    let hook = Hook::new(&wanted.kubeconfig, scope, TOKEN_TIMEOUT, clock.clone()).map_err(anyhow::Error::msg);
    let hook = hook.context("cannot use --authentication-token-webhook-config-file")?;
    let webhook = TokenWebhook::new(hook, &wanted.version, wanted.ttl, api.metrics.clone(), clock);
    let _ = api.authn.webhook.set(webhook);
    Ok(())
}

/// Asks whom the configuration says, in `scope`; `id` tells this server from others in metrics.
pub fn start(api: &Arc<Api>, authorizers: &mut Authorizers, id: &str, scope: &Scope, clock: ClockRef) -> Result<()> {
    let config = std::mem::take(&mut authorizers.config);
    let own = config.own_types();
    let mut following =
        Following { api: api.clone(), scope: scope.clone(), clock, id: hash(id), own, text: String::new() };
    let asking = scope.child("authorizers");
    following.ask(config, &asking).map_err(anyhow::Error::msg).context("cannot use the configured authorizers")?;
    let Some((path, text)) = authorizers.file.take() else { return Ok(()) };
    following.used(&text);
    following.text = text;
    let inner = scope.clone();
    scope.spawn("authorization configuration", async move {
        let mut asking = asking;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => (),
                () = inner.stopping() => return,
            }
            following.look(&path, &mut asking).await;
        }
    });
    Ok(())
}

struct Following {
    api: Arc<Api>,
    scope: Scope,
    clock: ClockRef,
    id: String,
    /// The authorizers of this process, which must stay.
    own: Vec<String>,
    /// What was read last, good or bad.
    text: String,
}

impl Following {
    /// Changes over to what the file says now, if that is sound.
    async fn look(&mut self, path: &Path, asking: &mut Scope) {
        let text = tokio::fs::read_to_string(path).await;
        let changed = match text {
            Ok(text) if text == self.text => return,
            Ok(text) => {
                self.text = text.clone();
                self.change(text, asking).await
            }
            Err(error) => Err(error.to_string()),
        };
        let result = if changed.is_ok() { "success" } else { "failure" };
        self.api.metrics.authorization_reloads.with(&[result, &self.id]).add(1);
        self.api.metrics.authorization_reloaded.with(&[result, &self.id]).set(self.api.now().as_secs());
        match changed {
            Ok(()) => tracing::info!(path = %path.display(), "changed over to the new authorization configuration"),
            Err(why) => {
                tracing::warn!(path = %path.display(), why, "the new authorization configuration is not used");
            }
        }
    }

    async fn change(&self, text: String, asking: &mut Scope) -> Result<(), String> {
        let own = self.own.clone();
        let read = Scope::blocking(move || Config::parse(&text, &own, &look).map(|config| (config, text)));
        let (config, text) = read.await?;
        if let Some(new) = config.own_types().iter().find(|kind| !self.own.contains(kind)) {
            return Err(format!(
                "authorizer type {new} is not allowed if it was not enabled at initial server startup"
            ));
        }
        let scope = self.scope.child("authorizers");
        self.ask(config, &scope)?;
        std::mem::replace(asking, scope).cancel();
        self.used(&text);
        Ok(())
    }

    fn ask(&self, config: Config, scope: &Scope) -> Result<(), String> {
        let authorizers = config.authorizers.into_iter().map(|entry| self.authorizer(entry, scope));
        let authorizers: Vec<(String, Authorizer)> = authorizers.collect::<Result<_, _>>()?;
        self.api.authz.follow(Chain::of(authorizers, &self.api.metrics));
        Ok(())
    }

    fn authorizer(&self, entry: Entry, scope: &Scope) -> Result<(String, Authorizer), String> {
        let Entry { name, kind, webhook, policies } = entry;
        let authorizer = match (kind.as_str(), webhook) {
            ("Node", _) => Authorizer::Node,
            ("RBAC", _) => Authorizer::Rbac,
            ("AlwaysAllow", _) => Authorizer::AlwaysAllow,
            ("AlwaysDeny", _) => Authorizer::AlwaysDeny,
            ("ABAC", _) => Authorizer::Abac(
                policies
                    .ok_or("authorizer type ABAC is not allowed if it was not enabled at initial server startup")?,
            ),
            (_, Some(config)) => {
                let path = PathBuf::from(&config.kubeconfig);
                let said = |why: String| format!("authorizer {name}: {}: {why}", path.display());
                let text = std::fs::read_to_string(&path).map_err(|error| said(error.to_string()))?;
                let kubeconfig = Kubeconfig::parse(&text, path.parent()).map_err(said)?;
                let hook = Hook::new(&kubeconfig, scope, config.timeout, self.clock.clone()).map_err(said)?;
                let metrics = self.api.metrics.clone();
                Authorizer::Webhook(Arc::new(AccessWebhook::new(&name, config, hook, metrics, self.clock.clone())))
            }
            (other, None) => return Err(format!("unknown authorization mode {other} specified")),
        };
        Ok((name, authorizer))
    }

    /// Tells metrics which configuration is used: this text.
    fn used(&self, text: &str) {
        let family = &self.api.metrics.authorization_config;
        if !self.text.is_empty() {
            family.clear();
        }
        family.with(&[&self.id, &hash(text)]).set(1);
    }
}

fn hash(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("sha256:{}", hex(&Sha256::digest(text))) }
}
