//! The real server on a disk whose power is cut, again and again, in the middle of whatever it does:
//! nothing acknowledged is missing afterwards, and no human is needed. Needs root and `/dev/fuse`.
//!
//! `SKIFF_POWER_CUTS` says how often, `SKIFF_POWER_SEED` with which choices, `SKIFF_POWER_PORT` where;
//! `SKIFF_BINARY` what to run instead of this build.

mod disk;
mod fuse;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use skiff::client::Client;
use skiff::client::remote::{Endpoint, Remote, read};
use skiff::object::kind::CONFIG_MAP;
use skiff::object::tree::json;
use skiff::object::{Options, Tree, User};
use skiff::security::{Identity, tls};

use disk::Disk;
use fuse::Mounted;

const ADMIN: &str = "system:admin";
const WRITERS: usize = 6;
/// Of a debug build on a busy machine.
const READY_MAX: Duration = Duration::from_secs(120);

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

struct Server {
    child: Child,
    kubeconfig: PathBuf,
    port: u16,
}

impl Server {
    fn start(root: &Path, port: u16) -> Self {
        let binary = std::env::var("SKIFF_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_skiff").to_owned());
        let (kubeconfig, config) = (root.join("kubeconfig"), root.join("config.yaml"));
        std::fs::write(&config, "").expect("a configuration of its own");
        let log = std::fs::File::options().create(true).append(true).open(root.join("log")).expect("a log");
        let mut command = Command::new(binary);
        command.args(["server", "--disable-agent", "--node-name=power", "--bind-address=127.0.0.1"]);
        command.args(["--cluster-cidr=10.67.0.0/16", "--service-cidr=10.68.0.0/16"]);
        command.arg(format!("--https-listen-port={port}"));
        command.arg(format!("--data-dir={}", root.join("disk/data").display()));
        command.arg(format!("--write-kubeconfig={}", kubeconfig.display()));
        command.arg(format!("--config={}", config.display())).env_clear();
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        Self { child: command.spawn().expect("a server"), kubeconfig, port }
    }

    fn remote(&self) -> Option<Remote> {
        let config: serde_json::Value = serde_yaml::from_str(&std::fs::read_to_string(&self.kubeconfig).ok()?).ok()?;
        let pem = |path: &str| {
            let text = config.pointer(path)?.as_str()?;
            String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
        };
        let certificate = pem("/users/0/user/client-certificate-data")?;
        let identity = Identity { certificate, key: pem("/users/0/user/client-key-data")? };
        let tls = tls::client_config(&pem("/clusters/0/cluster/certificate-authority-data")?, Some(&identity)).ok()?;
        Some(Remote::new(Endpoint { host: "127.0.0.1".into(), port: self.port }, [(ADMIN.to_owned(), tls)]))
    }

    fn client(&self) -> Option<Client> {
        Some(Client::new(Arc::new(self.remote()?), User::named(ADMIN, &[]), "test"))
    }

    async fn is_ready(&self) -> bool {
        let asking = async {
            let request = http::Request::builder().uri("/readyz").body(Default::default()).ok()?;
            let response = self.remote()?.send(ADMIN, request).await.ok()?;
            let code = response.status().as_u16();
            read(response.into_body()).await.ok()?;
            Some(code == 200)
        };
        tokio::time::timeout(Duration::from_secs(2), asking).await.ok().flatten().unwrap_or(false)
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What became of one writer's object: the number that was acknowledged last, and the last one tried.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: Option<u64>,
    tried: Option<u64>,
    revision: u64,
}

type Ledger = Arc<Mutex<BTreeMap<String, Known>>>;

fn config_map(name: &str, number: u64, filling: usize) -> Tree {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"v": number.to_string(), "filling": "x".repeat(filling)},
    })
}

/// Creates an object, overwrites it some times, and goes on to the next, until nobody answers.
async fn write(client: Client, writer: usize, round: u64, ledger: Ledger) {
    for n in 0.. {
        let name = format!("w{writer}-{round}-{n}");
        for number in 0..4u64 {
            ledger.lock().unwrap().entry(name.clone()).or_default().tried = Some(number);
            let object = config_map(&name, number, (n * 131 + writer * 977) % 6_000);
            let writing = async {
                match number {
                    0 => client.create(&CONFIG_MAP, object).await,
                    _ => client.update(&CONFIG_MAP, object).await,
                }
            };
            match tokio::time::timeout(Duration::from_secs(15), writing).await {
                Ok(Ok(object)) => {
                    let mut ledger = ledger.lock().unwrap();
                    let known = ledger.entry(name.clone()).or_default();
                    (known.acknowledged, known.revision) = (Some(number), object.revision().0);
                }
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

/// Everything acknowledged is there as it was written, or as it was tried to be written later.
async fn check(client: &Client, ledger: &Ledger) -> u64 {
    let list = client.list(&CONFIG_MAP, "default", Options::default()).await.expect("a list");
    let there: BTreeMap<String, u64> = list
        .items
        .iter()
        .filter_map(|it| Some((it.key().name().to_owned(), it.tree()["data"]["v"].as_str()?.parse().ok()?)))
        .collect();
    let mut ledger = ledger.lock().unwrap();
    for (name, known) in ledger.iter_mut() {
        let found = there.get(name).copied();
        assert!(found >= known.acknowledged && found <= known.tried, "{name} is {found:?} after {known:?}");
        (known.acknowledged, known.tried) = (found, found); // what was seen stays
    }
    ledger.values().filter(|known| known.acknowledged.is_some()).count() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_missing_after_cuts_of_power() {
    if !Path::new("/dev/fuse").exists() || !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: cuts of power need root and /dev/fuse, a file system in user space");
        return;
    }
    let (cuts, seed) = (number("SKIFF_POWER_CUTS", 10), number("SKIFF_POWER_SEED", 1));
    let port = number("SKIFF_POWER_PORT", 22_443) as u16;
    let root = tempfile::tempdir().expect("a directory");
    let at = root.path().join("disk");
    std::fs::create_dir(&at).expect("a place to mount at");
    let mounted = Mounted(Arc::new(Mutex::new(Disk::new(seed))));
    let ledger = Ledger::default();
    let (mut kept, mut in_writing, mut at_start) = (0, 0, 0);
    let begun = Instant::now();
    for round in 0..cuts {
        let session = mounted.mount(&at).expect("a mount");
        // Some cuts come while it starts.
        if mounted.lock().below(5) == 0 {
            let mut disk = mounted.lock();
            let operations = disk.below(200);
            disk.cut_after(operations);
        }
        let mut server = Server::start(root.path(), port);
        let deadline = Instant::now() + READY_MAX;
        while !server.is_ready().await && !mounted.lock().is_dead() {
            let log = || std::fs::read_to_string(root.path().join("log")).unwrap_or_default();
            assert!(!server.has_ended() || mounted.lock().is_dead(), "round {round} needs a human: {}", log());
            assert!(Instant::now() < deadline, "round {round} does not get ready: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if mounted.lock().is_dead() {
            at_start += 1;
        } else {
            in_writing += 1;
            let client = server.client().expect("a kubeconfig");
            kept = check(&client, &ledger).await;
            let operations = mounted.lock().below(400);
            mounted.lock().cut_after(operations);
            let writers = (0..WRITERS).map(|writer| tokio::spawn(write(client.clone(), writer, round, ledger.clone())));
            let writers: Vec<_> = writers.collect();
            let deadline = Instant::now() + READY_MAX;
            while !mounted.lock().is_dead() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // What is acknowledged after the cut counts as well: nothing may be.
            tokio::time::sleep(Duration::from_millis(30)).await;
            server.kill();
            for writer in writers {
                writer.await.expect("a writer that ends");
            }
        }
        server.kill();
        session.umount_and_join().expect("nobody uses it any more");
        mounted.lock().restart();
    }
    let _session = mounted.mount(&at).expect("a mount");
    let server = Server::start(root.path(), port);
    let deadline = Instant::now() + READY_MAX;
    while !server.is_ready().await {
        assert!(Instant::now() < deadline, "it does not get ready after the last cut");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kept = kept.max(check(&server.client().expect("a kubeconfig"), &ledger).await);
    drop(server);
    let (took, syncs) = (begun.elapsed(), mounted.lock().syncs);
    println!(
        "{cuts} cuts, {in_writing} under writers and {at_start} at the start, in {took:?}: {kept} objects, {syncs} fsyncs, none lost"
    );
    assert!(kept > cuts, "hardly anything was written");
}
