//! Shuffle sharding: which few of many queues a flow may use.
//!
//! A flow's hash deals it a hand of different queues. Two flows rarely have the same hand, so that
//! one that floods its queues leaves others at least one that is free.

/// More is refused by validation.
pub const HAND_MAX: usize = 10;

/// Up to [`HAND_MAX`] different numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hand {
    cards: [u16; HAND_MAX],
    len: u8,
}

impl Hand {
    /// Deals `size` of `deck` cards: each possible hand is as likely as any other, as long as the hash
    /// has enough bits, which validation sees to.
    pub fn deal(mut hash: u64, deck: usize, size: usize) -> Self {
        let size = size.min(HAND_MAX).min(deck);
        let mut hand = Self { len: size as u8, ..Self::default() };
        // What is dealt already, in order.
        let mut sorted = [0; HAND_MAX];
        for at in 0..size {
            let left = (deck - at) as u64;
            // The place among the cards that are still in the deck.
            let mut card = (hash % left) as u16;
            hash /= left;
            let mut place = 0;
            while place < at && card >= sorted[place] {
                card += 1;
                place += 1;
            }
            sorted.copy_within(place..at, place + 1);
            sorted[place] = card;
            hand.cards[at] = card;
        }
        hand
    }

    pub fn cards(&self) -> &[u16] {
        &self.cards[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_has_different_cards_of_the_deck() {
        for seed in 0..2_000_u64 {
            let hash = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let hand = Hand::deal(hash, 64, 6);
            let mut cards = hand.cards().to_vec();
            cards.sort_unstable();
            cards.dedup();
            assert_eq!(cards.len(), 6, "{hand:?}");
            assert!(cards.iter().all(|card| *card < 64), "{hand:?}");
        }
        assert_eq!(Hand::deal(7, 3, 8).cards().len(), 3);
    }

    #[test]
    fn every_queue_is_dealt_about_as_often() {
        let mut dealt = [0_u32; 16];
        for seed in 0..16_000_u64 {
            let hash = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
            Hand::deal(hash, 16, 4).cards().iter().for_each(|card| dealt[usize::from(*card)] += 1);
        }
        assert!(dealt.iter().all(|n| (3_600..4_400).contains(n)), "{dealt:?}");
    }
}
