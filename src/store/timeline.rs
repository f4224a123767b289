//! A value that changes now and then, as it was at every index of the log that still matters.

#[derive(Debug)]
pub(super) struct Timeline<T>(Vec<(u64, T)>);

impl<T> Timeline<T> {
    /// Holds `value` from `index` on.
    pub fn new(index: u64, value: T) -> Self {
        Self(vec![(index, value)])
    }

    pub fn current(&self) -> &T {
        &self.0[self.0.len() - 1].1
    }

    /// The value after the entry at `index`.
    pub fn at(&self, index: u64) -> &T {
        let after = self.0.partition_point(|(since, _)| *since <= index);
        &self.0[after.saturating_sub(1)].1
    }

    /// The entry at `index` changed it.
    pub fn change(&mut self, index: u64, value: T) {
        debug_assert!(self.0.iter().all(|(since, _)| *since <= index), "changes come in the order of the log");
        self.0.push((index, value));
    }

    /// Nobody will ask for what was before `index`.
    pub fn forget(&mut self, index: u64) {
        let after = self.0.partition_point(|(since, _)| *since <= index);
        self.0.drain(..after.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_at_an_index_is_that_of_the_last_change_before() {
        let mut timeline = Timeline::new(3, "a");
        timeline.change(7, "b");
        timeline.change(7, "c");
        assert_eq!((timeline.at(1), timeline.at(6), timeline.at(7)), (&"a", &"a", &"c"));
        timeline.forget(9);
        assert_eq!((timeline.at(9), timeline.current(), timeline.0.len()), (&"c", &"c", 1));
    }
}
