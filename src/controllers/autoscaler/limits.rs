//! How fast and how far a target may be scaled: bounds, policies, and what was recommended of late.

use std::time::Duration;

use crate::object::{Timestamp, Tree, TreePath};

/// Without wishes of its own, an autoscaler takes away no more than was not needed for so long.
const DOWN_WINDOW_SECS: i64 = 5 * 60;

/// What is remembered of a target between two looks at it. Lost with the lead, as upstream's.
#[derive(Default)]
pub struct Memory {
    recommended: Vec<(i64, Timestamp)>,
    grown: Vec<(i64, Timestamp)>,
    shrunk: Vec<(i64, Timestamp)>,
}

impl Memory {
    /// The first look at a target recommends what it finds.
    pub fn begin(&mut self, current: i64, now: Timestamp) {
        if self.recommended.is_empty() {
            self.recommended.push((current, now));
        }
    }

    /// Notes that a target was scaled, if there may be policies that ask for it.
    pub fn scaled(&mut self, from: i64, to: i64, behavior: &Tree, now: Timestamp) {
        if !behavior.is_object() {
            return;
        }
        let (direction, list) = match to > from {
            true => ("scaleUp", &mut self.grown),
            false => ("scaleDown", &mut self.shrunk),
        };
        let longest = Rules::of(behavior, direction).policies.iter().map(|policy| policy.period_secs).max();
        list.retain(|(_, at)| *at >= back(now, longest.unwrap_or(0)));
        list.push(((to - from).abs(), now));
    }

    /// Drops what no window of `secs` looks at any more, and adds what is recommended now.
    fn recommend(&mut self, replicas: i64, secs: i64, now: Timestamp) {
        self.recommended.retain(|(_, at)| *at >= back(now, secs));
        self.recommended.push((replicas, now));
    }
}

/// What came of it, and what two conditions say about it.
#[derive(Debug, PartialEq)]
pub struct Limited {
    pub replicas: i64,
    pub able: (&'static str, &'static str),
    pub is_limited: bool,
    pub limit: (&'static str, &'static str),
}

const AS_WISHED: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const SHRINKS_LATER: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const GROWS_LATER: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FAST_UP: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: (&str, &str) = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");

#[derive(Clone, Copy)]
pub struct Bounds {
    pub min: i64,
    pub max: i64,
}

/// Brings the wish `desired` within what is allowed now.
pub fn limit(
    memory: &mut Memory,
    behavior: &Tree,
    bounds: Bounds,
    (current, desired): (i64, i64),
    now: Timestamp,
) -> Limited {
    let (steady, later) = match behavior.is_object() {
        true => steady_by_rules(memory, behavior, current, desired, now),
        false => (steady_by_default(memory, desired, now), SHRINKS_LATER),
    };
    let (replicas, limit) = match behavior.is_object() {
        true => bounded_by_rules(memory, behavior, bounds, current, steady, now),
        false => bounded_by_default(bounds, current, steady),
    };
    let able = if steady == desired { AS_WISHED } else { later };
    Limited { replicas, able, is_limited: replicas != steady, limit }
}

fn steady_by_default(memory: &mut Memory, desired: i64, now: Timestamp) -> i64 {
    memory.recommend(desired, DOWN_WINDOW_SECS, now);
    memory.recommended.iter().map(|(replicas, _)| *replicas).max().unwrap_or(desired)
}

fn steady_by_rules(
    memory: &mut Memory,
    behavior: &Tree,
    current: i64,
    desired: i64,
    now: Timestamp,
) -> (i64, (&'static str, &'static str)) {
    let up = Rules::of(behavior, "scaleUp").window_secs.unwrap_or(0);
    let down = Rules::of(behavior, "scaleDown").window_secs.unwrap_or(DOWN_WINDOW_SECS);
    let within = |secs: i64| {
        let recent = memory.recommended.iter().filter(move |(_, at)| *at > back(now, secs));
        recent.map(|(replicas, _)| *replicas).chain([desired])
    };
    let (lowest, highest) = (within(up).min().unwrap_or(desired), within(down).max().unwrap_or(desired));
    let steady = current.max(lowest).min(highest);
    memory.recommend(desired, up.max(down), now);
    (steady, if desired >= current { GROWS_LATER } else { SHRINKS_LATER })
}

fn bounded_by_default(bounds: Bounds, current: i64, desired: i64) -> (i64, (&'static str, &'static str)) {
    let fastest = (2 * current).max(4);
    let (most, why) = if bounds.max > fastest { (fastest, TOO_FAST_UP) } else { (bounds.max, TOO_MANY) };
    if desired < bounds.min {
        (bounds.min, TOO_FEW)
    } else if desired > most {
        (most, why)
    } else {
        (desired, WITHIN)
    }
}

fn bounded_by_rules(
    memory: &Memory,
    behavior: &Tree,
    bounds: Bounds,
    current: i64,
    desired: i64,
    now: Timestamp,
) -> (i64, (&'static str, &'static str)) {
    if desired > current {
        let fastest = Rules::of(behavior, "scaleUp").most(memory, current, now).max(current);
        let (most, why) = if bounds.max > fastest { (fastest, TOO_FAST_UP) } else { (bounds.max, TOO_MANY) };
        if desired > most {
            return (most, why);
        }
    } else if desired < current {
        let fastest = Rules::of(behavior, "scaleDown").least(memory, current, now).min(current);
        let (least, why) = if bounds.min < fastest { (fastest, TOO_FAST_DOWN) } else { (bounds.min, TOO_FEW) };
        if desired < least {
            return (least, why);
        }
    }
    (desired, WITHIN)
}

/// One direction of `spec.behavior`.
struct Rules<'a> {
    select: &'a str,
    policies: Vec<Policy>,
    window_secs: Option<i64>,
}

#[derive(Clone, Copy)]
struct Policy {
    is_percent: bool,
    value: i64,
    period_secs: i64,
}

impl<'a> Rules<'a> {
    fn of(behavior: &'a Tree, direction: &str) -> Self {
        let Some(rules) = behavior.at(direction) else {
            return Self { select: "", policies: Vec::new(), window_secs: None };
        };
        let policy = |policy: &Tree| Policy {
            is_percent: policy.text("type") == "Percent",
            value: policy.int("value").unwrap_or(0),
            period_secs: policy.int("periodSeconds").unwrap_or(0),
        };
        Self {
            select: rules.text("selectPolicy"),
            policies: rules.items("policies").iter().map(policy).collect(),
            window_secs: rules.int("stabilizationWindowSeconds"),
        }
    }

    /// The most replicas that the policies let there be now.
    fn most(&self, memory: &Memory, current: i64, now: Timestamp) -> i64 {
        let limit = |policy: &Policy| {
            let start = policy.replicas_before(memory, current, now);
            match policy.is_percent {
                true => (start as f64 * (1.0 + policy.value as f64 / 100.0)).ceil() as i64,
                false => start + policy.value,
            }
        };
        match self.select {
            "Disabled" => current,
            "Min" => self.policies.iter().map(limit).min().unwrap_or(i64::MAX),
            _ => self.policies.iter().map(limit).max().unwrap_or(current),
        }
    }

    /// The fewest.
    fn least(&self, memory: &Memory, current: i64, now: Timestamp) -> i64 {
        let limit = |policy: &Policy| {
            let start = policy.replicas_before(memory, current, now);
            match policy.is_percent {
                true => (start as f64 * (1.0 - policy.value as f64 / 100.0)) as i64,
                false => start - policy.value,
            }
        };
        match self.select {
            "Disabled" => current,
            "Min" => self.policies.iter().map(limit).max().unwrap_or(i64::MIN),
            _ => self.policies.iter().map(limit).min().unwrap_or(current),
        }
    }
}

impl Policy {
    /// The replicas at the beginning of the policy's period.
    fn replicas_before(&self, memory: &Memory, current: i64, now: Timestamp) -> i64 {
        let within = |list: &[(i64, Timestamp)]| -> i64 {
            let recent = list.iter().filter(|(_, at)| *at > back(now, self.period_secs));
            recent.map(|(change, _)| *change).sum()
        };
        current - within(&memory.grown) + within(&memory.shrunk)
    }
}

fn back(now: Timestamp, secs: i64) -> Timestamp {
    now - Duration::from_secs(secs.max(0).unsigned_abs())
}
