//! What the machine runs short of, and when it is too short. Pure.

use crate::object::quantity::Quantity;

/// Something that pods share and can use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    Memory,
    Disk,
    Inodes,
}

impl Shared {
    /// Its name in messages.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "ephemeral-storage",
            Self::Inodes => "inodes",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Least {
    Bytes(u64),
    Percent(u64),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Upstream's name of the signal.
    pub signal: &'static str,
    pub shared: Shared,
    pub least: Least,
}

/// Disks are used nearly to the end on small machines: five per cent, not upstream's ten and fifteen.
pub static MEMORY: Threshold =
    Threshold { signal: "memory.available", shared: Shared::Memory, least: Least::Bytes(100 << 20) };
pub static NODE_DISK: Threshold =
    Threshold { signal: "nodefs.available", shared: Shared::Disk, least: Least::Percent(5) };
pub static NODE_INODES: Threshold =
    Threshold { signal: "nodefs.inodesFree", shared: Shared::Inodes, least: Least::Percent(5) };
pub static IMAGE_DISK: Threshold =
    Threshold { signal: "imagefs.available", shared: Shared::Disk, least: Least::Percent(5) };
pub static IMAGE_INODES: Threshold =
    Threshold { signal: "imagefs.inodesFree", shared: Shared::Inodes, least: Least::Percent(5) };

/// What was found of one signal.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    pub threshold: &'static Threshold,
    pub available: u64,
    pub capacity: u64,
}

impl Observed {
    pub fn new(threshold: &'static Threshold, available: u64, capacity: u64) -> Self {
        Self { threshold, available, capacity }
    }

    /// The amount below which it is too short.
    fn least(&self) -> u64 {
        match self.threshold.least {
            Least::Bytes(bytes) => bytes,
            Least::Percent(percent) => self.capacity / 100 * percent,
        }
    }

    pub fn is_short(&self) -> bool {
        self.capacity > 0 && self.available < self.least()
    }

    /// What a pod is told that has to go for this.
    pub fn message(&self) -> String {
        let amount = |number: u64| match self.threshold.shared {
            Shared::Inodes => number.to_string(),
            _ => bytes(number),
        };
        format!(
            "The node was low on resource: {}. Threshold quantity: {}, available: {}. ",
            self.threshold.shared.resource(),
            amount(self.least()),
            amount(self.available)
        )
    }
}

/// An amount of bytes as quantities are written.
pub fn bytes(number: u64) -> String {
    Quantity::from_bytes(i64::try_from(number).unwrap_or(i64::MAX)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_the_least_is_short_and_said_in_numbers() {
        assert!(!Observed::new(&MEMORY, 100 << 20, 1 << 30).is_short());
        let short = Observed::new(&MEMORY, 50 << 20, 1 << 30);
        assert!(short.is_short());
        assert_eq!(
            short.message(),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        );
        assert!(Observed::new(&NODE_DISK, 4, 100).is_short() && !Observed::new(&NODE_DISK, 5, 100).is_short());
        assert!(!Observed::new(&NODE_INODES, 0, 0).is_short(), "some file systems count none");
    }
}
