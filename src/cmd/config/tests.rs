//! What the command line and the file may say, and what comes of it.

use std::path::Path;

use super::*;

pub(super) fn server_of(args: &str) -> Result<ServerConfig> {
    let file = tempfile::tempdir().unwrap();
    std::fs::write(file.path().join("c.yaml"), "").unwrap();
    server_with(args, &file.path().join("c.yaml"))
}

fn server_with(args: &str, file: &Path) -> Result<ServerConfig> {
    let config = format!("--config={}", file.display());
    let args = ["skiff", "server", config.as_str()].into_iter().chain(args.split_whitespace());
    match parse(args.map(OsString::from))? {
        Task::Server(config) => Ok(*config),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_table_of_flags_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn silence_gives_the_defaults_of_k3s() {
    let config = server_of("").unwrap();
    assert_eq!(config.port, 6443);
    assert_eq!(config.network.cluster_cidrs, ["10.42.0.0/16".parse::<IpNet>().unwrap()]);
    assert_eq!(config.network.cluster_dns, ["10.43.0.10".parse::<IpAddr>().unwrap()]);
    assert_eq!(config.network.api_service_ip().to_string(), "10.43.0.1");
    assert_eq!(config.network.node_ports, 30000..=32767);
    assert_eq!(config.kubeconfig, Path::new("/etc/skiff/skiff.yaml"));
    assert!(config.run_node && config.run_controllers && config.run_scheduler);
}

#[test]
fn another_data_dir_brings_its_own_kubeconfig() {
    assert_eq!(server_of("--data-dir /srv/two").unwrap().kubeconfig, Path::new("/srv/two/skiff.yaml"));
}

#[test]
fn the_command_line_beats_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "https-listen-port: 7000\ntls-san: [a.example, b.example]\ndisable-agent: true\n").unwrap();
    std::fs::create_dir(folder.path().join("config.yaml.d")).unwrap();
    std::fs::write(folder.path().join("config.yaml.d/10.yaml"), "tls-san+: c.example\nserver: https://ignored:1\n")
        .unwrap();
    let config = server_with("--https-listen-port 7001", &file).unwrap();
    assert_eq!(config.port, 7001);
    assert_eq!(config.tls_sans, ["a.example", "b.example", "c.example"]);
    assert!(!config.run_node);
}

#[test]
fn bad_values_are_refused_with_flag_value_and_what_is_right() {
    for (args, flag, value, right) in [
        ("--https-listen-port 0", "--https-listen-port", "0", "1..=65535"),
        ("--service-node-port-range 9-1", "--service-node-port-range", "9-1", "30000-32767"),
        ("--write-kubeconfig-mode 9", "--write-kubeconfig-mode", "9", "600"),
        ("--node-taint a=b:Never", "--node-taint", "a=b:Never", "NoExecute"),
        ("--node-name Über", "--node-name", "Über", "lower-case"),
        ("--cluster-cidr 10.0.0.0/8,11.0.0.0/8", "--cluster-cidr", "11.0.0.0/8", "IPv6"),
        ("--service-cidr 10.42.9.0/24", "--service-cidr", "10.42.9.0/24", "overlaps"),
        ("--log-level loud", "--log-level", "loud", "debug"),
    ] {
        let told = server_of(args).unwrap_err().to_string();
        assert!(told.contains(flag) && told.contains(value) && told.contains(right), "{args}: {told}");
    }
}

#[test]
fn a_misspelt_key_in_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "cluster-cird: 10.0.0.0/16\n").unwrap();
    assert!(server_with("", &file).unwrap_err().to_string().contains("cluster-cird"));
}

#[test]
fn an_issuer_of_tokens_is_described_whole_or_not_at_all() {
    let told = |args: &str| server_of(args).unwrap_err().to_string();
    assert!(told("--oidc-client-id x").contains("must be specified together"));
    let issuer = "--oidc-issuer-url https://i --oidc-client-id x";
    assert!(told(&format!("{issuer} --oidc-signing-algs HS256")).contains("RS256"));
    assert!(told(&format!("{issuer} --oidc-required-claim a")).contains("KEY=VALUE"));
    assert!(told("--oidc-issuer-url http://i --oidc-client-id x").contains("URL scheme must be https"));
    assert!(told(&format!("{issuer} --service-account-issuer https://i")).contains("must not overlap"));
    let config = server_of(issuer).unwrap();
    assert_eq!(config.others.config.issuers[0].audiences, ["x"]);
    assert!(config.others.config.anonymous.enabled);
    assert!(!server_of("--anonymous-auth false").unwrap().others.config.anonymous.enabled);
}

#[test]
fn tokens_are_for_their_issuers_unless_it_is_said() {
    let config = server_of("--cluster-domain example.org").unwrap();
    assert_eq!(config.tokens.issuers, ["https://kubernetes.default.svc.example.org"]);
    assert_eq!(config.tokens.audiences, config.tokens.issuers);
    let config = server_of("--service-account-issuer https://a --service-account-issuer https://b --api-audiences x,y");
    let config = config.unwrap();
    assert_eq!(config.tokens.issuers, ["https://a", "https://b"]);
    assert_eq!(config.tokens.audiences, ["x", "y"]);
}

#[test]
fn a_configuration_file_for_authentication_excludes_flags_for_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authn.yaml");
    let text =
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: false}\n";
    std::fs::write(&file, text).unwrap();
    let args = format!("--authentication-config {}", file.display());
    assert!(!server_of(&args).unwrap().others.config.anonymous.enabled);
    for more in ["--oidc-client-id x", "--anonymous-auth true"] {
        assert!(server_of(&format!("{args} {more}")).is_err(), "{more}");
    }
}

#[test]
fn an_audit_policy_needs_somewhere_to_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n").unwrap();
    let args = format!("--audit-policy-file {}", file.display());
    assert!(server_of(&args).unwrap_err().to_string().contains("--audit-log-path"));
    let config = server_of(&format!("{args} --audit-log-path - --audit-log-maxsize 7")).unwrap();
    assert_eq!(config.audit.unwrap().log.unwrap().1.megabytes, 7);
    assert!(server_of("--audit-log-path x").is_err());
}

#[test]
fn authorizers_are_named_once_and_a_webhook_has_its_file() {
    let names = |config: ServerConfig| -> Vec<String> {
        config.authorizers.config.authorizers.into_iter().map(|entry| entry.name).collect()
    };
    assert_eq!(names(server_of("").unwrap()), ["node", "rbac"]);
    let with_webhook = "--authorization-mode RBAC,Webhook --authorization-webhook-config-file /w.conf";
    assert_eq!(names(server_of(with_webhook).unwrap()), ["rbac", "default"]);
    let told = |args: &str| format!("{:#}", server_of(args).unwrap_err());
    assert!(told("--authorization-mode Magic").contains("authorization-mode \"Magic\" is not a valid mode"));
    assert!(told("--authorization-mode RBAC,RBAC").contains("mode specified more than once"));
    assert!(told("--authorization-mode Webhook").contains("authorization config file not passed"));
    assert!(told("--authorization-webhook-config-file /w.conf").contains("without mode Webhook"));
    assert!(told(&format!("{with_webhook} --authorization-webhook-version v2")).contains("supported versions are"));
    assert!(told("--authorization-config /nowhere --authorization-mode RBAC").contains("can not be specified when"));
    assert!(told("--authentication-token-webhook-config-file /nowhere").contains("cannot read --authentication-token"));
}

#[test]
fn policies_in_a_file_go_with_their_mode() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.jsonl");
    std::fs::write(&file, "{\"user\": \"ann\"}\n").unwrap();
    let given = format!("--authorization-policy-file {}", file.display());
    let config = server_of(&format!("--authorization-mode RBAC,ABAC {given}")).unwrap();
    assert!(config.authorizers.config.authorizers[1].policies.is_some());
    for (args, told) in [
        ("--authorization-mode ABAC", "policy file not passed"),
        (given.as_str(), "cannot specify --authorization-policy-file without mode ABAC"),
    ] {
        assert!(server_of(args).unwrap_err().to_string().contains(told), "{args}");
    }
    std::fs::write(&file, "{").unwrap();
    assert!(server_of(&format!("--authorization-mode ABAC {given}")).unwrap_err().to_string().contains("line 1"));
}
