//! What a control group uses, in either version of the kernel's interface.

use std::fs;
use std::path::Path;

use crate::kubelet::cgroups::tree::Cgroups;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUse {
    pub cpu_nanos: u64,
    pub memory_bytes: u64,
    /// Without the file cache that nobody has touched for a while.
    pub working_set_bytes: u64,
    pub rss_bytes: u64,
    pub processes: u64,
}

/// What the group called `path` uses; zeros where it cannot be read.
pub fn read(cgroups: &Cgroups, path: &str) -> GroupUse {
    let file = |controller: &str, name: &str| {
        let dir = cgroups.controller_dir(controller, path.trim_start_matches('/'))?;
        fs::read_to_string(Path::new(&dir).join(name)).ok()
    };
    let number = |text: Option<String>| text.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    let memory_stat = file("memory", "memory.stat").unwrap_or_default();
    let (cpu_nanos, memory_bytes, names) = if cgroups.is_unified() {
        let stat = file("cpu", "cpu.stat").unwrap_or_default();
        let names = ["inactive_file", "anon"];
        (field(&stat, "usage_usec") * 1000, number(file("memory", "memory.current")), names)
    } else {
        let names = ["total_inactive_file", "total_rss"];
        (number(file("cpuacct", "cpuacct.usage")), number(file("memory", "memory.usage_in_bytes")), names)
    };
    let [inactive, rss] = names.map(|name| field(&memory_stat, name));
    GroupUse {
        cpu_nanos,
        memory_bytes,
        working_set_bytes: memory_bytes.saturating_sub(inactive),
        rss_bytes: rss,
        processes: number(file("pids", "pids.current")),
    }
}

/// The number behind `name` in a table of names and numbers.
fn field(table: &str, name: &str) -> u64 {
    let mut fields = table.lines().filter_map(|line| line.split_once(' '));
    fields.find(|(key, _)| *key == name).and_then(|(_, value)| value.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_by_whole_names() {
        let table = "inactive_file 3\ntotal_inactive_file 9\n";
        assert_eq!((field(table, "total_inactive_file"), field(table, "file")), (9, 0));
    }
}
