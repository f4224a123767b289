//! How many seats a request takes: how much it makes the server do, for how long.

use std::time::Duration;

/// What a list may take at most.
const LIST_SEATS_MAX: u32 = 100;
/// What a write may take at most.
const WRITE_SEATS_MAX: u32 = 10;
const BYTES_PER_SEAT: u64 = 100_000;
/// A list is written piece by piece, so that no more of it is in memory at once.
const STREAMED_BYTES_MAX: u64 = 1_000_000;
/// So many watchers take a seat for [`EVENT_TIME`].
const WATCHES_PER_SEAT: u32 = 10;
const EVENT_TIME: Duration = Duration::from_millis(5);

/// Seats while a request is worked on, and those that are kept for a while after its answer, when
/// watchers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    pub initial: u32,
    pub last: u32,
    pub lasting: Duration,
}

impl Width {
    pub const ONE: Self = Self { initial: 1, last: 0, lasting: Duration::ZERO };

    pub fn seats(&self) -> u32 {
        self.initial.max(self.last)
    }
}

/// What is known of a resource's objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub count: u64,
    pub bytes_each: u64,
}

/// What a list asks for, as far as its width depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing {
    pub limit: u64,
    /// Of an older state, which has to be put together first.
    pub is_old: bool,
    pub selects: bool,
    /// Of one object by its name.
    pub of_one: bool,
}

/// The width of a list, or of the events that a watch begins with. `level_max` is what requests of
/// the level may take, 0 if there is no such limit.
pub fn of_list(listing: Listing, stored: Option<Stored>, level_max: u32) -> Width {
    let max = if level_max == 0 { LIST_SEATS_MAX } else { level_max.min(LIST_SEATS_MAX) };
    // What we do not store ourselves costs somebody else.
    let Some(stored) = stored else { return Width::ONE };
    let limited = if listing.limit > 0 { stored.count.min(listing.limit) } else { stored.count };
    let objects = match listing {
        Listing { of_one: true, .. } => 1,
        Listing { is_old: true, selects: true, .. } => limited.max(stored.count / 2),
        _ => limited,
    };
    let mut bytes = objects.saturating_mul(stored.bytes_each);
    if !listing.is_old {
        bytes = bytes.min(STREAMED_BYTES_MAX);
    }
    let seats = u32::try_from(bytes.div_ceil(BYTES_PER_SEAT)).unwrap_or(u32::MAX);
    Width { initial: seats.clamp(1, max.max(1)), ..Width::ONE }
}

/// The width of a write that `watchers` will be told of.
pub fn of_write(watchers: u32, level_max: u32) -> Width {
    if watchers < WATCHES_PER_SEAT {
        return Width::ONE;
    }
    let max = if level_max == 0 { WRITE_SEATS_MAX } else { level_max.min(WRITE_SEATS_MAX) };
    let wanted = watchers.div_ceil(WATCHES_PER_SEAT);
    let last = wanted.min(max.max(1));
    Width { initial: 1, last, lasting: EVENT_TIME * wanted / last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_as_wide_as_what_it_sends() {
        let stored = |count, bytes_each| Some(Stored { count, bytes_each });
        let all = Listing::default();
        assert_eq!(of_list(all, None, 0).seats(), 1);
        assert_eq!(of_list(all, stored(0, 0), 0).seats(), 1);
        assert_eq!(of_list(all, stored(100, 2_500), 0).seats(), 3);
        assert_eq!(of_list(all, stored(5_000, 6_000), 0).seats(), 10);
        assert_eq!(of_list(all, stored(5_000, 6_000), 4).seats(), 4);
        assert_eq!(of_list(Listing { limit: 50, ..all }, stored(5_000, 6_000), 0).seats(), 3);
        assert_eq!(of_list(Listing { of_one: true, ..all }, stored(5_000, 6_000), 0).seats(), 1);
        let old = Listing { is_old: true, limit: 500, ..all };
        assert_eq!(of_list(old, stored(5_000, 6_000), 0).seats(), 30);
        assert_eq!(of_list(Listing { selects: true, ..old }, stored(5_000, 6_000), 0).seats(), 100);
    }

    #[test]
    fn a_write_lasts_longer_the_more_watch() {
        assert_eq!(of_write(9, 0), Width::ONE);
        let narrow = of_write(25, 0);
        assert_eq!((narrow.last, narrow.lasting), (3, Duration::from_millis(5)));
        let wide = of_write(1_000, 0);
        assert_eq!((wide.last, wide.lasting), (10, Duration::from_millis(50)));
        assert_eq!((of_write(1_000, 1).seats(), of_write(1_000, 1).lasting), (1, Duration::from_millis(500)));
    }
}
