//! Flags of the audit log, named as upstream names them and with its defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};

use super::values::Span;
use crate::api::audit::file::Keep;
use crate::api::audit::options::{Batch, Mode, Options, Rate, Truncate};
use crate::api::audit::policy::Policy;
use crate::security::kubeconfig::Kubeconfig;

#[derive(Debug, Args)]
#[command(next_help_heading = "Audit log")]
pub struct AuditFlags {
    /// Policy that says how much of which request is recorded (audit.k8s.io/v1)
    #[arg(long, value_name = "FILE", env = "SKIFF_AUDIT_POLICY_FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// File to write the audit log to; - is standard output
    #[arg(long, value_name = "FILE", env = "SKIFF_AUDIT_LOG_PATH", requires = "audit_policy_file")]
    pub audit_log_path: Option<PathBuf>,
    /// Days to keep old audit logs; 0 keeps them for ever
    #[arg(long, value_name = "DAYS", env = "SKIFF_AUDIT_LOG_MAXAGE", default_value_t = 366)]
    pub audit_log_maxage: u32,
    /// How many old audit logs to keep; 0 keeps all
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_LOG_MAXBACKUP", default_value_t = 100)]
    pub audit_log_maxbackup: usize,
    /// Megabytes of an audit log before the next is begun; 0 never begins another
    #[arg(long, value_name = "MB", env = "SKIFF_AUDIT_LOG_MAXSIZE", default_value_t = 100)]
    pub audit_log_maxsize: u64,
    /// Whether requests wait until their events are written: batch, blocking or blocking-strict
    #[arg(long, value_name = "MODE", env = "SKIFF_AUDIT_LOG_MODE", default_value = "blocking")]
    pub audit_log_mode: String,
    /// Events that may wait for the log
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_LOG_BATCH_BUFFER_SIZE", default_value_t = 10_000)]
    pub audit_log_batch_buffer_size: usize,
    /// Events written together at most, in mode batch
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_LOG_BATCH_MAX_SIZE", default_value_t = 1)]
    pub audit_log_batch_max_size: usize,
    /// How long the first of them waits for others, in mode batch
    #[arg(long, value_name = "DURATION", env = "SKIFF_AUDIT_LOG_BATCH_MAX_WAIT", default_value = "0s")]
    pub audit_log_batch_max_wait: Span,
    /// Whether to write only so often, in mode batch
    #[arg(long, env = "SKIFF_AUDIT_LOG_BATCH_THROTTLE_ENABLE", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_log_batch_throttle_enable: bool,
    /// Batches a second, then
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_LOG_BATCH_THROTTLE_QPS", default_value_t = 0.0)]
    pub audit_log_batch_throttle_qps: f64,
    /// Batches at once, after a pause
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_LOG_BATCH_THROTTLE_BURST", default_value_t = 0)]
    pub audit_log_batch_throttle_burst: u32,
    /// Whether large events lose their objects and large batches are parted
    #[arg(long, env = "SKIFF_AUDIT_LOG_TRUNCATE_ENABLED", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_log_truncate_enabled: bool,
    /// Bytes of an event, then
    #[arg(long, value_name = "BYTES", env = "SKIFF_AUDIT_LOG_TRUNCATE_MAX_EVENT_SIZE", default_value_t = 102_400)]
    pub audit_log_truncate_max_event_size: usize,
    /// Bytes of a batch, then
    #[arg(long, value_name = "BYTES", env = "SKIFF_AUDIT_LOG_TRUNCATE_MAX_BATCH_SIZE", default_value_t = 10_485_760)]
    pub audit_log_truncate_max_batch_size: usize,
    /// Kubeconfig of a webhook that gets the audit events
    #[arg(long, value_name = "FILE", env = "SKIFF_AUDIT_WEBHOOK_CONFIG_FILE", requires = "audit_policy_file")]
    pub audit_webhook_config_file: Option<PathBuf>,
    /// How long to wait before what the webhook did not take is sent again
    #[arg(long, value_name = "DURATION", env = "SKIFF_AUDIT_WEBHOOK_INITIAL_BACKOFF", default_value = "10s")]
    pub audit_webhook_initial_backoff: Span,
    /// Whether requests wait until their events are written: batch, blocking or blocking-strict
    #[arg(long, value_name = "MODE", env = "SKIFF_AUDIT_WEBHOOK_MODE", default_value = "batch")]
    pub audit_webhook_mode: String,
    /// Events that may wait for the webhook
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_WEBHOOK_BATCH_BUFFER_SIZE", default_value_t = 10_000)]
    pub audit_webhook_batch_buffer_size: usize,
    /// Events written together at most, in mode batch
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_WEBHOOK_BATCH_MAX_SIZE", default_value_t = 400)]
    pub audit_webhook_batch_max_size: usize,
    /// How long the first of them waits for others, in mode batch
    #[arg(long, value_name = "DURATION", env = "SKIFF_AUDIT_WEBHOOK_BATCH_MAX_WAIT", default_value = "30s")]
    pub audit_webhook_batch_max_wait: Span,
    /// Whether to write only so often, in mode batch
    #[arg(long, env = "SKIFF_AUDIT_WEBHOOK_BATCH_THROTTLE_ENABLE", default_value_t = true, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_webhook_batch_throttle_enable: bool,
    /// Batches a second, then
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_WEBHOOK_BATCH_THROTTLE_QPS", default_value_t = 10.0)]
    pub audit_webhook_batch_throttle_qps: f64,
    /// Batches at once, after a pause
    #[arg(long, value_name = "COUNT", env = "SKIFF_AUDIT_WEBHOOK_BATCH_THROTTLE_BURST", default_value_t = 15)]
    pub audit_webhook_batch_throttle_burst: u32,
    /// Whether large events lose their objects and large batches are parted
    #[arg(long, env = "SKIFF_AUDIT_WEBHOOK_TRUNCATE_ENABLED", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub audit_webhook_truncate_enabled: bool,
    /// Bytes of an event, then
    #[arg(long, value_name = "BYTES", env = "SKIFF_AUDIT_WEBHOOK_TRUNCATE_MAX_EVENT_SIZE", default_value_t = 102_400)]
    pub audit_webhook_truncate_max_event_size: usize,
    /// Bytes of a batch, then
    #[arg(
        long,
        value_name = "BYTES",
        env = "SKIFF_AUDIT_WEBHOOK_TRUNCATE_MAX_BATCH_SIZE",
        default_value_t = 10_485_760
    )]
    pub audit_webhook_truncate_max_batch_size: usize,
}

/// What is recorded of requests, and where.
#[derive(Debug)]
pub struct AuditConfig {
    pub policy: Policy,
    pub log: Option<(PathBuf, Keep, Options)>,
    pub webhook: Option<WebhookConfig>,
}

#[derive(Debug)]
pub struct WebhookConfig {
    pub kubeconfig: Kubeconfig,
    pub options: Options,
    pub backoff: Duration,
}

/// Checks the flags; `None` where nothing is recorded.
pub fn read(flags: AuditFlags) -> Result<Option<AuditConfig>> {
    let Some(path) = &flags.audit_policy_file else { return Ok(None) };
    let policy = Policy::parse(&text("audit-policy-file", path)?);
    let policy = policy.map_err(|why| anyhow::anyhow!("--audit-policy-file {}: {why}", path.display()))?;
    if flags.audit_log_path.is_none() && flags.audit_webhook_config_file.is_none() {
        bail!(
            "--audit-policy-file is given and nowhere to write to: want --audit-log-path or --audit-webhook-config-file"
        );
    }
    Ok(Some(AuditConfig { policy, log: log(&flags)?, webhook: webhook(&flags)? }))
}

fn log(flags: &AuditFlags) -> Result<Option<(PathBuf, Keep, Options)>> {
    let Some(path) = &flags.audit_log_path else { return Ok(None) };
    let path = if path == Path::new("-") { path.clone() } else { super::absolute(path)? };
    let keep =
        Keep { age_days: flags.audit_log_maxage, files: flags.audit_log_maxbackup, megabytes: flags.audit_log_maxsize };
    let given = Given {
        name: "log",
        mode: &flags.audit_log_mode,
        buffer: flags.audit_log_batch_buffer_size,
        size: flags.audit_log_batch_max_size,
        wait: flags.audit_log_batch_max_wait.0,
        is_throttled: flags.audit_log_batch_throttle_enable,
        rate: Rate {
            per_second: flags.audit_log_batch_throttle_qps,
            burst: flags.audit_log_batch_throttle_burst.into(),
        },
        is_truncated: flags.audit_log_truncate_enabled,
        truncate: Truncate {
            event_bytes: flags.audit_log_truncate_max_event_size,
            batch_bytes: flags.audit_log_truncate_max_batch_size,
        },
    };
    Ok(Some((path, keep, given.options()?)))
}

fn webhook(flags: &AuditFlags) -> Result<Option<WebhookConfig>> {
    let Some(path) = &flags.audit_webhook_config_file else { return Ok(None) };
    let kubeconfig = Kubeconfig::parse(&text("audit-webhook-config-file", path)?, path.parent());
    let kubeconfig =
        kubeconfig.map_err(|why| anyhow::anyhow!("--audit-webhook-config-file {}: {why}", path.display()))?;
    let given = Given {
        name: "webhook",
        mode: &flags.audit_webhook_mode,
        buffer: flags.audit_webhook_batch_buffer_size,
        size: flags.audit_webhook_batch_max_size,
        wait: flags.audit_webhook_batch_max_wait.0,
        is_throttled: flags.audit_webhook_batch_throttle_enable,
        rate: Rate {
            per_second: flags.audit_webhook_batch_throttle_qps,
            burst: flags.audit_webhook_batch_throttle_burst.into(),
        },
        is_truncated: flags.audit_webhook_truncate_enabled,
        truncate: Truncate {
            event_bytes: flags.audit_webhook_truncate_max_event_size,
            batch_bytes: flags.audit_webhook_truncate_max_batch_size,
        },
    };
    let backoff = flags.audit_webhook_initial_backoff.0;
    Ok(Some(WebhookConfig { kubeconfig, options: given.options()?, backoff }))
}

fn text(flag: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read --{flag} {}", path.display()))
}

/// The flags of one writer.
struct Given<'f> {
    name: &'static str,
    mode: &'f str,
    buffer: usize,
    size: usize,
    wait: Duration,
    is_throttled: bool,
    rate: Rate,
    is_truncated: bool,
    truncate: Truncate,
}

impl Given<'_> {
    fn options(self) -> Result<Options> {
        let name = self.name;
        let wrong = |flag: &str, value: &dyn std::fmt::Display, want: &str| {
            anyhow::anyhow!("invalid value '{value}' for '--audit-{name}-{flag}': want {want}")
        };
        let mode = Mode::parse(self.mode)
            .ok_or_else(|| wrong("mode", &self.mode, "one of batch, blocking and blocking-strict"))?;
        let truncate = self.is_truncated.then_some(self.truncate);
        if let Some(Truncate { event_bytes, batch_bytes }) = truncate {
            if event_bytes == 0 {
                return Err(wrong("truncate-max-event-size", &event_bytes, "1 or more"));
            }
            if batch_bytes < event_bytes {
                return Err(wrong("truncate-max-batch-size", &batch_bytes, "no less than the largest event"));
            }
        }
        if mode != Mode::Batch {
            return Ok(Options { mode, truncate, ..Options::BLOCKING });
        }
        if self.buffer == 0 {
            return Err(wrong("batch-buffer-size", &self.buffer, "1 or more"));
        }
        if self.size == 0 {
            return Err(wrong("batch-max-size", &self.size, "1 or more"));
        }
        let rate = self.is_throttled.then_some(self.rate);
        if let Some(Rate { per_second, burst }) = rate {
            if per_second <= 0.0 || !per_second.is_finite() {
                return Err(wrong("batch-throttle-qps", &per_second, "more than 0"));
            }
            if burst < 1.0 {
                return Err(wrong("batch-throttle-burst", &burst, "1 or more"));
            }
        }
        let batch = Batch { size: self.size, wait: self.wait, rate };
        Ok(Options { mode, buffer: self.buffer, batch, truncate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::config::tests::server_of;

    #[test]
    fn writers_block_or_gather_as_they_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n").unwrap();
        let args = format!("--audit-policy-file {} --audit-log-path -", file.display());
        let options =
            |more: &str| server_of(&format!("{args} {more}")).map(|config| config.audit.unwrap().log.unwrap().2);
        assert_eq!(options("").unwrap().mode, Mode::Blocking);
        let gathered =
            options("--audit-log-mode batch --audit-log-batch-max-size 7 --audit-log-batch-max-wait 2s").unwrap();
        assert_eq!((gathered.batch.size, gathered.batch.wait), (7, Duration::from_secs(2)));
        assert!(options("--audit-log-truncate-max-event-size 5").unwrap().truncate.is_none());
        let small = options("--audit-log-truncate-enabled --audit-log-truncate-max-event-size 5").unwrap();
        assert_eq!(small.truncate.unwrap().event_bytes, 5);
        for (wrong, flag) in [
            ("--audit-log-mode sometimes", "--audit-log-mode"),
            ("--audit-log-mode batch --audit-log-batch-max-size 0", "--audit-log-batch-max-size"),
            ("--audit-log-mode batch --audit-log-batch-throttle-enable=true", "--audit-log-batch-throttle-qps"),
            (
                "--audit-log-truncate-enabled --audit-log-truncate-max-batch-size 5",
                "--audit-log-truncate-max-batch-size",
            ),
        ] {
            assert!(options(wrong).unwrap_err().to_string().contains(flag), "{wrong}");
        }
    }
}
