//! Files that change all at once: readers see the whole old set or the whole new one.
//!
//! The files lie in a directory named by its time; `..data` points to it, and what users see are
//! links through `..data`. Swapping that one link swaps everything. The layout is upstream's, since
//! programs watch `..data`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use crate::object::Timestamp;

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative, with no `..` in it.
    pub path: String,
    pub content: Vec<u8>,
    pub mode: u32,
    pub owner_uid: Option<u32>,
}

/// Makes `dir` show exactly `files`. Does nothing, and says so, when it does already.
pub fn write(dir: &Path, files: &[File], group: Option<u32>, now: Timestamp) -> io::Result<bool> {
    if let Some(bad) = files.iter().find(|file| !is_inside(&file.path)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("path {:?} leaves its volume", bad.path)));
    }
    if shows(dir, files, group) {
        return Ok(false);
    }
    let old = fs::read_link(dir.join(DATA)).ok();
    let stamp = now.as_nanos();
    let fresh_name = format!(
        "..{}.{:09}",
        now.to_string().replace(['-', ':', 'T'], "_").trim_end_matches('Z'),
        stamp % 1_000_000_000
    );
    let fresh = dir.join(&fresh_name);
    fs::create_dir(&fresh)?;
    set_mode(&fresh, 0o755, group)?;
    for file in files {
        write_one(&fresh, file, group)?;
    }
    let next = dir.join(DATA_NEXT);
    let _ = fs::remove_file(&next);
    symlink(&fresh_name, &next)?;
    fs::rename(&next, dir.join(DATA))?;

    let wanted: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    for name in &wanted {
        let link = dir.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name();
        let is_ours = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_ours && !name.to_string_lossy().starts_with("..") && !wanted.contains(&*name.to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    if let Some(old) = old {
        let _ = fs::remove_dir_all(dir.join(old));
    }
    Ok(true)
}

fn write_one(root: &Path, file: &File, group: Option<u32>) -> io::Result<()> {
    let path = root.join(&file.path);
    let mut dir = root.to_owned();
    for step in Path::new(&file.path).parent().into_iter().flat_map(Path::components) {
        dir.push(step);
        if !dir.exists() {
            fs::create_dir(&dir)?;
            set_mode(&dir, 0o755, group)?;
        }
    }
    fs::write(&path, &file.content)?;
    // Whoever is in the group may read.
    let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
    if group.is_some() || file.owner_uid.is_some() {
        std::os::unix::fs::chown(&path, file.owner_uid, group)?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
}

/// A directory's mode; those of a group are entered by it, and give it to what is made inside.
fn set_mode(dir: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    if group.is_some() {
        std::os::unix::fs::chown(dir, None, group)?;
    }
    let mode = if group.is_some() { mode | 0o2550 } else { mode };
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}

fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|step| matches!(step, Component::Normal(_)))
}

fn shows(dir: &Path, files: &[File], group: Option<u32>) -> bool {
    let data = dir.join(DATA);
    if !data.is_dir() {
        return false;
    }
    let same = |file: &File| {
        let path = data.join(&file.path);
        let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
        fs::read(&path).is_ok_and(|content| content == file.content)
            && fs::metadata(&path).is_ok_and(|meta| meta.mode() & 0o7777 == mode)
    };
    let mut present = Vec::new();
    collect(&data, Path::new(""), &mut present);
    present.len() == files.len() && files.iter().all(same)
}

fn collect(root: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
        let path = below.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(root, &path, found);
        } else {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> File {
        File { path: path.into(), content: content.into(), mode: 0o644, owner_uid: None }
    }

    #[test]
    fn a_set_replaces_the_one_before_and_equal_sets_are_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = Timestamp::from_secs;
        assert!(write(dir.path(), &[file("a", "1"), file("b/c", "2")], None, at(1)).unwrap());
        assert!(!write(dir.path(), &[file("a", "1"), file("b/c", "2")], None, at(2)).unwrap());
        assert!(write(dir.path(), &[file("a", "3")], None, at(3)).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "3");
        assert!(fs::symlink_metadata(dir.path().join("b")).is_err());
        let hidden = fs::read_dir(dir.path()).unwrap().flatten().count();
        assert_eq!(hidden, 3, "..data, its directory, and a");
    }

    #[test]
    fn paths_cannot_leave_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../x", "/etc/x", "a/../../x", ""] {
            assert!(write(dir.path(), &[file(path, "")], None, Timestamp::from_secs(1)).is_err(), "{path}");
        }
    }
}
