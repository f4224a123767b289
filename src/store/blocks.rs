//! What a snapshot file consists of: a head, blocks of records, and a summary. The format is in
//! `docs/design/store.md`.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use super::base::{Base, Summary, encode_record};
use super::wire::{Reader, WireError, checksum, put_bytes};
use crate::base::seal::{Seal, SealError};

const MAGIC: &[u8; 7] = b"SKIFFSN";
/// Formats: 1, 2 if there may be encrypted records in it, and 3 if blocks may be packed besides. From 3 on a
/// checksum of what a file begins with comes behind it: so a flipped bit is not taken for a newer format.
const PLAIN: u8 = b'1';
const SEALED: u8 = b'2';
const PACKED: u8 = b'3';

const RECORDS: u8 = 1;
const SUMMARY: u8 = 2;
/// Records in LZ4, behind their length.
const PACKED_RECORDS: u8 = 3;

const WHAT: &str = "a block of a snapshot";
const BLOCK_BYTES: usize = 256 << 10;
/// No block is larger: a block holds at least one object and ends soon after `BLOCK_BYTES`.
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// Why a snapshot could not be written.
pub(super) enum Failure {
    Io(io::Error),
    Seal(SealError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a file begins with.
pub(super) enum Head {
    Known,
    /// Of a newer program.
    Newer(char),
    Foreign(u64),
}

/// A block as it is in the file.
pub(super) struct Block {
    kind: u8,
    pub bytes: Vec<u8>,
}

impl Block {
    pub fn is_summary(&self) -> bool {
        self.kind == SUMMARY
    }

    /// Gives each record in it to `take`.
    pub fn records(&self, mut take: impl FnMut(&[u8]) -> Result<(), WireError>) -> Result<(), WireError> {
        let records = match self.kind {
            PACKED_RECORDS => unpack(&self.bytes)?,
            _ => self.bytes.as_slice().into(),
        };
        let mut reader = Reader::new(WHAT, &records);
        while !reader.is_empty() {
            take(reader.bytes()?)?;
        }
        Ok(())
    }
}

fn unpack(packed: &[u8]) -> Result<Cow<'_, [u8]>, WireError> {
    let len = packed.first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
    if len as usize > BLOCK_BYTES_MAX {
        return Err(WireError::Value { what: WHAT, value: len.into() });
    }
    let records = lz4_flex::decompress_size_prepended(packed);
    records.map(Cow::Owned).map_err(|_| WireError::Checksum { what: WHAT })
}

pub(super) fn head(input: &mut dyn Read) -> io::Result<Head> {
    let mut head = [0; MAGIC.len() + 1];
    input.read_exact(&mut head)?;
    let [name @ .., format] = &head;
    if name == MAGIC && matches!(*format, PLAIN | SEALED) {
        return Ok(Head::Known);
    }
    let mut sum = [0; 4];
    input.read_exact(&mut sum)?;
    Ok(match (sum == checksum(&head).to_le_bytes(), *format) {
        (false, _) => Head::Foreign(u64::from_le_bytes(head)),
        (true, PACKED) => Head::Known,
        (true, newer) => Head::Newer(char::from(newer)),
    })
}

/// Writes all of `base`, each block of records packed if that makes it shorter and `pack` is set.
pub(super) fn write(output: &mut dyn Write, base: &Base, seal: &dyn Seal, pack: bool) -> Result<(), Failure> {
    let format = match seal.generation() {
        _ if pack => PACKED,
        0 => PLAIN,
        _ => SEALED,
    };
    let mut head = [&MAGIC[..], &[format]].concat();
    if format == PACKED {
        head.extend(checksum(&head).to_le_bytes());
    }
    output.write_all(&head)?;
    let mut records = Vec::with_capacity(BLOCK_BYTES + 8192);
    let mut sum = 0u64;
    for object in base.state.objects.values() {
        let (record, adds) = encode_record(object, seal).map_err(Failure::Seal)?;
        sum = sum.wrapping_add(adds);
        put_bytes(&mut records, &record);
        if records.len() >= BLOCK_BYTES {
            put_records(output, &records, pack)?;
            records.clear();
        }
    }
    put_records(output, &records, pack)?;
    Ok(put_block(output, SUMMARY, &Summary::of(base, sum).encode())?)
}

fn put_records(output: &mut dyn Write, records: &[u8], pack: bool) -> io::Result<()> {
    if pack {
        let packed = lz4_flex::compress_prepend_size(records);
        if packed.len() < records.len() {
            return put_block(output, PACKED_RECORDS, &packed);
        }
    }
    put_block(output, RECORDS, records)
}

fn put_block(output: &mut dyn Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let head = [&[kind][..], &len.to_le_bytes(), &checksum(bytes).to_le_bytes()].concat();
    output.write_all(&head)?;
    output.write_all(bytes)
}

/// Reads the next block; its bytes are as they were written.
pub(super) fn next(input: &mut dyn Read) -> io::Result<Result<Block, WireError>> {
    let mut head = [0; 9];
    input.read_exact(&mut head)?;
    let [kind, l0, l1, l2, l3, sum @ ..] = head;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if len > BLOCK_BYTES_MAX {
        return Ok(Err(WireError::Value { what: WHAT, value: len as u64 }));
    }
    let mut bytes = vec![0; len];
    input.read_exact(&mut bytes)?;
    if checksum(&bytes).to_le_bytes() != sum {
        return Ok(Err(WireError::Checksum { what: WHAT }));
    }
    Ok(match kind {
        RECORDS | SUMMARY | PACKED_RECORDS => Ok(Block { kind, bytes }),
        other => Err(WireError::Value { what: WHAT, value: other.into() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records_of(block: &Block) -> Result<Vec<Vec<u8>>, WireError> {
        let mut all = Vec::new();
        block.records(|record| Ok(all.push(record.to_owned()))).map(|()| all)
    }

    #[test]
    fn records_lie_in_a_file_as_short_as_they_can_be() {
        let text = r#"{"kind":"Pod","metadata":{"name":"a"}}"#.repeat(40);
        for (pack, record, is_packed) in [(true, text.as_str(), true), (true, "x", false), (false, &text, false)] {
            let (mut records, mut file) = (Vec::new(), Vec::new());
            put_bytes(&mut records, record.as_bytes());
            put_records(&mut file, &records, pack).unwrap();
            assert_eq!(file.len() < record.len() / 4, is_packed, "{record}");
            let block = next(&mut &file[..]).unwrap().unwrap();
            assert_eq!(records_of(&block).unwrap(), [record.as_bytes()]);
        }
    }

    #[test]
    fn a_bit_that_turned_over_at_the_beginning_is_damage_and_no_newer_format() {
        let mut file = Vec::new();
        let nothing_sealed = crate::base::seal::NoSeal;
        assert!(write(&mut file, &Base::default(), &nothing_sealed, true).is_ok());
        assert!(matches!(head(&mut &file[..]).unwrap(), Head::Known));
        for bit in 0..12 * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut input = &flipped[..];
            let is_known = matches!(head(&mut input).unwrap(), Head::Known);
            assert!(!is_known || next(&mut input).unwrap().is_err(), "bit {bit}");
            assert!(!matches!(head(&mut &flipped[..]).unwrap(), Head::Newer(_)), "bit {bit}");
        }
    }

    #[test]
    fn what_was_packed_by_nobody_is_refused_before_memory_is_taken_for_it() {
        for packed in [&b""[..], &[1], &[0xff, 0xff, 0xff, 0x7f, 0], &[9, 0, 0, 0, 0x10]] {
            let block = Block { kind: PACKED_RECORDS, bytes: packed.to_owned() };
            assert!(records_of(&block).is_err(), "{packed:?}");
        }
    }
}
