//! What is sealed with which key, at one moment. The only part that bytes pass through.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::cipher::Key;
use super::config::matches;
use crate::base::seal::{Seal, SealError, SealRef, split_key};

#[derive(Clone, Default)]
pub struct Rules {
    /// The first that names a resource decides; without a key it stays as it is.
    entries: Vec<(Vec<String>, Option<Arc<Key>>)>,
    /// Everything that can be opened.
    keys: BTreeMap<String, Arc<Key>>,
    generation: u64,
}

impl Rules {
    pub fn new(entries: Vec<(Vec<String>, Option<Arc<Key>>)>, known: impl IntoIterator<Item = Arc<Key>>) -> Self {
        let mut keys: BTreeMap<String, Arc<Key>> = known.into_iter().map(|key| (key.name.clone(), key)).collect();
        keys.extend(entries.iter().filter_map(|(_, key)| key.clone()).map(|key| (key.name.clone(), key)));
        let generation = generation(&entries);
        Self { entries, keys, generation }
    }

    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    /// Which resources are sealed, and with which key; `None` if they stay as they are.
    pub fn entries(&self) -> impl Iterator<Item = (&[String], Option<&str>)> {
        self.entries.iter().map(|(resources, key)| (&resources[..], key.as_ref().map(|key| key.name.as_str())))
    }

    fn key_for(&self, resource: &str) -> Option<&Arc<Key>> {
        let names = |(patterns, _): &&(Vec<String>, _)| patterns.iter().any(|pattern| matches(pattern, resource));
        self.entries.iter().find(names)?.1.as_ref()
    }
}

/// Zero if nothing is sealed; else what tells these entries from others.
fn generation(entries: &[(Vec<String>, Option<Arc<Key>>)]) -> u64 {
    if entries.iter().all(|(_, key)| key.is_none()) {
        return 0;
    }
    let mut hash = Sha256::new();
    for (patterns, key) in entries {
        hash.update(format!("{patterns:?} {:?}\n", key.as_ref().map(|key| &key.name)));
    }
    let digest = hash.finalize();
    digest.first_chunk().map_or(1, |first| u64::from_le_bytes(*first)).max(1)
}

impl Seal for Rules {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn covers(&self, resource: &str) -> bool {
        self.key_for(resource).is_some()
    }

    fn seal(&self, resource: &str, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.key_for(resource).ok_or_else(|| SealError::NoKey { key: resource.to_owned() })?;
        key.seal(plain, context)
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let (name, _) = split_key(sealed).ok_or(SealError::Format)?;
        let key = self.keys.get(name).ok_or_else(|| SealError::NoKey { key: name.to_owned() })?;
        key.open(sealed, context)
    }

    fn now(&self) -> SealRef {
        Arc::new(self.clone())
    }
}
