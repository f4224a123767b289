//! Starts the audit log as the configuration wants it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::config::{AuditConfig, WebhookConfig};
use crate::api::Api;
use crate::api::audit::Audit;
use crate::api::audit::file::LogFile;
use crate::api::audit::sink::Sink;
use crate::api::audit::webhook::Webhook;
use crate::api::hooks::Hook;
use crate::base::clock::ClockRef;
use crate::base::service::Scope;

/// How long a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Records requests of `api` from now on; what waits is written when `scope` stops.
pub fn start(api: &Arc<Api>, config: &AuditConfig, scope: &Scope, clock: ClockRef) -> Result<()> {
    let mut sink = Sink::new(api.metrics.clone());
    if let Some((path, keep, options)) = &config.log {
        let file = LogFile::open(path, *keep, clock.clone());
        sink.add(file.with_context(|| format!("cannot open --audit-log-path {}", path.display()))?, *options, scope);
    }
    if let Some(WebhookConfig { kubeconfig, options, backoff }) = &config.webhook {
        let hook = Hook::new(kubeconfig, scope, TIMEOUT, clock.clone()).map_err(anyhow::Error::msg);
        let hook = hook.context("cannot use --audit-webhook-config-file")?;
        sink.add(Webhook { hook, backoff: *backoff }, *options, scope);
    }
    let _ = api.audit.set(Audit::new(config.policy.clone(), sink, clock));
    Ok(())
}
