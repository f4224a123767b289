//! One running skiff, and kubectl pointed at it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::image;

pub const IMAGE: &str = "skiff.test/busybox:1";
pub const IMAGE_TWO: &str = "skiff.test/busybox:2";
/// How long anything may take before the walk calls it broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cluster {
    dir: tempfile::TempDir,
    server: Option<Child>,
    binary: PathBuf,
    kubectl: String,
    namespace: String,
}

/// What everything that belongs to a data directory other than the default is named after.
pub fn digest_of(data_dir: &Path) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Asks the containerd of the skiff in `data_dir`.
pub fn ctr(data_dir: &Path, args: &[&str]) -> String {
    let socket = format!("/run/skiff-{}/containerd/containerd.sock", digest_of(data_dir));
    let output = Command::new("ctr").args(["-a", &socket, "-n", "k8s.io"]).args(args).output().unwrap();
    assert!(output.status.success(), "ctr {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Cluster {
    pub fn start() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the walk runs containers: run it as root");
        let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/release/skiff");
        let binary = std::env::var_os("SKIFF_BINARY").map_or(default, PathBuf::from);
        assert!(binary.exists(), "{} is not built: cargo build --release", binary.display());
        let dir = tempfile::Builder::new().prefix("skiff-e2e-").tempdir().unwrap();
        let kubectl = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into());
        let mut cluster = Self { dir, server: None, binary, kubectl, namespace: "default".into() };
        cluster.launch();
        cluster.wait("the node to be Ready", |cluster| {
            cluster.try_kubectl("get nodes -o jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}")
                == Some("True".into())
        });
        cluster.import_images();
        cluster
    }

    /// Starts the server process on the data directory that is there.
    pub fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let server = Command::new(&self.binary)
            .args(["server", "--https-listen-port", "26443", "--kubelet-port", "21250", "--node-name", "walker"])
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--write-kubeconfig")
            .arg(self.kubeconfig())
            .env_remove("KUBECONFIG")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.server = Some(server);
    }

    /// `kill -9`, with no word of warning.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("a running server");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// The program under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("skiff.log")
    }

    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn ctr(&self, args: &[&str]) -> String {
        ctr(&self.data_dir(), args)
    }

    fn import_images(&self) {
        let archive = self.scratch("busybox.tar");
        image::write_busybox(&archive, &[IMAGE, IMAGE_TWO]);
        self.ctr(&["images", "import", archive.to_str().unwrap()]);
    }

    /// Makes a namespace for a step, and waits until pods can be made in it.
    pub fn enter(&mut self, step: &str) -> String {
        let namespace = format!("walk-{}", step.replace('_', "-"));
        self.namespace = namespace.clone();
        let _ = self.try_kubectl(&format!("create namespace {namespace}"));
        namespace
    }

    pub fn leave(&mut self, namespace: &str) {
        let _ = self.try_kubectl(&format!("delete namespace {namespace} --wait=false --ignore-not-found"));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(["--namespace", &self.namespace]).args(args);
        command.env("HOME", self.dir.path());
        command
    }

    /// What became of kubectl, with `input` on its standard input.
    pub fn output(&self, line: &str, input: Option<&str>) -> Output {
        let args: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let mut child = self
            .command(&args)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(input) = input {
            // kubectl takes what begins with a brace for JSON; YAML may.
            child.stdin.take().unwrap().write_all(format!("---\n{input}").as_bytes()).unwrap();
        }
        child.wait_with_output().unwrap()
    }

    /// What kubectl prints; a failure fails the step. Arguments are the words of `line`.
    pub fn kubectl(&self, line: &str) -> String {
        self.kubectl_with(line, None)
    }

    /// As [`Cluster::kubectl`], with `manifest` on standard input (`-f -`).
    pub fn apply(&self, line: &str, manifest: &str) -> String {
        self.kubectl_with(line, Some(manifest))
    }

    fn kubectl_with(&self, line: &str, input: Option<&str>) -> String {
        let output = self.output(line, input);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {line}\n{out}{err}");
        out.trim_end().to_owned()
    }

    /// What kubectl prints, if it succeeds.
    pub fn try_kubectl(&self, line: &str) -> Option<String> {
        let output = self.output(line, None);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// What kubectl complains about; success fails the step.
    pub fn kubectl_error(&self, line: &str, input: Option<&str>) -> String {
        let output = self.output(line, input);
        assert!(!output.status.success(), "kubectl {line} succeeded: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
    }

    /// Runs a shell command inside a pod.
    pub fn exec(&self, pod: &str, script: &str) -> String {
        let output = self.command(&["exec", pod, "--", "sh", "-c", script]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "exec {pod}: {script}\n{err}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Waits until `holds`, and fails the step when that takes too long.
    pub fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited too long for {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What somebody who reads a failed run needs.
    pub fn describe_failure(&self) {
        for line in ["get pods -o wide", "get events"] {
            let output = self.output(line, None);
            println!(
                "--- kubectl {line}\n{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(30).collect();
        println!("--- the server's log\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }

    /// Stops the server, then, as `skiff-killall.sh` does, what it left running on purpose.
    pub fn stop(mut self) {
        if let Some(mut server) = self.server.take() {
            let pid = nix::unistd::Pid::from_raw(server.id() as i32);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            let _ = server.wait();
        }
        if let Ok(keep) = std::env::var("E2E_KEEP_LOG") {
            let _ = fs::copy(self.log(), keep);
        }
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("install.sh");
        let killall = Command::new("sh")
            .arg(script)
            .arg("print-killall")
            .env("SKIFF_DATA_DIR", self.data_dir())
            .output()
            .unwrap();
        let status = Command::new("sh").arg("-c").arg(String::from_utf8(killall.stdout).unwrap()).status().unwrap();
        assert!(status.success(), "killall left something");
    }
}
