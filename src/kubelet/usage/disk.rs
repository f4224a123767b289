//! How full disks are, and how large directories.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// One file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    pub capacity_bytes: u64,
    pub available_bytes: u64,
    pub used_bytes: u64,
    pub inodes: u64,
    pub inodes_free: u64,
}

impl Disk {
    /// The file system that `path` is on; `None` if it cannot be asked.
    pub fn of(path: &Path) -> Option<Self> {
        let stat = nix::sys::statvfs::statvfs(path).ok()?;
        let unit = stat.fragment_size() as u64;
        Some(Self {
            capacity_bytes: stat.blocks() as u64 * unit,
            available_bytes: stat.blocks_available() as u64 * unit,
            used_bytes: (stat.blocks() as u64).saturating_sub(stat.blocks_free() as u64) * unit,
            inodes: stat.files() as u64,
            inodes_free: stat.files_available() as u64,
        })
    }

    /// How much of what can be filled is filled, as `df` tells it.
    pub fn used_percent(&self) -> u64 {
        self.used_bytes * 100 / (self.used_bytes + self.available_bytes).max(1)
    }
}

/// What lies below a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub bytes: u64,
    pub inodes: u64,
}

/// The size of `dir` on its own file system. What vanishes while it is counted does not count.
pub fn size_of(dir: &Path) -> Size {
    let Ok(root) = fs::symlink_metadata(dir) else { return Size::default() };
    let mut size = Size { bytes: root.blocks() * 512, inodes: 1 };
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != root.dev() {
                continue;
            }
            size.bytes += meta.blocks() * 512;
            size.inodes += 1;
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_counts_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let size = size_of(dir.path());
        assert_eq!(size.inodes, 4);
        assert!((100_000..200_000).contains(&size.bytes), "{size:?}");
    }

    #[test]
    fn what_only_root_may_fill_is_not_counted() {
        let disk = Disk { capacity_bytes: 100, available_bytes: 40, used_bytes: 40, ..Disk::default() };
        assert_eq!(disk.used_percent(), 50);
    }
}
