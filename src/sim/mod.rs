//! The store under a seed: the real code over a simulated clock, network and disk.
//!
//! One thread, simulated time, and every choice drawn from the seed: a second run of a seed is the same to
//! the last byte written, which [`Report::trace`] shows. What clients and watchers saw is judged by [`check`], which knows nothing of the
//! store. Not in here: anything above the store.

pub mod check;
mod client;
mod clock;
mod dice;
mod disk;
#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod etcd_tests;
mod net;
mod record;
#[cfg(test)]
mod refusals_tests;
#[cfg(test)]
mod rig;
mod server;
mod trace;
mod watcher;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use check::history::Fault;
use dice::Dice;
use record::{Record, Written};
use trace::Trace;
use world::World;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub seed: u64,
    /// Of simulated time, in which things happen; a little more passes before and after.
    pub lasts: Duration,
    /// Tells everything that happens on the standard output.
    pub shown: bool,
    /// Keeps everything that happens, for whoever looks for a difference.
    pub kept: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub faults: Vec<Fault>,
    pub operations: usize,
    pub events: usize,
    /// Places of the log at which servers were compared.
    pub compared: usize,
    pub befell: BTreeMap<&'static str, u32>,
    /// Equal if everything happened alike, down to each write to a disk.
    pub trace: (u64, u64),
    /// All of it in words, if it was kept.
    pub happened: Vec<String>,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Tasks that panic are caught by whoever started them; here each is a fault.
fn watch_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            usual(info);
        }));
    });
    PANICS.take();
}

/// Runs one seed, on this thread.
pub fn run(run: Run) -> Report {
    watch_panics();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without IO needs nothing");
    let root = folder(run.seed);
    let report = runtime.block_on(simulate(run, &root));
    drop(runtime);
    drop(std::fs::remove_dir_all(&root)); // it is empty files
    report
}

/// A folder of this run's own, in memory where there is such a place.
fn folder(seed: u64) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let shared = PathBuf::from("/dev/shm");
    let above = if shared.is_dir() { shared } else { std::env::temp_dir() };
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    above.join(format!("skiff-sim-{}-{seed}-{run}", std::process::id()))
}

async fn simulate(run: Run, root: &std::path::Path) -> Report {
    let dice = Dice::of(run.seed);
    let trace = Trace::new(run.shown);
    if run.kept {
        trace.keep();
    }
    disk::simulate_time(dice.fork());
    let record = Record::new(trace.clone());
    let mut world = World::found(root, dice, record.clone()).await;
    let (renews, is_single) = (world.renews, world.is_single());
    world.populate();
    world.suffer(run.lasts).await;
    if !record.is_faulty() {
        world.settle().await;
    }
    world.end().await;
    let Written { ops, sessions, compared, mut faults } = record.take();
    faults.extend(PANICS.take().into_iter().map(Fault));
    if faults.is_empty() {
        // What is renewed in memory only is lost in a crash, and others hear of it late.
        let skip = |key: &str| renews && key.starts_with(client::VOLATILE);
        faults.extend(check::judge(&ops, &sessions, skip, is_single || !renews).err());
    }
    let events = sessions.iter().map(|session| session.items.len()).sum();
    let (trace, happened) = (trace.sum(), trace.take());
    Report { seed: run.seed, faults, operations: ops.len(), events, compared, befell: world.befell, trace, happened }
}
