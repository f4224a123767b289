//! Three real servers on loopback: their leader is killed under a writer, again and again. Nothing
//! acknowledged is lost, revisions never go back, and watches go on at another server.
//!
//! `SKIFF_SERVER_KILLS` says how often to kill, 3 times if it says nothing; `SKIFF_BINARY` what to run
//! instead of this build, `SKIFF_SERVER_PORTS` where.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use skiff::client::remote::Remote;
use skiff::client::{Backend, Client};
use skiff::object::kind::CONFIG_MAP;
use skiff::object::tree::json;
use skiff::object::{Event, Options, Tree, User};

use crate::admin::{self, ADMIN};
use crate::watch;

const READY_MAX: Duration = Duration::from_secs(120);

thread_local! {
    /// Tests that run at once take different ones; the servers are started by the test's own thread.
    pub static PORTS: std::cell::Cell<u16> = const { std::cell::Cell::new(0) };
}

/// The first of ten ports to use.
pub fn ports() -> u16 {
    let first = std::env::var("SKIFF_SERVER_PORTS").ok().map_or(20443, |text| text.parse::<u16>().expect("a port"));
    first + PORTS.get()
}

pub struct Server {
    pub dir: PathBuf,
    port: u16,
    pub child: Child,
}

impl Server {
    /// The first founds the cluster, the others join it.
    pub fn start(root: &std::path::Path, number: u16) -> Self {
        let mut command = Self::command(root, number);
        if number > 1 {
            let token = root.join("1/data/server/token");
            command.arg(format!("--server=https://127.0.0.1:{}", ports() + 1));
            command.arg(format!("--token={}", std::fs::read_to_string(token).expect("a token").trim()));
        }
        Self::spawn(root, number, command)
    }

    /// What starts a server that nobody told of another.
    pub fn command(root: &std::path::Path, number: u16) -> Command {
        Self::command_at(root, number, ports() + number)
    }

    pub fn command_at(root: &std::path::Path, number: u16, port: u16) -> Command {
        let dir = root.join(number.to_string());
        std::fs::create_dir_all(&dir).expect("a directory");
        let binary = std::env::var("SKIFF_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_skiff").to_owned());
        let mut command = Command::new(binary);
        command.args(["server", "--disable-agent"]);
        command.args(["--cluster-cidr=10.67.0.0/16", "--service-cidr=10.68.0.0/16"]);
        command.args([format!("--https-listen-port={port}"), format!("--node-name=server-{number}")]);
        command.arg(format!("--data-dir={}", dir.join("data").display()));
        command.arg(format!("--write-kubeconfig={}", dir.join("kubeconfig").display()));
        std::fs::write(dir.join("config.yaml"), "").expect("a configuration of its own");
        command.arg(format!("--config={}", dir.join("config.yaml").display())).env_clear();
        command
    }

    pub fn spawn(root: &std::path::Path, number: u16, command: Command) -> Self {
        Self::spawn_at(root, number, ports() + number, command)
    }

    pub fn spawn_at(root: &std::path::Path, number: u16, port: u16, mut command: Command) -> Self {
        let dir = root.join(number.to_string());
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).spawn();
        Self { dir, port, child: child.expect("a server") }
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("a running server");
        self.child.wait().expect("an ended server");
    }

    fn remote(&self) -> Option<Remote> {
        admin::remote(&self.dir.join("kubeconfig"), "127.0.0.1", self.port)
    }

    pub fn client(&self) -> Option<Client> {
        Some(Client::new(Arc::new(self.remote()?), User::named(ADMIN, &[]), "test"))
    }

    pub async fn get(&self, path: &str) -> Option<(u16, Tree)> {
        admin::get(self.remote(), path).await
    }

    /// The leader's name and how many vote, as this server knows it.
    pub async fn members(&self) -> Option<(String, usize)> {
        let (_, members) = self.get("/v1-skiff/members").await?;
        let members = members.as_array()?;
        let leader = members.iter().find(|it| it["isLeader"] == true)?["name"].as_str()?.to_owned();
        Some((leader, members.iter().filter(|it| it["isVoter"] == true).count()))
    }

    pub async fn ready(&self) {
        until("a server is ready", async || self.get("/readyz").await.is_some_and(|(code, _)| code == 200)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + READY_MAX;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not so in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn config_map(name: &str) -> Tree {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"v": "1"},
    })
}

/// Name and revision of what was acknowledged, and when.
type Acknowledged = Arc<Mutex<Vec<(String, u64, Instant)>>>;

/// Creates one object after the other, at whichever server answers.
async fn write(clients: Vec<Client>, writer: usize, acknowledged: Acknowledged) {
    for n in 0.. {
        let client = &clients[(writer + n) % clients.len()];
        let name = format!("w{writer}-{n}");
        match tokio::time::timeout(Duration::from_secs(12), client.create(&CONFIG_MAP, config_map(&name))).await {
            Ok(Ok(object)) => acknowledged.lock().unwrap().push((name, object.revision().0, Instant::now())),
            Ok(Err(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_three_servers_is_killed_under_writers() {
    let kills: u32 = std::env::var("SKIFF_SERVER_KILLS").ok().map_or(3, |text| text.parse().expect("a number"));
    let root = tempfile::tempdir().expect("a directory");
    let mut servers = BTreeMap::new();
    for number in 1..=3u16 {
        let server = Server::start(root.path(), number);
        server.ready().await;
        servers.insert(number, server);
        let first = &servers[&1];
        until("it votes", async || first.members().await.is_some_and(|(_, voters)| voters == usize::from(number)))
            .await;
    }
    let clients: Vec<Client> = servers.values().map(|server| server.client().expect("a kubeconfig")).collect();
    let first = clients[0].create(&CONFIG_MAP, config_map("first")).await.expect("a write").revision();
    let acknowledged = Acknowledged::default();
    let writers: Vec<_> =
        (0..4).map(|writer| tokio::spawn(write(clients.clone(), writer, acknowledged.clone()))).collect();

    let mut outages = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut leading: Option<u16> = None;
        until("a leader is known", async || {
            let members = servers[&1].members().await;
            leading = members.and_then(|(leader, _)| leader.trim_start_matches("server-").parse().ok());
            leading.is_some()
        })
        .await;
        let number = leading.expect("a server of ours");
        servers.get_mut(&number).expect("the leader").kill();
        let killed = Instant::now();
        let later = || {
            acknowledged
                .lock()
                .unwrap()
                .last()
                .map(|(_, _, at)| *at)
                .filter(|at| *at > killed + Duration::from_millis(20))
        };
        until("somebody else accepts writes", async || later().is_some()).await;
        outages.push(later().expect("a write") - killed);
        servers.insert(number, Server::start(root.path(), number));
        servers[&number].ready().await;
        let all = async || servers[&1].members().await.is_some_and(|(_, voters)| voters == 3);
        until("all are there again", all).await;
    }
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    let acknowledged = acknowledged.lock().unwrap().clone();
    println!("{} writes acknowledged; first write after each kill: {outages:?}", acknowledged.len());
    assert!(acknowledged.len() > 20, "hardly anything was written");

    for (number, client) in (1..).zip(&clients) {
        let list = client.list(&CONFIG_MAP, "default", Options::default()).await.expect("a list");
        let there: BTreeMap<String, u64> =
            list.items.iter().map(|it| (it.key().name().to_owned(), it.revision().0)).collect();
        for (name, revision, _) in &acknowledged {
            assert_eq!(there.get(name), Some(revision), "server {number} lost {name}");
        }
        // From the first write on, over every change of leaders.
        let call = watch::config_maps("default", first.0);
        let remote = servers[&number].remote().expect("a kubeconfig");
        let mut events = remote.watch(call).await.expect("history reaches back");
        let mut last = first.0;
        for _ in 0..acknowledged.len() {
            let event = async {
                loop {
                    match events.next().await {
                        Some(Ok(Event::Bookmark { .. })) => (),
                        event => break event,
                    }
                }
            };
            let event = tokio::time::timeout(Duration::from_secs(5), event).await.expect("an event");
            let Some(Ok(Event::Added(object))) = event else { panic!("an object was created: {event:?}") };
            assert!(object.revision().0 > last, "events are in order");
            last = object.revision().0;
        }
    }
}
