//! Config maps and secrets that pods are fed with, read fresh from the API.
//!
//! A pod that is started now must see what was written before it was created, which a cache that
//! follows each resource on its own cannot promise.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use crate::client::Client;
use crate::kubelet::spec::{Container, Pod, Volume};
use crate::object::kind::{CONFIG_MAP, SECRET};
use crate::object::{Kind, Status};

/// The entries of a config map or of a secret, decoded.
pub type Entries = BTreeMap<String, Vec<u8>>;

/// What was found of the config maps and secrets asked for; `None` is one that does not exist.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub config_maps: HashMap<String, Option<Entries>>,
    pub secrets: HashMap<String, Option<Entries>>,
}

/// Names of config maps and of secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub config_maps: Vec<String>,
    pub secrets: Vec<String>,
}

impl Wanted {
    /// What the environment of `container` is made from.
    pub fn by_env(container: &Container) -> Self {
        let mut wanted = Self::default();
        for from in &container.env_from {
            wanted.config_maps.extend(from.config_map_ref.iter().map(|one| one.name.clone()));
            wanted.secrets.extend(from.secret_ref.iter().map(|one| one.name.clone()));
        }
        for source in container.env.iter().filter_map(|var| var.value_from.as_ref()) {
            wanted.config_maps.extend(source.config_map_key_ref.iter().map(|one| one.name.clone()));
            wanted.secrets.extend(source.secret_key_ref.iter().map(|one| one.name.clone()));
        }
        wanted
    }

    /// What `volume` is made from.
    pub fn by_volume(volume: &Volume) -> Self {
        let mut wanted = Self::default();
        wanted.config_maps.extend(volume.config_map.iter().map(|one| one.name.clone()));
        wanted.secrets.extend(volume.secret.iter().map(|one| one.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| &projected.sources) {
            wanted.config_maps.extend(source.config_map.iter().map(|one| one.name.clone()));
            wanted.secrets.extend(source.secret.iter().map(|one| one.name.clone()));
        }
        wanted
    }

    /// Everything a pod reads, for knowing which changes concern it.
    pub fn by_pod(pod: &Pod) -> Self {
        let volumes = pod.spec.volumes.iter().map(Self::by_volume);
        let envs = pod.all_containers().map(|(_, container)| Self::by_env(container));
        volumes.chain(envs).fold(Self::default(), |mut all, one| {
            all.config_maps.extend(one.config_maps);
            all.secrets.extend(one.secrets);
            all
        })
    }
}

/// Reads all that is wanted in `namespace`.
pub async fn fetch(client: &Client, namespace: &str, wanted: &Wanted) -> Result<Sources, Status> {
    let mut sources = Sources::default();
    for name in &wanted.config_maps {
        if !sources.config_maps.contains_key(name) {
            sources.config_maps.insert(name.clone(), read(client, &CONFIG_MAP, namespace, name).await?);
        }
    }
    for name in &wanted.secrets {
        if !sources.secrets.contains_key(name) {
            sources.secrets.insert(name.clone(), read(client, &SECRET, namespace, name).await?);
        }
    }
    Ok(sources)
}

async fn read(client: &Client, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Entries>, Status> {
    let Some(object) = client.find(kind, namespace, name).await? else { return Ok(None) };
    Ok(Some(decode(object.bytes(), kind == &SECRET)))
}

fn decode(json: &[u8], is_secret: bool) -> Entries {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Data {
        data: BTreeMap<String, String>,
        binary_data: BTreeMap<String, String>,
    }
    let Data { data, binary_data } = serde_json::from_slice(json).unwrap_or_default();
    // The API server has checked that this is base64.
    let decoded = |text: String| BASE64.decode(text).unwrap_or_default();
    let plain = data.into_iter().map(|(key, value)| match is_secret {
        true => (key, decoded(value)),
        false => (key, value.into_bytes()),
    });
    let binary = binary_data.into_iter().map(|(key, value)| (key, decoded(value)));
    plain.chain(binary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_binary_entries_are_decoded() {
        let secret = decode(br#"{"data":{"password":"aHVudGVyMg=="}}"#, true);
        assert_eq!(secret["password"], b"hunter2");
        let map = decode(br#"{"data":{"a":"text"},"binaryData":{"b":"AAE="}}"#, false);
        assert_eq!((map["a"].as_slice(), map["b"].as_slice()), (&b"text"[..], &[0, 1][..]));
    }
}
