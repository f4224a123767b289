//! A part of a volume, pinned before a container gets it.
//!
//! The containers of a pod may change their volume while another is started, so a checked path
//! proves nothing: it is walked component by component without following links, and what the walk
//! ended at is bound to a place that containers cannot reach.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::mounts;

/// Binds `sub_path` of `volume` at `target`, making a missing directory. Gives back `target`.
pub fn prepare(volume: &Path, sub_path: &str, target: &Path) -> io::Result<PathBuf> {
    if !Path::new(sub_path).components().all(|step| matches!(step, Component::Normal(_) | Component::CurDir)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("subPath {sub_path:?} leaves its volume")));
    }
    let root = volume.canonicalize()?;
    make_missing(&root, sub_path)?;
    let resolved = root.join(sub_path).canonicalize()?;
    let inside = resolved.strip_prefix(&root).map_err(|_| {
        io::Error::new(io::ErrorKind::PermissionDenied, format!("subPath {sub_path:?} leaves its volume"))
    })?;
    let pinned = walk(&root, inside)?;
    let source = PathBuf::from(format!("/proc/self/fd/{}", pinned.as_raw_fd()));

    mounts::unmount_all(target)?;
    let _ = fs::remove_file(target);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::metadata(&source)?.is_dir() {
        fs::create_dir_all(target)?;
    } else {
        let _ = fs::remove_dir(target);
        fs::File::create(target)?;
    }
    mounts::bind(&source, target)?;
    Ok(target.to_owned())
}

/// Makes the missing directories of `sub_path`, as open as the volume itself.
fn make_missing(root: &Path, sub_path: &str) -> io::Result<()> {
    let volume = fs::metadata(root)?;
    let mut path = root.to_owned();
    for step in Path::new(sub_path).components() {
        path.push(step);
        if fs::symlink_metadata(&path).is_ok() {
            // A link is judged when the whole path is resolved.
            continue;
        }
        let parent = path.parent().unwrap_or(root).canonicalize()?;
        if !parent.starts_with(root) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("subPath {sub_path:?} leaves its volume"),
            ));
        }
        fs::create_dir(&path)?;
        std::os::unix::fs::chown(&path, Some(volume.uid()), Some(volume.gid()))?;
        fs::set_permissions(&path, volume.permissions())?;
    }
    Ok(())
}

fn walk(root: &Path, inside: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut here = open(root, flags, Mode::empty())?;
    for step in inside.components() {
        here = openat(&here, step.as_os_str(), flags, Mode::empty())?;
    }
    Ok(here)
}
