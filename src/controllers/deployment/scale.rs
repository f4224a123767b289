//! How large each replica set should be: the arithmetic of rolling, recreating and rescaling.

use super::revision;
use super::rollout::{Rollout, Sized, size};
use crate::object::view::IntOrPercent;

impl Rollout<'_> {
    fn is_rolling(&self) -> bool {
        self.deployment.spec.strategy.kind == "RollingUpdate"
    }

    /// Pods above the desired number that may exist for a while.
    pub fn max_surge(&self) -> i64 {
        if self.is_rolling() { self.fenceposts().0 } else { 0 }
    }

    /// Pods below the desired number that may be missing for a while.
    pub fn max_unavailable(&self) -> i64 {
        if !self.is_rolling() || self.desired() == 0 { 0 } else { self.fenceposts().1.min(self.desired()) }
    }

    /// Both at once: if rounding made both zero, one pod may be missing, or nothing could ever move.
    fn fenceposts(&self) -> (i64, i64) {
        let of = |value: Option<&IntOrPercent>, up| value.and_then(|value| value.of(self.desired(), up)).unwrap_or(0);
        let rolling = self.deployment.spec.strategy.rolling_update.as_ref();
        let surge = of(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
        let unavailable = of(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    pub fn total(&self) -> i64 {
        self.sets.iter().map(|sized| sized.replicas).sum::<i64>() + self.created_replicas.unwrap_or(0)
    }

    pub fn available(&self) -> i64 {
        self.sets.iter().map(|sized| sized.set.status.available_replicas).sum()
    }

    /// The size of a new set that has `current` replicas, within what the surge allows.
    pub fn new_size(&self, current: i64) -> i64 {
        if !self.is_rolling() {
            return self.desired();
        }
        let room = self.desired() + self.max_surge() - self.total();
        if room <= 0 { current } else { current + room.min(self.desired() - current) }
    }

    /// Moves the new set towards its full size; whether that changed anything.
    pub fn scale_up_new(&mut self) -> bool {
        let Some(index) = self.new else { return false };
        let current = self.sets[index].replicas;
        let wanted = match current.cmp(&self.desired()) {
            std::cmp::Ordering::Equal => current,
            std::cmp::Ordering::Greater => self.desired(),
            std::cmp::Ordering::Less => self.new_size(current),
        };
        self.resize(index, wanted)
    }

    /// Takes pods away from old sets: first those that are not available anyway, then as many as
    /// availability allows. Whether that changed anything.
    pub fn scale_down_old(&mut self) -> bool {
        let min_available = self.desired() - self.max_unavailable();
        let new_unavailable = self.new_set().map_or(0, |new| new.replicas - new.set.status.available_replicas);
        let mut removable = self.total() - min_available - new_unavailable;
        if removable <= 0 || self.old().iter().all(|index| self.sets[*index].replicas == 0) {
            return false;
        }
        let mut changed = false;
        for index in self.old() {
            let Sized { set, replicas, .. } = &self.sets[index];
            let unhealthy = (*replicas - set.status.available_replicas).clamp(0, removable.max(0));
            if unhealthy > 0 {
                removable -= unhealthy;
                let left = replicas - unhealthy;
                changed |= self.resize(index, left);
            }
        }
        let mut spare = self.available() - min_available;
        for index in self.old() {
            let taken = self.sets[index].replicas.min(spare.max(0));
            if taken > 0 {
                spare -= taken;
                let left = self.sets[index].replicas - taken;
                changed |= self.resize(index, left);
            }
        }
        changed
    }

    pub fn scale_down_all_old(&mut self) -> bool {
        self.old().into_iter().fold(false, |changed, index| self.resize(index, 0) || changed)
    }

    /// Whether `spec.replicas` has changed since the sets got their sizes.
    pub fn was_rescaled(&self) -> bool {
        let active = self.sets.iter().filter(|sized| size(&sized.set) > 0);
        active.filter_map(|sized| revision::number(&sized.annotations, revision::DESIRED)).any(|n| n != self.desired())
    }

    /// Spreads a new scale over the sets by their sizes, so that a change of scale in the middle of a
    /// rollout neither speeds it up nor holds it back.
    pub fn scale_proportionally(&mut self) {
        let mut active: Vec<usize> = (0..self.sets.len()).filter(|index| self.sets[*index].replicas > 0).collect();
        let latest = || self.new.or_else(|| self.old().last().copied());
        match active.as_slice() {
            [] => {
                if let Some(index) = latest() {
                    self.resize(index, self.desired());
                }
                return;
            }
            [only] => {
                self.resize(*only, self.desired());
                return;
            }
            _ => (),
        }
        if self.is_saturated() {
            self.scale_down_all_old();
            return;
        }
        if !self.is_rolling() {
            return;
        }
        let allowed = if self.desired() > 0 { self.desired() + self.max_surge() } else { 0 };
        let to_add = allowed - self.total();
        // Largest first; of equals, the newest grow and the oldest shrink.
        active.sort_by_key(|index| {
            let age = *index as i64;
            (-self.sets[*index].replicas, if to_add > 0 { -age } else { age })
        });
        let mut added = 0;
        let mut sizes: Vec<(usize, i64)> = Vec::new();
        for index in active {
            let share = self.share(index, to_add, added);
            added += share;
            sizes.push((index, self.sets[index].replicas + share));
        }
        if let Some((_, first)) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (index, replicas) in sizes {
            self.resize(index, replicas);
            self.note_scale(index);
        }
    }

    /// What of `to_add` falls to a set, as its size is to all.
    fn share(&self, index: usize, to_add: i64, added: i64) -> i64 {
        let sized = &self.sets[index];
        let left = to_add - added;
        if left == 0 || to_add == 0 {
            return 0;
        }
        let fraction = if self.desired() == 0 {
            -sized.replicas
        } else {
            let before = revision::number(&sized.annotations, revision::MAX).filter(|max| *max > 0);
            match before.unwrap_or(self.deployment.status.replicas) {
                0 => 0,
                before => {
                    let scaled = (sized.replicas * (self.desired() + self.max_surge())) as f64 / before as f64;
                    scaled.round() as i64 - sized.replicas
                }
            }
        };
        if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    /// The new set is as large as it gets, and all of it is available.
    fn is_saturated(&self) -> bool {
        self.new_set().is_some_and(|new| {
            let desired = revision::number(&new.annotations, revision::DESIRED);
            new.replicas == self.desired()
                && desired == Some(self.desired())
                && new.set.status.available_replicas == self.desired()
        })
    }

    fn resize(&mut self, index: usize, replicas: i64) -> bool {
        if self.sets[index].replicas == replicas {
            return false;
        }
        self.sets[index].replicas = replicas;
        self.note_scale(index);
        true
    }

    fn note_scale(&mut self, index: usize) {
        let (desired, max) = (self.desired(), self.desired() + self.max_surge());
        revision::note_scale(&mut self.sets[index].annotations, desired, max);
    }
}
