//! Mounting, and taking away whatever is mounted below a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::base::escape;

/// Mounts a tmpfs unless one is there already.
pub fn tmpfs(dir: &Path, size_bytes: Option<u64>) -> io::Result<()> {
    if is_mounted(dir)? {
        return Ok(());
    }
    let options = size_bytes.map(|bytes| format!("size={bytes}"));
    let flags = MsFlags::empty();
    Ok(mount(Some("tmpfs"), dir, Some("tmpfs"), flags, options.as_deref())?)
}

/// Makes what is at `from` visible at `to`, which must exist.
pub fn bind(from: &Path, to: &Path) -> io::Result<()> {
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

pub fn is_mounted(dir: &Path) -> io::Result<bool> {
    Ok(mount_points()?.iter().any(|point| point == dir))
}

/// Unmounts `dir` and all below it, the deepest first. Fails if anything stays mounted.
pub fn unmount_all(dir: &Path) -> io::Result<()> {
    let below = || -> io::Result<Vec<PathBuf>> {
        let mut found: Vec<PathBuf> = mount_points()?.into_iter().filter(|point| point.starts_with(dir)).collect();
        found.reverse();
        Ok(found)
    };
    for point in below()? {
        let _ = umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
    match below()?.first() {
        None => Ok(()),
        Some(left) => Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{} stays mounted", left.display()))),
    }
}

/// Unmounts all below `dir` and removes it. What is mounted is never removed itself.
pub fn remove_all(dir: &Path) -> io::Result<()> {
    unmount_all(dir)?;
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Every mount point, in the order of mounting.
fn mount_points() -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table.lines().filter_map(|line| line.split(' ').nth(4)).map(|field| PathBuf::from(unescape(field))).collect())
}

/// Undoes the octal escapes of spaces, tabs, newlines and backslashes.
fn unescape(field: &str) -> String {
    String::from_utf8_lossy(&escape::undo(field, b'\\', 3, 8)).into_owned()
}
