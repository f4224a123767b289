//! Which device a folder is on, for people who have to find the slow one.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The device's name and where it is mounted, as far as the kernel tells: `mmcblk0p2 at /var`.
pub(super) fn of(folder: &Path) -> String {
    let Ok(data) = std::fs::metadata(folder) else { return "an unknown device".to_owned() };
    let number = format!("{}:{}", nix::sys::stat::major(data.dev()), nix::sys::stat::minor(data.dev()));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = folder.canonicalize().ok().and_then(|folder| mount_of(&mounts, &number, &folder));
    let block = std::fs::canonicalize(format!("/sys/dev/block/{number}")).ok();
    let block = block.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    match (block, mount) {
        (Some(name), Some(mount)) => format!("{name} at {}", mount.point),
        (Some(name), None) => name,
        (None, Some(mount)) => format!("{} at {}", mount.source, mount.point),
        (None, None) => format!("device {number}"),
    }
}

#[derive(Debug, PartialEq)]
struct Mount {
    source: String,
    point: String,
}

/// The mount that `folder` is on: of device `number` if one is, else the innermost above it (some file
/// systems show another number than their mount has).
fn mount_of(mountinfo: &str, number: &str, folder: &Path) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let source = right.split(' ').nth(1)?.to_owned();
        Some((*left.get(2)?, Mount { source, point: left.get(4)?.replace("\\040", " ") }))
    });
    let above = mounts.filter(|(_, mount)| folder.starts_with(&mount.point));
    above.max_by_key(|(device, mount)| (*device == number, mount.point.len())).map(|(_, mount)| mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_of_the_device_is_meant() {
        let table = "\
22 1 179:2 / / rw,relatime shared:1 - ext4 /dev/mmcblk0p2 rw
30 22 0:26 / /var rw - tmpfs tmpfs rw
31 30 259:1 / /var/my\\040disk rw master:3 - xfs /dev/nvme0n1p1 rw
";
        let mount = |number: &str, folder: &str| mount_of(table, number, folder.as_ref()).unwrap();
        assert_eq!(mount("179:2", "/home/x").source, "/dev/mmcblk0p2");
        assert_eq!(
            mount("259:1", "/var/my disk/x"),
            Mount { source: "/dev/nvme0n1p1".into(), point: "/var/my disk".into() }
        );
        assert_eq!(mount("0:99", "/var/lib").source, "tmpfs");
        assert!(!of(Path::new("/proc")).is_empty());
    }
}
