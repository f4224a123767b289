//! `install.sh` twice, and `skiff-uninstall.sh`: a service beside the walk's own server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cluster::{Cluster, IMAGE, ctr, digest_of};
use super::image;

/// What an installation of its own needs to differ in.
const SETTINGS: &[(&str, &str)] = &[
    ("SKIFF_INSTALL_NAME", "skiff-walk"),
    ("SKIFF_INSTALL_SKIP_PACKAGES", "true"),
    ("SKIFF_HTTPS_LISTEN_PORT", "26543"),
    ("SKIFF_KUBELET_PORT", "21251"),
    ("SKIFF_CLUSTER_CIDR", "10.52.0.0/16"),
    ("SKIFF_SERVICE_CIDR", "10.53.0.0/16"),
    ("SKIFF_NODE_NAME", "installed"),
];

struct Installation {
    data_dir: PathBuf,
    bin_dir: PathBuf,
}

impl Installation {
    fn install(&self, c: &Cluster) {
        let output = Command::new("sh")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"))
            .envs(SETTINGS.iter().copied())
            .env_remove("SKIFF_BINARY")
            .env("SKIFF_INSTALL_BINARY", c.binary())
            .env("SKIFF_INSTALL_BIN_DIR", &self.bin_dir)
            .env("SKIFF_DATA_DIR", &self.data_dir)
            .output()
            .unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && told.contains("ready. Next:"), "{told}");
    }

    fn kubectl(&self, line: &str) -> String {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.data_dir.join("skiff.yaml")).args(line.split(' '));
        let output = command.env("HOME", &self.bin_dir).output().unwrap();
        assert!(output.status.success(), "kubectl {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Whatever on this machine still bears the installation's name.
    fn traces(&self) -> Vec<String> {
        let digest = digest_of(&self.data_dir);
        let data_dir = self.data_dir.display().to_string();
        let told = |program: &str, args: &[&str]| {
            String::from_utf8(Command::new(program).args(args).output().unwrap().stdout).unwrap()
        };
        let mut places = vec![
            told("ip", &["-o", "link"]),
            told("ip", &["route"]),
            told("nft", &["list", "tables"]),
            told("ps", &["-eo", "args"]),
            fs::read_to_string("/proc/self/mounts").unwrap(),
        ];
        for dir in ["/run", "/etc/skiff", "/var/log", "/var/lib/cni/results", "/etc/systemd/system", "/etc/init.d"] {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            places.push(entries.map(|entry| format!("{}\n", entry.path().display())).collect());
        }
        places.push(told("find", &["/sys/fs/cgroup", "-name", &format!("*{digest}*")]));
        let marks = [digest.as_str(), data_dir.as_str(), "skiff-walk"];
        let lines = places.iter().flat_map(|text| text.lines());
        lines.filter(|line| marks.iter().any(|mark| line.contains(mark))).map(str::to_owned).collect()
    }
}

pub fn install_upgrade_uninstall(c: &mut Cluster) {
    let it = Installation { data_dir: c.scratch("installed"), bin_dir: c.scratch("bin") };
    fs::create_dir_all(&it.bin_dir).unwrap();
    it.install(c);
    assert!(it.kubectl("get nodes").contains("installed"));
    let archive = c.scratch("installer.tar");
    image::write_busybox(&archive, &[IMAGE]);
    ctr(&it.data_dir, &["images", "import", archive.to_str().unwrap()]);
    it.kubectl(&format!("create deployment kept --image={IMAGE} -- sleep 3600"));
    it.kubectl("rollout status deployment/kept --timeout=60s");
    let container = "get pods -l app=kept -o jsonpath={.items[*].status.containerStatuses[*].containerID}";
    let before = it.kubectl(container);

    it.install(c);
    assert_eq!(it.kubectl(container), before, "an upgrade stops no container");
    assert!(ctr(&it.data_dir, &["tasks", "list"]).contains(before.trim_start_matches("containerd://")));

    let status = Command::new(it.bin_dir.join("skiff-uninstall.sh")).status().unwrap();
    assert!(status.success(), "the uninstaller failed");
    assert!(!it.data_dir.exists(), "the data is still there");
    assert_eq!(fs::read_dir(&it.bin_dir).unwrap().flatten().filter(|entry| entry.file_name() != ".kube").count(), 0);
    assert_eq!(it.traces(), Vec::<String>::new());
}
