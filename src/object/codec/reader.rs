//! Reading JSON text piece by piece, complaining as Go's `encoding/json` does.
//!
//! The reader checks grammar only; what the pieces mean is the caller's business. It never recurses
//! by itself: callers announce nesting with [`Reader::enter`], which is where depth is limited.

use std::borrow::Cow;

/// How deep values may nest: more than any schema needs, and less than serde_json, which reads stored
/// objects, is willing to follow (128).
pub const DEPTH_MAX: u32 = 120;

/// Text as it is, which nearly all is, or with U+FFFD for what is no Unicode.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The text is not JSON. The message is Go's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError(pub String);

pub type Parsed<T> = Result<T, SyntaxError>;

/// What a value starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl Start {
    /// What Go calls such a value in its messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Number => "number",
            Self::True | Self::False => "bool",
            Self::Null => "null",
        }
    }
}

pub struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Where the next byte to read is.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The kind of the next value; its first byte is not yet taken.
    pub fn peek(&mut self) -> Parsed<Start> {
        self.skip_space();
        Ok(match self.byte() {
            Some(b'{') => Start::Object,
            Some(b'[') => Start::Array,
            Some(b'"') => Start::String,
            Some(b'-' | b'0'..=b'9') => Start::Number,
            Some(b't') => Start::True,
            Some(b'f') => Start::False,
            Some(b'n') => Start::Null,
            _ => return self.fail("looking for beginning of value"),
        })
    }

    /// Takes the bracket that opens an object or array.
    pub fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SyntaxError("exceeded max depth".into()));
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of the entered object, its colon taken; `None` at its end, which is taken too.
    pub fn key(&mut self, first: bool) -> Parsed<Option<Cow<'a, str>>> {
        self.skip_space();
        match self.byte() {
            Some(b'}') => {
                self.leave();
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.skip_space();
            }
            _ if !first => return self.fail("after object key:value pair"),
            _ => (),
        }
        if self.byte() != Some(b'"') {
            return self.fail("looking for beginning of object key string");
        }
        let key = self.string()?;
        self.skip_space();
        if self.byte() != Some(b':') {
            return self.fail("after object key");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the entered array has another element; takes the comma before it or the end.
    pub fn element(&mut self, first: bool) -> Parsed<bool> {
        self.skip_space();
        match self.byte() {
            Some(b']') => {
                self.leave();
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            _ if !first => self.fail("after array element"),
            _ => Ok(true),
        }
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// A string; the opening quote is next. What is no Unicode becomes U+FFFD, as in Go.
    pub fn string(&mut self) -> Parsed<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(lossy(raw));
                }
                b'\\' => return self.escaped_string(start).map(Cow::Owned),
                0..0x20 => break,
                _ => self.at += 1,
            }
        }
        self.fail("in string literal")
    }

    fn escaped_string(&mut self, start: usize) -> Parsed<String> {
        let mut out = String::new();
        let mut plain = start;
        loop {
            let Some(byte) = self.byte() else { return self.fail("in string literal") };
            if byte != b'"' && byte != b'\\' {
                if byte < 0x20 {
                    return self.fail("in string literal");
                }
                self.at += 1;
                continue;
            }
            out.push_str(&lossy(&self.text[plain..self.at]));
            self.at += 1;
            if byte == b'"' {
                return Ok(out);
            }
            let unescaped = self.escape()?;
            out.push(unescaped);
            plain = self.at;
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Parsed<char> {
        let meaning = match self.byte() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return self.fail("in string escape code"),
        };
        self.at += 1;
        Ok(meaning)
    }

    fn unicode_escape(&mut self) -> Parsed<char> {
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let after_high = self.at;
        if self.text[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = after_high;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.byte().and_then(|byte| (byte as char).to_digit(16)) else {
                return self.fail("in \\u hexadecimal character escape");
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// A number as it is written; its first byte is next.
    pub fn number(&mut self) -> Parsed<&'a str> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fail("in numeric literal"),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            if !self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
                return self.fail("after decimal point in numeric literal");
            }
            self.digits();
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            if !self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
                return self.fail("in exponent of numeric literal");
            }
            self.digits();
        }
        Ok(std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default())
    }

    fn digits(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// Takes `true`, `false` or `null`, whose first byte is next.
    pub fn word(&mut self, word: &'static str) -> Parsed<()> {
        for (index, expected) in word.bytes().enumerate() {
            if self.byte() != Some(expected) && index > 0 {
                return self.fail(&format!("in literal {word} (expecting '{}')", expected as char));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Takes a whole value without looking at it; returns its text.
    pub fn skip(&mut self) -> Parsed<&'a [u8]> {
        let start = self.peek()?;
        let from = self.at;
        match start {
            Start::Object => {
                self.enter()?;
                let mut first = true;
                while self.key(first)?.is_some() {
                    self.skip()?;
                    first = false;
                }
            }
            Start::Array => {
                self.enter()?;
                let mut first = true;
                while self.element(first)? {
                    self.skip()?;
                    first = false;
                }
            }
            Start::String => drop(self.string()?),
            Start::Number => drop(self.number()?),
            Start::True => self.word("true")?,
            Start::False => self.word("false")?,
            Start::Null => self.word("null")?,
        }
        Ok(&self.text[from..self.at])
    }

    /// Checks that nothing but space follows.
    pub fn end(&mut self) -> Parsed<()> {
        self.skip_space();
        if self.at < self.text.len() { self.fail("after top-level value") } else { Ok(()) }
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    fn fail<T>(&self, place: &str) -> Parsed<T> {
        let shown = match self.byte() {
            None => return Err(SyntaxError("unexpected end of JSON input".into())),
            Some(b'\'') => r"'\''".to_owned(),
            Some(b'"') => "'\"'".to_owned(),
            Some(byte @ 0x80..) => format!("'{}'", byte as char),
            Some(b'\\') => r"'\\'".to_owned(),
            Some(byte) if (0x20..0x7f).contains(&byte) => format!("'{}'", byte as char),
            Some(b'\n') => r"'\n'".to_owned(),
            Some(b'\r') => r"'\r'".to_owned(),
            Some(b'\t') => r"'\t'".to_owned(),
            Some(byte) => format!("'\\x{byte:02x}'"),
        };
        Err(SyntaxError(format!("invalid character {shown} {place}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let mut reader = Reader::new(text.as_bytes());
        match reader.skip().and_then(|_| reader.end()) {
            Ok(()) => "fine".into(),
            Err(SyntaxError(message)) => message,
        }
    }

    #[test]
    fn complaints_are_worded_as_in_go() {
        for (text, message) in [
            (r#" {"a": [1, -2.5e+3, "x\u00e9\n", true, null, {}]} "#, "fine"),
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("{a", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a": 1 "b"}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"a": 1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("tru", "unexpected end of JSON input"),
            ("trux", "invalid character 'x' in literal true (expecting 'e')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("{} x", "invalid character 'x' after top-level value"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
        ] {
            assert_eq!(complaint(text), message, "{text}");
        }
        assert_eq!(complaint(&"[".repeat(DEPTH_MAX as usize + 1)), "exceeded max depth");
    }

    #[test]
    fn escapes_are_read_and_lone_surrogates_replaced() {
        let read = |text: &str| Reader::new(text.as_bytes()).string().map(Cow::into_owned);
        assert_eq!(read(r#""a\/\u0041\ud83d\ude00\ud800x""#), Ok("a/A\u{1f600}\u{fffd}x".into()));
    }
}
