//! How long each plugin took, under upstream's names.
//!
//! Every write asks some plugins twice, so the series of what is let pass are looked up once and kept.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Operation;
use crate::api::metrics::{Histogram, Metrics};
use crate::base::clock::ClockRef;

#[derive(Clone, Copy)]
pub enum Step {
    Admit,
    Validate,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Validate => "validate",
        }
    }
}

const STEPS: usize = 2;
const OPERATIONS: usize = 4;

pub struct Timing {
    metrics: Arc<Metrics>,
    clock: ClockRef,
    /// By plugin, step and operation.
    plugins: Box<[Passed]>,
    /// By step and operation.
    steps: [Passed; STEPS * OPERATIONS],
}

/// The series of what is let pass, once something was.
type Passed = OnceLock<Arc<Histogram>>;

impl Timing {
    pub fn new(metrics: Arc<Metrics>, clock: ClockRef, plugins: usize) -> Self {
        let plugins = (0..plugins * STEPS * OPERATIONS).map(|_| Passed::new()).collect();
        Self { metrics, clock, plugins, steps: Default::default() }
    }

    pub fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Counts one asking of the plugin at a place of the table.
    pub fn plugin(
        &self,
        (at, name): (usize, &str),
        step: Step,
        operation: Operation,
        is_refused: bool,
        took: Duration,
    ) {
        let find = |refused: &'static str| {
            self.metrics.admission_plugins.with(&[name, step.as_str(), operation.as_str(), refused])
        };
        count(self.plugins.get(at * STEPS * OPERATIONS + place(step, operation)), is_refused, took, find);
    }

    /// Counts the whole step.
    pub fn step(&self, step: Step, operation: Operation, is_refused: bool, took: Duration) {
        let find =
            |refused: &'static str| self.metrics.admission_steps.with(&[step.as_str(), operation.as_str(), refused]);
        count(self.steps.get(place(step, operation)), is_refused, took, find);
    }
}

fn place(step: Step, operation: Operation) -> usize {
    step as usize * OPERATIONS + operation as usize
}

fn count(passed: Option<&Passed>, is_refused: bool, took: Duration, find: impl Fn(&'static str) -> Arc<Histogram>) {
    match passed.filter(|_| !is_refused) {
        Some(series) => series.get_or_init(|| find("false")).observe(took),
        None => find(if is_refused { "true" } else { "false" }).observe(took),
    }
}
