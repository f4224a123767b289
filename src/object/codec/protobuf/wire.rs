//! The protobuf wire format: tags, varints and lengths.

use super::super::super::schema::DecodeError;

/// A message being written.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    fn tag(&mut self, number: u32, kind: u8) {
        self.raw_varint(u64::from(number) << 3 | u64::from(kind));
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn varint(&mut self, number: u32, value: i64) {
        self.tag(number, 0);
        self.raw_varint(value as u64);
    }

    pub fn double(&mut self, number: u32, value: f64) {
        self.tag(number, 1);
        self.0.extend(value.to_le_bytes());
    }

    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    /// Writes what `fill` writes as a message of its own.
    pub fn message(&mut self, number: u32, fill: impl FnOnce(&mut Self)) {
        self.tag(number, 2);
        let start = self.0.len();
        fill(self);
        // The length is only known now: most are short, so that one byte makes room for it.
        let len = self.0.len() - start;
        let mut prefix = Self::default();
        prefix.raw_varint(len as u64);
        self.0.splice(start..start, prefix.0);
    }
}

/// The value of a field as it is on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn bytes(self) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(bad("wrong wireType")),
        }
    }

    pub fn text(self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| bad("string field contains invalid UTF-8"))
    }

    pub fn int(self) -> Result<i64, DecodeError> {
        match self {
            Self::Varint(value) => Ok(value as i64),
            _ => Err(bad("wrong wireType")),
        }
    }

    pub fn double(self) -> Result<f64, DecodeError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(bad("wrong wireType")),
        }
    }
}

pub fn bad(why: &str) -> DecodeError {
    DecodeError::Syntax(format!("proto: {why}"))
}

/// A message being read.
pub struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Each field's number and value, in the order they come.
    pub fn fields(mut self) -> impl Iterator<Item = Result<(u32, Value<'a>), DecodeError>> {
        std::iter::from_fn(move || {
            if self.0.is_empty() {
                return None;
            }
            let field = self.field();
            if field.is_err() {
                self.0 = &[];
            }
            Some(field)
        })
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), DecodeError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| bad("illegal tag"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default())),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| bad("negative length"))?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed32)?,
            _ => return Err(bad("illegal wireType")),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(bad("integer overflow"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| DecodeError::Syntax("unexpected EOF".into()))?;
        self.0 = rest;
        Ok(taken)
    }
}
