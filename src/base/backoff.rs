//! How long to wait after failing again.

use std::time::Duration;

/// Delays that double with each failure in a row, between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
}

impl Backoff {
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }

    /// The delay after so many failures in a row; none after none.
    pub fn delay(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            n => self.min.saturating_mul(1u32.checked_shl(n - 1).unwrap_or(u32::MAX)).min(self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound() {
        let backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(1));
        let millis = |failures| backoff.delay(failures).as_millis();
        assert_eq!([0, 1, 2, 3, 40, 4_000_000].map(millis), [0, 5, 10, 20, 1000, 1000]);
    }
}
