//! The configuration file: YAML with the flags' names, and a folder of more of them.
//!
//! `config.yaml` is read first, then `config.yaml.d/*.yaml` in order of name. A later value
//! replaces an earlier one; with `+` behind the key it is added to the list instead. Keys that
//! only the other subcommand has are passed over, so that one file can serve both; keys that none
//! has are refused.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_yaml::Value;

/// Larger files are refused: this is configuration, not data.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Values by flag name, in the order the flag shall get them.
pub type Settings = BTreeMap<String, Vec<String>>;

/// Reads the file and its folder. A file that is not there is empty, unless it was asked for by name.
pub fn read(file: &Path, must_exist: bool) -> Result<Settings> {
    let mut settings = Settings::new();
    match read_limited(file) {
        Ok(text) => merge(&mut settings, &text).with_context(|| format!("in {}", file.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => (),
        Err(error) => return Err(error).with_context(|| format!("cannot read --config {}", file.display())),
    }
    for path in drop_ins(file)? {
        let text = read_limited(&path).with_context(|| format!("cannot read {}", path.display()))?;
        merge(&mut settings, &text).with_context(|| format!("in {}", path.display()))?;
    }
    Ok(settings)
}

fn drop_ins(file: &Path) -> Result<Vec<PathBuf>> {
    let folder = PathBuf::from(format!("{}.d", file.display()));
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(is_yaml).collect();
    paths.sort();
    Ok(paths)
}

fn read_limited(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

fn merge(settings: &mut Settings, text: &str) -> Result<()> {
    let map = match serde_yaml::from_str::<Value>(text).context("not YAML")? {
        Value::Null => return Ok(()),
        Value::Mapping(map) => map,
        _ => bail!("want a map of flag names to values"),
    };
    for (key, value) in map {
        let Value::String(key) = key else { bail!("key {key:?} is no flag name") };
        let values = values_of(value).with_context(|| format!("value of {key}"))?;
        match key.strip_suffix('+') {
            Some(key) => settings.entry(key.to_owned()).or_default().extend(values),
            None => drop(settings.insert(key, values)),
        }
    }
    Ok(())
}

fn values_of(value: Value) -> Result<Vec<String>> {
    Ok(match value {
        Value::Null => Vec::new(),
        Value::Sequence(items) => items.into_iter().map(scalar).collect::<Result<_>>()?,
        one => vec![scalar(one)?],
    })
}

fn scalar(value: Value) -> Result<String> {
    Ok(match value {
        Value::String(text) => text,
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        _ => bail!("want text, a number, true or false, or a list of these"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_replace_values_or_add_to_them() {
        let mut settings = Settings::new();
        merge(&mut settings, "tls-san: [a, b]\nhttps-listen-port: 6444\n").unwrap();
        merge(&mut settings, "tls-san+: c\nhttps-listen-port: 6445\ndisable-agent: true\n").unwrap();
        assert_eq!(settings["tls-san"], ["a", "b", "c"]);
        assert_eq!(settings["https-listen-port"], ["6445"]);
        assert_eq!(settings["disable-agent"], ["true"]);
    }

    #[test]
    fn what_is_no_map_of_scalars_is_refused() {
        for bad in ["- a", "a: {b: c}", "1: a", "a: [[b]]", "a: b: c"] {
            assert!(merge(&mut Settings::new(), bad).is_err(), "{bad}");
        }
    }
}
