//! When a client that was turned away may come back: later, the more are turned away.

use std::collections::VecDeque;

const RETRY_SECS_MAX: u64 = 32;

/// Counts what a level turned away, second by second.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// Seconds before the current one, with how many.
    history: VecDeque<(u64, u64)>,
    current: (u64, u64),
    retry_secs: u64,
    raised_at: u64,
}

impl Default for Dropped {
    fn default() -> Self {
        Self { history: VecDeque::new(), current: (0, 0), retry_secs: 1, raised_at: 0 }
    }
}

impl Dropped {
    /// Counts one more; tells after how many seconds to try again.
    pub fn count(&mut self, now_secs: u64) -> u64 {
        let now_secs = now_secs.max(self.current.0);
        if self.current.0 == now_secs {
            self.current.1 += 1;
            return self.retry_secs;
        }
        let last = std::mem::replace(&mut self.current, (now_secs, 1));
        self.history.push_back(last);
        let kept = (2 * self.retry_secs).min(RETRY_SECS_MAX);
        while self.history.front().is_some_and(|(second, _)| last.0 - second > kept) {
            self.history.pop_front();
        }
        self.adjust(now_secs);
        self.retry_secs
    }

    fn adjust(&mut self, now: u64) {
        let recent = self.history.iter().rev().take_while(|(second, _)| now - second <= self.retry_secs);
        let dropped: u64 = recent.map(|(_, count)| count).sum();
        if now - self.raised_at >= self.retry_secs && dropped >= 3 * self.retry_secs {
            self.retry_secs = (2 * self.retry_secs).min(RETRY_SECS_MAX);
            self.raised_at = now;
        } else if dropped < self.retry_secs && self.retry_secs > 1 {
            self.retry_secs -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_sent_away_for_longer_while_many_are() {
        let mut dropped = Dropped::default();
        let second = |dropped: &mut Dropped, now, count| (0..count).map(|_| dropped.count(now)).last();
        assert_eq!(second(&mut dropped, 100, 1), Some(1));
        assert_eq!(second(&mut dropped, 101, 10), Some(1));
        assert_eq!(second(&mut dropped, 102, 10), Some(2));
        for now in 103..140 {
            second(&mut dropped, now, 200);
        }
        assert_eq!(second(&mut dropped, 140, 200), Some(32));
        for now in (141..500).step_by(2) {
            second(&mut dropped, now, 1);
        }
        assert_eq!(second(&mut dropped, 501, 1), Some(1));
    }
}
