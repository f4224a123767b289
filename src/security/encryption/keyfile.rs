//! The keys of this cluster, in a file that only its owner may read.
//!
//! Every key that anything may be sealed with is in here before it is used, and stays: snapshots need it.
//! Keys of a KMS plugin are in here as the plugin encrypted them. Servers of a cluster bring their files
//! together by [`KeyFile::merge`], which gives the same whatever the order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::cipher::{Form, Key, NAME_BYTES_MAX};
use crate::base::fs;
use crate::base::hex::hex;
use crate::security::{SecurityError, random_bytes};

const VERSION: u32 = 1;
const SECRET_BYTES: usize = 32;

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFile {
    version: u32,
    /// Rises with every change of what counts.
    pub generation: u64,
    /// Whether Secrets are sealed, with the key named so.
    pub enabled: bool,
    #[serde(default)]
    pub primary: String,
    pub keys: Vec<StoredKey>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredKey {
    pub name: String,
    /// In seconds since 1970.
    pub created: i64,
    #[serde(flatten)]
    pub secret: Secret,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Secret {
    /// In base64.
    Plain(String),
    Kms(Wrapped),
}

/// A key as a KMS plugin encrypted it; bytes are in base64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wrapped {
    pub plugin: String,
    pub key_id: String,
    pub ciphertext: String,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl KeyFile {
    /// What is in the file at `path`; empty where there is none.
    pub fn read(path: &Path) -> Result<Self, SecurityError> {
        match fs::read_if_there(path)? {
            Some(text) => Self::parse(&text).map_err(|why| SecurityError::damaged(path.display().to_string(), why)),
            None => Ok(Self::default()),
        }
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        // The parser's words may quote what it read.
        let file: Self = serde_json::from_str(text).map_err(|error| format!("no keys at line {}", error.line()))?;
        if file.version > VERSION {
            return Err(format!("format {} of a newer skiff: install the newer version", file.version));
        }
        let names_are_good = file.keys.iter().all(|key| (1..=NAME_BYTES_MAX).contains(&key.name.len()));
        let primary_is_there = !file.enabled || file.keys.iter().any(|key| key.name == file.primary);
        match names_are_good && primary_is_there && file.keys.iter().all(|key| key.check()) {
            true => Ok(file),
            false => Err("its keys do not fit together".into()),
        }
    }

    pub fn text(&self) -> String {
        let file = Self { version: VERSION, ..self.clone() };
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    /// Keeps it, durably.
    pub fn write(&self, path: &Path) -> Result<(), SecurityError> {
        Ok(fs::write_atomic(path, self.text().as_bytes(), 0o600)?)
    }

    /// Adds a new key, which is used from now on.
    pub fn add_primary(&mut self, now_secs: i64) {
        let name = format!("skiff:{now_secs}-{}", hex(&random_bytes::<4>()));
        let secret = Secret::Plain(BASE64.encode(random_bytes::<SECRET_BYTES>()));
        self.keys.push(StoredKey { name: name.clone(), created: now_secs, secret });
        self.primary = name;
    }

    /// All keys of both, and what counts as the newer one says.
    pub fn merge(&self, other: &Self) -> Self {
        let newer = std::cmp::max_by_key(self, other, |file| (file.generation, file.primary.clone(), file.enabled));
        let mut keys: BTreeMap<String, StoredKey> = BTreeMap::new();
        for key in self.keys.iter().chain(&other.keys) {
            keys.entry(key.name.clone()).or_insert_with(|| key.clone());
        }
        let mut keys: Vec<StoredKey> = keys.into_values().collect();
        keys.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Self { keys, version: VERSION, ..newer.clone() }
    }

    /// The key that a plugin's key `key_id` encrypted, the newest if there are several.
    pub fn wrapped_by(&self, plugin: &str, key_id: &str) -> Option<&StoredKey> {
        let by =
            |key: &&StoredKey| matches!(&key.secret, Secret::Kms(it) if it.plugin == plugin && it.key_id == key_id);
        self.keys.iter().rev().find(by)
    }
}

impl StoredKey {
    fn check(&self) -> bool {
        match &self.secret {
            Secret::Plain(_) => self.plain().is_some(),
            Secret::Kms(_) => true,
        }
    }

    /// The key, unless a plugin has to decrypt it.
    pub fn plain(&self) -> Option<Arc<Key>> {
        let Secret::Plain(text) = &self.secret else { return None };
        let secret = BASE64.decode(text).ok().filter(|secret| secret.len() == SECRET_BYTES)?;
        Some(Arc::new(Key::new(&*self.name, Form::Aes256Gcm, secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_changed_keys_apart_come_to_the_same() {
        let mut first = KeyFile { generation: 1, enabled: true, ..KeyFile::default() };
        first.add_primary(1);
        let mut other = first.clone();
        for (file, now) in [(&mut first, 2), (&mut other, 3)] {
            file.generation += 1;
            file.add_primary(now);
        }
        let merged = first.merge(&other);
        assert!(merged == other.merge(&first) && merged.keys.len() == 3);
        assert!(merged.primary == first.primary.clone().max(other.primary.clone()));
        other.generation += 1;
        other.enabled = false;
        assert!(!merged.merge(&other).enabled);
    }

    #[test]
    fn a_file_reads_back_and_a_newer_or_damaged_one_is_refused_without_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let mut file = KeyFile { enabled: true, ..KeyFile::default() };
        file.add_primary(5);
        file.write(&path).unwrap();
        assert!(KeyFile::read(&path).unwrap().keys == file.keys);
        let text = file.text();
        assert!(KeyFile::parse(&text.replace("\"version\": 1", "\"version\": 2")).err().unwrap().contains("newer"));
        assert!(KeyFile::parse(&text.replace(&file.primary, "another").replacen("another", "third", 1)).is_err());
        assert!(KeyFile::parse(&text[..text.len() / 2]).err().unwrap().starts_with("no keys at line"));
    }
}
