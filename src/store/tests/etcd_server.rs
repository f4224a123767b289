//! A real etcd for tests, on free ports of loopback, with a directory of its own.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ends with the test.
pub struct EtcdServer {
    /// What it holds is in `data`.
    pub dir: tempfile::TempDir,
    pub port: u16,
    peer_port: u16,
    /// More flags, and whether clients speak TLS to it.
    flags: Vec<String>,
    is_tls: bool,
    process: Option<Child>,
}

impl EtcdServer {
    pub fn start() -> Self {
        Self::with(&[], false)
    }

    pub fn with(flags: &[String], is_tls: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let flags = flags.to_vec();
        let mut server = Self { dir, port: free_port(), peer_port: free_port(), flags, is_tls, process: None };
        server.launch();
        server
    }

    /// Starts it on the same data, and returns when it listens.
    pub fn launch(&mut self) {
        let (scheme, port) = (if self.is_tls { "https" } else { "http" }, self.port);
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a log");
        let process = Command::new("etcd")
            .args(["--name=one", "--log-level=warn"])
            .arg(format!("--data-dir={}", self.dir.path().join("data").display()))
            .arg(format!("--listen-client-urls={scheme}://127.0.0.1:{port}"))
            .arg(format!("--advertise-client-urls={scheme}://127.0.0.1:{port}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{}", self.peer_port))
            .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{}", self.peer_port))
            .arg(format!("--initial-cluster=one=http://127.0.0.1:{}", self.peer_port))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("etcd starts: install etcd-server, as tests/run.sh does");
        self.process = Some(process);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "etcd does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives it no chance to end in order.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn log(&self) -> String {
        let path: PathBuf = self.dir.path().join("log");
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port()
}
