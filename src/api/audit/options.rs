//! How events get to a writer: together or one by one, and what of a large one is left.

use std::time::Duration;

/// Whether requests wait for their events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They do not; events are written together, and lost where there are too many.
    Batch,
    /// They do, and go on also if an event is lost.
    Blocking,
    /// As `Blocking`, and what could not be recorded when it arrived is refused.
    BlockingStrict,
}

impl Mode {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "batch" => Some(Self::Batch),
            "blocking" => Some(Self::Blocking),
            "blocking-strict" => Some(Self::BlockingStrict),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub mode: Mode,
    /// Events that may wait.
    pub buffer: usize,
    pub batch: Batch,
    pub truncate: Option<Truncate>,
}

/// What is written together.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Events at most.
    pub size: usize,
    /// How long the first of them waits for others.
    pub wait: Duration,
    pub rate: Option<Rate>,
}

/// How often something is written.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: f64,
    /// At once, after a while without.
    pub burst: f64,
}

/// Limits in bytes. Larger events lose their objects, larger batches are parted.
#[derive(Clone, Copy, Debug)]
pub struct Truncate {
    pub event_bytes: usize,
    pub batch_bytes: usize,
}

impl Options {
    /// Of what waits for a request: whatever is there is written together at once.
    pub const BLOCKING: Self = Self {
        mode: Mode::Blocking,
        buffer: 10_000,
        batch: Batch { size: 400, wait: Duration::ZERO, rate: None },
        truncate: None,
    };
    #[cfg(test)]
    pub const AT_ONCE: Self = Self { mode: Mode::Batch, ..Self::BLOCKING };
}
