//! The walk of a new user: stock kubectl, real containers, one cluster from an empty data directory.
//!
//! Steps run in order against one cluster; each leaves nothing behind in its namespace. A step that
//! fails does not stop the others. `E2E_ONLY=name` runs the steps whose name contains it,
//! `SKIFF_BINARY` names the program (the release build by default), `KUBECTL` the client.

mod cluster;
mod image;
mod installer;
mod registry;
mod steps;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use cluster::Cluster;

fn main() -> ExitCode {
    let only = std::env::var("E2E_ONLY").unwrap_or_default();
    let mut cluster = Cluster::start();
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, step) in steps::STEPS.iter().filter(|(name, _)| name.contains(&only)) {
        let started = Instant::now();
        let namespace = cluster.enter(name);
        let outcome = catch_unwind(AssertUnwindSafe(|| step(&mut cluster)));
        let took = started.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("ok    {name} ({took:.1} s)");
            }
            Err(_) => {
                println!("FAIL  {name} ({took:.1} s)");
                cluster.describe_failure();
                failed.push(*name);
            }
        }
        cluster.leave(&namespace);
    }
    cluster.stop();
    for name in &failed {
        println!("failed: {name}");
    }
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
