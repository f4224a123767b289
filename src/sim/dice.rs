//! Every choice of a simulation, from its seed.

use std::ops::Range;

use crate::base::rand::{Rand, RandRef, SystemRand};

/// Clones draw from the same sequence.
#[derive(Clone)]
pub struct Dice(RandRef);

impl Dice {
    pub fn of(seed: u64) -> Self {
        Self(SystemRand::seeded(seed))
    }

    /// A sequence of its own, so that what one part draws does not move the others.
    pub fn fork(&self) -> Self {
        Self::of(self.number())
    }

    pub fn number(&self) -> u64 {
        self.0.next_u64()
    }

    pub fn below(&self, sides: u64) -> u64 {
        self.number() % sides.max(1)
    }

    pub fn within(&self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    pub fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len() as u64) as usize) }
    }

    pub fn rand(&self) -> RandRef {
        self.0.clone()
    }
}

/// Draws `first` once, then from the dice: a new server takes its id from the first draw.
pub struct Named {
    first: std::sync::Mutex<Option<u64>>,
    rest: RandRef,
}

impl Named {
    pub fn shared(first: u64, dice: &Dice) -> RandRef {
        std::sync::Arc::new(Self { first: std::sync::Mutex::new(Some(first)), rest: dice.rand() })
    }
}

impl Rand for Named {
    fn fill(&self, bytes: &mut [u8]) {
        let first = self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match first {
            Some(first) => bytes.iter_mut().zip(first.to_le_bytes()).for_each(|(byte, of)| *byte = of),
            None => self.rest.fill(bytes),
        }
    }
}
