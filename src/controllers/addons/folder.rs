//! The folder of manifests: which files there are, and the name of the addon that each has.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::base::hex::hex;

/// More files than this are not looked at.
const FILES_MAX: usize = 1_000;
const DEPTH_MAX: usize = 8;
const BYTES_MAX: u64 = 16 << 20;
const EXTENSIONS: &[&str] = &["yaml", "yml", "json"];
const SKIP: &str = ".skip";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The name of its `Addon`.
    pub addon: String,
    /// Where it is, seen from the folder.
    pub source: String,
    pub path: PathBuf,
    pub stamp: Stamp,
    pub skipped: bool,
}

/// Tells whether a file changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// The manifests under `root`, ordered by their paths.
pub(super) fn scan(root: &Path) -> io::Result<Vec<Found>> {
    let mut paths = Vec::new();
    collect(root, DEPTH_MAX, &mut paths)?;
    paths.sort();
    let skips: BTreeSet<PathBuf> = paths.iter().filter_map(|path| skipped_by(path)).collect();
    let mut found = Vec::new();
    for path in paths.into_iter().filter(|path| is_manifest(path)) {
        // A file that goes away meanwhile is not there.
        let Ok(about) = path.metadata() else { continue };
        let source = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        found.push(Found {
            addon: addon_name(&source),
            stamp: Stamp { modified: about.modified().ok(), bytes: about.len() },
            skipped: skips.contains(&path),
            source,
            path,
        });
    }
    Ok(found)
}

/// The file's bytes, if they are not too many.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("the file is larger than {} MiB", BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden || paths.len() >= FILES_MAX {
            continue;
        }
        if !path.is_dir() {
            paths.push(path);
        } else if depth > 0 {
            collect(&path, depth - 1, paths)?;
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

/// The file that `path` says to skip.
fn skipped_by(path: &Path) -> Option<PathBuf> {
    path.to_string_lossy().strip_suffix(SKIP).map(PathBuf::from)
}

/// `dns` for `dns.yaml`. A path that a name cannot say gets a piece of its digest, so that no two
/// files have the same.
fn addon_name(source: &str) -> String {
    let stem = source.rsplit_once('.').map_or(source, |(stem, _)| stem);
    let letters = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let name: String = letters.take(200).collect();
    let name = name.trim_matches('-');
    if format!("{name}.yaml") == source {
        return name.to_owned();
    }
    let digest = hex(&Sha256::digest(source)[..4]);
    format!("{name}-{digest}").trim_start_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_file_gives_its_name_and_no_two_files_share_one() {
        assert_eq!(addon_name("dns.yaml"), "dns");
        let names: BTreeSet<_> =
            ["a-b.yaml", "a/b.yaml", "a-b.json", "A-B.yaml", "a_b.yaml", "ä.yaml"].map(addon_name).into();
        assert_eq!(names.len(), 6, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric())), "{names:?}");
    }

    #[test]
    fn manifests_are_found_in_subfolders_and_skips_are_seen() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("more")).unwrap();
        for file in ["b.yaml", "b.yaml.skip", "more/c.json", "notes.txt", ".hidden.yaml"] {
            std::fs::write(root.path().join(file), "x").unwrap();
        }
        let found = scan(root.path()).unwrap();
        let seen: Vec<_> = found.iter().map(|file| (file.source.as_str(), file.skipped)).collect();
        assert_eq!(seen, [("b.yaml", true), ("more/c.json", false)]);
    }
}
