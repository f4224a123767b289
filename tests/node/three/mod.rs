//! Three real servers, each in a network namespace, with everything that befalls machines and networks,
//! while clients read, write and watch through the API of all of them. What they were told is judged as
//! in the simulator. Needs root and `/dev/net/tun`, and takes everything away that it made.
//!
//! `SKIFF_TRIAL_ROUNDS` says how often everything happens (but for the one that takes long: not in a single
//! round), `SKIFF_TRIAL_SEED` in which order,
//! `SKIFF_TRIAL_ONLY` names the one trouble that does; `SKIFF_BINARY` what to run instead of this build.

mod clock;
mod history;
mod lan;
mod machine;
mod tap;
mod troubles;
mod watcher;
mod workload;

use std::sync::{Arc, RwLock};
use std::time::Instant;

use skiff::base::rand::SystemRand;
use skiff::base::service::Scope;
use skiff::object::TreePath;
use skiff::object::tree::json;

use history::Record;
use lan::Lan;
use machine::{Machine, until};
use troubles::{TROUBLES, Trial, Trouble};
use watcher::Watcher;
use workload::{Came, NAMESPACE, PATH, Servers, Worker, ask};

const SERVERS: usize = 3;
const WORKERS: usize = 8;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_keep_their_promises_whatever_befalls_them() {
    let (rounds, seed) = (setting("SKIFF_TRIAL_ROUNDS", 1), setting("SKIFF_TRIAL_SEED", 1));
    let root = tempfile::tempdir().expect("a directory");
    // One more for each that is replaced.
    let lan = Lan::new(SERVERS + rounds as usize, seed);
    let mut machines = found(root.path(), &lan).await;
    let servers: Servers = Arc::new(RwLock::new(
        machines.iter().map(|machine| Arc::new(machine.remote().expect("a kubeconfig"))).collect(),
    ));
    let first = begin(&servers).await;

    let (record, stop, rand) = (Record::default(), Scope::root("workload"), SystemRand::seeded(seed));
    let worker = |number| {
        let rand = SystemRand::seeded(seed * 100 + number as u64);
        let known = Default::default();
        Worker { number, servers: servers.clone(), rand, record: record.clone(), known, shunned: None }
    };
    let working: Vec<_> = (0..WORKERS).map(|number| tokio::spawn(worker(number).run(stop.clone()))).collect();
    let watcher = |number| {
        let (wanders, servers, record) = (number == SERVERS, servers.clone(), record.clone());
        Watcher { number, place: number, wanders, servers, record, from: first }
    };
    let end = Scope::root("watchers");
    let watching: Vec<_> = (0..=SERVERS).map(|number| tokio::spawn(watcher(number).run(end.clone()))).collect();

    let began = Instant::now();
    let mut trial = Trial { root: root.path(), lan: &lan, machines: &mut machines, servers: &servers, record: &record };
    for _ in 0..rounds {
        let mut troubles = TROUBLES.to_vec();
        match std::env::var("SKIFF_TRIAL_ONLY") {
            Ok(only) => troubles.retain(|trouble| format!("{trouble:?}") == only),
            // A debug build takes minutes for it.
            Err(_) if rounds == 1 => troubles.retain(|trouble| *trouble != Trouble::LongAway),
            Err(_) => (),
        }
        if rounds > 1 {
            troubles.sort_by_cached_key(|_| rand.next_u64());
        }
        if !clock::CAN_BE_SET {
            troubles.retain(|trouble| !trouble.sets_clocks());
            println!("SKIPPED: all that sets clocks, for it is written for x86-64 alone");
        }
        for trouble in troubles {
            trial.suffer(trouble).await;
            println!("{:6.1} s, {:6} writes: {trouble:?}", began.elapsed().as_secs_f64(), record.written());
        }
    }
    stop.cancel();
    for worker in working {
        worker.await.expect("a worker that ends");
    }
    end.cancel();
    for watcher in watching {
        tokio::time::timeout(machine::READY_MAX, watcher).await.expect("all is told in time").expect("a watcher");
    }
    let failed = record.failures();
    assert!(failed.is_empty(), "{} requests failed:\n{}\n{}", failed.len(), failed.join("\n"), trial.logs());
    let judged = record.judge().unwrap_or_else(|fault| panic!("{fault}\n{}", trial.logs()));
    println!(
        "{} operations, {} of them without an answer, {} events in {} watches, {} frames: no fault",
        judged.ops,
        judged.lost,
        judged.events,
        judged.sessions,
        lan.carried()
    );
    let enough = if std::env::var("SKIFF_TRIAL_ONLY").is_ok() { 50 } else { 500 };
    assert!(judged.ops > enough && judged.events > enough, "hardly anything happened");
}

/// The first founds the cluster, the others join it.
async fn found(root: &std::path::Path, lan: &Lan) -> Vec<Machine> {
    let mut machines: Vec<Machine> = Vec::new();
    for number in 1..=SERVERS {
        let mut machine = Machine::new(root, lan, number);
        if let Some(first) = machines.first() {
            machine = machine.joining(first);
        }
        machine.start();
        machine.ready().await;
        machines.push(machine);
    }
    until("all vote", async || machines[0].members().await.is_some_and(|(_, voters)| voters.len() == SERVERS)).await;
    machines
}

/// Makes the place for the objects; tells a revision at which none is there.
async fn begin(servers: &Servers) -> u64 {
    let remote = servers.read().expect("the servers")[0].clone();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let made = ask(&remote, "POST", "/api/v1/namespaces", Some(namespace)).await;
    assert!(matches!(made, Came::Answer(201, _)), "{made:?}");
    let Came::Answer(200, list) = ask(&remote, "GET", PATH, None).await else { panic!("no list") };
    list.text("metadata.resourceVersion").parse().expect("a revision")
}
