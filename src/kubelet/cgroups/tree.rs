//! The control groups themselves, in either version of the kernel's interface.
//!
//! `<root>/pod<uid>` for guaranteed pods, `<root>/burstable/pod<uid>` and `<root>/besteffort/pod<uid>`
//! for the others. The container runtime makes the groups of containers inside. Groups are plain
//! directories under systemd too: it leaves those it did not make alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::amounts::{Limits, PERIOD_US};
use super::qos::QosClass;

/// Where this machine's control groups are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// Version 1: one tree for each controller.
    Split(Vec<(String, PathBuf)>),
    /// Version 2: one tree for all.
    Unified(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Cgroups {
    hierarchy: Hierarchy,
    /// The name of the group that holds all pods.
    root: String,
}

impl Hierarchy {
    /// Reads `/proc/mounts`. A version 2 tree beside version 1 ones counts for nothing.
    pub fn from_mounts(mounts: &str) -> Option<Self> {
        let mut split = Vec::new();
        let mut unified = None;
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(path), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            match kind {
                "cgroup" => {
                    let known = [
                        "cpu",
                        "cpuacct",
                        "memory",
                        "pids",
                        "cpuset",
                        "blkio",
                        "devices",
                        "freezer",
                        "hugetlb",
                        "net_cls",
                        "net_prio",
                        "perf_event",
                        "name=systemd",
                        "misc",
                        "rdma",
                    ];
                    let controllers = options.split(',').filter(|option| known.contains(option));
                    split.extend(controllers.map(|controller| (controller.to_owned(), PathBuf::from(path))));
                }
                "cgroup2" => unified = Some(PathBuf::from(path)),
                _ => (),
            }
        }
        if !split.is_empty() { Some(Self::Split(split)) } else { unified.map(Self::Unified) }
    }
}

impl Cgroups {
    /// Finds the mounted hierarchy; `None` where the machine has none.
    pub fn detect(root: &str) -> Option<Self> {
        let hierarchy = Hierarchy::from_mounts(&fs::read_to_string("/proc/mounts").ok()?)?;
        Some(Self { hierarchy, root: root.to_owned() })
    }

    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The group of a pod, as the runtime is told it.
    pub fn pod_path(&self, uid: &str, class: QosClass) -> String {
        let root = &self.root;
        match class {
            QosClass::Guaranteed => format!("/{root}/pod{uid}"),
            QosClass::Burstable => format!("/{root}/burstable/pod{uid}"),
            QosClass::BestEffort => format!("/{root}/besteffort/pod{uid}"),
        }
    }

    /// Makes the groups that hold pods. Best-effort pods share the smallest share of the CPU.
    pub fn prepare(&self) -> io::Result<()> {
        for path in
            [format!("/{}", self.root), format!("/{}/burstable", self.root), format!("/{}/besteffort", self.root)]
        {
            self.make(&path)?;
        }
        let least = Limits { cpu_shares: 2, cpu_quota_us: None, memory_bytes: None };
        self.limit(&format!("/{}/besteffort", self.root), &least)
    }

    /// Makes a pod's group with its limits.
    pub fn make_pod(&self, path: &str, limits: &Limits) -> io::Result<()> {
        self.make(path)?;
        self.limit(path, limits)
    }

    /// Removes a pod's group, wherever its class put it. Groups that still hold processes stay.
    pub fn remove_pod(&self, uid: &str) {
        for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            for dir in self.dirs(&self.pod_path(uid, class)) {
                remove_tree(&dir);
            }
        }
    }

    fn dirs(&self, path: &str) -> Vec<PathBuf> {
        let relative = path.trim_start_matches('/');
        match &self.hierarchy {
            Hierarchy::Unified(mount) => vec![mount.join(relative)],
            Hierarchy::Split(mounts) => {
                let mut dirs: Vec<PathBuf> = mounts.iter().map(|(_, mount)| mount.join(relative)).collect();
                dirs.dedup();
                dirs
            }
        }
    }

    fn make(&self, path: &str) -> io::Result<()> {
        let relative = path.trim_start_matches('/');
        match &self.hierarchy {
            Hierarchy::Split(_) => {
                for controller in ["cpu", "memory"] {
                    if let Some(dir) = self.controller_dir(controller, relative) {
                        fs::create_dir_all(dir)?;
                    }
                }
                Ok(())
            }
            Hierarchy::Unified(mount) => {
                let mut dir = mount.clone();
                for step in Path::new(relative) {
                    delegate_controllers(&dir);
                    dir.push(step);
                    if let Err(error) = fs::create_dir(&dir)
                        && error.kind() != io::ErrorKind::AlreadyExists
                    {
                        return Err(error);
                    }
                }
                delegate_controllers(&dir);
                Ok(())
            }
        }
    }

    pub fn is_unified(&self) -> bool {
        matches!(self.hierarchy, Hierarchy::Unified(_))
    }

    /// Where the group at `relative` is for one controller.
    pub fn controller_dir(&self, controller: &str, relative: &str) -> Option<PathBuf> {
        match &self.hierarchy {
            Hierarchy::Split(mounts) => {
                let (_, mount) = mounts.iter().find(|(name, _)| name == controller)?;
                Some(mount.join(relative))
            }
            Hierarchy::Unified(mount) => Some(mount.join(relative)),
        }
    }

    fn limit(&self, path: &str, limits: &Limits) -> io::Result<()> {
        let relative = path.trim_start_matches('/');
        for (controller, file, value) in settings(limits, self.is_unified()) {
            let Some(dir) = self.controller_dir(controller, relative) else { continue };
            fs::write(dir.join(file), value)?;
        }
        Ok(())
    }
}

/// Controller, file and content for each limit.
fn settings(limits: &Limits, is_unified: bool) -> Vec<(&'static str, &'static str, String)> {
    let quota = limits.cpu_quota_us;
    let memory = limits.memory_bytes;
    if is_unified {
        // The kernel's own conversion of shares (2 to 262144) to weight (1 to 10000).
        let weight = 1 + (limits.cpu_shares - 2) * 9999 / 262_142;
        let max = quota.map_or("max".into(), |quota| quota.to_string());
        vec![
            ("cpu", "cpu.weight", weight.to_string()),
            ("cpu", "cpu.max", format!("{max} {PERIOD_US}")),
            ("memory", "memory.max", memory.map_or("max".into(), |bytes| bytes.to_string())),
        ]
    } else {
        vec![
            ("cpu", "cpu.shares", limits.cpu_shares.to_string()),
            ("cpu", "cpu.cfs_period_us", PERIOD_US.to_string()),
            ("cpu", "cpu.cfs_quota_us", quota.unwrap_or(-1).to_string()),
            ("memory", "memory.limit_in_bytes", memory.unwrap_or(-1).to_string()),
        ]
    }
}

/// Lets the children of a version 2 group be limited. A controller the kernel lacks is left out.
fn delegate_controllers(dir: &Path) {
    let Ok(available) = fs::read_to_string(dir.join("cgroup.controllers")) else { return };
    for controller in available.split_whitespace() {
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Removes a group and those inside it, innermost first.
fn remove_tree(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path());
    }
    if let Err(error) = fs::remove_dir(dir) {
        tracing::debug!(dir = %dir.display(), %error, "control group stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine_counts_as_version_one() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let Some(Hierarchy::Split(found)) = Hierarchy::from_mounts(hybrid) else { panic!("two trees") };
        assert_eq!(found.len(), 2);
        let pure = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        assert_eq!(Hierarchy::from_mounts(pure), Some(Hierarchy::Unified("/sys/fs/cgroup".into())));
    }

    #[test]
    fn limits_are_written_in_the_words_of_the_version() {
        let limits = Limits { cpu_shares: 1024, cpu_quota_us: Some(50_000), memory_bytes: None };
        let of =
            |unified| settings(&limits, unified).into_iter().map(|(_, f, v)| format!("{f}={v}")).collect::<Vec<_>>();
        assert_eq!(of(true), ["cpu.weight=39", "cpu.max=50000 100000", "memory.max=max"]);
        assert_eq!(of(false)[2..], ["cpu.cfs_quota_us=50000", "memory.limit_in_bytes=-1"]);
    }
}
