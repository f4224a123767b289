//! The store under the simulator for some seeds. `SKIFF_SEED=n` runs one alone and shows everything,
//! `SKIFF_SEEDS=count` more of them; `skiff-sim` is for long runs.

use std::time::Duration;

use skiff::sim::{Report, Run, run};

/// Enough for a few seconds of a debug build.
const SEEDS: u64 = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seconds(seed: u64, seconds: u64, shown: bool) -> Report {
    run(Run { seed, lasts: Duration::from_secs(seconds), shown, kept: false })
}

#[test]
fn nothing_acknowledged_is_lost_and_nobody_is_told_anything_wrong() {
    let (seeds, shown) = match number("SKIFF_SEED") {
        Some(seed) => (seed..seed + 1, true),
        None => (1..1 + number("SKIFF_SEEDS").unwrap_or(SEEDS), false),
    };
    for seed in seeds {
        let report = seconds(seed, 30, shown);
        assert!(report.faults.is_empty(), "seed {seed}: {:#?}", report.faults);
        assert!(report.operations > 20 && report.events > 20, "hardly anything happened: {report:?}");
    }
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in 1..4 {
        let (one, other) = (seconds(seed, 20, false), seconds(seed, 20, false));
        assert_eq!(one.trace, other.trace, "seed {seed}: `skiff-sim --twice` tells the first difference");
    }
}
