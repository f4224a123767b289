//! Long runs of the simulator, by seed: `skiff-sim --seed 7 --show` repeats one, `--seeds 10000` runs many.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use skiff::sim::{Report, Run, run};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs the store on simulated clocks, networks and disks, and checks what clients saw.
#[derive(Parser)]
struct Flags {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many simulated hours each lasts
    #[arg(long, default_value_t = 1.0 / 6.0)]
    hours: f64,
    /// How many run at once [default: three times the processors, since each waits for threads most of the time]
    #[arg(long)]
    jobs: Option<usize>,
    /// Tell everything that happens
    #[arg(long)]
    show: bool,
    /// Run each twice and compare
    #[arg(long)]
    twice: bool,
}

/// Whether two runs of a seed differ; tells what happened around the first difference.
fn differs(seed: u64, one: &Report, other: &Report) -> bool {
    if one.trace == other.trace {
        return false;
    }
    let (one, other) = (&one.happened, &other.happened);
    let pairs = one.iter().zip(other);
    let first = pairs.take_while(|(a, b)| a == b).count();
    println!("seed {seed}: two runs differ after {first} of {} and {} happenings", one.len(), other.len());
    for (name, happened) in [("first", one), ("second", other)] {
        let around = happened.iter().skip(first.saturating_sub(6)).take(12);
        around.for_each(|happening| println!("  {name}: {happening}"));
    }
    true
}

fn usual_jobs() -> usize {
    3 * std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let (next, failed, operations, done) =
        (AtomicU64::new(0), Mutex::new(Vec::new()), AtomicU64::new(0), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..flags.jobs.unwrap_or_else(usual_jobs) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= flags.seeds {
                        return;
                    }
                    let seed = flags.seed + n;
                    let lasts = Duration::from_secs_f64(flags.hours * 3_600.0);
                    let wanted = Run { seed, lasts, shown: flags.show, kept: flags.twice };
                    match std::panic::catch_unwind(|| run(wanted)) {
                        Ok(report) => {
                            operations.fetch_add(report.operations as u64, Ordering::Relaxed);
                            if flags.seeds == 1 && !flags.twice {
                                println!("{report:#?}");
                            }
                            for fault in &report.faults {
                                println!("seed {seed}: {fault}");
                            }
                            let differs = flags.twice && differs(seed, &report, &run(wanted));
                            if !report.faults.is_empty() || differs {
                                failed.lock().expect("no thread fails here").push(seed);
                            }
                        }
                        Err(_) => {
                            println!("seed {seed}: panicked");
                            failed.lock().expect("no thread fails here").push(seed);
                        }
                    }
                    let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if count.is_multiple_of(100) {
                        println!("{count} seeds after {:.0} s", started.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("no thread fails here");
    failed.sort_unstable();
    println!(
        "{} seeds of {} h in {:.0} s, {} operations; failed: {failed:?}",
        flags.seeds,
        flags.hours,
        started.elapsed().as_secs_f64(),
        operations.into_inner(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
