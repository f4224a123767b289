//! Which pod is tried next: the most important one first, then the one that waited longest.
//!
//! A pod that no node would take is parked until something happens that might help it; one that
//! could not be bound, or is tried again soon after failing, backs off. Pure: the caller says what
//! time it is.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::framework::{FILTERS, Happening};
use super::info::PodRef;
use crate::base::backoff::Backoff;
use crate::object::Key;

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
/// Parked pods are tried again after this long, whatever happens.
const PARKED_MAX: Duration = Duration::from_secs(300);

#[derive(Default)]
pub struct Queue {
    entries: HashMap<Key, Entry>,
    active: BTreeSet<(Reverse<i32>, u64, Key)>,
    backing_off: BTreeSet<(Duration, Key)>,
    /// Parked pods in the order in which they were parked.
    parked: BTreeSet<(Duration, Key)>,
    added_count: u64,
}

struct Entry {
    pod: PodRef,
    turn: u64,
    attempts: u32,
    /// When it may be tried again at the earliest.
    not_before: Duration,
    place: Place,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Active,
    BackingOff(Duration),
    /// Waits for something that helps one of these plugins.
    Parked {
        since: Duration,
        refused_by: Vec<&'static str>,
    },
    /// Being tried or bound.
    Out,
    /// Has scheduling gates.
    Gated,
}

impl Queue {
    /// Takes in a pod that has no node yet, or a new state of it. `retry`: the change is one that
    /// deserves another try.
    pub fn set(&mut self, pod: PodRef, retry: bool, now: Duration) {
        let key = pod.pod.key().clone();
        let gated = !pod.pod.spec.scheduling_gates.is_empty();
        match self.entries.get_mut(&key) {
            Some(entry) if entry.pod.uid() == pod.uid() => {
                entry.pod = pod;
                let parked = matches!(entry.place, Place::Parked { .. } | Place::Gated);
                match gated {
                    true => self.put(&key, Place::Gated),
                    false if parked && retry => self.activate(&key, now),
                    false => (),
                }
            }
            _ => {
                self.remove(&key);
                self.added_count += 1;
                let place = Place::Out;
                let (turn, attempts, not_before) = (self.added_count, 0, Duration::ZERO);
                self.entries.insert(key.clone(), Entry { pod, turn, attempts, not_before, place });
                self.put(&key, if gated { Place::Gated } else { Place::Active });
            }
        }
    }

    pub fn remove(&mut self, key: &Key) {
        self.put(key, Place::Out);
        self.entries.remove(key);
    }

    /// The next pod to try. It stays out until [`Queue::park`], [`Queue::retry`] or [`Queue::remove`].
    pub fn pop(&mut self, now: Duration) -> Option<PodRef> {
        while let Some((until, key)) = self.backing_off.first().cloned() {
            if until > now {
                break;
            }
            self.put(&key, Place::Active);
        }
        while let Some((since, key)) = self.parked.first().cloned() {
            if since + PARKED_MAX > now {
                break;
            }
            self.activate(&key, now);
        }
        let (_, _, key) = self.active.first().cloned()?;
        self.put(&key, Place::Out);
        let entry = self.entries.get_mut(&key)?;
        entry.attempts += 1;
        Some(entry.pod.clone())
    }

    /// No node would take it.
    pub fn park(&mut self, key: &Key, refused_by: Vec<&'static str>, now: Duration) {
        self.hold_back(key, now);
        self.put(key, Place::Parked { since: now, refused_by });
    }

    /// Something went wrong that has nothing to do with the cluster's state.
    pub fn retry(&mut self, key: &Key, now: Duration) {
        self.hold_back(key, now);
        self.activate(key, now);
    }

    fn hold_back(&mut self, key: &Key, now: Duration) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.not_before = now + BACKOFF.delay(entry.attempts);
        }
    }

    /// Wakes the parked pods that `happening` might help.
    pub fn happened(&mut self, happening: Happening, now: Duration) {
        let helps =
            |name: &str| FILTERS.iter().any(|filter| filter.name == name && filter.helped_by.contains(&happening));
        let woken: Vec<Key> = self
            .parked
            .iter()
            .filter(|(_, key)| match self.entries.get(key).map(|entry| &entry.place) {
                Some(Place::Parked { refused_by, .. }) => {
                    refused_by.is_empty() || refused_by.iter().any(|name| helps(name))
                }
                _ => false,
            })
            .map(|(_, key)| key.clone())
            .collect();
        woken.iter().for_each(|key| self.activate(key, now));
    }

    /// When something in here becomes due without anything happening.
    pub fn next_timer(&self) -> Option<Duration> {
        let backing_off = self.backing_off.first().map(|(until, _)| *until);
        let parked = self.parked.first().map(|(since, _)| *since + PARKED_MAX);
        backing_off.into_iter().chain(parked).min()
    }

    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    fn activate(&mut self, key: &Key, now: Duration) {
        let Some(entry) = self.entries.get(key) else { return };
        let until = entry.not_before;
        self.put(key, if until > now { Place::BackingOff(until) } else { Place::Active });
    }

    fn put(&mut self, key: &Key, place: Place) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let turn = (Reverse(entry.pod.pod.priority()), entry.turn, key.clone());
        match &entry.place {
            Place::Active => drop(self.active.remove(&turn)),
            Place::BackingOff(until) => drop(self.backing_off.remove(&(*until, key.clone()))),
            Place::Parked { since, .. } => drop(self.parked.remove(&(*since, key.clone()))),
            Place::Out | Place::Gated => (),
        }
        match &place {
            Place::Active => drop(self.active.insert(turn)),
            Place::BackingOff(until) => drop(self.backing_off.insert((*until, key.clone()))),
            Place::Parked { since, .. } => drop(self.parked.insert((*since, key.clone()))),
            Place::Out | Place::Gated => (),
        }
        entry.place = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Seen;
    use crate::controllers::testing::situation;
    use crate::scheduler::info::PodInfo;

    const NOW: Duration = Duration::from_secs(1000);

    fn pod(line: &str) -> PodRef {
        PodInfo::new(Seen::new(&situation(line)[0]).unwrap())
    }

    fn pop(queue: &mut Queue, now: Duration) -> Option<String> {
        queue.pop(now).map(|pod| pod.pod.name().to_owned())
    }

    #[test]
    fn important_pods_come_first_and_gated_ones_never() {
        let mut queue = Queue::default();
        for line in ["pod a", "pod b spec.priority=9", r#"pod c spec.schedulingGates=[{"name":"g"}]"#] {
            queue.set(pod(line), false, NOW);
        }
        assert_eq!(
            [pop(&mut queue, NOW), pop(&mut queue, NOW), pop(&mut queue, NOW)],
            [Some("b".into()), Some("a".into()), None]
        );
    }

    #[test]
    fn parked_pods_wake_for_what_helps_them_after_their_backoff() {
        let mut queue = Queue::default();
        queue.set(pod("pod a"), false, NOW);
        let key = queue.pop(NOW).unwrap().pod.key().clone();
        queue.park(&key, vec!["NodeResourcesFit"], NOW);
        queue.happened(Happening::NodeTaints, NOW);
        assert_eq!(pop(&mut queue, NOW + Duration::from_secs(60)), None);
        queue.happened(Happening::PodGone, NOW);
        assert_eq!(pop(&mut queue, NOW), None, "backs off first");
        assert_eq!(queue.next_timer(), Some(NOW + Duration::from_secs(1)));
        assert_eq!(pop(&mut queue, NOW + Duration::from_secs(1)), Some("a".into()));
    }

    #[test]
    fn nothing_stays_parked_for_ever() {
        let mut queue = Queue::default();
        queue.set(pod("pod a"), false, NOW);
        let key = queue.pop(NOW).unwrap().pod.key().clone();
        queue.park(&key, vec!["NodeName"], NOW);
        assert_eq!(pop(&mut queue, NOW + Duration::from_secs(301)), Some("a".into()));
    }
}
