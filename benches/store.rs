//! What the store does on this machine's disk, beside a bare loop of the same bytes and fsyncs.
//!
//! `cargo bench --bench store [-- DIR]` prints a table; nothing here fails because it is slow. The
//! directory, by default under the current one, should be on the disk in question.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use skiff::base::service::Scope;
use skiff::object::{GroupResource, Key, Revision};
use skiff::store::{Command, KeyRange, Options, Payload, Store};

const OBJECT_BYTES: usize = 2_048;
const MEASURED: Duration = Duration::from_secs(4);
const MANY_OBJECTS: usize = 100_000;

fn main() {
    let dir =
        std::env::args().skip(1).find(|arg| !arg.starts_with('-')).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let dir = dir.join(format!("store-bench-{}", std::process::id()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    std::fs::create_dir_all(&dir).expect("a directory for the bench");
    for batch in [1, 16, 32, 64] {
        bare_loop(&dir, batch);
    }
    for clients in [1, 16, 64] {
        runtime.block_on(creates(&dir, clients));
    }
    runtime.block_on(renewals(&dir));
    runtime.block_on(fan_out(&dir, 1_000));
    runtime.block_on(restart(&dir));
    std::fs::remove_dir_all(&dir).expect("the bench's own directory");
}

fn row(what: &str, value: f64, unit: &str) {
    println!("{what:<58} {value:>12.1} {unit}");
}

fn payload() -> Payload {
    let filler: String = (0..OBJECT_BYTES - 60).map(|n| char::from(b'a' + ((n * 7919) % 26) as u8)).collect();
    Payload::find(format!(r#"{{"metadata":{{"resourceVersion":""}},"filler":"{filler}"}}"#)).expect("a hole")
}

/// What the disk allows: the same bytes, appended and fsynced, and nothing else.
fn bare_loop(dir: &Path, batch: usize) {
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join("bare")).expect("a file");
    let bytes = vec![b'x'; batch * OBJECT_BYTES];
    let (started, mut writes) = (Instant::now(), 0);
    while started.elapsed() < MEASURED / 2 {
        file.write_all(&bytes).and_then(|()| file.sync_data()).expect("a write");
        writes += batch;
    }
    std::fs::remove_file(dir.join("bare")).expect("the file");
    row(&format!("bare loop, {batch} objects an fsync"), writes as f64 / started.elapsed().as_secs_f64(), "objects/s");
}

async fn open(dir: &Path, name: &str) -> (Store, Scope) {
    let scope = Scope::root("bench");
    (Store::open(Options::new(dir.join(name)), &scope).await.expect("a store"), scope)
}

async fn creates(dir: &Path, clients: usize) {
    let (store, scope) = open(dir, &format!("creates-{clients}")).await;
    let (created, payload) = (Arc::new(AtomicU64::new(0)), payload());
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let tasks = Scope::root("clients");
    for client in 0..clients {
        let (store, created, payload) = (store.clone(), created.clone(), payload.clone());
        tasks.spawn("client", async move {
            for n in 0.. {
                if started.elapsed() > MEASURED {
                    break;
                }
                let key = Key::of("pods", "bench", &format!("pod-{client}-{n}"));
                store.propose(Command::create(key, payload.clone())).await.expect("an outcome");
                created.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.stop(Duration::from_secs(60)).await;
    let (count, took) = (created.load(Ordering::Relaxed) as f64, started.elapsed().as_secs_f64());
    let metrics = store.metrics();
    row(&format!("store, {clients} clients"), count / took, "creates/s");
    row("  commands in a log write", metrics.proposals.get() as f64 / metrics.log_writes.get() as f64, "");
    let write_ms = metrics.log_write_nanos.get() as f64 / metrics.log_writes.get() as f64 / 1e6;
    row("  mean log write", write_ms, "ms");
    row("  CPU per create", (cpu_seconds() - cpu) / count * 1e6, "us");
    scope.stop(Duration::from_secs(60)).await;
}

async fn renewals(dir: &Path) {
    let (store, scope) = open(dir, "renewals").await;
    let key = Key::of("leases.coordination.k8s.io", "kube-node-lease", "node");
    let first = store.propose(Command::create(key.clone(), payload())).await.expect("an outcome");
    drop(first);
    let (started, mut count) = (Instant::now(), 0u32);
    while started.elapsed() < MEASURED / 4 {
        let revision = store.state().get(&key).expect("the lease").revision();
        let renewal = Command::update(key.clone(), revision, payload()).volatile();
        store.propose(renewal).await.expect("an outcome");
        count += 1;
    }
    row("volatile renewals, 1 client", f64::from(count) / started.elapsed().as_secs_f64(), "renewals/s");
    row("  log writes for all of them", store.metrics().log_writes.get() as f64 - 2.0, "");
    scope.stop(Duration::from_secs(60)).await;
}

/// From an answered write to the last of many watchers of the same resource having its event.
async fn fan_out(dir: &Path, watchers: usize) {
    let (store, scope) = open(dir, "watch").await;
    let pods = GroupResource::new("", "pods");
    let seen = Arc::new(AtomicU64::new(0));
    let tasks = Scope::root("watchers");
    for _ in 0..watchers {
        let mut watch = store.watch(KeyRange::resource(&pods), Revision::ZERO).expect("a watch");
        let seen = seen.clone();
        tasks.spawn("watcher", async move {
            while watch.next().await.is_ok() {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut delays = Vec::new();
    for n in 0..200u64 {
        let key = Key::of("pods", "bench", &format!("pod-{n}"));
        store.propose(Command::create(key, payload())).await.expect("an outcome");
        let answered = Instant::now();
        while seen.load(Ordering::Relaxed) < (n + 1) * watchers as u64 {
            tokio::task::yield_now().await;
        }
        delays.push(answered.elapsed());
    }
    delays.sort();
    row(
        &format!("answered to last of {watchers} watchers, p99"),
        delays[delays.len() * 99 / 100].as_secs_f64() * 1e3,
        "ms",
    );
    scope.stop(Duration::from_secs(60)).await;
    tasks.stop(Duration::from_secs(60)).await;
}

async fn restart(dir: &Path) {
    let (store, scope) = open(dir, "restart").await;
    let before = resident_mib();
    let clients = futures_util::future::join_all((0..256).map(|client| {
        let (store, payload) = (store.clone(), payload());
        async move {
            for n in (client..MANY_OBJECTS).step_by(256) {
                let bytes = bytes::Bytes::copy_from_slice(&payload.bytes);
                let key = Key::of("pods", "bench", &format!("pod-{n}"));
                store.propose(Command::create(key, Payload { bytes, ..payload })).await.expect("an outcome");
            }
        }
    }));
    let started = Instant::now();
    clients.await;
    row(
        &format!("{MANY_OBJECTS} creates, 256 clients"),
        MANY_OBJECTS as f64 / started.elapsed().as_secs_f64(),
        "creates/s",
    );
    let objects = store.state().object_bytes() as f64 / (1 << 20) as f64;
    row("  bytes of the objects", objects, "MiB");
    row("  resident beside them before / after", before, "MiB");
    row("", resident_mib(), "MiB");
    row("  checkpoints taken", store.metrics().checkpoints.get() as f64, "");
    let checkpoint_ms = store.metrics().checkpoint_nanos.get() as f64 / 1e6;
    row("  time in checkpoints, off the event loop", checkpoint_ms, "ms");
    scope.stop(Duration::from_secs(60)).await;
    drop(store);
    for part in ["log", "checkpoint", "snapshots"] {
        row(&format!("  disk: {part}"), disk_mib(&dir.join("restart").join(part)), "MiB");
    }
    let started = Instant::now();
    let (store, scope) = open(dir, "restart").await;
    row("restart until everything is there", started.elapsed().as_secs_f64() * 1e3, "ms");
    assert_eq!(store.state().len(), MANY_OBJECTS);
    row("  resident", resident_mib(), "MiB");
    scope.stop(Duration::from_secs(60)).await;
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn disk_mib(dir: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.path() {
        path if path.is_dir() => disk_mib(&path),
        path => File::open(path).and_then(|file| file.metadata()).map_or(0.0, |data| data.blocks() as f64 / 2048.0),
    });
    sizes.sum()
}
