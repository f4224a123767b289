//! Undoing escapes that are a mark and the digits of a byte: `%2F` in addresses, `\040` in the kernel's
//! tables.

/// `text` with every `mark` and the `digits` behind it, in base `radix`, replaced by the byte they name.
/// What only looks like an escape stays as it is.
pub fn undo(text: &str, mark: u8, digits: usize, radix: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let number = tail.get(..digits).filter(|_| *first == mark).and_then(|digits| std::str::from_utf8(digits).ok());
        match number.filter(|text| !text.starts_with('+')).and_then(|text| u8::from_str_radix(text, radix).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[digits..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_lookalikes_stay() {
        for (text, mark, digits, radix, wanted) in [
            ("a%26b%2", b'%', 2, 16, "a&b%2"),
            ("100%zz%+1", b'%', 2, 16, "100%zz%+1"),
            (r"/a\040b\134c", b'\\', 3, 8, r"/a b\c"),
            (r"\777", b'\\', 3, 8, r"\777"),
        ] {
            assert_eq!(undo(text, mark, digits, radix), wanted.as_bytes());
        }
    }
}
