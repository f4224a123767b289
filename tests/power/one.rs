//! One server: some cuts come while it starts, the others under writers.

use std::time::{Duration, Instant};

use skiff::base::service::Scope;

use super::ledger::Ledger;
use super::server::{Began, Machine};
use super::{READY_MAX, TELL_EVERY, can_cut, number};

const WRITERS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_missing_after_cuts_of_power() {
    if !can_cut() {
        return;
    }
    let (cuts, seed) = (number("SKIFF_POWER_CUTS", 10), number("SKIFF_POWER_SEED", 1));
    let root = tempfile::tempdir().expect("a directory");
    let mut machine = Machine::new(root.path(), 0, number("SKIFF_POWER_PORT", 22_443) as u16, seed);
    let ledger = Ledger::default();
    let (mut in_writing, mut at_start) = (0, 0);
    let begun = Instant::now();
    for round in 0..cuts {
        if machine.disk.lock().below(5) == 0 {
            let mut disk = machine.disk.lock();
            let operations = disk.below(200);
            disk.cut_after(operations);
        }
        machine.start();
        if machine.begun().await == Began::Cut {
            at_start += 1;
        } else {
            in_writing += 1;
            ledger.check(&machine.client()).await;
            let operations = machine.disk.lock().below(400);
            machine.disk.lock().cut_after(operations);
            cut_under_writers(&mut machine, &ledger, round).await;
        }
        machine.stop();
        if (round + 1) % TELL_EVERY == 0 || round + 1 == cuts {
            let (acknowledged, syncs, took) = (ledger.acknowledged(), machine.disk.lock().syncs, begun.elapsed());
            println!(
                "{} cuts of seed {seed}, {in_writing} under writers and {at_start} at the start: {acknowledged} writes \
                 acknowledged, none lost in {} looks, {syncs} fsyncs, {:.0} s",
                round + 1,
                ledger.checks(),
                took.as_secs_f64()
            );
        }
    }
    machine.start();
    assert_eq!(machine.begun().await, Began::Ready);
    ledger.check(&machine.client()).await;
    println!("after the last cut: none of {} writes lost, no human was needed", ledger.acknowledged());
    assert!(ledger.acknowledged() > cuts, "hardly anything was written");
}

async fn cut_under_writers(machine: &mut Machine, ledger: &Ledger, round: u64) {
    let (client, stop) = (machine.client(), Scope::root("writers"));
    let mut writing: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(ledger.clone().write(vec![client.clone()], writer, round, stop.clone())))
        .collect();
    writing.push(tokio::spawn(ledger.clone().tidy(client, round, stop.clone())));
    let deadline = Instant::now() + READY_MAX;
    while !machine.is_dead() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What is acknowledged after the cut counts as well: nothing may be.
    tokio::time::sleep(Duration::from_millis(30)).await;
    stop.cancel();
    machine.stop();
    for writer in writing {
        writer.await.expect("a writer that ends");
    }
}
