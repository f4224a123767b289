//! Regular expressions as Go reads them.
//!
//! Go's shorthand classes (`\d`, `\w`, `\s`, `\b`) are about ASCII alone, and `\z` and `\pN` are written
//! alike; the rest of the syntax is the same.

use regex::{Regex, RegexBuilder};

/// The largest program a pattern may become.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Compiles `pattern`.
pub fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&translate(pattern)).size_limit(COMPILED_BYTES_MAX).build()
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
            Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
            Some('b') => out.push_str("(?-u:\\b)"),
            Some('B') => out.push_str("(?-u:\\B)"),
            Some('Q') => quote(&mut chars, &mut out),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// `\Q…\E` takes what is between as it stands.
fn quote(chars: &mut std::str::Chars<'_>, out: &mut String) {
    let rest = chars.as_str();
    let end = rest.find("\\E").unwrap_or(rest.len());
    out.push_str(&regex::escape(&rest[..end]));
    let after = rest.get(end + 2..).unwrap_or_default();
    *chars = after.chars();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthand_classes_are_ascii_as_in_go() {
        assert!(compile(r"^\w+\s\d{2}$").unwrap().is_match("ab_ 12"));
        assert!(!compile(r"^\w$").unwrap().is_match("é"));
        assert!(compile(r"^[\w.]+$").unwrap().is_match("a.b"));
        assert!(compile(r"^\Qa.b\E$").unwrap().is_match("a.b"));
        assert!(compile("(").is_err());
    }
}
