//! Kubeconfigs: written with everything inside (server, authority, identity), and read as others write them.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use serde_json::Value;

use super::Identity;

/// The file's text for `server`, a URL.
pub fn render(server: &str, authority_pem: &str, identity: &Identity) -> String {
    let (authority, certificate, key) =
        (BASE64.encode(authority_pem), BASE64.encode(&identity.certificate), BASE64.encode(&identity.key));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: default
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: default
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: default
  context:
    cluster: default
    user: default
current-context: default
"
    )
}

/// Where a kubeconfig leads, and how to prove who asks: its first cluster and user, or those of its
/// current context.
#[derive(Clone)]
pub struct Kubeconfig {
    pub server: String,
    /// In PEM; the system's authorities if none.
    pub authorities: Option<String>,
    pub identity: Option<Identity>,
    pub token: Option<String>,
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubeconfig").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// Reads a kubeconfig; files that it names are beside it, in `folder`. The error is for the user.
    pub fn parse(text: &str, folder: Option<&Path>) -> Result<Self, String> {
        let config: Value = serde_yaml::from_str(text).map_err(|error| format!("not YAML: {error}"))?;
        let context = named(&config, "contexts", &text_at(&config, "current-context"));
        let context = context.and_then(|context| context.get("context"));
        let name = |part: &str| context.map(|context| text_at(context, part)).unwrap_or_default();
        let cluster = named(&config, "clusters", &name("cluster")).and_then(|cluster| cluster.get("cluster"));
        let cluster = cluster.ok_or("it has no cluster")?;
        let user = named(&config, "users", &name("user")).and_then(|user| user.get("user"));
        let server = text_at(cluster, "server");
        if server.is_empty() {
            return Err("its cluster has no server".into());
        }
        let of_user = |part: &str| user.map_or(Ok(None), |user| inline_or_file(user, part, folder));
        let identity = match (of_user("client-certificate")?, of_user("client-key")?) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            _ => return Err("its user has a client certificate or a key, and not the other".into()),
        };
        let token = user.map(|user| text_at(user, "token")).filter(|token| !token.is_empty());
        Ok(Self { server, authorities: inline_or_file(cluster, "certificate-authority", folder)?, identity, token })
    }
}

fn text_at(of: &Value, field: &str) -> String {
    of.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The entry of a list with this name, or the first if there is no name.
fn named<'v>(config: &'v Value, list: &str, name: &str) -> Option<&'v Value> {
    let mut entries = config.get(list)?.as_array()?.iter();
    entries.find(|entry| name.is_empty() || text_at(entry, "name") == name)
}

/// `FIELD-data` in base64, or what the file `FIELD` holds.
fn inline_or_file(of: &Value, field: &str, folder: Option<&Path>) -> Result<Option<String>, String> {
    let data = text_at(of, &format!("{field}-data"));
    if !data.is_empty() {
        let decoded = BASE64.decode(data).map_err(|error| format!("{field}-data: {error}"))?;
        return String::from_utf8(decoded).map(Some).map_err(|error| format!("{field}-data: {error}"));
    }
    let path = text_at(of, field);
    if path.is_empty() {
        return Ok(None);
    }
    let path = folder.unwrap_or(Path::new("")).join(path);
    std::fs::read_to_string(&path).map(Some).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let identity = Identity { certificate: "CERT".into(), key: "KEY".into() };
        let read = Kubeconfig::parse(&render("https://h:1/x", "CA", &identity), None).unwrap();
        assert_eq!((read.server.as_str(), read.authorities.as_deref()), ("https://h:1/x", Some("CA")));
        assert_eq!(read.identity.unwrap().key, "KEY");
        assert!(!format!("{:?}", Kubeconfig::parse(&render("s", "CA", &identity), None)).contains("KEY"));
    }

    #[test]
    fn the_current_context_chooses() {
        let text = "
clusters: [{name: a, cluster: {server: 'https://a'}}, {name: b, cluster: {server: 'https://b'}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: b, user: u}}]
current-context: c";
        let read = Kubeconfig::parse(text, None).unwrap();
        assert_eq!((read.server.as_str(), read.token.as_deref()), ("https://b", Some("t")));
        assert!(Kubeconfig::parse("{}", None).unwrap_err().contains("no cluster"));
    }
}
