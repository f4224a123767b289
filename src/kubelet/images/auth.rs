//! Credentials for registries, from the secrets a pod names. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_cri::v1::AuthConfig;
use serde::Deserialize;

use crate::kubelet::pods::sources::Entries;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    /// `user:password` in base64; counts when the two above are missing.
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

/// Every credential that fits `image`, the most specific first.
pub fn matching(image: &str, secrets: &[Entries]) -> Vec<AuthConfig> {
    let (registry, path) = split(image);
    let mut found: Vec<((usize, bool), AuthConfig)> = Vec::new();
    for secret in secrets {
        for (place, entry) in entries(secret) {
            let (host, prefix) = split_place(&place);
            if host_matches(host, registry) && path_matches(prefix, path) {
                found.push(((prefix.len(), !host.contains('*')), to_config(entry)));
            }
        }
    }
    found.sort_by_key(|(closeness, _)| std::cmp::Reverse(*closeness));
    found.into_iter().map(|(_, config)| config).collect()
}

fn entries(secret: &Entries) -> Vec<(String, Entry)> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct DockerConfig {
        auths: BTreeMap<String, Entry>,
    }
    let new = secret.get(".dockerconfigjson").and_then(|json| serde_json::from_slice::<DockerConfig>(json).ok());
    let old = secret.get(".dockercfg").and_then(|json| serde_json::from_slice::<BTreeMap<String, Entry>>(json).ok());
    new.map(|config| config.auths).into_iter().chain(old).flatten().collect()
}

/// Without the registry's address, as upstream's kubelet does it: the entry was picked for this image, and
/// containerd 1.6 reads an address with a port but no scheme as a broken URL.
fn to_config(entry: Entry) -> AuthConfig {
    let decoded = BASE64.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) if entry.username.is_empty() => (user.to_owned(), password.to_owned()),
        _ => (entry.username, entry.password),
    };
    AuthConfig {
        username,
        password,
        identity_token: entry.identitytoken,
        registry_token: entry.registrytoken,
        ..Default::default()
    }
}

/// The registry and the path of an image name, with what a bare name leaves out.
fn split(image: &str) -> (&str, &str) {
    match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", image),
    }
}

fn split_place(place: &str) -> (&str, &str) {
    let bare = place.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    // Docker's own entry is the address of its old API.
    match (host, path.trim_end_matches('/')) {
        ("index.docker.io", _) => ("docker.io", ""),
        (host, "v1" | "v2") => (host, ""),
        (host, path) => (host, path),
    }
}

/// `*` stands for one label of a host name.
fn host_matches(pattern: &str, host: &str) -> bool {
    let (pattern, host): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), host.split('.').collect());
    pattern.len() == host.len()
        && pattern.iter().zip(&host).all(|(pattern, label)| match pattern.split_once('*') {
            Some((before, after)) => {
                label.len() + 1 >= pattern.len() && label.starts_with(before) && label.ends_with(after)
            }
            None => pattern == label,
        })
}

fn path_matches(prefix: &str, path: &str) -> bool {
    prefix.is_empty()
        || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(image: &str, auths: &str) -> Vec<String> {
        let json = format!("{{\"auths\": {auths}}}");
        let secret = Entries::from([(".dockerconfigjson".to_owned(), json.into_bytes())]);
        matching(image, &[secret]).into_iter().map(|config| config.username).collect()
    }

    #[test]
    fn the_most_specific_credential_comes_first() {
        let auths = r#"{
            "https://reg.example:5000/v2/": {"username": "all"},
            "reg.example:5000/team": {"auth": "dGVhbTpzZWNyZXQ="},
            "*.example": {"username": "other"}
        }"#;
        assert_eq!(users("reg.example:5000/team/app:1", auths), ["team", "all"]);
        assert_eq!(users("reg.example:5000/teams/app", auths), ["all"]);
        assert_eq!(users("busybox", r#"{"https://index.docker.io/v1/": {"username": "hub"}}"#), ["hub"]);
    }
}
