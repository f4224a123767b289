//! How long each plugin took, under upstream's names.
//!
//! Every write asks every plugin twice, so the series of what is let pass are looked up once and kept.

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
    passed: Box<[OnceLock<Arc<Histogram>>]>,
}

impl Timing {
    pub fn new(metrics: Arc<Metrics>, clock: ClockRef, plugins: usize) -> Self {
        Self { metrics, clock, passed: (0..plugins * STEPS * OPERATIONS).map(|_| OnceLock::new()).collect() }
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
        let find = |refused| self.metrics.admission_plugins.with(&[name, step.as_str(), operation.as_str(), refused]);
        if is_refused {
            return find("true").observe(took);
        }
        let place = (at * STEPS + step as usize) * OPERATIONS + operation as usize;
        if let Some(series) = self.passed.get(place) {
            series.get_or_init(|| find("false")).observe(took);
        }
    }

    /// Counts the whole step.
    pub fn step(&self, step: Step, operation: Operation, is_refused: bool, took: Duration) {
        let refused = if is_refused { "true" } else { "false" };
        self.metrics.admission_steps.with(&[step.as_str(), operation.as_str(), refused]).observe(took);
    }
}
