//! Paths of the host: checked against the type they must have, made where the type says so.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum HostPathError {
    #[error("hostPath type check failed: {} is not a {wanted}", path.display())]
    Type { path: PathBuf, wanted: &'static str },
    #[error("hostPath type {0:?} is not known")]
    UnknownType(String),
    #[error("cannot make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
}

struct Rule {
    name: &'static str,
    wanted: &'static str,
    holds: fn(&fs::Metadata) -> bool,
    /// Makes what is missing; `None` where it must be there.
    make: Option<fn(&Path) -> io::Result<()>>,
}

static RULES: &[Rule] = &[
    Rule {
        name: "DirectoryOrCreate",
        wanted: "directory",
        holds: fs::Metadata::is_dir,
        make: Some(|path| {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        }),
    },
    Rule { name: "Directory", wanted: "directory", holds: fs::Metadata::is_dir, make: None },
    Rule {
        name: "FileOrCreate",
        wanted: "file",
        holds: fs::Metadata::is_file,
        make: Some(|path| {
            fs::OpenOptions::new().create(true).append(true).open(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        }),
    },
    Rule { name: "File", wanted: "file", holds: fs::Metadata::is_file, make: None },
    Rule { name: "Socket", wanted: "socket file", holds: |meta| meta.file_type().is_socket(), make: None },
    Rule {
        name: "CharDevice",
        wanted: "character device",
        holds: |meta| meta.file_type().is_char_device(),
        make: None,
    },
    Rule { name: "BlockDevice", wanted: "block device", holds: |meta| meta.file_type().is_block_device(), make: None },
];

/// Makes sure that `path` is what `kind` says; an empty kind asks for nothing.
pub fn check(path: &Path, kind: &str) -> Result<(), HostPathError> {
    if kind.is_empty() {
        return Ok(());
    }
    let rule =
        RULES.iter().find(|rule| rule.name == kind).ok_or_else(|| HostPathError::UnknownType(kind.to_owned()))?;
    if let (Some(make), false) = (rule.make, path.exists()) {
        make(path).map_err(|source| HostPathError::Make { path: path.to_owned(), source })?;
    }
    match fs::metadata(path) {
        Ok(meta) if (rule.holds)(&meta) => Ok(()),
        _ => Err(HostPathError::Type { path: path.to_owned(), wanted: rule.wanted }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_made_is_made_and_what_is_wrong_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert!(check(&path, "Directory").is_err());
        check(&path, "DirectoryOrCreate").unwrap();
        let error = check(&path, "File").unwrap_err().to_string();
        assert!(error.ends_with("a/b is not a file"), "{error}");
        assert!(check(&path, "").is_ok() && check(&path, "Odd").is_err());
    }
}
