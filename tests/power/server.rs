//! A machine: its disk, and the server that runs on it while there is power.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fuser::BackgroundSession;
use skiff::client::Client;
use skiff::client::remote::Remote;
use skiff::object::{Tree, User};

use super::READY_MAX;
use super::admin::{self, ADMIN};
use super::disk::Disk;
use super::fuse::Mounted;

const ASK: Duration = Duration::from_millis(20);

/// What comes after a start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Began {
    Ready,
    /// The power was gone before.
    Cut,
}

pub struct Machine {
    dir: PathBuf,
    name: String,
    port: u16,
    /// More flags, with which it joins others.
    pub joins: Vec<String>,
    pub disk: Mounted,
    running: Option<(BackgroundSession, Server)>,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

impl Machine {
    pub fn new(root: &Path, number: u16, first_port: u16, seed: u64) -> Self {
        let dir = root.join(number.to_string());
        std::fs::create_dir_all(dir.join("disk")).expect("a place to mount at");
        std::fs::write(dir.join("config.yaml"), "").expect("a configuration of its own");
        let disk = Mounted(Arc::new(Mutex::new(Disk::new(seed))));
        let (name, port) = (format!("power-{number}"), first_port + number);
        Self { dir, name, port, joins: Vec::new(), disk, running: None }
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.dir.join("disk/data/server/token")).expect("a token").trim().to_owned()
    }

    /// Mounts the disk and starts the server.
    pub fn start(&mut self) {
        let session = self.disk.mount(&self.dir.join("disk")).expect("a mount");
        let binary = std::env::var("SKIFF_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_skiff").to_owned());
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log")).expect("a log");
        let mut command = Command::new(binary);
        command.args(["server", "--disable-agent", "--node-name", &self.name]);
        command.args(["--cluster-cidr=10.67.0.0/16", "--service-cidr=10.68.0.0/16"]);
        command.arg(format!("--https-listen-port={}", self.port));
        command.arg(format!("--data-dir={}", self.dir.join("disk/data").display()));
        command.arg(format!("--write-kubeconfig={}", self.dir.join("kubeconfig").display()));
        command.arg(format!("--config={}", self.dir.join("config.yaml").display()));
        command.args(&self.joins).env_clear();
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.running = Some((session, Server(command.spawn().expect("a server"))));
    }

    /// Waits until it is ready, or without power. That it is neither after a while needs a human.
    pub async fn begun(&mut self) -> Began {
        let deadline = Instant::now() + READY_MAX;
        while !self.is_ready().await && !self.is_dead() {
            let needs_human = self.has_ended() && !self.is_dead();
            assert!(!needs_human, "{} needs a human: {}", self.name, self.told());
            assert!(Instant::now() < deadline, "{} does not get ready: {}", self.name, self.told());
            tokio::time::sleep(ASK).await;
        }
        if self.is_dead() { Began::Cut } else { Began::Ready }
    }

    /// Ends the process with its power; what is durable is all that is there at the next start.
    pub fn stop(&mut self) {
        let Some((session, server)) = self.running.take() else { return };
        self.disk.lock().cut_now();
        drop(server);
        unmount(session);
        self.disk.lock().restart();
    }

    pub fn is_dead(&self) -> bool {
        self.disk.lock().is_dead()
    }

    fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(|(_, server)| server.0.try_wait().expect("a child").is_some())
    }

    /// The end of what it said. What is on its disk is copied to where `SKIFF_POWER_KEEP` says.
    fn told(&self) -> String {
        if let Ok(keep) = std::env::var("SKIFF_POWER_KEEP") {
            let _ = Command::new("cp").arg("-r").arg(&self.dir).arg(keep).status(); // it is more to look at, if it works
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn remote(&self) -> Option<Remote> {
        admin::remote(&self.dir.join("kubeconfig"), "127.0.0.1", self.port)
    }

    pub fn client(&self) -> Client {
        Client::new(Arc::new(self.remote().expect("a kubeconfig")), User::named(ADMIN, &[]), "test")
    }

    async fn get(&self, path: &str) -> Option<(u16, Tree)> {
        admin::get(self.remote(), path).await
    }

    async fn is_ready(&self) -> bool {
        self.get("/readyz").await.is_some_and(|(code, _)| code == 200)
    }

    /// How many vote, as this server knows it.
    pub async fn voters(&self) -> usize {
        let members = self.get("/v1-skiff/members").await;
        let members = members.as_ref().and_then(|(_, members)| members.as_array());
        members.map_or(0, |all| all.iter().filter(|it| it["isVoter"] == true).count())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some((session, server)) = self.running.take() {
            drop(server);
            let _ = session.umount_and_join(); // the test has ended, one way or the other
        }
    }
}

fn unmount(session: BackgroundSession) {
    match session.umount_and_join() {
        // The kernel was quicker to end the connection than we were to ask for it.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => (),
        done => done.expect("nobody uses it any more"),
    }
}
