//! One key, and what it does with bytes.
//!
//! Every sealing derives a key of its own from 32 random bytes (HKDF-SHA256), so that a key may be used
//! without counting how often. Key name, form and context are all bound in.
//!
//! ```text
//! sealed = length:u8 name form:u8 salt:32 ciphertext tag:16
//! ```

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::base::seal::{SealError, split_key};
use crate::security::random_bytes;

const PURPOSE: &[&[u8]] = &[b"skiff: at rest"];
const SALT_BYTES: usize = 32;
/// The name goes before what it seals, with one byte for its length.
pub const NAME_BYTES_MAX: usize = 255;

/// How bytes are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Form {
    const ALL: [(u8, Self); 2] = [(1, Self::Aes256Gcm), (2, Self::ChaCha20Poly1305)];

    fn byte(self) -> u8 {
        Self::ALL.iter().find(|(_, form)| *form == self).map_or(0, |(byte, _)| *byte)
    }

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == byte).map(|(_, form)| *form)
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

/// A key with its name. No log shows more than the name.
pub struct Key {
    pub name: String,
    form: Form,
    secret: Vec<u8>,
}

impl Key {
    pub fn new(name: impl Into<String>, form: Form, secret: impl Into<Vec<u8>>) -> Self {
        let name = name.into();
        debug_assert!(name.len() <= NAME_BYTES_MAX, "names are checked where they come from");
        Self { name, form, secret: secret.into() }
    }

    pub fn is_same(&self, other: &Self) -> bool {
        super::super::same_secret(&self.secret, &other.secret) && self.name == other.name
    }

    pub fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let refused = |_| SealError::Refused { key: self.name.clone() };
        let salt = random_bytes::<SALT_BYTES>();
        let head = self.head();
        let mut sealed = plain.to_vec();
        let (key, nonce) = self.derived(self.form, &salt)?;
        key.seal_in_place_append_tag(nonce, Aad::from(bound(&head, context)), &mut sealed).map_err(refused)?;
        Ok([&head[..], &salt, &sealed].concat())
    }

    /// Opens what [`Key::seal`] made with this key.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let damaged = || SealError::Damaged { key: self.name.clone() };
        let (_, rest) = split_key(sealed).ok_or(SealError::Format)?;
        let (form, rest) = rest.split_first().ok_or(SealError::Format)?;
        let form = Form::of(*form).ok_or(SealError::Format)?;
        let (salt, body) = rest.split_first_chunk::<SALT_BYTES>().ok_or_else(damaged)?;
        let head = &sealed[..sealed.len() - rest.len()];
        let mut body = body.to_vec();
        let (key, nonce) = self.derived(form, salt)?;
        let opened = key.open_in_place(nonce, Aad::from(bound(head, context)), &mut body).map_err(|_| damaged())?;
        let len = opened.len();
        body.truncate(len);
        Ok(body)
    }

    fn head(&self) -> Vec<u8> {
        let name = self.name.as_bytes();
        [&[name.len() as u8][..], name, &[self.form.byte()]].concat()
    }

    /// A key that is used once, so that its nonce may always be the same.
    fn derived(&self, form: Form, salt: &[u8]) -> Result<(LessSafeKey, Nonce), SealError> {
        let derived = Salt::new(HKDF_SHA256, salt).extract(&self.secret);
        let derived = derived.expand(PURPOSE, form.algorithm());
        let key = derived.map(UnboundKey::from).map_err(|_| SealError::Refused { key: self.name.clone() })?;
        Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key([0; 12])))
    }
}

fn bound(head: &[u8], context: &[u8]) -> Vec<u8> {
    [head, context].concat()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:?}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_in_the_same_place_opens_and_no_bit_may_change() {
        for form in [Form::Aes256Gcm, Form::ChaCha20Poly1305] {
            let key = Key::new("k1", form, [7; 32]);
            let sealed = key.seal(b"hunter2", b"here").unwrap();
            assert_ne!(key.seal(b"hunter2", b"here").unwrap(), sealed, "twice the same looks different");
            assert_eq!(key.open(&sealed, b"here").unwrap(), b"hunter2");
            let damaged = Err(SealError::Damaged { key: "k1".into() });
            assert_eq!(key.open(&sealed, b"elsewhere"), damaged);
            assert_eq!(Key::new("k1", form, [8; 32]).open(&sealed, b"here"), damaged);
            for at in 3..sealed.len() {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1;
                assert!(key.open(&flipped, b"here").is_err(), "bit in byte {at}");
            }
            for len in 0..sealed.len() {
                assert!(key.open(&sealed[..len], b"here").is_err());
            }
        }
    }
}
