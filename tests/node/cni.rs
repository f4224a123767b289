//! The CNI plugin, called as containerd calls it, on real network namespaces.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Two pods, a bridge of their own, and the plugin under its name.
struct Fixture {
    dir: tempfile::TempDir,
    bridge: String,
    pods: Vec<String>,
}

impl Fixture {
    fn new(pods: usize) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let id = std::process::id() % 100_000;
        let dir = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_skiff"), dir.path().join("skiff-cni")).unwrap();
        let pods: Vec<String> = (0..pods).map(|n| format!("skt{id}-{n}")).collect();
        for pod in &pods {
            ip(&["netns", "add", pod]);
        }
        Self { dir, bridge: format!("skt{id}"), pods }
    }

    fn call(&self, command: &str, pod: &str) -> (bool, Value) {
        let config = json!({
            "cniVersion": "1.0.0", "name": "test", "type": "skiff-cni", "bridge": self.bridge,
            "subnet": "10.99.7.0/24", "stateDir": self.dir.path().join("ips"), "mtu": 1400,
        });
        let mut child = Command::new(self.dir.path().join("skiff-cni"))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", pod)
            .env("CNI_NETNS", format!("/var/run/netns/{pod}"))
            .env("CNI_IFNAME", "eth0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for pod in &self.pods {
            let _ = Command::new("ip").args(["netns", "del", pod]).status();
        }
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).stderr(Stdio::null()).status();
    }
}

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
}

#[test]
fn pods_reach_each_other_and_leave_nothing() {
    let fixture = Fixture::new(2);
    let [a, b] = &fixture.pods[..] else { unreachable!() };
    let (ok, first) = fixture.call("ADD", a);
    assert!(ok, "{first}");
    assert_eq!(first["ips"][0]["address"], "10.99.7.2/24");
    assert_eq!(first["routes"][0]["gw"], "10.99.7.1");
    assert_eq!(fixture.call("ADD", b).1["ips"][0]["address"], "10.99.7.3/24");

    ip(&["netns", "exec", a, "ping", "-q", "-c1", "-W2", "10.99.7.3"]);
    ip(&["netns", "exec", a, "ping", "-q", "-c1", "-W2", "10.99.7.1"]);
    assert!(fixture.call("CHECK", a).0);

    // Called again for the same pod, as after a crash of the runtime, nothing changes.
    assert_eq!(fixture.call("DEL", a), (true, Value::Null));
    assert_eq!(fixture.call("DEL", a), (true, Value::Null));
    assert!(!fixture.call("CHECK", a).0);
    assert_eq!(fixture.call("DEL", b), (true, Value::Null));
    let kept = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().contains('.');
    let left: Vec<_> = std::fs::read_dir(ips(&fixture)).unwrap().flatten().filter(kept).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_config_without_a_subnet_is_refused_in_cni_terms() {
    let fixture = Fixture::new(0);
    let mut child = Command::new(fixture.dir.path().join("skiff-cni"))
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", "x")
        .env("CNI_NETNS", "/nowhere")
        .env("CNI_IFNAME", "eth0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(br#"{"cniVersion":"1.0.0","type":"skiff-cni"}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    let failure: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.success(), &failure["code"]), (false, &json!(7)));
}

fn ips(fixture: &Fixture) -> std::path::PathBuf {
    Path::new(fixture.dir.path()).join("ips")
}
