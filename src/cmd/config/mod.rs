//! Flags, `SKIFF_*` environment and configuration files, merged once into one checked value.
//!
//! A flag on the command line beats the environment, which beats the file, which beats the
//! default. What is wrong is refused here, with the flag, the value and what would be right;
//! behind this module every value is known to be good.

mod audit;
mod authn;
mod authz;
mod file;
pub mod flags;
mod snapshots;
pub mod values;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use ipnet::IpNet;

use crate::api::settings::Limits;
use crate::backup;
use crate::base::telemetry::LogSettings;
use crate::store::Endpoint;
pub use audit::{AuditConfig, WebhookConfig};
pub use authn::{Others, TokenConfig};
pub use authz::{Authorizers, TokenWebhookConfig, look};
use flags::{AgentFlags, Cli, Command, CommonFlags, DatastoreFlags, NodeFlags, RequestFlags, ServerFlags};
use values::{NodeLabel, NodeTaint, SecretText, ServerUrl};

pub const DATA_DIR: &str = "/var/lib/skiff";
pub const CONFIG_FILE: &str = "/etc/skiff/config.yaml";
const KUBECONFIG_FILE: &str = "/etc/skiff/skiff.yaml";

/// What the command line asked for.
#[derive(Debug)]
pub enum Task {
    Server(Box<ServerConfig>),
    Agent(Box<AgentConfig>),
    PrintToken { data_dir: PathBuf },
    Wait { kubeconfig: PathBuf, limit: std::time::Duration },
    SecretsEncrypt(flags::EncryptCommand),
    Member(flags::MemberCommand),
    Snapshot(flags::SnapshotCommand),
}

/// Everything `skiff server` can be told.
#[derive(Debug)]
pub struct ServerConfig {
    pub data_dir: PathBuf,
    pub log: LogSettings,
    pub bind_address: IpAddr,
    pub advertise_address: IpAddr,
    pub port: u16,
    pub tls_sans: Vec<String>,
    /// Begin a cluster of one with what is here, or with a snapshot, and end.
    pub reset: Option<Reset>,
    /// Only vote and keep the log.
    pub witness: bool,
    pub encryption: EncryptionConfig,
    pub backup: backup::Config,
    /// A server whose cluster this one joins.
    pub server: Option<ServerUrl>,
    pub token: Option<SecretText>,
    /// An etcd that keeps the state.
    pub datastore: Option<DatastoreConfig>,
    pub network: NetworkConfig,
    pub limits: Limits,
    pub kubeconfig: PathBuf,
    pub kubeconfig_mode: u32,
    pub disabled: BTreeSet<String>,
    pub run_controllers: bool,
    pub run_scheduler: bool,
    /// The node that runs in this process, unless `--disable-agent`.
    pub run_node: bool,
    pub node: NodeConfig,
    /// Of service-account tokens.
    pub tokens: TokenConfig,
    /// Whom else to believe; taken when the API starts.
    pub others: Others,
    pub token_webhook: Option<TokenWebhookConfig>,
    /// Who says what is allowed; taken when the API starts.
    pub authorizers: Authorizers,
    pub audit: Option<AuditConfig>,
}

/// What a new cluster of one begins with: a snapshot, or what this server has.
#[derive(Debug)]
pub struct Reset {
    pub from: Option<PathBuf>,
    pub other_cluster: bool,
}

/// What is to be encrypted at rest, and with which keys.
#[derive(Clone, Debug, Default)]
pub struct EncryptionConfig {
    /// Secrets, with keys of our own.
    pub secrets: bool,
    /// An `EncryptionConfiguration`.
    pub rules: Option<PathBuf>,
    /// Keys to take over.
    pub keys: Option<PathBuf>,
}

/// How to reach an etcd that keeps the state.
#[derive(Clone, Debug)]
pub struct DatastoreConfig {
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    pub authority: Option<PathBuf>,
    /// Both or none.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub prefix: String,
}

/// Addresses and names that the whole cluster shares.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// One or two networks, of different families.
    pub cluster_cidrs: Vec<IpNet>,
    pub service_cidrs: Vec<IpNet>,
    pub node_ports: RangeInclusive<u16>,
    pub cluster_dns: Vec<IpAddr>,
    pub cluster_domain: String,
}

/// Everything `skiff agent` can be told.
#[derive(Debug)]
pub struct AgentConfig {
    pub data_dir: PathBuf,
    pub log: LogSettings,
    pub server: ServerUrl,
    pub token: Option<SecretText>,
    pub node: NodeConfig,
}

/// What makes this machine a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub name: String,
    /// At least one, the primary one first.
    pub ips: Vec<IpAddr>,
    pub labels: Vec<NodeLabel>,
    pub taints: Vec<NodeTaint>,
    pub kubelet_port: u16,
    /// A runtime to use instead of a containerd of our own.
    pub runtime_endpoint: Option<String>,
    pub pause_image: Option<String>,
}

impl NetworkConfig {
    /// The address of the `kubernetes` service: the first of the first service network.
    pub fn api_service_ip(&self) -> IpAddr {
        nth_address(&self.service_cidrs[0], 1)
    }
}

/// Reads the command line. `Err` is for the user to read; help and version are among the errors
/// that clap prints and exits with.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Task> {
    let args: Vec<OsString> = args.into_iter().collect();
    let given = Cli::command().try_get_matches_from(&args)?;
    let merged = merge_file(args, &given)?;
    let matches = Cli::command().try_get_matches_from(merged)?;
    Ok(match Cli::from_arg_matches(&matches)?.command {
        Command::Server(flags) => Task::Server(Box::new(server(*flags)?)),
        Command::Agent(flags) => Task::Agent(Box::new(agent(*flags)?)),
        Command::Token(flags) => Task::PrintToken { data_dir: absolute(&flags.data_dir)? },
        Command::SecretsEncrypt(command) => Task::SecretsEncrypt(command),
        Command::Member(command) => Task::Member(command),
        Command::Snapshot(command) => Task::Snapshot(command),
        Command::Wait(flags) => Task::Wait {
            kubeconfig: absolute(&flags.kubeconfig)?,
            limit: std::time::Duration::from_secs(flags.timeout_secs),
        },
    })
}

/// The arguments with those of the file behind them, where command line and environment are silent.
fn merge_file(mut args: Vec<OsString>, given: &ArgMatches) -> Result<Vec<OsString>> {
    let cli = Cli::command();
    let Some((name, matches)) = given.subcommand() else { return Ok(args) };
    let Ok(Some(file)) = matches.try_get_one::<PathBuf>("config") else { return Ok(args) };
    let is_given =
        |id: &str| matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
    let settings = file::read(file, is_given("config"))?;
    for (key, values) in settings {
        let named = |arg: &&clap::Arg| arg.get_long() == Some(key.as_str()) && key != "config";
        let mine = cli.find_subcommand(name).and_then(|command| command.get_arguments().find(named));
        let anyones = || cli.get_subcommands().any(|command| command.get_arguments().any(|arg| named(&arg)));
        match mine {
            Some(arg) if is_given(arg.get_id().as_str()) => (),
            Some(arg) if arg.get_action().takes_values() => {
                args.extend(values.iter().map(|value| format!("--{key}={value}").into()));
            }
            Some(_) => match values.last().map(String::as_str) {
                Some("true") => args.push(format!("--{key}").into()),
                Some("false") | None => (),
                Some(other) => bail!("invalid value '{other}' for '--{key}': want true or false"),
            },
            None if anyones() => (),
            None => {
                bail!("unknown flag '{key}' in {} or its .d folder; `skiff {name} --help` lists all", file.display())
            }
        }
    }
    Ok(args)
}

fn server(flags: ServerFlags) -> Result<ServerConfig> {
    let data_dir = absolute(&flags.common.data_dir)?;
    let net = flags.networking;
    one_of_each_family("--cluster-cidr", &net.cluster_cidr)?;
    one_of_each_family("--service-cidr", &net.service_cidr)?;
    for service in &net.service_cidr {
        if service.max_prefix_len() - service.prefix_len() < 4 {
            bail!(
                "invalid value '{service}' for '--service-cidr': want room for 16 addresses or more, such as 10.43.0.0/16"
            );
        }
        if let Some(pods) = net.cluster_cidr.iter().find(|pods| pods.contains(service) || service.contains(*pods)) {
            bail!(
                "invalid value '{service}' for '--service-cidr': it overlaps --cluster-cidr {pods}; want two networks apart"
            );
        }
    }
    let node = node(flags.node)?;
    let audit = audit::read(flags.audit)?;
    let (authorizers, token_webhook) =
        (authz::read(&flags.authorization)?, authz::token_webhook(&flags.authentication)?);
    let (tokens, others) = authn::read(flags.authentication, &net.cluster_domain.0)?;
    let dns = match net.cluster_dns.as_slice() {
        [] => net.service_cidr.iter().map(|cidr| nth_address(cidr, 10)).collect(),
        given => given.to_vec(),
    };
    if flags.listener.bind_address.is_multicast() {
        bail!("invalid value '{}' for '--bind-address': want an address of this machine", flags.listener.bind_address);
    }
    let kubeconfig = match flags.kubeconfig.write_kubeconfig {
        Some(path) => absolute(&path)?,
        None if data_dir == Path::new(DATA_DIR) => KUBECONFIG_FILE.into(),
        None => data_dir.join("skiff.yaml"),
    };
    let limits = limits(&flags.requests)?;
    Ok(ServerConfig {
        limits,
        log: log(flags.common),
        bind_address: flags.listener.bind_address,
        advertise_address: flags.listener.advertise_address.unwrap_or(node.ips[0]),
        port: flags.listener.https_listen_port,
        tls_sans: flags.listener.tls_san.into_iter().map(|name| name.0).collect(),
        witness: flags.cluster.witness,
        reset: flags
            .cluster
            .cluster_reset
            .then_some(Reset { from: flags.cluster.from, other_cluster: flags.cluster.other_cluster }),
        encryption: EncryptionConfig {
            secrets: flags.encryption.secrets_encryption,
            rules: flags.encryption.encryption_provider_config.as_deref().map(absolute).transpose()?,
            keys: flags.cluster.encryption_keys,
        },
        backup: snapshots::backup(flags.backup, &data_dir)?,
        server: flags.cluster.server,
        token: token(flags.cluster.token, flags.cluster.token_file.as_deref())?,
        datastore: datastore(flags.datastore),
        network: NetworkConfig {
            cluster_cidrs: net.cluster_cidr.iter().map(IpNet::trunc).collect(),
            service_cidrs: net.service_cidr.iter().map(IpNet::trunc).collect(),
            node_ports: net.service_node_port_range.0,
            cluster_dns: dns,
            cluster_domain: net.cluster_domain.0,
        },
        kubeconfig,
        kubeconfig_mode: flags.kubeconfig.write_kubeconfig_mode.0,
        disabled: flags.components.disable.into_iter().collect(),
        run_controllers: !flags.components.disable_controller_manager,
        run_scheduler: !flags.components.disable_scheduler,
        run_node: !flags.components.disable_agent,
        node,
        tokens,
        others,
        token_webhook,
        authorizers,
        audit,
        data_dir,
    })
}

fn limits(flags: &RequestFlags) -> Result<Limits> {
    if flags.max_requests_inflight == 0 && flags.max_mutating_requests_inflight == 0 {
        bail!(
            "invalid value '0' for '--max-requests-inflight' and '--max-mutating-requests-inflight': want 1 or more in one of them"
        );
    }
    for (name, span) in [("--request-timeout", flags.request_timeout), ("--event-ttl", flags.event_ttl)] {
        if span.0.is_zero() {
            bail!("invalid value '0s' for '{name}': want more than nothing, such as 1m");
        }
    }
    Ok(Limits {
        reads_max: flags.max_requests_inflight,
        writes_max: flags.max_mutating_requests_inflight,
        request: flags.request_timeout.0,
        watch_min: Duration::from_secs(flags.min_request_timeout.max(1).into()),
        shutdown_delay: flags.shutdown_delay_duration.0,
        event_ttl: flags.event_ttl.0,
    })
}

fn datastore(flags: DatastoreFlags) -> Option<DatastoreConfig> {
    let endpoints: Vec<Endpoint> = flags.datastore_endpoint.into_iter().map(|url| url.0).collect();
    (!endpoints.is_empty()).then_some(DatastoreConfig {
        endpoints,
        authority: flags.datastore_cafile,
        certificate: flags.datastore_certfile,
        key: flags.datastore_keyfile,
        prefix: flags.datastore_prefix.0,
    })
}

fn agent(flags: AgentFlags) -> Result<AgentConfig> {
    Ok(AgentConfig {
        data_dir: absolute(&flags.common.data_dir)?,
        log: log(flags.common),
        server: flags.join.server,
        token: token(flags.join.token, flags.join.token_file.as_deref())?,
        node: node(flags.node)?,
    })
}

fn node(flags: NodeFlags) -> Result<NodeConfig> {
    Ok(NodeConfig {
        name: match flags.node_name {
            Some(name) => name.0,
            None => host_name()?,
        },
        ips: if flags.node_ip.is_empty() { vec![default_route_address()] } else { flags.node_ip },
        labels: flags.node_label,
        taints: flags.node_taint,
        kubelet_port: flags.kubelet_port,
        runtime_endpoint: flags.container_runtime_endpoint,
        pause_image: flags.pause_image,
    })
}

fn log(flags: CommonFlags) -> LogSettings {
    LogSettings { level: flags.log_level, format: flags.log_format }
}

fn token(given: Option<SecretText>, file: Option<&Path>) -> Result<Option<SecretText>> {
    let Some(file) = file else { return Ok(given) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read --token-file {}", file.display()))?;
    let token = text.parse::<SecretText>().map_err(|why| anyhow::anyhow!("--token-file {}: {why}", file.display()))?;
    Ok(Some(token))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot make {} absolute", path.display()))
}

fn one_of_each_family(flag: &str, networks: &[IpNet]) -> Result<()> {
    let ok = match networks {
        [_] => true,
        [one, two] => one.addr().is_ipv4() != two.addr().is_ipv4(),
        _ => false,
    };
    if !ok {
        let shown: Vec<String> = networks.iter().map(IpNet::to_string).collect();
        bail!("invalid value '{}' for '{flag}': want one network, or one of IPv4 and one of IPv6", shown.join(","));
    }
    Ok(())
}

fn nth_address(network: &IpNet, n: u32) -> IpAddr {
    match network.network() {
        IpAddr::V4(base) => Ipv4Addr::from(u32::from(base) + n).into(),
        IpAddr::V6(base) => std::net::Ipv6Addr::from(u128::from(base) + u128::from(n)).into(),
    }
}

fn host_name() -> Result<String> {
    let name = nix::unistd::gethostname().context("cannot read the host's name")?;
    let name = name.to_string_lossy().to_ascii_lowercase();
    match name.parse::<values::DnsName>() {
        Ok(name) => Ok(name.0),
        Err(why) => bail!("the host's name {name:?} cannot be the node's: {why}; give --node-name"),
    }
}

/// The address that packets to the world would leave from. Nothing is sent.
fn default_route_address() -> IpAddr {
    let probe = |from: &str, to: &str| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
    };
    probe("0.0.0.0:0", "198.51.100.1:9")
        .or_else(|| probe("[::]:0", "[2001:db8::1]:9"))
        .unwrap_or(Ipv4Addr::LOCALHOST.into())
}

#[cfg(test)]
mod tests;
