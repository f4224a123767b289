//! Whether a node has room for a pod, and how full it would be.

use std::borrow::Cow;

use crate::scheduler::framework::{Attempt, Refusal, SCORE_MAX};
use crate::scheduler::info::NodeInfo;

/// Every resource that is short is named. What the node could not give even if it were empty makes
/// driving pods off pointless.
pub fn fits(attempt: &Attempt, info: &NodeInfo) -> Result<(), Refusal> {
    let mut short: Vec<Cow<'static, str>> = Vec::new();
    let mut hopeless = false;
    if info.pods.len() + 1 > info.pods_max {
        short.push("Too many pods".into());
    }
    let (want, have, used) = (&attempt.pod.requests, &info.allocatable, &info.requested);
    let mut compare = |name: &str, want: i64, have: i64, used: i64| {
        if want > 0 && want > have - used {
            short.push(format!("Insufficient {name}").into());
            hopeless |= want > have;
        }
    };
    compare("cpu", want.cpu_millis, have.cpu_millis, used.cpu_millis);
    compare("memory", want.memory, have.memory, used.memory);
    compare("ephemeral-storage", want.storage, have.storage, used.storage);
    for (name, want) in &want.others {
        let of = |amounts: &std::collections::BTreeMap<String, i64>| amounts.get(name).copied().unwrap_or(0);
        compare(name, *want, of(&have.others), of(&used.others));
    }
    if short.is_empty() { Ok(()) } else { Err(Refusal { reasons: short, resolvable: !hopeless }) }
}

/// Nodes with much left, cpu and memory counting alike.
pub fn least_allocated(attempt: &Attempt, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let want = &attempt.pod.assumed;
    let left = |want: i64, have: i64, used: i64| {
        if have == 0 {
            None
        } else {
            Some(if used + want > have { 0 } else { (have - used - want) * SCORE_MAX / have })
        }
    };
    let rate = |info: &&NodeInfo| {
        let (have, used) = (&info.allocatable, &info.assumed);
        let parts =
            [left(want.cpu_millis, have.cpu_millis, used.cpu_millis), left(want.memory, have.memory, used.memory)];
        let known: Vec<i64> = parts.into_iter().flatten().collect();
        if known.is_empty() { 0 } else { known.iter().sum::<i64>() / known.len() as i64 }
    };
    Some(nodes.iter().map(rate).collect())
}

/// Nodes on which cpu and memory would be used up at the same pace. What counts is how much the
/// pod improves that.
pub fn best_balanced(attempt: &Attempt, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let want = &attempt.pod.requests;
    if want.cpu_millis == 0 && want.memory == 0 {
        return None; // it changes no balance
    }
    let rate = |info: &&NodeInfo| {
        let (have, used) = (&info.allocatable, &info.requested);
        let balance = |cpu: i64, memory: i64| {
            let part = |amount: i64, of: i64| (of > 0).then(|| (amount as f64 / of as f64).min(1.0));
            let deviation = match (part(cpu, have.cpu_millis), part(memory, have.memory)) {
                (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
                _ => 0.0,
            };
            ((1.0 - deviation) * SCORE_MAX as f64) as i64
        };
        let after = balance(used.cpu_millis + want.cpu_millis, used.memory + want.memory);
        let before = balance(used.cpu_millis, used.memory);
        SCORE_MAX / 2 + (SCORE_MAX / 2 + after - before) / 2
    };
    Some(nodes.iter().map(rate).collect())
}
