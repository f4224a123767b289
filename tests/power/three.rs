//! Three servers, each on a disk of its own: the power of one fails, of two, or of all at once, in the
//! middle of what they do, and now and then again while they start.

use std::time::{Duration, Instant};

use skiff::base::service::Scope;
use skiff::client::Client;

use super::ledger::Ledger;
use super::server::{Began, Machine};
use super::{READY_MAX, TELL_EVERY, can_cut, number};

const SERVERS: u16 = 3;
const WRITERS: usize = 6;
/// Servers that nobody leads have little to do: their power fails by then all the same.
const CUT_BY: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_lose_nothing_when_the_power_of_any_of_them_fails() {
    if !can_cut() {
        return;
    }
    let (cuts, seed) = (number("SKIFF_POWER_CUTS", 10), number("SKIFF_POWER_SEED", 1));
    let root = tempfile::tempdir().expect("a directory");
    let mut machines = found(root.path(), number("SKIFF_POWER_PORT", 22_443) as u16 + 1, seed).await;
    let clients: Vec<Client> = machines.iter().map(Machine::client).collect();
    let ledger = Ledger::default();
    let mut done = Done::default();
    let begun = Instant::now();
    for round in 0.. {
        if done.cuts() >= cuts {
            break;
        }
        round_of(&mut machines, &clients, &ledger, round, &mut done).await;
        let asked = &machines[(round % u64::from(SERVERS)) as usize];
        all_vote(asked).await;
        ledger.barrier(&clients).await;
        ledger.check(&clients[(round % u64::from(SERVERS)) as usize]).await;
        if round % TELL_EVERY == 0 || done.cuts() >= cuts {
            println!(
                "{} cuts of seed {seed} in {} rounds ({} of one server, {} of two, {} of all; {} more while starting): \
                 {} writes acknowledged, none lost in {} looks, {:.0} s",
                done.cuts(),
                round + 1,
                done.rounds[0],
                done.rounds[1],
                done.rounds[2],
                done.at_start,
                ledger.acknowledged(),
                ledger.checks(),
                begun.elapsed().as_secs_f64()
            );
        }
    }
    for client in &clients {
        ledger.check(client).await;
    }
    println!("after the last cut: none of {} writes lost, no human was needed", ledger.acknowledged());
    assert!(ledger.acknowledged() > cuts, "hardly anything was written");
}

#[derive(Default)]
struct Done {
    /// How often one, two and three servers were cut off at once.
    rounds: [u64; SERVERS as usize],
    at_start: u64,
}

impl Done {
    fn cuts(&self) -> u64 {
        (1..).zip(self.rounds).map(|(servers, rounds)| servers * rounds).sum::<u64>() + self.at_start
    }
}

/// The first founds the cluster, the others join it.
async fn found(root: &std::path::Path, port: u16, seed: u64) -> Vec<Machine> {
    let mut machines: Vec<Machine> = Vec::new();
    for number in 0..SERVERS {
        let mut machine = Machine::new(root, number, port, seed * 1_000 + u64::from(number));
        if let Some(first) = machines.first() {
            machine.joins = vec![format!("--server={}", first.url()), format!("--token={}", first.token())];
        }
        machine.start();
        assert_eq!(machine.begun().await, Began::Ready);
        machines.push(machine);
    }
    all_vote(&machines[0]).await;
    machines
}

async fn all_vote(machine: &Machine) {
    let deadline = Instant::now() + READY_MAX;
    while machine.voters().await != usize::from(SERVERS) {
        assert!(Instant::now() < deadline, "not all vote");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn round_of(machines: &mut [Machine], clients: &[Client], ledger: &Ledger, round: u64, done: &mut Done) {
    let (victims, restarts) = {
        let disk = machines[0].disk.lock();
        let first = disk.below(3) as usize;
        let count = [1, 1, 2, 3][disk.below(4) as usize];
        let victims: Vec<usize> = (0..count).map(|n| (first + n) % machines.len()).collect();
        (victims, disk.below(5) == 0)
    };
    let stop = Scope::root("writers");
    let mut writing: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(ledger.clone().write(clients.to_vec(), writer, round, stop.clone())))
        .collect();
    let tidies = &clients[(victims[0] + 1) % clients.len()];
    writing.push(tokio::spawn(ledger.clone().tidy(tidies.clone(), round, stop.clone())));
    for victim in &victims {
        let mut disk = machines[*victim].disk.lock();
        let operations = disk.below(300);
        disk.cut_after(operations);
    }
    let deadline = Instant::now() + CUT_BY;
    let is_dead = |machines: &[Machine]| victims.iter().all(|victim| machines[*victim].is_dead());
    while !is_dead(machines) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The others go on, where they are enough.
    tokio::time::sleep(Duration::from_millis(200)).await;
    victims.iter().for_each(|victim| machines[*victim].stop());
    done.rounds[victims.len() - 1] += 1;
    for victim in &victims {
        let machine = &mut machines[*victim];
        if restarts {
            let mut disk = machine.disk.lock();
            let operations = disk.below(200);
            disk.cut_after(operations);
        }
        machine.start();
    }
    for victim in victims {
        let machine = &mut machines[victim];
        while machine.begun().await == Began::Cut {
            machine.stop();
            done.at_start += 1;
            machine.start();
        }
        machine.disk.lock().spare();
    }
    stop.cancel();
    for writer in writing {
        writer.await.expect("a writer that ends");
    }
}
