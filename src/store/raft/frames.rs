//! The log's files as bytes: batches behind each other, each with checksums, and single bits mended.
//!
//! ```text
//! file  = magic:53 version:u64 alignment:u64 batch*                      numbers are big-endian here
//! batch = (len << 8 | compression):u64 footer_at:u64 [entries checksum:u32le] items checksum:u32le
//! ```
//! This is raft-engine's format 2; the last checksum is mixed with the number of the file, so that what
//! an older file left behind is none of this one's. A file whose head was torn is begun anew in format 1,
//! which has no alignment and mixes nothing. Pure: reads nothing, writes nothing.

use crate::store::wire::checksum;

const MAGIC: &[u8] = b"RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5";
const VERSION_AT: usize = MAGIC.len();
const BATCH_HEAD_LEN: usize = 16;
const CHECKSUM_LEN: usize = 4;
const SECTION_LEN_MIN: usize = CHECKSUM_LEN + 1;

/// A bit that is wrong: which byte of the file, and what to mix into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flip {
    pub at: usize,
    pub mask: u8,
}

/// What a file's head tells of its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub len: usize,
    /// What is mixed into checksums.
    pub number: u64,
}

/// The head of the file with this number, if it begins as it should.
pub(super) fn head(file: &[u8], number: u64) -> Option<Head> {
    if !file.starts_with(MAGIC) {
        return None;
    }
    match be64(file, VERSION_AT)? {
        1 => Some(Head { len: VERSION_AT + 8, number: 0 }),
        2 => be64(file, VERSION_AT + 8).map(|_| Head { len: VERSION_AT + 16, number }),
        _ => None,
    }
}

/// The place behind the batch at `at`, if all of it is there and as it was written.
pub(super) fn batch_end(file: &[u8], at: usize, number: u64) -> Option<usize> {
    let (footer, end) = bounds(file, at)?;
    let entries = at + BATCH_HEAD_LEN..footer;
    let good = (entries.is_empty() || syndrome(file.get(entries)?, 0) == Some(0))
        && syndrome(file.get(footer..end)?, number as u32) == Some(0);
    good.then_some(end)
}

/// The one bit of the batch at `at` that, were it the other way round, would make all of it good.
pub(super) fn mend(file: &[u8], at: usize, number: u64) -> Option<Flip> {
    in_head(file, at, number).or_else(|| in_sections(file, at, number))
}

/// Where the next good batch behind `at` begins, if there is one.
pub(super) fn next_good(file: &[u8], at: usize, number: u64) -> Option<usize> {
    (at + 1..file.len().saturating_sub(BATCH_HEAD_LEN)).find(|at| batch_end(file, *at, number).is_some())
}

/// Where footer and batch end, if its head makes sense.
fn bounds(file: &[u8], at: usize) -> Option<(usize, usize)> {
    let (len, footer) = (be64(file, at)?, be64(file, at + 8)?);
    let (compression, len) = (len & 0xff, usize::try_from(len >> 8).ok()?);
    let footer = usize::try_from(footer).ok()?;
    let possible = compression <= 1
        && footer >= BATCH_HEAD_LEN
        && len >= footer.checked_add(SECTION_LEN_MIN)?
        && len <= file.len().checked_sub(at)?;
    possible.then(|| (at + footer, at + len))
}

fn in_head(file: &[u8], at: usize, number: u64) -> Option<Flip> {
    let head: [u8; BATCH_HEAD_LEN] = *file.get(at..)?.first_chunk()?;
    let mut copy = file.get(at..)?.to_vec();
    let flips = (0..BATCH_HEAD_LEN).flat_map(|byte| (0..8).map(move |bit| (byte, 1u8 << bit)));
    let mut tried = flips.filter(|(byte, mask)| {
        copy[*byte] = head[*byte] ^ mask;
        let good = batch_end(&copy, 0, number).is_some();
        copy[*byte] = head[*byte];
        good
    });
    tried.next().map(|(byte, mask)| Flip { at: at + byte, mask })
}

fn in_sections(file: &[u8], at: usize, number: u64) -> Option<Flip> {
    let (footer, end) = bounds(file, at)?;
    let head = at + BATCH_HEAD_LEN;
    let entries = if footer > head { syndrome(file.get(head..footer)?, 0)? } else { 0 };
    let items = syndrome(file.get(footer..end)?, number as u32)?;
    match (entries, items) {
        (0, 0) => None,
        (wrong, 0) => single_bit(wrong, footer - head).map(|flip| Flip { at: head + flip.at, ..flip }),
        // As an older file wrote it, whose space this one may have taken over: no damage, but nothing of ours.
        (0, wrong) if u64::from(wrong ^ number as u32) < number => None,
        (0, wrong) => single_bit(wrong, end - footer).map(|flip| Flip { at: footer + flip.at, ..flip }),
        _ => None,
    }
}

/// How the checksum at the end of a section differs from that of what is before it.
fn syndrome(section: &[u8], signature: u32) -> Option<u32> {
    if section.len() < SECTION_LEN_MIN {
        return None;
    }
    let (body, stored) = section.split_last_chunk::<CHECKSUM_LEN>()?;
    Some(checksum(body) ^ u32::from_le_bytes(*stored) ^ signature)
}

/// Which single bit of a section of `len` bytes, its checksum included, makes the checksum wrong by
/// `wrong`. A flipped bit changes a CRC by an amount that only depends on how far it is from the end.
fn single_bit(wrong: u32, len: usize) -> Option<Flip> {
    let body = len.checked_sub(CHECKSUM_LEN)?;
    if wrong.is_power_of_two() {
        let bit = wrong.trailing_zeros() as usize;
        return Some(Flip { at: body + bit / 8, mask: 1 << (bit % 8) });
    }
    let table = table();
    let step = |crc: u32| table[(crc & 0xff) as usize] ^ (crc >> 8);
    let mut effects: [u32; 8] = std::array::from_fn(|bit| table[1 << bit]);
    for at in (0..body).rev() {
        if let Some(bit) = effects.iter().position(|effect| *effect == wrong) {
            return Some(Flip { at, mask: 1 << bit });
        }
        effects = effects.map(step);
    }
    None
}

/// What each byte does to a CRC-32.
fn table() -> [u32; 256] {
    std::array::from_fn(|byte| {
        (0..8).fold(byte as u32, |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

fn be64(file: &[u8], at: usize) -> Option<u64> {
    file.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(mut bytes: Vec<u8>, signature: u32) -> Vec<u8> {
        let sum = checksum(&bytes) ^ signature;
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn batch(entries: &[u8], items: &[u8], number: u64) -> Vec<u8> {
        let entries = if entries.is_empty() { Vec::new() } else { sealed(entries.to_vec(), 0) };
        let items = sealed(items.to_vec(), number as u32);
        let footer = BATCH_HEAD_LEN + entries.len();
        let len = ((footer + items.len()) as u64) << 8;
        [&len.to_be_bytes()[..], &(footer as u64).to_be_bytes(), &entries, &items].concat()
    }

    #[test]
    fn heads_that_point_beyond_all_numbers_are_no_batch() {
        let file = [&[0][..], &[0xff; BATCH_HEAD_LEN], &[0; 40]].concat();
        assert_eq!(batch_end(&file, 1, 1), None);
        assert_eq!(next_good(&file, 0, 1), None);
    }

    #[test]
    fn files_of_both_formats_are_told_apart() {
        let of = |version: u64| [MAGIC, &version.to_be_bytes()[..], &[0; 8]].concat();
        assert_eq!(head(&of(1), 7), Some(Head { len: 61, number: 0 }));
        assert_eq!(head(&of(2), 7), Some(Head { len: 69, number: 7 }));
        let torn = [&of(2)[..68], &of(2)[..60], &of(3), &[0; 69]].map(|torn| head(torn, 7));
        assert_eq!(torn, [None; 4]);
    }

    proptest! {
        #[test]
        fn any_one_bit_of_a_batch_is_found_again(
            entries in prop::collection::vec(any::<u8>(), 0..300),
            items in prop::collection::vec(any::<u8>(), 1..40),
            at: prop::sample::Index,
            bit in 0..8u8,
        ) {
            let good = [vec![9; 5], batch(&entries, &items, 0), vec![0; 64]].concat();
            let end = good.len() - 64;
            prop_assert_eq!(batch_end(&good, 5, 0), Some(end));
            prop_assert_eq!(batch_end(&good, 5, 8), None, "it is another file's");
            let flip = Flip { at: 5 + at.index(end - 5), mask: 1 << bit };
            prop_assume!((flip.at, flip.mask) != (12, 1), "whether it is compressed is under no checksum");
            let mut bad = good.clone();
            bad[flip.at] ^= flip.mask;
            prop_assert_eq!(batch_end(&bad, 5, 0), None);
            prop_assert_eq!(mend(&bad, 5, 0), Some(flip));
        }

        #[test]
        fn what_was_never_written_as_a_whole_is_not_mended(
            entries in prop::collection::vec(any::<u8>(), 40..300),
            kept in 0..40usize,
        ) {
            let mut torn = batch(&entries, b"items", 7);
            torn[kept..].fill(0);
            prop_assume!(entries.iter().skip(kept).filter(|byte| **byte != 0).count() > 4);
            prop_assert_eq!(mend(&torn, 0, 7), None);
        }
    }

    #[test]
    fn what_an_older_file_left_behind_is_not_mended_into_this_one() {
        let old = batch(b"entries", b"items", 1);
        assert_eq!((batch_end(&old, 0, 3), mend(&old, 0, 3), next_good(&old, 0, 3)), (None, None, None));
    }

    #[test]
    fn a_good_batch_is_found_behind_what_is_damaged() {
        let (first, second) = (batch(b"entries", b"items", 3), batch(b"more", b"items", 3));
        let mut file = [first.clone(), second].concat();
        file[20] ^= 0xff;
        assert_eq!((batch_end(&file, 0, 3), next_good(&file, 0, 3)), (None, Some(first.len())));
        assert_eq!(next_good(&file, first.len(), 3), None);
    }
}
