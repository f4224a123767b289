//! Flags about who says what is allowed, and about the webhook that knows tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::flags::{AuthenticationFlags, AuthorizationFlags};
use crate::api::authz::abac::Abac;
use crate::api::authz::conditions::Conditions;
use crate::api::authz::config::{Config, Entry, TYPES, WebhookConfig};
use crate::api::authz::question::Version;
use crate::api::hooks::token;
use crate::security::kubeconfig::Kubeconfig;

/// The name of the webhook that flags describe, and the time it has.
const WEBHOOK_NAME: &str = "default";
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// Who is asked.
#[derive(Debug, Default)]
pub struct Authorizers {
    pub config: Config,
    /// The file that `config` comes from, and what was in it.
    pub file: Option<(PathBuf, String)>,
}

/// The webhook that knows tokens.
#[derive(Debug)]
pub struct TokenWebhookConfig {
    pub kubeconfig: Kubeconfig,
    pub version: String,
    pub ttl: Duration,
}

/// Checks the flags about authorization.
pub fn read(flags: &AuthorizationFlags) -> Result<Authorizers> {
    if let Some(path) = &flags.authorization_config {
        if flags.has_others() {
            bail!(
                "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined"
            );
        }
        let path = super::absolute(path)?;
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read --authorization-config {}", path.display()))?;
        let config = Config::parse(&text, &[], &look);
        let config = config.map_err(|why| anyhow::anyhow!("--authorization-config {}: {why}", path.display()))?;
        return Ok(Authorizers { config, file: Some((path, text)) });
    }
    let modes: Vec<&str> = match flags.authorization_mode.as_slice() {
        [] => vec!["Node", "RBAC"],
        given => given.iter().map(String::as_str).collect(),
    };
    if let Some(bad) = modes.iter().find(|mode| !TYPES.contains(mode)) {
        bail!("authorization-mode {bad:?} is not a valid mode: want some of {}", TYPES.join(", "));
    }
    if let Some(twice) = (1..modes.len()).find(|at| modes[..*at].contains(&modes[*at])) {
        bail!("authorization-mode {modes:?} has mode specified more than once: {}", modes[twice]);
    }
    let file = &flags.authorization_webhook_config_file;
    let mut authorizers = Vec::new();
    for mode in modes {
        authorizers.push(match (mode, file) {
            ("Webhook", Some(file)) => webhook(file, flags)?,
            ("Webhook", None) => {
                bail!(
                    "authorization-mode Webhook's authorization config file not passed: want --authorization-webhook-config-file"
                )
            }
            ("ABAC", _) => policies(flags)?,
            (mode, _) => Entry::plain(mode),
        });
    }
    if flags.authorization_policy_file.is_some() && authorizers.iter().all(|entry| entry.policies.is_none()) {
        bail!("cannot specify --authorization-policy-file without mode ABAC");
    }
    if file.is_some() && authorizers.iter().all(|entry| entry.webhook.is_none()) {
        bail!("cannot specify --authorization-webhook-config-file without mode Webhook");
    }
    Ok(Authorizers { config: Config { authorizers }, file: None })
}

fn policies(flags: &AuthorizationFlags) -> Result<Entry> {
    let Some(path) = &flags.authorization_policy_file else {
        bail!("authorization-mode ABAC's authorization policy file not passed: want --authorization-policy-file");
    };
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read --authorization-policy-file {}", path.display()))?;
    let policies = Abac::parse(&text, &path.display().to_string()).map_err(anyhow::Error::msg)?;
    Ok(Entry { policies: Some(Arc::new(policies)), ..Entry::plain("ABAC") })
}

fn webhook(file: &Path, flags: &AuthorizationFlags) -> Result<Entry> {
    let version = &flags.authorization_webhook_version;
    let Some(version) = Version::parse(version) else {
        bail!("unsupported webhook authorizer version {version:?}, supported versions are \"v1\", \"v1beta1\"");
    };
    let config = WebhookConfig {
        kubeconfig: super::absolute(file)?.display().to_string(),
        authorized_ttl: flags.authorization_webhook_cache_authorized_ttl.0,
        unauthorized_ttl: flags.authorization_webhook_cache_unauthorized_ttl.0,
        timeout: WEBHOOK_TIMEOUT,
        version,
        fails_closed: false,
        conditions: Conditions::default(),
    };
    Ok(Entry { name: WEBHOOK_NAME.into(), kind: "Webhook".into(), webhook: Some(config), policies: None })
}

/// What is wrong with a file that a configuration names.
pub fn look(path: &str) -> Option<String> {
    match std::fs::metadata(path) {
        Err(error) => Some(format!("error loading file: {error}")),
        Ok(found) if !found.is_file() => Some("must be a regular file".into()),
        Ok(_) => None,
    }
}

/// Checks the flags about the webhook that knows tokens.
pub fn token_webhook(flags: &AuthenticationFlags) -> Result<Option<TokenWebhookConfig>> {
    let Some(path) = &flags.authentication_token_webhook_config_file else { return Ok(None) };
    let version = &flags.authentication_token_webhook_version;
    if !token::VERSIONS.contains(&version.as_str()) {
        bail!("unsupported authentication webhook version {version:?}, supported versions are \"v1\", \"v1beta1\"");
    }
    let text = std::fs::read_to_string(path);
    let flag = format!("--authentication-token-webhook-config-file {}", path.display());
    let text = text.with_context(|| format!("cannot read {flag}"))?;
    let kubeconfig = Kubeconfig::parse(&text, path.parent()).map_err(|why| anyhow::anyhow!("{flag}: {why}"))?;
    let ttl = flags.authentication_token_webhook_cache_ttl.0;
    Ok(Some(TokenWebhookConfig { kubeconfig, version: version.clone(), ttl }))
}
