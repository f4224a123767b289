//! From how much to how much: sizes and costs that are not known exactly. Nothing overflows.

/// Of a text that is looked through once.
pub const TRAVERSAL: f64 = 0.1;
/// Of an expression's length in a pattern.
pub const PATTERN: f64 = 0.25;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub min: u64,
    pub max: u64,
}

pub const UNKNOWN: Range = Range { min: 0, max: u64::MAX };

pub const fn just(value: u64) -> Range {
    Range { min: value, max: value }
}

impl Range {
    pub fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Rounded up.
    pub fn scaled(self, factor: f64) -> Self {
        let scaled = |value: u64| (value as f64 * factor).ceil() as u64;
        Self { min: scaled(self.min), max: scaled(self.max) }
    }

    /// What holds both.
    pub fn or(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
