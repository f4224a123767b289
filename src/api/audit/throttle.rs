//! A bucket of tokens: so many writes a second, and a few at once after a pause.

use std::time::Duration;

use tokio::time::Instant;

use super::options::Rate;

pub struct Throttle {
    rate: Rate,
    tokens: f64,
    seen: Instant,
}

impl Throttle {
    pub fn new(rate: Rate) -> Self {
        Self { rate, tokens: rate.burst, seen: Instant::now() }
    }

    /// Waits for the next token.
    pub async fn take(&mut self) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.seen).as_secs_f64();
        self.seen = now;
        self.tokens = (self.tokens + passed * self.rate.per_second).min(self.rate.burst) - 1.0;
        if self.tokens < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.tokens / self.rate.per_second)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_in_time() {
        let mut throttle = Throttle::new(Rate { per_second: 10.0, burst: 3.0 });
        let since = Instant::now();
        for _ in 0..3 {
            throttle.take().await;
        }
        assert_eq!(since.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            throttle.take().await;
        }
        assert!(since.elapsed().abs_diff(Duration::from_secs(1)) < Duration::from_millis(50));
    }
}
