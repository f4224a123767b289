//! What a leader wrote in memory only, on its way to the other servers' memories.
//!
//! ```text
//! renewals = term index index's term entry      the entry holds only what is to be restored
//! ```
//! Each message tells everything since the entry at `index`, so that a lost one does not matter. Nobody
//! writes it to a disk; the next entry of the log begins with the same.

use bytes::Bytes;

use crate::object::Revision;
use crate::store::entry::{Entry, EntryBuilder, Op, encode_op};
use crate::store::state::Position;
use crate::store::wire::{Reader, WireError, put_bytes, put_u64};

/// More than this is written to the log instead.
pub(super) const RENEWALS_BYTES_MAX: usize = 256 << 10;

pub(in crate::store) struct Renewals {
    pub term: u64,
    /// The last entry that the leader had applied.
    pub position: Position,
    pub restores: Vec<Op>,
}

impl Renewals {
    pub fn encode(&self) -> Bytes {
        let mut entry = EntryBuilder::new(Revision::ZERO);
        self.restores.iter().for_each(|op| entry.push(&encode_op(op)));
        let mut out = Vec::new();
        [self.term, self.position.index, self.position.term].into_iter().for_each(|number| put_u64(&mut out, number));
        put_bytes(&mut out, &entry.finish());
        out.into()
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let mut reader = Reader::new("renewals", bytes);
        let (term, index, index_term) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let entry = Entry::decode(&bytes.slice_ref(reader.bytes()?))?;
        let position = Position { index, term: index_term };
        let is_restore = |op: &Op| matches!(op, Op::Restore(..));
        match entry.ops.iter().all(is_restore) {
            true => Ok(Self { term, position, restores: entry.ops }),
            false => Err(reader.value(entry.ops.len() as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Key;
    use crate::store::command::Payload;

    #[test]
    fn renewals_read_back_as_written_and_hold_nothing_else() {
        let payload = Payload { bytes: Bytes::from_static(b"{}"), revision_at: 1 };
        let restore = Op::Restore(Key::of("leases", "n", "a"), Revision(7), payload);
        let position = Position { index: 4, term: 2 };
        let sent = Renewals { term: 3, position, restores: vec![restore.clone()] };
        let read = Renewals::decode(&sent.encode()).unwrap();
        assert_eq!((read.term, read.position, read.restores), (3, position, vec![restore]));
        let wrong = Renewals { term: 3, position, restores: vec![Op::Resume] };
        assert!(Renewals::decode(&wrong.encode()).is_err());
    }
}
