//! Sealing: what must not lie readable on a disk goes through here on its way there and back.
//!
//! Whoever writes knows resources and bytes only; which keys there are and what they are for is the
//! business of whoever implements [`Seal`].

use std::sync::Arc;

/// Why sealed bytes cannot be opened, or bytes cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("it is encrypted with key {key:?}, which this server does not have")]
    NoKey { key: String },
    #[error("key {key:?} does not open it: it was damaged, or moved from elsewhere")]
    Damaged { key: String },
    #[error("it is encrypted in a form that this program does not know")]
    Format,
    #[error("key {key:?} cannot encrypt")]
    Refused { key: String },
}

/// Seals bytes so that only who has the key can read or change them.
pub trait Seal: Send + Sync + 'static {
    /// Names the keys and resources that count now, zero if nothing is sealed. The same after a
    /// restart; another one when bytes would be sealed otherwise.
    fn generation(&self) -> u64;
    /// Whether objects of `resource` (`secrets`, `widgets.example.com`) are to be sealed.
    fn covers(&self, resource: &str) -> bool;
    /// Seals what holds objects of `resource`. It can be opened with the same `context` only.
    fn seal(&self, resource: &str, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError>;
    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError>;
    /// As it is now: keys that change later do not change this one.
    fn now(&self) -> SealRef;
}

pub type SealRef = Arc<dyn Seal>;

/// Seals nothing and has no key.
pub struct NoSeal;

impl NoSeal {
    pub fn shared() -> SealRef {
        Arc::new(Self)
    }
}

impl Seal for NoSeal {
    fn generation(&self) -> u64 {
        0
    }

    fn covers(&self, _resource: &str) -> bool {
        false
    }

    fn seal(&self, _resource: &str, plain: &[u8], _context: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(plain.to_vec())
    }

    fn open(&self, sealed: &[u8], _context: &[u8]) -> Result<Vec<u8>, SealError> {
        Err(SealError::NoKey { key: key_of(sealed).ok_or(SealError::Format)? })
    }

    fn now(&self) -> SealRef {
        Self::shared()
    }
}

/// Sealed bytes begin with the name of their key, so that whoever lacks it can say which.
///
/// ```text
/// sealed = length:u8 name rest
/// ```
pub fn key_of(sealed: &[u8]) -> Option<String> {
    Some(split_key(sealed)?.0.to_owned())
}

pub fn split_key(sealed: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = sealed.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((std::str::from_utf8(name).ok()?, rest))
}
