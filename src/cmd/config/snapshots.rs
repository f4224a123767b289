//! Flags of snapshots and of the bucket they go to, under k3s's names without `etcd-`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};

use super::absolute;
use super::values::{DnsName, SecretText};
use crate::backup::s3::Settings;
use crate::backup::{Config, When};
use crate::object::cron::Schedule;
use crate::object::zone::Zone;

#[derive(Debug, Args)]
#[command(next_help_heading = "Snapshots")]
pub struct BackupFlags {
    /// Take no snapshots by the clock
    #[arg(long, env = "SKIFF_DISABLE_SNAPSHOTS")]
    pub disable_snapshots: bool,
    /// When to take snapshots, in cron's form, after `TZ=ZONE` if not by UTC
    #[arg(long, value_name = "CRON", env = "SKIFF_SNAPSHOT_SCHEDULE_CRON", default_value = "0 */12 * * *")]
    pub snapshot_schedule_cron: Cron,
    /// What their names begin with
    #[arg(long, value_name = "NAME", env = "SKIFF_SNAPSHOT_NAME", default_value = "scheduled")]
    pub snapshot_name: DnsName,
    /// How many of them to keep
    #[arg(long, value_name = "COUNT", env = "SKIFF_SNAPSHOT_RETENTION", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub snapshot_retention: u32,
    /// Megabytes that those in the folder may take together; the newest stays in any case
    #[arg(long, value_name = "MEGABYTES", env = "SKIFF_SNAPSHOT_RETENTION_SIZE", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub snapshot_retention_size: u32,
    #[command(flatten)]
    pub folder: FolderFlag,
    /// Compress them, also those by hand
    #[arg(long, value_name = "BOOL", env = "SKIFF_SNAPSHOT_COMPRESS", action = ArgAction::Set, default_value_t = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub snapshot_compress: bool,
    #[command(flatten)]
    pub s3: S3Flags,
}

#[derive(Debug, Args)]
pub struct FolderFlag {
    /// Folder of the snapshots [default: server/snapshots in --data-dir]
    #[arg(long, value_name = "DIR", env = "SKIFF_SNAPSHOT_DIR")]
    pub snapshot_dir: Option<PathBuf>,
}

impl FolderFlag {
    /// Where snapshots lie.
    pub fn folder(&self, data_dir: &Path) -> Result<PathBuf> {
        let given = self.snapshot_dir.as_deref();
        given.map_or_else(|| Ok(data_dir.join("server/snapshots")), absolute)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "S3")]
pub struct S3Flags {
    /// Keep snapshots in a bucket of an S3-compatible server too
    #[arg(long, env = "SKIFF_S3", requires = "s3_bucket")]
    pub s3: bool,
    /// The server
    #[arg(long, value_name = "HOST[:PORT]", env = "SKIFF_S3_ENDPOINT", default_value = "s3.amazonaws.com")]
    pub s3_endpoint: String,
    /// File with the authority that vouches for it [default: those of the system]
    #[arg(long, value_name = "FILE", env = "SKIFF_S3_ENDPOINT_CA")]
    pub s3_endpoint_ca: Option<PathBuf>,
    /// Do not look who vouches for it
    #[arg(long, env = "SKIFF_S3_SKIP_SSL_VERIFY")]
    pub s3_skip_ssl_verify: bool,
    /// Do not use TLS
    #[arg(long, env = "SKIFF_S3_INSECURE")]
    pub s3_insecure: bool,
    /// Name of the bucket
    #[arg(long, value_name = "NAME", env = "SKIFF_S3_BUCKET")]
    pub s3_bucket: Option<String>,
    /// Region of the bucket
    #[arg(long, value_name = "NAME", env = "SKIFF_S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,
    /// Folder in the bucket
    #[arg(long, value_name = "PATH", env = "SKIFF_S3_FOLDER", default_value = "")]
    pub s3_folder: String,
    /// Whose bucket it is
    #[arg(long, value_name = "ID", env = "SKIFF_S3_ACCESS_KEY", default_value = "")]
    pub s3_access_key: String,
    /// The secret that goes with it
    #[arg(long, value_name = "SECRET", env = "SKIFF_S3_SECRET_KEY", hide_env_values = true)]
    pub s3_secret_key: Option<SecretText>,
    /// File that holds that secret
    #[arg(long, value_name = "FILE", env = "SKIFF_S3_SECRET_KEY_FILE", conflicts_with = "s3_secret_key")]
    pub s3_secret_key_file: Option<PathBuf>,
    /// Token that goes with a secret that is good for a while
    #[arg(long, value_name = "TOKEN", env = "SKIFF_S3_SESSION_TOKEN", hide_env_values = true)]
    pub s3_session_token: Option<SecretText>,
    /// How many seconds an upload or a download may take
    #[arg(long, value_name = "SECONDS", env = "SKIFF_S3_TIMEOUT", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub s3_timeout: u64,
}

/// When snapshots are due.
#[derive(Clone, Debug)]
pub struct Cron(When);

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let schedule = Schedule::parse(text).map_err(|why| format!("{why}; want one such as \"0 */12 * * *\""))?;
        let zone = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ="));
        let name = zone.and_then(|rest| rest.split_once(' ')).map_or("UTC", |(name, _)| name);
        let zone = Zone::named(name).ok_or_else(|| format!("there is no time zone {name:?}"))?;
        Ok(Self(When { schedule, zone }))
    }
}

pub fn backup(flags: BackupFlags, data_dir: &Path) -> Result<Config> {
    Ok(Config {
        when: (!flags.disable_snapshots).then_some(flags.snapshot_schedule_cron.0),
        name: flags.snapshot_name.0,
        folder: flags.folder.folder(data_dir)?,
        keep: flags.snapshot_retention as usize,
        keep_bytes: u64::from(flags.snapshot_retention_size) << 20,
        compress: flags.snapshot_compress,
        s3: flags.s3.settings()?,
    })
}

impl S3Flags {
    /// `None` without `--s3`.
    pub fn settings(&self) -> Result<Option<Settings>> {
        let (true, Some(bucket)) = (self.s3, &self.s3_bucket) else { return Ok(None) };
        let read = |flag: &str, path: &Path| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {flag} {}", path.display()))
        };
        let secret_key = match (&self.s3_secret_key, &self.s3_secret_key_file) {
            (Some(secret), _) => secret.0.clone(),
            (None, Some(path)) => read("--s3-secret-key-file", path)?.trim().to_owned(),
            (None, None) => String::new(),
        };
        if self.s3_access_key.is_empty() || secret_key.is_empty() {
            bail!("--s3 wants --s3-access-key, and --s3-secret-key or --s3-secret-key-file");
        }
        if self.s3_endpoint.contains("://") {
            bail!("invalid value '{}' for '--s3-endpoint': want HOST or HOST:PORT", self.s3_endpoint);
        }
        Ok(Some(Settings {
            endpoint: self.s3_endpoint.trim_end_matches('/').to_owned(),
            bucket: bucket.clone(),
            region: self.s3_region.clone(),
            folder: self.s3_folder.trim_matches('/').to_owned(),
            access_key: self.s3_access_key.clone(),
            secret_key,
            session_token: self.s3_session_token.as_ref().map(|token| token.0.clone()),
            ca_pem: self.s3_endpoint_ca.as_deref().map(|path| read("--s3-endpoint-ca", path)).transpose()?,
            skip_verify: self.s3_skip_ssl_verify,
            insecure: self.s3_insecure,
            timeout: Duration::from_secs(self.s3_timeout),
        }))
    }
}
