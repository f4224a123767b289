//! One line of a container's log as the runtime writes it. Pure.
//!
//! `2026-01-02T03:04:05.678901234Z stdout F text`: time, stream, `F` for a full line or `P` for a
//! part that the next entry continues, then the text.

use crate::object::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// As it stands in the file, with nanoseconds.
    pub time: &'a str,
    pub stream: Stream,
    /// Whether the text goes on in the next entry.
    pub is_partial: bool,
    pub text: &'a [u8],
}

impl Entry<'_> {
    pub fn timestamp(&self) -> Option<Timestamp> {
        Timestamp::parse(self.time)
    }
}

/// Reads an entry; `None` if the line is not one.
pub fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?;
    let stream = match fields.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let is_partial = match fields.next()?.split(|byte| *byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Entry { time, stream, is_partial, text: fields.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_apart() {
        let entry = parse(b"2026-01-02T03:04:05.6Z stderr P a b\n").unwrap();
        assert_eq!((entry.stream, entry.is_partial, entry.text), (Stream::Stderr, true, &b"a b"[..]));
        assert_eq!(parse(b"2026-01-02T03:04:05.6Z stdout F ").unwrap().text, b"");
        assert!(parse(b"no log line").is_none());
    }
}
