//! containerd's configuration file, written from what this machine can do.

use crate::kubelet::config::Paths;

/// What is found out about the machine before containerd is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether `oom_score_adj` may be lowered (CAP_SYS_RESOURCE).
    pub can_lower_oom_score: bool,
    /// Whether overlayfs can be mounted in the data directory.
    pub has_overlayfs: bool,
}

/// The file, in containerd's version 2 format, which 1.6 and 2.x both read.
pub fn render(paths: &Paths, pause_image: &str, machine: Machine) -> String {
    let root = quoted(&paths.containerd);
    let state = quoted(&paths.run.join("containerd"));
    let socket = quoted(&paths.containerd_socket());
    let cni_bin = quoted(&paths.cni_bin);
    let cni_conf = quoted(&paths.cni_conf);
    let registries = quoted(&paths.registries);
    let snapshotter = if machine.has_overlayfs { "overlayfs" } else { "native" };
    let restrict_oom = !machine.can_lower_oom_score;
    format!(
        r#"# Written by skiff at each start; changes made here are lost.
version = 2
root = {root}
state = {state}
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]

[grpc]
  address = {socket}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  restrict_oom_score_adj = {restrict_oom}
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = {cni_bin}
  conf_dir = {cni_conf}
  max_conf_num = 1

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = {registries}

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "{snapshotter}"
  default_runtime_name = "runc"
  discard_unpacked_layers = false

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
"#
    )
}

/// A path as a TOML basic string.
fn quoted(path: &std::path::Path) -> String {
    let text = path.to_string_lossy();
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_file_says_what_the_machine_lacks() {
        let machine = Machine { can_lower_oom_score: false, has_overlayfs: false };
        let file = render(&Paths::of(Path::new("/data/a \"b\"")), "skiff.local/pause:1", machine);
        assert!(file.contains("snapshotter = \"native\""));
        assert!(file.contains("restrict_oom_score_adj = true"));
        assert!(file.contains(r#"root = "/data/a \"b\"/agent/containerd""#));
    }
}
