//! What the store does on this machine's disk, beside a bare loop of the same bytes and fsyncs.
//!
//! `cargo bench --bench store [-- DIR]` prints a table; nothing here fails because it is slow. The
//! directory, by default under the current one, should be on the disk in question. Objects are random
//! letters, which compress far less than real ones do, and each row of the table that tells of memory
//! comes from a process of its own.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use skiff::base::clock::SystemClock;
use skiff::base::service::Scope;
use skiff::object::{GroupResource, Key, Revision};
use skiff::store::{
    Action, Command, Endpoint, Etcd, EtcdOptions, Expect, External, KeyRange, Options, Payload, RingLimits, Role,
    Store, Write,
};

const OBJECT_BYTES: usize = 2_048;
const MEASURED: Duration = Duration::from_secs(4);
const MANY_OBJECTS: usize = 100_000;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PHASES: &[&str] = &[
    "bare", "creates", "etcd", "renewals", "watch", "idle", "fill", "restart", "rewrite", "restart", "pods", "letters",
    "one-key",
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    match &words[..] {
        [phase, dir] => run(phase, dir.as_ref()),
        _ => {
            let parent = words.first().map_or_else(|| PathBuf::from("."), PathBuf::from);
            let dir = parent.join(format!("store-bench-{}", std::process::id()));
            std::fs::create_dir_all(&dir).expect("a directory for the bench");
            for phase in PHASES {
                let this = std::env::current_exe().expect("this program");
                let ended = std::process::Command::new(this).arg(phase).arg(&dir).status().expect("a phase");
                assert!(ended.success(), "phase {phase} failed");
            }
            std::fs::remove_dir_all(&dir).expect("the bench's own directory");
        }
    }
}

fn run(phase: &str, dir: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match phase {
        "bare" => [1, 16, 32, 64].into_iter().for_each(|batch| bare_loop(dir, batch)),
        "creates" => [1, 16, 64].into_iter().for_each(|clients| runtime.block_on(creates(dir, clients))),
        "etcd" => creates_in_etcd(&runtime, dir),
        "renewals" => runtime.block_on(renewals(dir)),
        "watch" => runtime.block_on(fan_out(dir, 1_000)),
        "idle" => runtime.block_on(idle(dir)),
        "fill" => runtime.block_on(write_all(dir, "creates")),
        "rewrite" => runtime.block_on(write_all(dir, "updates")),
        "restart" => runtime.block_on(restart(dir)),
        "pods" => runtime.block_on(wear(dir, "pods", &Arc::new((0..512).map(pod).collect()))),
        "letters" => runtime.block_on(wear(dir, "letters", &payloads())),
        "one-key" => runtime.block_on(one_key(dir)),
        other => panic!("no such phase: {other}"),
    }
}

fn row(what: &str, value: f64, unit: &str) {
    println!("{what:<58} {value:>12.1} {unit}");
}

/// Random letters, the same for the same seed.
fn letters(seed: u64, len: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[(state % 64) as usize])
    };
    (0..len).map(next).collect()
}

fn payload(seed: u64) -> Payload {
    let filler = letters(seed, OBJECT_BYTES - 60);
    Payload::find(format!(r#"{{"metadata":{{"resourceVersion":""}},"filler":"{filler}"}}"#)).expect("a hole")
}

/// More than the log's compression can remember, made before the clock runs.
fn payloads() -> Arc<Vec<Payload>> {
    Arc::new((0..512).map(payload).collect())
}

/// What the disk allows: the same bytes, appended and fsynced, and nothing else.
fn bare_loop(dir: &Path, batch: usize) {
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join("bare")).expect("a file");
    let bytes = letters(1, batch * OBJECT_BYTES);
    let (started, mut writes) = (Instant::now(), 0);
    while started.elapsed() < MEASURED / 2 {
        file.write_all(bytes.as_bytes()).and_then(|()| file.sync_data()).expect("a write");
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
    create(&store, "store", clients).await;
    let metrics = store.metrics();
    row("  commands in a log write", metrics.proposals.get() as f64 / metrics.log_writes.get() as f64, "");
    let write_ms = metrics.log_write_nanos.get() as f64 / metrics.log_writes.get() as f64 / 1e6;
    row("  mean log write", write_ms, "ms");
    scope.stop(Duration::from_secs(60)).await;
}

/// The same over a real etcd on the same disk, if etcd is installed. Its CPU is not counted.
fn creates_in_etcd(runtime: &tokio::runtime::Runtime, dir: &Path) {
    let port = |offset: u16| 21790 + offset;
    let (client, peer) = (format!("http://127.0.0.1:{}", port(0)), format!("http://127.0.0.1:{}", port(1)));
    let started = std::process::Command::new("etcd")
        .args(["--name=one", "--log-level=error", "--quota-backend-bytes=8000000000"])
        .arg(format!("--data-dir={}", dir.join("etcd").display()))
        .args([format!("--listen-client-urls={client}"), format!("--advertise-client-urls={client}")])
        .args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")])
        .arg(format!("--initial-cluster=one={peer}"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut server) = started else { return println!("etcd is not installed: its rows are left out") };
    for clients in [1, 16, 64] {
        runtime.block_on(async {
            let endpoint = Endpoint { is_tls: false, host: "127.0.0.1".into(), port: port(0) };
            let prefix = format!("/bench/{clients}");
            let etcd = Etcd::new(&EtcdOptions { endpoints: vec![endpoint], tls: None, prefix });
            etcd.ready(Duration::from_secs(30)).await.expect("etcd");
            let (clock, history) = (SystemClock::shared(), RingLimits::default());
            let external = External { etcd, id: 1, dir: "/none".into(), instance: "bench".into(), clock, history };
            let scope = Scope::root("bench");
            let store = Store::external(external, &scope).await.expect("a store");
            let mut role = store.role();
            role.wait_for(|role| matches!(role, Role::Leader { .. })).await.expect("an open store");
            create(&store, "etcd", clients).await;
            scope.stop(Duration::from_secs(60)).await;
        });
    }
    server.kill().and_then(|()| server.wait()).expect("etcd ends");
}

/// Creates objects for a while, `clients` at a time.
async fn create(store: &Store, what: &str, clients: usize) {
    let (created, payloads) = (Arc::new(AtomicU64::new(0)), payloads());
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let tasks = Scope::root("clients");
    for client in 0..clients {
        let (store, created, payloads) = (store.clone(), created.clone(), payloads.clone());
        tasks.spawn("client", async move {
            for n in 0.. {
                if started.elapsed() > MEASURED {
                    break;
                }
                let key = Key::of("pods", "bench", &format!("pod-{client}-{n}"));
                store
                    .propose(Command::create(key, payloads[(n * 64 + client) % 512].clone()))
                    .await
                    .expect("an outcome");
                created.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.stop(Duration::from_secs(60)).await;
    let (count, took) = (created.load(Ordering::Relaxed) as f64, started.elapsed().as_secs_f64());
    row(&format!("{what}, {clients} clients"), count / took, "creates/s");
    row("  CPU per create", (cpu_seconds() - cpu) / count * 1e6, "us");
}

async fn renewals(dir: &Path) {
    let (store, scope) = open(dir, "renewals").await;
    let key = Key::of("leases.coordination.k8s.io", "kube-node-lease", "node");
    let first = store.propose(Command::create(key.clone(), payload(0))).await.expect("an outcome");
    drop(first);
    let (started, mut count) = (Instant::now(), 0u32);
    while started.elapsed() < MEASURED / 4 {
        let revision = store.state().get(&key).expect("the lease").revision();
        let renewal = Command::update(key.clone(), revision, payload(u64::from(count))).volatile();
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
        store.propose(Command::create(key, payload(n))).await.expect("an outcome");
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

/// What a store that is asked nothing does all the same.
async fn idle(dir: &Path) {
    let (store, scope) = open(dir, "idle").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (cpu, written, switches) = (cpu_seconds(), written_kib(), switches());
    tokio::time::sleep(Duration::from_secs(8)).await;
    row("idle for 8 s: written", written_kib() - written, "KiB");
    row("  CPU", (cpu_seconds() - cpu) * 1e3, "ms");
    row("  wake-ups of all threads, two of them this clock", switches_since(switches), "");
    drop(store);
    scope.stop(Duration::from_secs(60)).await;
}

/// Writes every object once, from many clients.
async fn write_all(dir: &Path, what: &str) {
    let (store, scope) = open(dir, "all").await;
    let (empty, payloads) = (resident_mib(), payloads());
    let tasks = Scope::root("clients");
    let started = Instant::now();
    for client in 0..256 {
        let (store, payloads) = (store.clone(), payloads.clone());
        tasks.spawn("client", async move {
            for n in (client..MANY_OBJECTS).step_by(256) {
                let key = Key::of("pods", "bench", &format!("pod-{n}"));
                let write = Write { key, expect: Expect::Any, action: Action::Put(payloads[n % 512].clone()) };
                store.propose(Command::new(vec![write])).await.expect("an outcome");
            }
        });
    }
    tasks.stop(Duration::from_secs(600)).await;
    let rate = MANY_OBJECTS as f64 / started.elapsed().as_secs_f64();
    row(&format!("{MANY_OBJECTS} {what}, 256 clients"), rate, "a second");
    row("  bytes of the objects", store.state().object_bytes() as f64 / f64::from(1 << 20), "MiB");
    row("  resident when opened", empty, "MiB");
    row("  resident now", resident_mib(), "MiB");
    row("  of it history", store.metrics().history_bytes.get() as f64 / f64::from(1 << 20), "MiB");
    scope.stop(Duration::from_secs(60)).await;
    row("  checkpoints", store.metrics().checkpoints.get() as f64, "");
    row("  time in them, off the event loop", store.metrics().checkpoint_nanos.get() as f64 / 1e6, "ms");
    row("  written to the disk", written_kib() / 1024.0, "MiB");
    for part in ["log", "checkpoint", "snapshots"] {
        row(&format!("  on the disk: {part}"), disk_mib(&dir.join("all").join(part)), "MiB");
    }
}

/// An object as clusters have them: what is written of it is not what a generator of random letters says.
fn pod(seed: u64) -> Payload {
    let (uid, app) = (letters(seed, 36), letters(seed % 40, 10));
    let field = |name: &str| {
        format!(r#""f:{name}":{{".":{{}},"f:image":{{}},"f:imagePullPolicy":{{}},"f:name":{{}},"f:resources":{{}}}}"#)
    };
    let fields: Vec<String> =
        ["metadata", "containers", "dnsPolicy", "status", "conditions", "volumes"].map(field).into();
    let condition = |kind: &str| {
        format!(
            r#"{{"type":"{kind}","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-28T20:{:02}:{:02}Z"}}"#,
            seed % 60,
            seed / 7 % 60
        )
    };
    let conditions: Vec<String> =
        ["Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers"].map(condition).into();
    let text = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{app}-{uid}","generateName":"{app}-","namespace":"bench","uid":"{uid}","resourceVersion":"","creationTimestamp":"2026-11-28T20:00:00Z","labels":{{"app":"{app}","pod-template-hash":"{hash}"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"{app}","uid":"{owner}","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-11-28T20:00:00Z","fieldsType":"FieldsV1","fieldsV1":{{{fields}}}}}]}},"spec":{{"volumes":[{{"name":"kube-api-access-{short}","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}}],"defaultMode":420}}}}],"containers":[{{"name":"app","image":"registry.example.org/team/{app}:1.2.3","resources":{{"limits":{{"cpu":"500m","memory":"256Mi"}},"requests":{{"cpu":"100m","memory":"64Mi"}}}},"volumeMounts":[{{"name":"kube-api-access-{short}","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","serviceAccount":"default","nodeName":"node-{node}","securityContext":{{}},"schedulerName":"default-scheduler"}},"status":{{"phase":"Running","conditions":[{conditions}],"hostIP":"10.0.0.{node}","podIP":"10.42.{node}.{ip}","qosClass":"Burstable"}}}}"#,
        hash = letters(seed % 40 + 99, 10),
        owner = letters(seed % 40 + 7, 36),
        fields = fields.join(","),
        short = letters(seed + 1, 5),
        node = seed % 200,
        ip = seed % 250,
        conditions = conditions.join(","),
    );
    Payload::find(text).expect("a hole")
}

/// Creates and then updates at random, as long as it takes for several checkpoints: what is written to
/// the disk for each byte of the objects, and what is taken there at most.
async fn wear(dir: &Path, what: &str, payloads: &Arc<Vec<Payload>>) {
    const KEYS: usize = 30_000;
    const WRITES: usize = 200_000;
    let place = dir.join(what);
    let (store, scope) = open(dir, what).await;
    let (written, objects) = (written_kib(), Arc::new(AtomicU64::new(0)));
    let tasks = Scope::root("clients");
    for client in 0..64usize {
        let (store, payloads, objects) = (store.clone(), payloads.clone(), objects.clone());
        tasks.spawn("client", async move {
            for n in (client..WRITES).step_by(64) {
                let at = if n < KEYS { n } else { n.wrapping_mul(2_654_435_761) % KEYS };
                let payload = payloads[(n / 3) % 512].clone();
                objects.fetch_add(payload.bytes.len() as u64, Ordering::Relaxed);
                let key = Key::of("pods", "bench", &format!("pod-{at}"));
                let write = Write { key, expect: Expect::Any, action: Action::Put(payload) };
                store.propose(Command::new(vec![write])).await.expect("an outcome");
            }
        });
    }
    let most = watch_space(&place, &tasks).await;
    let live = store.state().object_bytes() as f64 / f64::from(1 << 20);
    scope.stop(Duration::from_secs(60)).await;
    let objects = objects.load(Ordering::Relaxed) as f64 / 1024.0;
    row(
        &format!("{what}: {WRITES} writes of {KEYS} objects: written"),
        (written_kib() - written) / objects,
        "x objects",
    );
    row("  checkpoints", store.metrics().checkpoints.get() as f64, "");
    row("  live objects", live, "MiB");
    row("  most on the disk", most, "MiB");
    row("  allowed: 4 x live + 64", 4.0 * live + 64.0, "MiB");
}

async fn one_key(dir: &Path) {
    const WRITES: usize = 1_000_000;
    let place = dir.join("one-key");
    let (store, scope) = open(dir, "one-key").await;
    let tasks = Scope::root("clients");
    for client in 0..256 {
        let store = store.clone();
        tasks.spawn("client", async move {
            let payload = pod(client as u64);
            for _ in (client..WRITES).step_by(256) {
                let key = Key::of("pods", "bench", "one");
                let write = Write { key, expect: Expect::Any, action: Action::Put(payload.clone()) };
                store.propose(Command::new(vec![write])).await.expect("an outcome");
            }
        });
    }
    let started = Instant::now();
    let most = watch_space(&place, &tasks).await;
    row(&format!("{WRITES} updates of one object"), WRITES as f64 / started.elapsed().as_secs_f64(), "a second");
    row("  most on the disk", most, "MiB");
    row("  resident", resident_mib(), "MiB");
    scope.stop(Duration::from_secs(60)).await;
    row("  on the disk at the end", disk_mib(&place), "MiB");
}

/// The most space taken in `place` until `tasks` are done.
async fn watch_space(place: &Path, tasks: &Scope) -> f64 {
    let mut most = 0.0f64;
    let mut done = std::pin::pin!(tasks.stop(Duration::from_secs(3_600)));
    loop {
        tokio::select! {
            _ = &mut done => return most.max(disk_mib(place)),
            () = tokio::time::sleep(Duration::from_millis(200)) => most = most.max(disk_mib(place)),
        }
    }
}

async fn restart(dir: &Path) {
    let started = Instant::now();
    let (store, scope) = open(dir, "all").await;
    row("restart until everything is there", started.elapsed().as_secs_f64() * 1e3, "ms");
    assert_eq!(store.state().len(), MANY_OBJECTS);
    row("  resident", resident_mib(), "MiB");
    scope.stop(Duration::from_secs(60)).await;
}

fn written_kib() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// How often each thread stopped to wait so far.
fn switches() -> BTreeMap<String, f64> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let count = |path: PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
    };
    tasks.filter_map(|task| Some((task.file_name().to_string_lossy().into_owned(), count(task.path())?))).collect()
}

fn switches_since(before: BTreeMap<String, f64>) -> f64 {
    switches().iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0.0)).sum()
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
