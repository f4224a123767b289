//! Reading and writing the few shapes that all stored bytes are made of: numbers of variable length
//! and strings with their length before them.

use crate::base::seal::SealError;

/// Stored bytes that do not say what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("{what} ends too early")]
    Short { what: &'static str },
    #[error("{what} holds {value}, which has no meaning")]
    Value { what: &'static str, value: u64 },
    #[error("{what} is not valid text")]
    Text { what: &'static str },
    #[error("{what} has format {found}; this program reads up to {known}")]
    Version { what: &'static str, found: u64, known: u64 },
    #[error("{what} has a wrong checksum")]
    Checksum { what: &'static str },
    #[error("{what} cannot be opened")]
    Sealed { what: &'static str, source: SealError },
}

impl WireError {
    /// Nothing is wrong with the bytes: this server lacks what opens them.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Sealed { source: SealError::NoKey { .. } | SealError::Format, .. })
    }
}

pub(super) fn put_u64(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

pub(super) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Takes a stored text apart from the front.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` names the bytes in errors.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Short { what: self.what })?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    pub fn u64(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.value(value))
    }

    pub fn u32(&mut self) -> Result<u32, WireError> {
        let value = self.u64()?;
        u32::try_from(value).map_err(|_| self.value(value))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.u64()?;
        self.take(usize::try_from(len).map_err(|_| self.value(len))?)
    }

    pub fn text(&mut self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Text { what: self.what })
    }

    pub fn value(&self, value: u64) -> WireError {
        WireError::Value { what: self.what, value }
    }
}
