//! The only place that asks for randomness.

use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// Where random bytes come from: the operating system, or a seed.
pub trait Rand: Send + Sync + 'static {
    fn fill(&self, bytes: &mut [u8]);

    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

pub type RandRef = Arc<dyn Rand>;

/// A generator seeded once from the operating system; not for keys, which `security` makes.
pub struct SystemRand(Mutex<StdRng>);

impl SystemRand {
    pub fn shared() -> RandRef {
        Arc::new(Self(Mutex::new(StdRng::from_os_rng())))
    }

    /// The same sequence for the same seed.
    pub fn seeded(seed: u64) -> RandRef {
        Arc::new(Self(Mutex::new(StdRng::seed_from_u64(seed))))
    }
}

impl Rand for SystemRand {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).fill_bytes(bytes);
    }
}

/// A version 4 UUID in its usual text form.
pub fn uuid(rand: &dyn Rand) -> String {
    let mut b = [0u8; 16];
    rand.fill(&mut b);
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let digit = |number: u8| char::from(b"0123456789abcdef"[usize::from(number & 0xf)]);
    let mut text = String::with_capacity(36);
    for (at, byte) in b.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend([digit(byte >> 4), digit(byte)]);
    }
    text
}

/// Characters of generated names: no vowels, no look-alikes, as upstream chooses them.
const NAME_CHARS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The `len` characters put behind a `generateName`.
pub fn name_suffix(rand: &dyn Rand, len: usize) -> String {
    let pick = |_| NAME_CHARS[(rand.next_u64() % NAME_CHARS.len() as u64) as usize] as char;
    (0..len).map(pick).collect()
}
