//! What this machine is and has.

use std::fs;
use std::path::Path;

use crate::object::StringMap;
use crate::object::Tree;
use crate::object::tree::json;

/// Memory that pods may not use, so that the machine itself stays alive.
const MEMORY_RESERVE_BYTES: u64 = 100 << 20;
/// The part of the disk that pods may not fill.
const DISK_RESERVE_PERCENT: u64 = 10;

#[derive(Clone, Debug)]
pub struct Facts {
    pub cpus: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub pods_max: u32,
}

impl Facts {
    /// Reads them; what cannot be read counts as zero.
    pub fn read(data_dir: &Path, pods_max: u32) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let memory_bytes = meminfo("MemTotal").unwrap_or_default() * 1024;
        let disk = nix::sys::statvfs::statvfs(data_dir).ok();
        let disk_bytes = disk.map_or(0, |disk| disk.blocks() as u64 * disk.fragment_size() as u64);
        Self { cpus, memory_bytes, disk_bytes, pods_max }
    }

    pub fn capacity(&self) -> StringMap {
        self.amounts(self.memory_bytes, format!("{}Ki", self.disk_bytes / 1024))
    }

    /// What is left for pods.
    pub fn allocatable(&self) -> StringMap {
        let memory = self.memory_bytes.saturating_sub(MEMORY_RESERVE_BYTES);
        let disk = self.disk_bytes / 100 * (100 - DISK_RESERVE_PERCENT);
        self.amounts(memory, disk.to_string())
    }

    fn amounts(&self, memory_bytes: u64, disk: String) -> StringMap {
        StringMap::from([
            ("cpu", self.cpus.to_string()),
            ("memory", format!("{}Ki", memory_bytes / 1024)),
            ("ephemeral-storage", disk),
            ("pods", self.pods_max.to_string()),
        ])
    }
}

/// A field of `/proc/meminfo`, in KiB.
pub fn meminfo(field: &str) -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `nodeInfo`, for a node that runs `runtime` and this `version`.
pub fn node_info(runtime: &str, version: &str) -> Tree {
    let first_line = |paths: &[&str]| {
        let found = paths.iter().find_map(|path| fs::read_to_string(path).ok());
        found.map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let machine_id = first_line(&["/etc/machine-id", "/var/lib/dbus/machine-id"]);
    let uuid = first_line(&["/sys/class/dmi/id/product_uuid", "/etc/machine-id"]);
    let mut info = json!({
        "machineID": machine_id,
        "systemUUID": uuid,
        "bootID": first_line(&["/proc/sys/kernel/random/boot_id"]),
        "kernelVersion": first_line(&["/proc/sys/kernel/osrelease"]),
        "osImage": os_name(),
        "containerRuntimeVersion": runtime,
        "kubeletVersion": version,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": arch(),
    });
    if let Some(swap) = meminfo("SwapTotal").filter(|kib| *kib > 0) {
        info["swap"] = json!({ "capacity": swap * 1024 });
    }
    info
}

fn os_name() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    pretty.map_or("Linux".into(), |name| name.trim_matches('"').to_owned())
}

/// The processor as labels name it.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_the_machine_is_kept_back() {
        let facts = Facts { cpus: 4, memory_bytes: 1 << 30, disk_bytes: 1000 << 20, pods_max: 110 };
        assert_eq!(&facts.capacity()["memory"], "1048576Ki");
        assert_eq!(&facts.allocatable()["memory"], "946176Ki");
        assert_eq!(&facts.allocatable()["ephemeral-storage"], (900u64 << 20).to_string());
    }
}
