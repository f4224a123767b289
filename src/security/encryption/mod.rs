//! Encryption at rest: which keys there are, which counts, and what is sealed with it.
//!
//! [`Keyring`] is what the store is given: it seals on the way to the disk and opens on the way back.
//! A key is durable in the [`KeyFile`] before anything is sealed with it, so that a crash at any moment
//! leaves nothing that cannot be opened. The decisions are in `docs/design/encryption.md`.

mod cipher;
pub mod config;
mod keyfile;
mod kms;
mod rules;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{SecurityError, random_bytes};
use crate::base::seal::{Seal, SealError, SealRef};
use cipher::{Form, Key};
use config::{Config, Provider};
pub use keyfile::KeyFile;
use keyfile::{Secret, StoredKey, Wrapped};
use kms::Kms;
pub use kms::KmsError;
use rules::Rules;

/// What `--secrets-encryption` is about.
const SECRETS: &str = "secrets";
/// How long a start waits for a plugin.
const PLUGIN_TRIES: u32 = 10;
const PLUGIN_RETRY: Duration = Duration::from_secs(1);
const PLUGIN_SECRET_BYTES: usize = 32;

/// Why keys cannot be used or changed. What counted before counts on.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    #[error("cannot keep the keys")]
    File(#[from] SecurityError),
    #[error(transparent)]
    Kms(#[from] KmsError),
    #[error("what is encrypted stands in --encryption-provider-config: change it there")]
    Configured,
    #[error("encryption is not enabled: `skiff secrets-encrypt enable` first")]
    Disabled,
}

/// All keys of this server, and what counts now. Shared by whoever seals and whoever changes it.
pub struct Keyring {
    file: PathBuf,
    inner: Mutex<Inner>,
    rules: ArcSwap<Rules>,
    /// Held while keys are changed: one change at a time.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Inner {
    stored: KeyFile,
    config: Option<Config>,
    plugins: BTreeMap<String, Plugin>,
    /// Keys that plugins decrypted.
    unwrapped: BTreeMap<String, Arc<Key>>,
}

struct Plugin {
    kms: Kms,
    /// The key that counts, by its name in the file.
    primary: Option<String>,
    health: Result<(), String>,
}

/// What `skiff secrets-encrypt status` shows.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct View {
    pub generation: u64,
    pub enabled: bool,
    /// The rules stand in a file.
    pub configured: bool,
    pub resources: Vec<Resources>,
    /// Every key that can be opened.
    pub keys: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Resources {
    pub names: Vec<String>,
    /// Empty if they stay as they are.
    pub key: String,
}

impl Keyring {
    /// The keys in `file`, and with them the rules that it tells.
    pub fn open(file: PathBuf) -> Result<Arc<Self>, SecurityError> {
        let stored = KeyFile::read(&file)?;
        let keyring = Self {
            file,
            inner: Mutex::new(Inner { stored, ..Inner::default() }),
            rules: ArcSwap::default(),
            changing: tokio::sync::Mutex::default(),
        };
        keyring.refresh();
        Ok(Arc::new(keyring))
    }

    /// As the store wants it.
    pub fn seal(self: &Arc<Self>) -> SealRef {
        Arc::new(Live(self.clone()))
    }

    /// Seals Secrets from the beginning, unless the file says something already.
    pub fn begin(&self, now_secs: i64) -> Result<(), SecurityError> {
        let is_new = self.lock().stored.generation == 0;
        if !is_new {
            return Ok(());
        }
        self.change(|file| {
            file.enabled = true;
            file.add_primary(now_secs);
        })
    }

    pub fn enable(&self, now_secs: i64) -> Result<(), EncryptionError> {
        self.check_free()?;
        if self.lock().stored.enabled {
            return Ok(());
        }
        Ok(self.change(|file| {
            file.enabled = true;
            if file.primary.is_empty() {
                file.add_primary(now_secs);
            }
        })?)
    }

    pub fn disable(&self) -> Result<(), EncryptionError> {
        self.check_free()?;
        Ok(self.change(|file| file.enabled = false)?)
    }

    /// Seals with a new key from now on.
    pub fn rotate(&self, now_secs: i64) -> Result<(), EncryptionError> {
        self.check_free()?;
        if !self.lock().stored.enabled {
            return Err(EncryptionError::Disabled);
        }
        Ok(self.change(|file| file.add_primary(now_secs))?)
    }

    /// The file as another server of the cluster is to have it.
    pub fn text(&self) -> String {
        self.lock().stored.text()
    }

    /// Takes over what another server of the cluster has. Tells whether anything was new.
    pub fn adopt(&self, text: &str) -> Result<bool, SecurityError> {
        let other = KeyFile::parse(text).map_err(|why| SecurityError::damaged("another server's keys", why))?;
        let mut inner = self.lock();
        let merged = inner.stored.merge(&other);
        if merged == inner.stored || merged.keys.is_empty() {
            return Ok(false);
        }
        merged.write(&self.file)?;
        inner.stored = merged;
        drop(inner);
        self.refresh();
        Ok(true)
    }

    /// As [`Keyring::adopt`], without keeping anything.
    pub fn know(&self, text: &str) -> Result<(), SecurityError> {
        let other = KeyFile::parse(text).map_err(|why| SecurityError::damaged("the keys", why))?;
        let mut inner = self.lock();
        inner.stored = inner.stored.merge(&other);
        drop(inner);
        self.refresh();
        Ok(())
    }

    /// Opens what a file of rules can open; its plugins are asked to decrypt keys, and make none.
    pub async fn look_at(&self, config: Config) -> Result<(), EncryptionError> {
        for plugin in config.plugins() {
            self.unwrap_all(&Kms::new(plugin.clone())?).await?;
        }
        self.lock().config = Some(config);
        self.refresh();
        Ok(())
    }

    /// Lets rules from a file count in place of the key file's. Plugins are asked for their keys first;
    /// `patient` waits for those that are not up yet.
    pub async fn configure(&self, config: Option<Config>, now_secs: i64, patient: bool) -> Result<(), EncryptionError> {
        let _changing = self.changing.lock().await;
        let wanted: Vec<_> = config.iter().flat_map(Config::plugins).cloned().collect();
        let mut plugins = BTreeMap::new();
        for plugin in wanted {
            let kms = Kms::new(plugin)?;
            let primary = self.primary_of(&kms, now_secs, if patient { PLUGIN_TRIES } else { 1 }).await?;
            plugins.insert(kms.plugin.name.clone(), Plugin { kms, primary: Some(primary), health: Ok(()) });
        }
        let mut inner = self.lock();
        inner.plugins = plugins;
        inner.config = config;
        drop(inner);
        self.refresh();
        Ok(())
    }

    /// Asks every plugin how it is, and goes on with a new key when the plugin's own has changed.
    pub async fn look_after_plugins(&self, now_secs: i64) {
        let _changing = self.changing.lock().await;
        let plugins: Vec<Kms> = self.lock().plugins.values().map(|plugin| plugin.kms.clone()).collect();
        for kms in plugins {
            let asked = self.primary_of(&kms, now_secs, 1).await;
            let mut inner = self.lock();
            let Some(plugin) = inner.plugins.get_mut(&kms.plugin.name) else { continue };
            let changed = asked.as_ref().is_ok_and(|primary| plugin.primary.as_ref() != Some(primary));
            plugin.health = asked.as_ref().map(|_| ()).map_err(ToString::to_string);
            plugin.primary = asked.ok().or(plugin.primary.take());
            drop(inner);
            if changed {
                tracing::info!(plugin = kms.plugin.name, "the KMS plugin has another key: sealing with a new one");
                self.refresh();
            }
        }
    }

    pub fn has_plugins(&self) -> bool {
        !self.lock().plugins.is_empty()
    }

    /// How the plugins were when last asked.
    pub fn health(&self) -> Result<(), String> {
        let inner = self.lock();
        let unwell: Vec<&str> =
            inner.plugins.values().filter_map(|it| it.health.as_ref().err()).map(String::as_str).collect();
        if unwell.is_empty() { Ok(()) } else { Err(unwell.join("; ")) }
    }

    pub fn view(&self) -> View {
        let (rules, inner) = (self.rules.load_full(), self.lock());
        let resources = rules
            .entries()
            .map(|(names, key)| Resources { names: names.to_vec(), key: key.unwrap_or_default().into() });
        View {
            generation: inner.stored.generation,
            enabled: rules.generation() != 0,
            configured: inner.config.is_some(),
            resources: resources.collect(),
            keys: rules.keys().map(|key| key.name.clone()).collect(),
        }
    }

    /// The name of the key to seal with now, after all of the plugin's keys were decrypted. One is made
    /// if there is none for the plugin's present key.
    async fn primary_of(&self, kms: &Kms, now_secs: i64, tries: u32) -> Result<String, EncryptionError> {
        let mut tried = 1;
        let key_id = loop {
            match kms.status().await {
                Ok(key_id) => break key_id,
                Err(KmsError::Unreachable { .. }) if tried < tries => tokio::time::sleep(PLUGIN_RETRY).await,
                Err(error) => return Err(error.into()),
            }
            tried += 1;
        };
        self.unwrap_all(kms).await?;
        let known = {
            let inner = self.lock();
            let known = inner.stored.wrapped_by(&kms.plugin.name, &key_id).map(|key| key.name.clone());
            known.filter(|name| inner.unwrapped.contains_key(name))
        };
        if let Some(name) = known {
            return Ok(name);
        }
        let secret = random_bytes::<PLUGIN_SECRET_BYTES>();
        let wrapped = kms.encrypt(&secret).await?;
        if wrapped.key_id != key_id || kms.decrypt(&wrapped).await? != secret {
            let why = "it does not encrypt with the key that it names, or gives back something else".into();
            return Err(KmsError::Wrong { plugin: kms.plugin.name.clone(), why }.into());
        }
        Ok(self.keep_wrapped(kms, wrapped, &secret, now_secs)?)
    }

    async fn unwrap_all(&self, kms: &Kms) -> Result<(), EncryptionError> {
        let locked: Vec<(String, Wrapped)> = {
            let inner = self.lock();
            let of_plugin = |key: &StoredKey| match &key.secret {
                Secret::Kms(it) if it.plugin == kms.plugin.name && !inner.unwrapped.contains_key(&key.name) => {
                    Some((key.name.clone(), it.clone()))
                }
                Secret::Kms(_) | Secret::Plain(_) => None,
            };
            inner.stored.keys.iter().filter_map(of_plugin).collect()
        };
        for (name, wrapped) in locked {
            match kms.decrypt(&wrapped).await {
                Ok(secret) => {
                    let key = Arc::new(Key::new(&*name, Form::Aes256Gcm, secret));
                    self.lock().unwrapped.insert(name, key);
                }
                Err(error @ KmsError::Unreachable { .. }) => return Err(error.into()),
                // An old key may be gone for good without anything being sealed with it any more.
                Err(error) => tracing::warn!(key = name, %error, "a key cannot be decrypted"),
            }
        }
        Ok(())
    }

    fn keep_wrapped(&self, kms: &Kms, wrapped: Wrapped, secret: &[u8], now_secs: i64) -> Result<String, SecurityError> {
        let name = format!("kms:{}:{now_secs}-{}", kms.plugin.name, super::hex(&random_bytes::<4>()));
        let mut inner = self.lock();
        let mut stored = inner.stored.clone();
        stored.keys.push(StoredKey { name: name.clone(), created: now_secs, secret: Secret::Kms(wrapped) });
        stored.write(&self.file)?;
        inner.stored = stored;
        inner.unwrapped.insert(name.clone(), Arc::new(Key::new(&*name, Form::Aes256Gcm, secret)));
        Ok(name)
    }

    /// Changes the file, durably, and only then what counts.
    fn change(&self, change: impl FnOnce(&mut KeyFile)) -> Result<(), SecurityError> {
        let mut inner = self.lock();
        let mut stored = inner.stored.clone();
        change(&mut stored);
        stored.generation += 1;
        stored.write(&self.file)?;
        inner.stored = stored;
        drop(inner);
        self.refresh();
        Ok(())
    }

    fn check_free(&self) -> Result<(), EncryptionError> {
        if self.lock().config.is_some() { Err(EncryptionError::Configured) } else { Ok(()) }
    }

    /// Brings the rules up to what the sources say. A key that could be opened stays openable.
    fn refresh(&self) {
        let inner = self.lock();
        let before = self.rules.load_full();
        let local: Vec<Arc<Key>> = inner.stored.keys.iter().filter_map(StoredKey::plain).collect();
        let entries = match &inner.config {
            Some(config) => {
                config.entries.iter().map(|it| (it.resources.clone(), inner.first(&it.providers))).collect()
            }
            None if inner.stored.enabled => {
                let primary = local.iter().find(|key| key.name == inner.stored.primary).cloned();
                vec![(vec![SECRETS.to_owned()], primary)]
            }
            None => Vec::new(),
        };
        let configured = inner.config.iter().flat_map(|config| &config.entries).flat_map(|entry| &entry.providers);
        let configured = configured.flat_map(Provider::keys).cloned();
        let known =
            before.keys().cloned().chain(local.clone()).chain(inner.unwrapped.values().cloned()).chain(configured);
        self.rules.store(Arc::new(Rules::new(entries, known)));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn first(&self, providers: &[Provider]) -> Option<Arc<Key>> {
        match providers.first()? {
            Provider::Identity => None,
            Provider::Keys(keys) => keys.first().cloned(),
            Provider::Kms(plugin) => self.unwrapped.get(self.plugins.get(&plugin.name)?.primary.as_ref()?).cloned(),
        }
    }
}

/// Follows what counts.
struct Live(Arc<Keyring>);

impl Seal for Live {
    fn generation(&self) -> u64 {
        self.0.rules.load().generation()
    }

    fn covers(&self, resource: &str) -> bool {
        self.0.rules.load().covers(resource)
    }

    fn seal(&self, resource: &str, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.rules.load().seal(resource, plain, context)
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.rules.load().open(sealed, context)
    }

    fn now(&self) -> SealRef {
        self.0.rules.load_full()
    }
}

#[cfg(test)]
mod tests;
