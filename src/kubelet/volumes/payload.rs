//! Volumes that show API data as files: which files, with what in them. Pure.

use std::collections::BTreeMap;

use super::atomic::File;
use crate::kubelet::pods::downward::{self, OnNode};
use crate::kubelet::pods::sources::{Entries, Sources};
use crate::kubelet::spec::volume::{DownwardSource, Projection};
use crate::kubelet::spec::{KeyToPath, Pod, Volume};

const DEFAULT_MODE: u32 = 0o644;

/// Why a volume's files cannot be made, as users read it in events.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PayloadError {
    #[error("configmap {0:?} not found")]
    NoConfigMap(String),
    #[error("secret {0:?} not found")]
    NoSecret(String),
    #[error("references non-existent config key: {0}")]
    NoConfigKey(String),
    #[error("references non-existent secret key: {0}")]
    NoSecretKey(String),
    #[error("{0}")]
    Downward(String),
    #[error("clustertrustbundle projections need a trust bundle that exists")]
    NoTrustBundle,
    #[error("no token for the projected path {0:?}")]
    NoToken(String),
}

/// What is put together into files.
pub struct Inputs<'a> {
    pub pod: &'a Pod,
    pub sources: &'a Sources,
    pub on_node: &'a OnNode,
    /// Service account tokens by their path in the volume.
    pub tokens: &'a BTreeMap<String, String>,
    /// PEM bundles by their path in the volume.
    pub bundles: &'a BTreeMap<String, String>,
    /// The user all containers run as, if it is one and the same.
    pub only_user: Option<u32>,
}

/// The files of `volume`; `None` if it is of another kind.
pub fn files(volume: &Volume, inputs: &Inputs) -> Option<Result<Vec<File>, PayloadError>> {
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        return Some(CONFIG_MAP.files(inputs, &source.name, &source.items, source.optional, mode));
    }
    if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        return Some(SECRET.files(inputs, &source.secret_name, &source.items, source.optional, mode));
    }
    if let Some(source) = &volume.downward_api {
        return Some(downward_files(inputs, source, source.default_mode.unwrap_or(DEFAULT_MODE)));
    }
    let projected = volume.projected.as_ref()?;
    let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
    Some(projected.sources.iter().try_fold(Vec::new(), |mut all: Vec<File>, source| {
        for file in projection(inputs, source, mode)? {
            // Of two sources with the same path the later one counts.
            all.retain(|earlier| earlier.path != file.path);
            all.push(file);
        }
        Ok(all)
    }))
}

fn projection(inputs: &Inputs, source: &Projection, mode: u32) -> Result<Vec<File>, PayloadError> {
    if let Some(one) = &source.config_map {
        return CONFIG_MAP.files(inputs, &one.name, &one.items, one.optional, mode);
    }
    if let Some(one) = &source.secret {
        return SECRET.files(inputs, &one.name, &one.items, one.optional, mode);
    }
    if let Some(one) = &source.downward_api {
        return downward_files(inputs, one, mode);
    }
    if let Some(one) = &source.service_account_token {
        let token = inputs.tokens.get(&one.path).ok_or_else(|| PayloadError::NoToken(one.path.clone()))?;
        let is_private = inputs.only_user.is_some() || inputs.pod.spec.security_context.fs_group.is_some();
        return Ok(vec![File {
            path: one.path.clone(),
            content: token.clone().into_bytes(),
            mode: if is_private { 0o600 } else { mode },
            owner_uid: inputs.only_user,
        }]);
    }
    if let Some(one) = &source.cluster_trust_bundle {
        return match inputs.bundles.get(&one.path) {
            Some(bundle) => Ok(vec![plain(&one.path, bundle.clone().into_bytes(), mode)]),
            None if one.optional => Ok(vec![plain(&one.path, Vec::new(), mode)]),
            None => Err(PayloadError::NoTrustBundle),
        };
    }
    Ok(Vec::new())
}

fn plain(path: &str, content: Vec<u8>, mode: u32) -> File {
    File { path: path.to_owned(), content, mode, owner_uid: None }
}

/// A kind of object whose entries become files, and what is said when something is missing.
struct Shown {
    find: for<'a> fn(&'a Sources, &str) -> Option<&'a Entries>,
    missing: fn(String) -> PayloadError,
    missing_key: fn(String) -> PayloadError,
}

const CONFIG_MAP: Shown = Shown {
    find: |sources, name| sources.config_maps.get(name)?.as_ref(),
    missing: PayloadError::NoConfigMap,
    missing_key: PayloadError::NoConfigKey,
};
const SECRET: Shown = Shown {
    find: |sources, name| sources.secrets.get(name)?.as_ref(),
    missing: PayloadError::NoSecret,
    missing_key: PayloadError::NoSecretKey,
};

impl Shown {
    fn files(
        &self,
        inputs: &Inputs,
        name: &str,
        items: &[KeyToPath],
        optional: bool,
        mode: u32,
    ) -> Result<Vec<File>, PayloadError> {
        match (self.find)(inputs.sources, name) {
            Some(entries) => chosen(entries, items, optional, mode).map_err(self.missing_key),
            None if optional => Ok(Vec::new()),
            None => Err((self.missing)(name.to_owned())),
        }
    }
}

/// The entries that `items` choose, or all of them. `Err` names a key that is not there.
fn chosen(entries: &Entries, items: &[KeyToPath], optional: bool, mode: u32) -> Result<Vec<File>, String> {
    if items.is_empty() {
        return Ok(entries.iter().map(|(key, value)| plain(key, value.clone(), mode)).collect());
    }
    let mut files = Vec::with_capacity(items.len());
    for item in items {
        match entries.get(&item.key) {
            Some(value) => files.push(plain(&item.path, value.clone(), item.mode.unwrap_or(mode))),
            None if optional => (),
            None => return Err(item.key.clone()),
        }
    }
    Ok(files)
}

fn downward_files(inputs: &Inputs, source: &DownwardSource, mode: u32) -> Result<Vec<File>, PayloadError> {
    let one = |item: &crate::kubelet::spec::volume::DownwardFile| {
        let value = if let Some(reference) = &item.field_ref {
            downward::field(inputs.pod, inputs.on_node, &reference.field_path)
        } else if let Some(reference) = &item.resource_field_ref {
            match inputs.pod.container(&reference.container_name) {
                Some((_, container)) => downward::resource(container, inputs.on_node, reference),
                None => Err(format!("container {} not found", reference.container_name)),
            }
        } else {
            Ok(String::new())
        };
        let value = value.map_err(PayloadError::Downward)?;
        Ok(plain(&item.path, value.into_bytes(), item.mode.unwrap_or(mode)))
    };
    source.items.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(volume: serde_json::Value, sources: &Sources) -> Result<Vec<File>, PayloadError> {
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let pod: Pod = serde_json::from_value(json!({"metadata": {"labels": {"a": "1"}}})).unwrap();
        let tokens = BTreeMap::from([("token".to_owned(), "t0".to_owned())]);
        let (on_node, bundles) = (OnNode::default(), BTreeMap::new());
        let inputs =
            Inputs { pod: &pod, sources, on_node: &on_node, tokens: &tokens, bundles: &bundles, only_user: Some(7) };
        files(&volume, &inputs).unwrap()
    }

    fn sources() -> Sources {
        let entries = Entries::from([("k".into(), b"v".to_vec()), ("l".into(), b"w".to_vec())]);
        Sources { config_maps: [("m".into(), Some(entries))].into(), ..Sources::default() }
    }

    #[test]
    fn items_choose_and_rename() {
        let found =
            run(json!({"configMap": {"name": "m", "items": [{"key": "k", "path": "x/y", "mode": 256}]}}), &sources());
        assert_eq!(found.unwrap(), [File { path: "x/y".into(), content: b"v".to_vec(), mode: 0o400, owner_uid: None }]);
        let missing = run(json!({"configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}}), &sources());
        assert_eq!(missing.unwrap_err().to_string(), "references non-existent config key: z");
        assert!(run(json!({"configMap": {"name": "no", "optional": true}}), &sources()).unwrap().is_empty());
    }

    #[test]
    fn a_projection_puts_sources_together_and_keeps_tokens_private() {
        let found = run(
            json!({"projected": {"sources": [
                {"configMap": {"name": "m"}},
                {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels['a']"}}]}},
                {"serviceAccountToken": {"path": "token"}}]}}),
            &sources(),
        )
        .unwrap();
        let shown: Vec<_> = found.iter().map(|file| (file.path.as_str(), file.content.as_slice(), file.mode)).collect();
        assert_eq!(shown, [("k", &b"v"[..], 0o644), ("l", b"1", 0o644), ("token", b"t0", 0o600)]);
    }
}
