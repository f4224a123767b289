//! Thresholds: how many results in a row it takes to change one's mind. Pure.

use crate::kubelet::spec::Probe;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Startup,
    Liveness,
    Readiness,
}

impl Purpose {
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// Results in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    last: Option<bool>,
    in_a_row: u32,
}

impl Counter {
    /// Takes one result; `Some` is what is now believed, `None` that it is too early to say.
    pub fn note(&mut self, success: bool, probe: &Probe) -> Option<bool> {
        self.in_a_row = if self.last == Some(success) { self.in_a_row + 1 } else { 1 };
        self.last = Some(success);
        let needed = if success { probe.success_threshold.unwrap_or(1) } else { probe.failure_threshold.unwrap_or(3) };
        (self.in_a_row >= needed).then_some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beliefs_change_at_the_threshold() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let mut counter = Counter::default();
        let told: Vec<_> =
            [true, true, false, false, true, false, false, false].map(|result| counter.note(result, &probe)).into();
        assert_eq!(told, [None, Some(true), None, None, None, None, None, Some(false)]);
    }
}
