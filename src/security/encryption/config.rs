//! Upstream's `EncryptionConfiguration`, read from a file: which resources are encrypted with what.
//!
//! The first provider of the first entry that names a resource encrypts it; all others only decrypt.
//! Complaints name the place, never a secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::cipher::{Form, Key, NAME_BYTES_MAX};

const FILE_BYTES_MAX: u64 = 1 << 20;
const API_VERSION: &str = "apiserver.config.k8s.io/v1";
const KIND: &str = "EncryptionConfiguration";
const KMS_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the file cannot be used. What counted before counts on.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read --encryption-provider-config {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("--encryption-provider-config {} is no {KIND} of {API_VERSION}: {why}", path.display())]
    Wrong { path: PathBuf, why: String },
}

/// What a file says.
#[derive(Debug, Default)]
pub struct Config {
    pub entries: Vec<Entry>,
}

#[derive(Debug)]
pub struct Entry {
    pub resources: Vec<String>,
    pub providers: Vec<Provider>,
}

#[derive(Debug)]
pub enum Provider {
    Identity,
    Keys(Vec<Arc<Key>>),
    Kms(KmsPlugin),
}

/// A plugin that holds the keys that keys are encrypted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsPlugin {
    pub name: String,
    pub socket: PathBuf,
    pub timeout: Duration,
}

impl Config {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|why| ConfigError::Wrong { path: path.to_owned(), why })
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        // The parser's words may quote what it read.
        let file: File = serde_yaml::from_str(text).map_err(|error| match error.location() {
            Some(at) => {
                format!("line {}, column {}: not the fields or values that belong there", at.line(), at.column())
            }
            None => "not the fields or values that belong there".to_owned(),
        })?;
        if (file.api_version.as_str(), file.kind.as_str()) != (API_VERSION, KIND) {
            return Err(format!("it is {} of {}", file.kind, file.api_version));
        }
        let entries: Vec<Entry> = (file.resources.into_iter().enumerate())
            .map(|(at, entry)| entry.check(&format!("resources[{at}]")))
            .collect::<Result<_, _>>()?;
        let mut known: Vec<&Arc<Key>> = Vec::new();
        for key in entries.iter().flat_map(|entry| &entry.providers).flat_map(Provider::keys) {
            if known.iter().any(|other| other.name == key.name && !other.is_same(key)) {
                return Err(format!("two different keys have the name {:?}", key.name));
            }
            known.push(key);
        }
        Ok(Self { entries })
    }

    pub fn plugins(&self) -> impl Iterator<Item = &KmsPlugin> {
        self.entries.iter().flat_map(|entry| &entry.providers).filter_map(|provider| match provider {
            Provider::Kms(plugin) => Some(plugin),
            Provider::Identity | Provider::Keys(_) => None,
        })
    }
}

impl Provider {
    pub fn keys(&self) -> &[Arc<Key>] {
        match self {
            Self::Keys(keys) => keys,
            Self::Identity | Self::Kms(_) => &[],
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    resources: Vec<FileEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    resources: Vec<String>,
    providers: Vec<FileProvider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProvider {
    aesgcm: Option<FileKeys>,
    aescbc: Option<FileKeys>,
    secretbox: Option<FileKeys>,
    identity: Option<Nothing>,
    kms: Option<FileKms>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
struct FileKeys {
    keys: Vec<FileKey>,
}

#[derive(Deserialize)]
struct FileKey {
    name: String,
    secret: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileKms {
    #[serde(default)]
    api_version: String,
    name: String,
    endpoint: String,
    timeout: Option<String>,
    #[serde(default, rename = "cachesize")]
    _cache_size: Option<i64>,
}

impl FileEntry {
    fn check(self, at: &str) -> Result<Entry, String> {
        if self.resources.is_empty() || self.providers.is_empty() {
            return Err(format!("{at}: want at least one resource and one provider"));
        }
        if let Some(odd) = self.resources.iter().find(|name| !is_pattern(name)) {
            return Err(format!("{at}: {odd:?} is no resource: want NAME, NAME.GROUP, *.GROUP, *. or *.*"));
        }
        let providers = self.providers.into_iter().enumerate();
        let providers = providers.map(|(n, provider)| provider.check(&format!("{at}.providers[{n}]")));
        Ok(Entry { resources: self.resources, providers: providers.collect::<Result<_, _>>()? })
    }
}

impl FileProvider {
    fn check(self, at: &str) -> Result<Provider, String> {
        let keys = |kind, form, sizes: &[usize], keys: FileKeys| {
            let keys = keys.keys.into_iter().enumerate();
            let keys = keys.map(|(n, key)| key.check(&format!("{at}.{kind}.keys[{n}]"), kind, form, sizes));
            match keys.collect::<Result<Vec<_>, _>>()? {
                keys if keys.is_empty() => Err(format!("{at}.{kind}: want at least one key")),
                keys => Ok(Provider::Keys(keys)),
            }
        };
        const AES: &[usize] = &[16, 24, 32];
        match (self.aesgcm, self.aescbc, self.secretbox, self.identity, self.kms) {
            (Some(given), None, None, None, None) => keys("aesgcm", Form::Aes256Gcm, AES, given),
            (None, Some(given), None, None, None) => keys("aescbc", Form::Aes256Gcm, AES, given),
            (None, None, Some(given), None, None) => keys("secretbox", Form::ChaCha20Poly1305, &[32], given),
            (None, None, None, Some(Nothing {}), None) => Ok(Provider::Identity),
            (None, None, None, None, Some(kms)) => kms.check(at).map(Provider::Kms),
            _ => Err(format!("{at}: want exactly one of aesgcm, aescbc, secretbox, identity and kms")),
        }
    }
}

impl FileKey {
    fn check(self, at: &str, kind: &str, form: Form, sizes: &[usize]) -> Result<Arc<Key>, String> {
        let name = format!("{kind}:{}", self.name);
        if self.name.is_empty() || name.len() > NAME_BYTES_MAX || self.name.contains(':') {
            return Err(format!("{at}: want a name without ':' of at most {} bytes", NAME_BYTES_MAX - 16));
        }
        let secret = BASE64.decode(&self.secret).map_err(|_| format!("{at}: the secret is not base64"))?;
        if !sizes.contains(&secret.len()) {
            return Err(format!("{at}: the secret has {} bytes, want one of {sizes:?}", secret.len()));
        }
        Ok(Arc::new(Key::new(name, form, secret)))
    }
}

impl FileKms {
    fn check(self, at: &str) -> Result<KmsPlugin, String> {
        if self.api_version != "v2" {
            return Err(format!("{at}.kms: apiVersion is {:?}, want v2", self.api_version));
        }
        if self.name.is_empty() || self.name.len() > 63 || self.name.contains(':') {
            return Err(format!("{at}.kms: want a name without ':' of at most 63 bytes"));
        }
        let socket = self.endpoint.strip_prefix("unix://").filter(|path| !path.is_empty());
        let socket = socket.ok_or_else(|| format!("{at}.kms: want an endpoint such as unix:///run/kms.sock"))?;
        let timeout = match self.timeout.as_deref() {
            None => KMS_TIMEOUT,
            Some(text) => seconds(text).ok_or_else(|| format!("{at}.kms: timeout {text:?}, want one such as 3s"))?,
        };
        Ok(KmsPlugin { name: self.name, socket: socket.into(), timeout })
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let number: f64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => number,
        "s" => number * 1e3,
        "m" => number * 6e4,
        _ => return None,
    };
    (1.0..=3.6e6).contains(&millis).then(|| Duration::from_millis(millis as u64))
}

fn is_pattern(name: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c));
    match name.strip_prefix("*.") {
        Some("" | "*") => true,
        Some(group) => plain(group) && !group.starts_with('.'),
        None => !name.is_empty() && plain(name) && !name.starts_with('.'),
    }
}

/// Whether `pattern` is about `resource`, both with their group behind them.
pub fn matches(pattern: &str, resource: &str) -> bool {
    let group = resource.split_once('.').map_or("", |(_, group)| group);
    match pattern.strip_prefix("*.") {
        Some("*") => true,
        Some(wanted) => wanted == group,
        None => pattern == resource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(providers: &str) -> String {
        format!(
            "apiVersion: {API_VERSION}\nkind: {KIND}\nresources:\n- resources: [secrets, '*.example.com']\n  providers: {providers}\n"
        )
    }

    #[test]
    fn what_upstream_documents_is_understood() {
        let secret = BASE64.encode([1; 32]);
        let text = file(&format!(
            "[{{aesgcm: {{keys: [{{name: key1, secret: {secret}}}]}}}}, {{kms: {{apiVersion: v2, name: vault, endpoint: unix:///run/v.sock, timeout: 500ms}}}}, {{secretbox: {{keys: [{{name: a, secret: {secret}}}]}}}}, {{identity: {{}}}}]"
        ));
        let config = Config::parse(&text).unwrap();
        let [entry] = &config.entries[..] else { panic!("{config:?}") };
        assert_eq!(entry.providers[0].keys()[0].name, "aesgcm:key1");
        let plugin = config.plugins().next().unwrap();
        assert_eq!((plugin.socket.as_path(), plugin.timeout), (Path::new("/run/v.sock"), Duration::from_millis(500)));
        assert!(matches!(entry.providers[3], Provider::Identity));
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        let secret = BASE64.encode([1; 31]);
        for (providers, complaint) in [
            (format!("[{{aesgcm: {{keys: [{{name: a, secret: {secret}}}]}}}}]"), "31 bytes, want one of [16, 24, 32]"),
            ("[{aesgcm: {keys: [{name: a, secret: hush!}]}}]".into(), "not base64"),
            ("[{aesgcm: {keys: []}}]".into(), "at least one key"),
            ("[{identity: {}, kms: {name: a, endpoint: 'unix:///a'}}]".into(), "exactly one of"),
            ("[{kms: {apiVersion: v1, name: a, endpoint: 'unix:///a'}}]".into(), "\"v1\", want v2"),
            ("[{kms: {apiVersion: v2, name: a, endpoint: 'tcp://a'}}]".into(), "unix:///run/kms.sock"),
            ("[]".into(), "one provider"),
            ("hush".into(), "line 5"),
        ] {
            let why = Config::parse(&file(&providers)).unwrap_err();
            assert!(why.contains(complaint) && !why.contains("hush") && !why.contains(&secret), "{why}");
        }
    }

    #[test]
    fn patterns_are_upstreams() {
        let cases = [("secrets", "secrets", true), ("secrets", "secrets.example.com", false), ("*.", "pods", true)];
        for (pattern, resource, expected) in cases {
            assert_eq!(matches(pattern, resource), expected, "{pattern} {resource}");
        }
        assert!(matches("*.apps", "deployments.apps") && !matches("*.apps", "pods") && matches("*.*", "pods"));
    }
}
