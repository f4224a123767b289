//! Replicas: whoever applied the same entries holds the same bytes, for ever.

use std::collections::BTreeMap;

use super::history::Fault;

/// What servers were seen to hold at each place of the log.
#[derive(Debug, Default)]
pub struct Replicas(BTreeMap<u64, (u64, u64, usize)>);

impl Replicas {
    /// `server` has applied everything up to `index`, is at `revision`, and its objects add up to `sum`.
    pub fn seen(&mut self, server: usize, index: u64, revision: u64, sum: u64) -> Result<(), Fault> {
        let (known_revision, known_sum, known_server) = *self.0.entry(index).or_insert((revision, sum, server));
        if (known_revision, known_sum) == (revision, sum) {
            return Ok(());
        }
        Err(Fault(format!(
            "servers {known_server} and {server} differ at entry {index}: revisions {known_revision} and {revision}, \
             sums {known_sum:x} and {sum:x}"
        )))
    }

    pub fn compared(&self) -> usize {
        self.0.len()
    }
}

/// A sum over bytes that two different states hardly share.
pub fn sum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325u64;
    for part in parts {
        let mut chunks = part.chunks_exact(8);
        for chunk in chunks.by_ref() {
            let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
            sum = (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        for byte in chunks.remainder().iter().chain(&[part.len() as u8]) {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_differ_are_refused() {
        let mut replicas = Replicas::default();
        replicas.seen(1, 5, 3, sum([&b"a"[..], b"b"])).unwrap();
        replicas.seen(2, 5, 3, sum([&b"a"[..], b"b"])).unwrap();
        replicas.seen(2, 6, 4, sum([&b"a"[..]])).unwrap();
        assert!(replicas.seen(3, 5, 3, sum([&b"a"[..], b"c"])).is_err(), "other bytes");
        assert!(replicas.seen(3, 6, 5, sum([&b"a"[..]])).is_err(), "another revision");
        assert!(replicas.seen(1, 5, 3, sum([&b"ab"[..]])).is_err(), "the same bytes otherwise divided");
    }
}
