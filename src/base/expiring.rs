//! A map that forgets: every entry has an end, and there are only so many.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Entries by key, each until a time of its own. Times are those of one clock that never goes back.
#[derive(Debug)]
pub struct Expiring<K, V> {
    entries: HashMap<K, (V, Duration)>,
    len_max: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Expiring<K, V> {
    pub fn new(len_max: usize) -> Self {
        Self { entries: HashMap::new(), len_max }
    }

    pub fn get(&self, key: &K, now: Duration) -> Option<V> {
        self.entries.get(key).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    /// Remembers `value` until `until`. Where there is no room, what has ended goes; and if nothing has,
    /// what ends first.
    pub fn put(&mut self, key: K, value: V, until: Duration, now: Duration) {
        if until <= now {
            return;
        }
        if self.entries.len() >= self.len_max && !self.entries.contains_key(&key) {
            self.entries.retain(|_, (_, until)| now < *until);
        }
        if self.entries.len() >= self.len_max && !self.entries.contains_key(&key) {
            let first = self.entries.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone());
            first.iter().for_each(|key| drop(self.entries.remove(key)));
        }
        self.entries.insert(key, (value, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn an_entry_is_there_until_its_end() {
        let mut map = Expiring::new(2);
        map.put("a", 1, at(10), at(0));
        assert_eq!((map.get(&"a", at(9)), map.get(&"a", at(10))), (Some(1), None));
        map.put("b", 2, at(5), at(5));
        assert_eq!(map.get(&"b", at(5)), None);
    }

    #[test]
    fn what_has_ended_makes_room_and_then_what_ends_first() {
        let mut map = Expiring::new(2);
        map.put("a", 1, at(10), at(0));
        map.put("b", 2, at(20), at(0));
        map.put("c", 3, at(30), at(10));
        assert_eq!((map.get(&"b", at(10)), map.get(&"c", at(10))), (Some(2), Some(3)));
        map.put("d", 4, at(15), at(10));
        assert_eq!((map.get(&"b", at(10)), map.get(&"c", at(10)), map.get(&"d", at(10))), (None, Some(3), Some(4)));
    }
}
