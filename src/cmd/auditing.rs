//! Starts the audit log as the configuration wants it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::config::AuditConfig;
use crate::api::Api;
use crate::api::audit::Audit;
use crate::api::audit::file::LogFile;
use crate::api::audit::sink::Sink;
use crate::api::audit::webhook::Webhook;
use crate::api::outgoing::{self, Outgoing};
use crate::base::clock::ClockRef;
use crate::base::service::Scope;
use crate::security::kubeconfig::Kubeconfig;
use crate::security::tls;

/// How long a webhook may take, and how much of its answer is read.
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Records requests of `api` from now on; what waits is written when `scope` stops.
pub fn start(api: &Arc<Api>, config: &AuditConfig, scope: &Scope, clock: ClockRef) -> Result<()> {
    let mut sink = Sink::new(api.metrics.clone(), config.event_bytes_max);
    if let Some((path, keep)) = &config.log {
        let file = LogFile::open(path, *keep, clock.clone());
        sink.add(file.with_context(|| format!("cannot open --audit-log-path {}", path.display()))?, scope);
    }
    if let Some(kubeconfig) = &config.webhook {
        sink.add(webhook(kubeconfig, scope).context("cannot use --audit-webhook-config-file")?, scope);
    }
    let _ = api.audit.set(Audit::new(config.policy.clone(), sink, clock));
    Ok(())
}

fn webhook(to: &Kubeconfig, scope: &Scope) -> Result<Webhook> {
    let authorities = match &to.authorities {
        Some(pem) => pem.clone(),
        None => outgoing::system_roots().map_err(anyhow::Error::msg)?,
    };
    let tls = tls::client_config(&authorities, to.identity.as_ref())?;
    let authorization = match &to.token {
        Some(token) => {
            let mut value = http::HeaderValue::from_str(&format!("Bearer {token}")).context("its token")?;
            value.set_sensitive(true);
            Some(value)
        }
        None => None,
    };
    let url: http::Uri = to.server.parse().context("its server is no URL")?;
    Ok(Webhook { outgoing: Outgoing::new(tls, scope.clone(), TIMEOUT, ANSWER_BYTES_MAX), url, authorization })
}
