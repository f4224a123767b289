//! A server in a namespace, on a small disk of its own.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use skiff::client::remote::Remote;
use skiff::object::{Timestamp, Tree};

use super::clock;
use super::lan::Lan;
use crate::admin;

const PORT: u16 = 6443;
/// Of a debug build on a busy machine.
pub const READY_MAX: Duration = Duration::from_secs(90);
const DISK: &str = "size=300m,mode=0700";
const BALLAST: &str = "ballast";

pub struct Machine {
    pub number: usize,
    lan: Lan,
    dir: PathBuf,
    joins: Vec<String>,
    child: Option<Child>,
}

impl Machine {
    pub fn new(root: &Path, lan: &Lan, number: usize) -> Self {
        let dir = root.join(number.to_string());
        std::fs::create_dir_all(dir.join("disk")).expect("a place to mount at");
        std::fs::write(dir.join("config.yaml"), "").expect("a configuration of its own");
        mount(Some("tmpfs"), &dir.join("disk"), Some("tmpfs"), MsFlags::empty(), Some(DISK)).expect("a disk");
        Self { number, lan: lan.clone(), dir, joins: Vec::new(), child: None }
    }

    /// Makes it one that joins the cluster of `other`.
    pub fn joining(mut self, other: &Self) -> Self {
        let token = std::fs::read_to_string(other.dir.join("disk/data/server/token")).expect("a token");
        self.joins = vec![
            format!("--server=https://{}:{PORT}", self.lan.address(other.number)),
            format!("--token={}", token.trim()),
        ];
        self
    }

    pub fn name(&self) -> String {
        format!("server-{}", self.number)
    }

    pub fn start(&mut self) {
        self.start_with("config.yaml");
    }

    /// Starts it on a machine whose clock is so many seconds off: it waits for its configuration until that is so.
    pub async fn start_off(&mut self, secs: i32) {
        let pipe = self.dir.join("pipe.yaml");
        let _ = nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU); // it may be there
        self.start_with("pipe.yaml");
        let open = || File::options().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&pipe).ok();
        let mut other_end = None;
        until("it reads its configuration", async || {
            other_end = open();
            other_end.is_some()
        })
        .await;
        self.set_clock_off(secs);
        drop(other_end);
    }

    fn start_with(&mut self, config: &str) {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).expect("a log");
        let mut command = self.lan.command(self.number, &binary());
        let address = self.lan.address(self.number);
        command.args(["server", "--disable-agent", "--node-name", &self.name(), "--advertise-address", &address]);
        command.args(["--bind-address", &address, "--https-listen-port", &PORT.to_string()]);
        command.args(["--cluster-cidr=10.67.0.0/16", "--service-cidr=10.68.0.0/16"]);
        command.arg(format!("--data-dir={}", self.dir.join("disk/data").display()));
        command.arg(format!("--write-kubeconfig={}", self.kubeconfig().display()));
        command.arg(format!("--config={}", self.dir.join(config).display()));
        command.args(&self.joins);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("a server"));
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.as_ref().expect("a running server").id().cast_signed())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("a running server");
    }

    /// Sets its wall clock so many seconds off, until it ends or is set again.
    pub fn set_clock_off(&self, secs: i32) {
        clock::set_off(self.pid(), secs);
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().expect("a running server");
        child.wait().expect("an ended server");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let mut child = self.child.take().expect("a running server");
        until("it stops", async || child.try_wait().expect("a child").is_some()).await;
    }

    pub async fn ready(&self) {
        until("a server is ready", async || self.get("/readyz").await.is_some_and(|(code, _)| code == 200)).await;
    }

    /// Leaves no space on its disk.
    pub fn fill_disk(&self) {
        use std::io::Write as _;
        let mut ballast = File::create(self.dir.join("disk").join(BALLAST)).expect("a file");
        let zeros = vec![0; 1 << 20];
        while ballast.write_all(&zeros).is_ok() {}
        while ballast.write_all(&zeros[..512]).is_ok() {}
    }

    pub fn free_disk(&self) {
        std::fs::remove_file(self.dir.join("disk").join(BALLAST)).expect("a file");
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// A client with the administrator's certificate, and connections of its own.
    pub fn remote(&self) -> Option<Remote> {
        admin::remote(&self.kubeconfig(), &self.lan.address(self.number), PORT)
    }

    async fn get(&self, path: &str) -> Option<(u16, Tree)> {
        admin::get(self.remote(), path).await
    }

    /// What time it says it is to those who join.
    pub async fn wall_clock(&self) -> Option<Timestamp> {
        let asking = async {
            let request = http::Request::builder().uri("/v1-skiff/cacerts").body(Default::default()).ok()?;
            let response = self.remote()?.send(admin::ADMIN, request).await.ok()?;
            Timestamp::parse_rfc1123(response.headers().get("date")?.to_str().ok()?)
        };
        tokio::time::timeout(Duration::from_secs(2), asking).await.ok()?
    }

    /// The leader's number and the names of all that vote, as this server knows it.
    pub async fn members(&self) -> Option<(usize, Vec<String>)> {
        let (_, members) = self.get("/v1-skiff/members").await?;
        let members = members.as_array()?;
        let leader = members.iter().find(|it| it["isLeader"] == true)?["name"].as_str()?;
        let voters = members.iter().filter(|it| it["isVoter"] == true);
        let names = voters.filter_map(|it| Some(it["name"].as_str()?.to_owned())).collect();
        Some((leader.trim_start_matches("server-").parse().ok()?, names))
    }

    /// `skiff` with these arguments, as the administrator.
    pub fn administer(&self, args: &[&str]) {
        let done = Command::new(binary()).args(args).arg("--kubeconfig").arg(self.kubeconfig()).output();
        let done = done.expect("it starts");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = umount2(&self.dir.join("disk"), MntFlags::MNT_DETACH); // the test has ended, one way or the other
    }
}

fn binary() -> String {
    std::env::var("SKIFF_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_skiff").to_owned())
}

pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + READY_MAX;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not so in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
