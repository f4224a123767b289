//! A work queue of keys: what is to be done, each key at most once at a time.
//!
//! Pure: the caller says what time it is. A key that is added while it is being worked on is handed
//! out again afterwards; a key that is added twice before is handed out once. Its size is bounded by
//! the number of different keys.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// Times are those of a monotonic clock.
#[derive(Debug)]
pub struct Queue<K> {
    ready: VecDeque<K>,
    states: HashMap<K, State>,
    timers: BTreeSet<(Duration, K)>,
    deadlines: HashMap<K, Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In `ready`.
    Waiting,
    /// Handed out. `again`: was added since.
    Running { again: bool },
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { ready: VecDeque::new(), states: HashMap::new(), timers: BTreeSet::new(), deadlines: HashMap::new() }
    }
}

impl<K: Clone + Ord + Hash> Queue<K> {
    /// Makes `key` due at once.
    pub fn add(&mut self, key: K) {
        match self.states.get_mut(&key) {
            Some(State::Waiting) => (),
            Some(State::Running { again }) => *again = true,
            None => {
                self.states.insert(key.clone(), State::Waiting);
                self.ready.push_back(key);
            }
        }
    }

    /// Makes `key` due at `when`, unless it already is earlier.
    pub fn add_at(&mut self, key: K, when: Duration) {
        match self.deadlines.get(&key) {
            Some(earlier) if *earlier <= when => return,
            Some(later) => drop(self.timers.remove(&(*later, key.clone()))),
            None => (),
        }
        self.deadlines.insert(key.clone(), when);
        self.timers.insert((when, key));
    }

    /// Hands out the next key that is due. It is the caller's until [`Queue::done`].
    pub fn pop(&mut self, now: Duration) -> Option<K> {
        while let Some((when, _)) = self.timers.first() {
            if *when > now {
                break;
            }
            let Some((_, key)) = self.timers.pop_first() else { break };
            self.deadlines.remove(&key);
            self.add(key);
        }
        let key = self.ready.pop_front()?;
        self.states.insert(key.clone(), State::Running { again: false });
        Some(key)
    }

    /// Takes a key back; it is due again if it was added meanwhile.
    pub fn done(&mut self, key: &K) {
        if let Some(State::Running { again: true }) = self.states.remove(key) {
            self.add(key.clone());
        }
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Duration> {
        self.timers.first().map(|(when, _)| *when)
    }

    /// How many keys wait, without timers and without those handed out.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(10);

    #[test]
    fn a_key_is_handed_out_once_and_again_if_added_meanwhile() {
        let mut queue = Queue::default();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.pop(NOW), Some("a"));
        assert_eq!(queue.pop(NOW), None);
        queue.add("a");
        assert_eq!(queue.pop(NOW), None, "one at a time");
        queue.done(&"a");
        assert_eq!(queue.pop(NOW), Some("a"));
        queue.done(&"a");
        assert_eq!(queue.pop(NOW), None);
    }

    #[test]
    fn the_earliest_timer_of_a_key_counts() {
        let mut queue = Queue::default();
        queue.add_at("a", NOW + Duration::from_secs(9));
        queue.add_at("a", NOW + Duration::from_secs(1));
        queue.add_at("a", NOW + Duration::from_secs(5));
        assert_eq!(queue.pop(NOW), None);
        assert_eq!(queue.next_timer(), Some(NOW + Duration::from_secs(1)));
        assert_eq!(queue.pop(NOW + Duration::from_secs(2)), Some("a"));
        assert_eq!(queue.next_timer(), None);
    }
}
