//! Flags about whom to believe: other issuers of tokens, anonymous requests, and what the cluster's own
//! tokens say.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::flags::AuthenticationFlags;
use crate::api::authn::oidc::config::{ALGORITHMS, check_url};
use crate::api::authn::oidc::{Anonymous, Config, IssuerConfig, Mapping, Source};
use crate::object::FieldErrors;
use crate::security::tokens;

/// Of service-account tokens.
#[derive(Debug)]
pub struct TokenConfig {
    /// At least one; the first signs.
    pub issuers: Vec<String>,
    pub audiences: Vec<String>,
}

/// Whom else to believe.
#[derive(Debug, Default)]
pub struct Others {
    pub config: Config,
    /// The file that `config` comes from, and what was in it.
    pub file: Option<(PathBuf, String)>,
}

/// Checks the flags. `cluster_domain` makes the default issuer.
pub fn read(flags: AuthenticationFlags, cluster_domain: &str) -> Result<(TokenConfig, Others)> {
    let issuers = match flags.service_account_issuer.as_slice() {
        [] => vec![tokens::issuer(cluster_domain)],
        given => given.to_vec(),
    };
    if let Some(bad) = issuers.iter().find(|issuer| issuer.is_empty() || is_no_url(issuer)) {
        bail!("invalid value '{bad}' for '--service-account-issuer': want a URL, or a name without ':'");
    }
    let audiences = if flags.api_audiences.is_empty() { issuers.clone() } else { flags.api_audiences.clone() };
    let mut others = match &flags.authentication_config {
        Some(path) => from_file(path, &flags, &issuers)?,
        None => Others { config: from_flags(&flags, &issuers)?, file: None },
    };
    if let Some(enabled) = flags.anonymous_auth {
        others.config.anonymous = Anonymous { enabled, ..Anonymous::default() };
    }
    Ok((TokenConfig { issuers, audiences }, others))
}

fn is_no_url(issuer: &str) -> bool {
    issuer.contains(':') && issuer.parse::<http::Uri>().map_or(true, |uri| uri.scheme().is_none())
}

fn from_file(path: &Path, flags: &AuthenticationFlags, issuers: &[String]) -> Result<Others> {
    if flags.has_oidc() {
        bail!("--authentication-config and --oidc-* flags are mutually exclusive");
    }
    let path = super::absolute(path)?;
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read --authentication-config {}", path.display()))?;
    if flags.anonymous_auth.is_some() && Config::says_anonymous(&text) {
        bail!("--anonymous-auth cannot be set when anonymous is configured in --authentication-config");
    }
    let config = Config::parse(&text, issuers);
    let config = config.map_err(|why| anyhow::anyhow!("--authentication-config {}: {why}", path.display()))?;
    Ok(Others { config, file: Some((path, text)) })
}

fn from_flags(flags: &AuthenticationFlags, issuers: &[String]) -> Result<Config> {
    let (url, client) = match (&flags.oidc_issuer_url, &flags.oidc_client_id) {
        (Some(url), Some(client)) => (url, client),
        _ if flags.has_oidc() => {
            bail!("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set")
        }
        _ => return Ok(Config::default()),
    };
    let mut errors = FieldErrors::default();
    check_url(url, "--oidc-issuer-url", issuers, &mut errors);
    if !errors.is_empty() {
        bail!("{}", errors.message());
    }
    let authorities = match &flags.oidc_ca_file {
        None => None,
        Some(path) => {
            let pem = std::fs::read_to_string(path);
            Some(pem.with_context(|| format!("cannot read --oidc-ca-file {}", path.display()))?)
        }
    };
    let algorithm = |name: &String| match ALGORITHMS.iter().find(|(known, _)| known == name) {
        Some((_, algorithm)) => Ok(*algorithm),
        None => bail!(
            "invalid value '{name}' for '--oidc-signing-algs': want one of RS256, RS384, RS512, ES256, ES384, PS256, PS384, PS512"
        ),
    };
    let required = |pair: &String| match pair.split_once('=') {
        Some((claim, value)) if !claim.is_empty() => Ok((claim.to_owned(), value.to_owned())),
        _ => bail!("invalid value '{pair}' for '--oidc-required-claim': want KEY=VALUE"),
    };
    let claim = flags.oidc_username_claim.clone();
    // Names of several issuers must not meet; an address is somebody's wherever it is from.
    let prefix = match flags.oidc_username_prefix.as_deref() {
        None | Some("") if claim == "email" => String::new(),
        None | Some("") => format!("{url}#"),
        Some("-") => String::new(),
        Some(prefix) => prefix.to_owned(),
    };
    let groups = flags.oidc_groups_claim.clone();
    let mapping = Mapping {
        username: Some(Source::Claim { claim, prefix }),
        groups: groups.map(|claim| Source::Claim { claim, prefix: flags.oidc_groups_prefix.clone() }),
        required: flags.oidc_required_claim.iter().map(required).collect::<Result<_>>()?,
        ..Mapping::default()
    };
    let issuer = IssuerConfig {
        url: url.clone(),
        discovery_url: None,
        authorities,
        audiences: vec![client.clone()],
        algorithms: flags.oidc_signing_algs.iter().map(algorithm).collect::<Result<_>>()?,
        mapping,
    };
    Ok(Config { issuers: vec![issuer], anonymous: Anonymous::default() })
}
