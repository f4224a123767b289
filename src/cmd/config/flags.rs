//! Every flag, once: help, environment variable, default and syntax.
//!
//! Names and defaults are k3s's where it has the flag. The configuration file has the same names
//! (see `file`), and nothing else in the program knows them.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;

use super::EncryptionConfig;
use super::snapshots::{BackupFlags, FolderFlag, S3Flags};
use super::values::{
    DnsName, EtcdPrefix, EtcdUrl, FileMode, NodeLabel, NodeTaint, PortRange, SecretText, ServerUrl, Span,
};
use crate::base::telemetry::{LogFormat, LogLevel};

/// Kubernetes in one binary.
#[derive(Debug, Parser)]
#[command(name = "skiff", version = crate::VERSION, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole cluster: control plane and, unless disabled, a node
    Server(Box<ServerFlags>),
    /// Run a node that joins a server
    Agent(Box<AgentFlags>),
    /// Print the token with which agents join this server
    Token(TokenFlags),
    /// Return when a node of the cluster is Ready
    Wait(WaitFlags),
    /// Show and change what is encrypted at rest
    #[command(subcommand)]
    SecretsEncrypt(EncryptCommand),
    /// Show and change the servers of the cluster
    #[command(subcommand)]
    Member(MemberCommand),
    /// Save, look at and restore snapshots of the whole state
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

#[derive(Debug, Args)]
pub struct ServerFlags {
    #[command(flatten)]
    pub common: CommonFlags,
    #[command(flatten)]
    pub listener: ListenerFlags,
    #[command(flatten)]
    pub requests: RequestFlags,
    #[command(flatten)]
    pub cluster: ClusterFlags,
    #[command(flatten)]
    pub datastore: DatastoreFlags,
    #[command(flatten)]
    pub networking: NetworkingFlags,
    #[command(flatten)]
    pub kubeconfig: KubeconfigFlags,
    #[command(flatten)]
    pub components: ComponentFlags,
    #[command(flatten)]
    pub authentication: AuthenticationFlags,
    #[command(flatten)]
    pub authorization: AuthorizationFlags,
    #[command(flatten)]
    pub audit: super::audit::AuditFlags,
    #[command(flatten)]
    pub encryption: EncryptionFlags,
    #[command(flatten)]
    pub backup: BackupFlags,
    #[command(flatten)]
    pub node: NodeFlags,
}

#[derive(Debug, Args)]
pub struct AgentFlags {
    #[command(flatten)]
    pub common: CommonFlags,
    #[command(flatten)]
    pub join: JoinFlags,
    #[command(flatten)]
    pub node: NodeFlags,
}

#[derive(Debug, Args)]
pub struct TokenFlags {
    /// Folder of the server's state
    #[arg(short, long, value_name = "DIR", env = "SKIFF_DATA_DIR", default_value = super::DATA_DIR)]
    pub data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct WaitFlags {
    /// Administrator's kubeconfig of the cluster
    #[arg(long, value_name = "FILE", env = "SKIFF_WRITE_KUBECONFIG", default_value = "/etc/skiff/skiff.yaml")]
    pub kubeconfig: PathBuf,
    /// How many seconds to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout_secs: u64,
}

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the servers
    List(AdminFlags),
    /// Show how the servers are: what they lack, and when they were last heard of
    Status(AdminFlags),
    /// Take a server out of the cluster, for good: with its old data it cannot come back
    Remove(MemberFlags),
    /// Give a server a vote before it has caught up
    Promote(MemberFlags),
}

#[derive(Debug, Subcommand)]
pub enum EncryptCommand {
    /// Show what is encrypted on which server, and which keys there are
    Status(AdminFlags),
    /// Encrypt Secrets from now on
    Enable(AdminFlags),
    /// Encrypt nothing from now on
    Disable(AdminFlags),
    /// Encrypt with a new key from now on
    #[command(alias = "rotate-keys")]
    Rotate(AdminFlags),
    /// Write everything anew on all servers, as it is to be encrypted now
    Reencrypt(AdminFlags),
}

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Let the server write a snapshot, in the bucket too if it has one
    Save(SaveFlags),
    /// List the snapshots of this server, or with --s3 of the bucket
    List(FromFlags),
    /// Remove all snapshots but the newest, or with --s3 those in the bucket
    Prune(PruneFlags),
    /// Check that a snapshot is whole
    Verify(SnapshotFile),
    /// List the objects in a snapshot
    Ls(SnapshotKeys),
    /// Print an object in a snapshot
    Get(SnapshotKey),
    /// Begin a cluster of one with a snapshot, in place of what the stopped server has
    Restore(RestoreFlags),
}

#[derive(Debug, Args)]
pub struct SaveFlags {
    /// What its name begins with
    #[arg(long, value_name = "NAME", default_value = "on-demand")]
    pub name: DnsName,
    #[command(flatten)]
    pub admin: AdminFlags,
}

#[derive(Debug, Args)]
pub struct PruneFlags {
    /// How many to keep
    #[arg(long, visible_alias = "snapshot-retention", value_name = "COUNT", default_value_t = 5)]
    pub keep: usize,
    /// Only those whose name begins so [default: all]
    #[arg(long, value_name = "NAME")]
    pub name: Option<DnsName>,
    #[command(flatten)]
    pub from: FromFlags,
}

/// Where snapshots are, and what opens them.
#[derive(Debug, Args)]
pub struct FromFlags {
    #[command(flatten)]
    pub dir: TokenFlags,
    #[command(flatten)]
    pub folder: FolderFlag,
    /// Keys of the cluster that a snapshot is of: its server/encryption-keys.json
    #[arg(long, value_name = "FILE")]
    pub encryption_keys: Option<PathBuf>,
    /// The EncryptionConfiguration that a snapshot was made under
    #[arg(long, value_name = "FILE", env = "SKIFF_ENCRYPTION_PROVIDER_CONFIG")]
    pub encryption_provider_config: Option<PathBuf>,
    #[command(flatten)]
    pub s3: S3Flags,
}

impl FromFlags {
    pub fn encryption(&self) -> EncryptionConfig {
        let (rules, keys) = (self.encryption_provider_config.clone(), self.encryption_keys.clone());
        EncryptionConfig { secrets: false, rules, keys }
    }
}

#[derive(Debug, Args)]
pub struct SnapshotFile {
    /// The snapshot, or with --s3 its name in the bucket
    pub file: PathBuf,
    #[command(flatten)]
    pub from: FromFlags,
}

#[derive(Debug, Args)]
pub struct SnapshotKeys {
    /// The snapshot, or with --s3 its name in the bucket
    pub file: PathBuf,
    /// Only objects whose key begins so, such as `secrets/default/`
    #[arg(default_value = "")]
    pub prefix: String,
    #[command(flatten)]
    pub from: FromFlags,
}

#[derive(Debug, Args)]
pub struct SnapshotKey {
    /// The snapshot, or with --s3 its name in the bucket
    pub file: PathBuf,
    /// RESOURCE/NAMESPACE/NAME, as `skiff snapshot ls` prints it
    pub key: String,
    #[command(flatten)]
    pub from: FromFlags,
}

#[derive(Debug, Args)]
pub struct RestoreFlags {
    /// The snapshot, or with --s3 its name in the bucket
    pub file: PathBuf,
    /// The snapshot is of another cluster than the one that is here, and is to take its place
    #[arg(long)]
    pub other_cluster: bool,
    #[command(flatten)]
    pub from: FromFlags,
}

#[derive(Debug, Args)]
pub struct AdminFlags {
    /// Administrator's kubeconfig of the cluster
    #[arg(long, value_name = "FILE", env = "SKIFF_WRITE_KUBECONFIG", default_value = "/etc/skiff/skiff.yaml")]
    pub kubeconfig: PathBuf,
    /// How to print: table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    pub output: String,
}

#[derive(Debug, Args)]
pub struct MemberFlags {
    /// Name or id of the server
    pub member: String,
    #[command(flatten)]
    pub admin: AdminFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "General")]
pub struct CommonFlags {
    /// Configuration file; FILE.d/*.yaml beside it is read after it, in order of name
    #[arg(short, long, value_name = "FILE", env = "SKIFF_CONFIG_FILE", default_value = super::CONFIG_FILE)]
    pub config: PathBuf,
    /// Folder for all state
    #[arg(short, long, value_name = "DIR", env = "SKIFF_DATA_DIR", default_value = super::DATA_DIR)]
    pub data_dir: PathBuf,
    /// Least severe messages to log: error, warn, info, debug or trace, or directives such as
    /// `info,skiff::store=debug`
    #[arg(long, value_name = "LEVEL", env = "SKIFF_LOG_LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// How to write the log
    #[arg(long, value_name = "FORMAT", env = "SKIFF_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Listener")]
pub struct ListenerFlags {
    /// Address to listen on
    #[arg(long, value_name = "IP", env = "SKIFF_BIND_ADDRESS", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Address that members of the cluster reach this server at [default: the node's]
    #[arg(long, value_name = "IP", env = "SKIFF_ADVERTISE_ADDRESS")]
    pub advertise_address: Option<IpAddr>,
    /// Port of the Kubernetes API
    #[arg(long, value_name = "PORT", env = "SKIFF_HTTPS_LISTEN_PORT", default_value_t = 6443,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub https_listen_port: u16,
    /// More names and addresses for the server's certificate
    #[arg(long, value_name = "NAME", env = "SKIFF_TLS_SAN", value_delimiter = ',')]
    pub tls_san: Vec<DnsName>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Requests")]
pub struct RequestFlags {
    /// Reads worked on at once; with the next one the seats that priority levels share
    #[arg(long, value_name = "COUNT", env = "SKIFF_MAX_REQUESTS_INFLIGHT", default_value_t = 400)]
    pub max_requests_inflight: u32,
    /// Writes worked on at once
    #[arg(long, value_name = "COUNT", env = "SKIFF_MAX_MUTATING_REQUESTS_INFLIGHT", default_value_t = 200)]
    pub max_mutating_requests_inflight: u32,
    /// How long a request may take that does not say so itself; not watches and the like
    #[arg(long, value_name = "DURATION", env = "SKIFF_REQUEST_TIMEOUT", default_value = "1m")]
    pub request_timeout: Span,
    /// How many seconds a watch lasts at least that does not say so itself
    #[arg(long, value_name = "SECONDS", env = "SKIFF_MIN_REQUEST_TIMEOUT", default_value_t = 1_800)]
    pub min_request_timeout: u32,
    /// How long to serve as before when told to stop, with /readyz failing, so that load balancers notice
    #[arg(long, value_name = "DURATION", env = "SKIFF_SHUTDOWN_DELAY_DURATION", default_value = "0s")]
    pub shutdown_delay_duration: Span,
    /// How long to keep events
    #[arg(long, value_name = "DURATION", env = "SKIFF_EVENT_TTL", default_value = "1h")]
    pub event_ttl: Span,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterFlags {
    /// Another server, whose cluster to join instead of founding one
    #[arg(short, long, value_name = "URL", env = "SKIFF_URL")]
    pub server: Option<ServerUrl>,
    /// Only vote and keep the log, for two servers that are elsewhere: no API, no node, no objects
    #[arg(long, env = "SKIFF_WITNESS", conflicts_with = "cluster_reset")]
    pub witness: bool,
    /// Make this server the only one of its cluster, with all that it has, and end: when the others are
    /// gone for good
    #[arg(long, env = "SKIFF_CLUSTER_RESET")]
    pub cluster_reset: bool,
    /// Snapshot to begin the new cluster with, instead of what this server has
    #[arg(long, value_name = "FILE", requires = "cluster_reset")]
    pub from: Option<PathBuf>,
    /// That snapshot is of another cluster than the one that is here, and is to take its place
    #[arg(long, requires = "from")]
    pub other_cluster: bool,
    /// Keys of the cluster that the snapshot is of: its server/encryption-keys.json
    #[arg(long, value_name = "FILE", requires = "cluster_reset")]
    pub encryption_keys: Option<PathBuf>,
    /// Shared secret with which agents and servers join [default: made at first start]
    #[arg(short, long, value_name = "TOKEN", env = "SKIFF_TOKEN", hide_env_values = true)]
    pub token: Option<SecretText>,
    /// File that holds the token
    #[arg(long, value_name = "FILE", env = "SKIFF_TOKEN_FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Datastore")]
pub struct DatastoreFlags {
    /// Endpoints of an etcd to keep the state in, instead of on this server's disk; several servers can
    /// use the same
    #[arg(
        long,
        value_name = "URL",
        env = "SKIFF_DATASTORE_ENDPOINT",
        value_delimiter = ',',
        conflicts_with_all = [
            "server",
            "cluster_reset",
            "witness",
            "secrets_encryption",
            "encryption_provider_config",
            "snapshot_schedule_cron",
            "s3",
        ]
    )]
    pub datastore_endpoint: Vec<EtcdUrl>,
    /// Authority of etcd's certificates [default: those of the system]
    #[arg(long, value_name = "FILE", env = "SKIFF_DATASTORE_CAFILE", requires = "datastore_endpoint")]
    pub datastore_cafile: Option<PathBuf>,
    /// Certificate by which etcd knows this server
    #[arg(long, value_name = "FILE", env = "SKIFF_DATASTORE_CERTFILE", requires = "datastore_keyfile")]
    pub datastore_certfile: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE", env = "SKIFF_DATASTORE_KEYFILE", requires = "datastore_certfile")]
    pub datastore_keyfile: Option<PathBuf>,
    /// What the keys of this cluster begin with, when several share an etcd
    #[arg(long, value_name = "PREFIX", env = "SKIFF_DATASTORE_PREFIX", default_value = "/skiff")]
    pub datastore_prefix: EtcdPrefix,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Networking")]
pub struct NetworkingFlags {
    /// Networks for the addresses of pods, at most one of each family
    #[arg(
        long,
        value_name = "CIDR",
        env = "SKIFF_CLUSTER_CIDR",
        value_delimiter = ',',
        value_parser = address_range,
        default_value = "10.42.0.0/16"
    )]
    pub cluster_cidr: Vec<IpNet>,
    /// Networks for the addresses of services, at most one of each family
    #[arg(
        long,
        value_name = "CIDR",
        env = "SKIFF_SERVICE_CIDR",
        value_delimiter = ',',
        value_parser = address_range,
        default_value = "10.43.0.0/16"
    )]
    pub service_cidr: Vec<IpNet>,
    /// Ports for services of type NodePort
    #[arg(long, value_name = "FIRST-LAST", env = "SKIFF_SERVICE_NODE_PORT_RANGE", default_value = "30000-32767")]
    pub service_node_port_range: PortRange,
    /// Addresses of the cluster's DNS service [default: the tenth of --service-cidr]
    #[arg(long, value_name = "IP", env = "SKIFF_CLUSTER_DNS", value_delimiter = ',')]
    pub cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster's names
    #[arg(long, value_name = "DOMAIN", env = "SKIFF_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: DnsName,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Administrator's kubeconfig")]
pub struct KubeconfigFlags {
    /// File to write it to [default: /etc/skiff/skiff.yaml, or skiff.yaml in a --data-dir that is
    /// not the default]
    #[arg(short = 'o', long, value_name = "FILE", env = "SKIFF_WRITE_KUBECONFIG")]
    pub write_kubeconfig: Option<PathBuf>,
    /// Permissions of that file
    #[arg(long, value_name = "MODE", env = "SKIFF_WRITE_KUBECONFIG_MODE", default_value = "600")]
    pub write_kubeconfig_mode: FileMode,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Components")]
pub struct ComponentFlags {
    /// Packaged components not to deploy
    #[arg(long, value_name = "NAME", env = "SKIFF_DISABLE", value_delimiter = ',')]
    pub disable: Vec<String>,
    /// Run the control plane only: needs no root and no containerd
    #[arg(long, env = "SKIFF_DISABLE_AGENT")]
    pub disable_agent: bool,
    /// Do not run the controllers
    #[arg(long, env = "SKIFF_DISABLE_CONTROLLER_MANAGER")]
    pub disable_controller_manager: bool,
    /// Do not run the scheduler
    #[arg(long, env = "SKIFF_DISABLE_SCHEDULER")]
    pub disable_scheduler: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication")]
pub struct AuthenticationFlags {
    /// File that says whose tokens are believed (apiserver.config.k8s.io/v1 AuthenticationConfiguration)
    #[arg(long, value_name = "FILE", env = "SKIFF_AUTHENTICATION_CONFIG")]
    pub authentication_config: Option<PathBuf>,
    /// Kubeconfig of a webhook that is asked whose a token is that nobody here knows
    #[arg(long, value_name = "FILE", env = "SKIFF_AUTHENTICATION_TOKEN_WEBHOOK_CONFIG_FILE")]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    /// Version of the TokenReview that it is sent
    #[arg(long, value_name = "VERSION", env = "SKIFF_AUTHENTICATION_TOKEN_WEBHOOK_VERSION", default_value = "v1beta1")]
    pub authentication_token_webhook_version: String,
    /// How long its answers are believed; 0s is not at all
    #[arg(long, value_name = "DURATION", env = "SKIFF_AUTHENTICATION_TOKEN_WEBHOOK_CACHE_TTL", default_value = "2m")]
    pub authentication_token_webhook_cache_ttl: Span,
    /// Whether requests that do not say whose they are may be answered [default: true]
    #[arg(long, value_name = "BOOL", env = "SKIFF_ANONYMOUS_AUTH")]
    pub anonymous_auth: Option<bool>,
    /// Issuer of the cluster's service-account tokens; more are believed too [default:
    /// https://kubernetes.default.svc.DOMAIN]
    #[arg(long, value_name = "URL", env = "SKIFF_SERVICE_ACCOUNT_ISSUER")]
    pub service_account_issuer: Vec<String>,
    /// What tokens for this API are for [default: the issuers]
    #[arg(long, value_name = "NAME", env = "SKIFF_API_AUDIENCES", value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    /// OpenID issuer whose tokens are believed
    #[arg(long, value_name = "URL", env = "SKIFF_OIDC_ISSUER_URL")]
    pub oidc_issuer_url: Option<String>,
    /// What its tokens have to be for
    #[arg(long, value_name = "NAME", env = "SKIFF_OIDC_CLIENT_ID")]
    pub oidc_client_id: Option<String>,
    /// Authorities of the issuer's certificate [default: those of the system]
    #[arg(long, value_name = "FILE", env = "SKIFF_OIDC_CA_FILE")]
    pub oidc_ca_file: Option<PathBuf>,
    /// Claim that is the user's name
    #[arg(long, value_name = "CLAIM", env = "SKIFF_OIDC_USERNAME_CLAIM", default_value = "sub")]
    pub oidc_username_claim: String,
    /// What is put before the user's name; - is nothing [default: the issuer and #, nothing for email]
    #[arg(long, value_name = "TEXT", env = "SKIFF_OIDC_USERNAME_PREFIX", allow_hyphen_values = true)]
    pub oidc_username_prefix: Option<String>,
    /// Claim that is the user's groups
    #[arg(long, value_name = "CLAIM", env = "SKIFF_OIDC_GROUPS_CLAIM")]
    pub oidc_groups_claim: Option<String>,
    /// What is put before the groups' names
    #[arg(long, value_name = "TEXT", env = "SKIFF_OIDC_GROUPS_PREFIX", default_value = "")]
    pub oidc_groups_prefix: String,
    /// Signatures that are accepted
    #[arg(long, value_name = "NAME", env = "SKIFF_OIDC_SIGNING_ALGS", value_delimiter = ',', default_value = "RS256")]
    pub oidc_signing_algs: Vec<String>,
    /// Claim that tokens must have
    #[arg(long, value_name = "KEY=VALUE", env = "SKIFF_OIDC_REQUIRED_CLAIM", value_delimiter = ',')]
    pub oidc_required_claim: Vec<String>,
}

impl AuthenticationFlags {
    /// Whether an issuer is described by flags.
    pub fn has_oidc(&self) -> bool {
        self.oidc_issuer_url.is_some()
            || self.oidc_client_id.is_some()
            || self.oidc_ca_file.is_some()
            || self.oidc_username_prefix.is_some()
            || self.oidc_groups_claim.is_some()
            || !self.oidc_required_claim.is_empty()
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Authorization")]
pub struct AuthorizationFlags {
    /// Who is asked whether a request is allowed, in order: some of Node, RBAC, ABAC, Webhook, AlwaysAllow
    /// and AlwaysDeny [default: Node,RBAC]
    #[arg(long, value_name = "MODE", env = "SKIFF_AUTHORIZATION_MODE", value_delimiter = ',')]
    pub authorization_mode: Vec<String>,
    /// File that says who is asked (apiserver.config.k8s.io/v1 AuthorizationConfiguration)
    #[arg(long, value_name = "FILE", env = "SKIFF_AUTHORIZATION_CONFIG")]
    pub authorization_config: Option<PathBuf>,
    /// Policies of mode ABAC, one a line, in JSON
    #[arg(long, value_name = "FILE", env = "SKIFF_AUTHORIZATION_POLICY_FILE")]
    pub authorization_policy_file: Option<PathBuf>,
    /// Kubeconfig of the webhook of mode Webhook
    #[arg(long, value_name = "FILE", env = "SKIFF_AUTHORIZATION_WEBHOOK_CONFIG_FILE")]
    pub authorization_webhook_config_file: Option<PathBuf>,
    /// Version of the SubjectAccessReview that it is sent
    #[arg(long, value_name = "VERSION", env = "SKIFF_AUTHORIZATION_WEBHOOK_VERSION", default_value = "v1beta1")]
    pub authorization_webhook_version: String,
    /// How long its yes is believed; 0s is not at all
    #[arg(
        long,
        value_name = "DURATION",
        env = "SKIFF_AUTHORIZATION_WEBHOOK_CACHE_AUTHORIZED_TTL",
        default_value = "5m"
    )]
    pub authorization_webhook_cache_authorized_ttl: Span,
    /// How long its no is believed; 0s is not at all
    #[arg(
        long,
        value_name = "DURATION",
        env = "SKIFF_AUTHORIZATION_WEBHOOK_CACHE_UNAUTHORIZED_TTL",
        default_value = "30s"
    )]
    pub authorization_webhook_cache_unauthorized_ttl: Span,
}

impl AuthorizationFlags {
    /// Whether anything is said besides in a file.
    pub fn has_others(&self) -> bool {
        !self.authorization_mode.is_empty()
            || self.authorization_webhook_config_file.is_some()
            || self.authorization_policy_file.is_some()
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Encryption at rest")]
pub struct EncryptionFlags {
    /// Encrypt Secrets in every file of the store. Stays on without the flag, until `skiff secrets-encrypt
    /// disable`
    #[arg(long, env = "SKIFF_SECRETS_ENCRYPTION")]
    pub secrets_encryption: bool,
    /// File of kind EncryptionConfiguration that says what to encrypt with what; followed when it changes
    #[arg(long, value_name = "FILE", env = "SKIFF_ENCRYPTION_PROVIDER_CONFIG", conflicts_with = "secrets_encryption")]
    pub encryption_provider_config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub struct NodeFlags {
    /// Name of this node [default: the host's name]
    #[arg(long, value_name = "NAME", env = "SKIFF_NODE_NAME")]
    pub node_name: Option<DnsName>,
    /// Addresses of this node [default: of the interface with the default route]
    #[arg(short = 'i', long, value_name = "IP", env = "SKIFF_NODE_IP", value_delimiter = ',')]
    pub node_ip: Vec<IpAddr>,
    /// Labels to register the node with
    #[arg(long, value_name = "KEY=VALUE", env = "SKIFF_NODE_LABEL", value_delimiter = ',')]
    pub node_label: Vec<NodeLabel>,
    /// Taints to register the node with
    #[arg(long, value_name = "KEY=VALUE:EFFECT", env = "SKIFF_NODE_TAINT", value_delimiter = ',')]
    pub node_taint: Vec<NodeTaint>,
    /// Port of the kubelet's server
    #[arg(long, value_name = "PORT", env = "SKIFF_KUBELET_PORT", default_value_t = 10250,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub kubelet_port: u16,
    /// Socket of a container runtime to use [default: a containerd that skiff runs]
    #[arg(long, value_name = "SOCKET", env = "SKIFF_CONTAINER_RUNTIME_ENDPOINT")]
    pub container_runtime_endpoint: Option<String>,
    /// Image of the container that holds a pod's namespaces [default: built in]
    #[arg(long, value_name = "IMAGE", env = "SKIFF_PAUSE_IMAGE")]
    pub pause_image: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct JoinFlags {
    /// Server to join
    #[arg(short, long, value_name = "URL", env = "SKIFF_URL")]
    pub server: ServerUrl,
    /// Token of that server
    #[arg(short, long, value_name = "TOKEN", env = "SKIFF_TOKEN", hide_env_values = true)]
    pub token: Option<SecretText>,
    /// File that holds the token
    #[arg(long, value_name = "FILE", env = "SKIFF_TOKEN_FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
}

/// An address range, with a complaint that says what one looks like.
fn address_range(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| "want an address range such as 10.42.0.0/16 or fd00:42::/56".to_owned())
}
