//! Trees to YAML: block style, sorted keys, lists not indented, quotes only where needed.

use super::super::super::tree::{Map, Tree};
use super::resolve::is_special;

/// Lines are folded at the first single space beyond this column.
const WIDTH: usize = 80;
const INDENT: usize = 2;

/// Writes one document.
pub fn to_yaml(tree: &Tree) -> String {
    let mut out = Emitter { out: String::new() };
    match tree {
        Tree::Object(map) if !map.is_empty() => out.map(map, 0),
        Tree::Array(list) if !list.is_empty() => out.list(list, 0),
        other => {
            out.scalar(other, 0);
            out.out.push('\n');
        }
    }
    out.out
}

struct Emitter {
    out: String,
}

impl Emitter {
    /// Writes entries; the first one stands where the line is, the others at `indent`.
    fn map(&mut self, map: &Map, indent: usize) {
        for (index, (key, value)) in map.iter().enumerate() {
            if index > 0 {
                self.spaces(indent);
            }
            self.key(key);
            self.out.push(':');
            match value {
                Tree::Object(inner) if !inner.is_empty() => {
                    self.line(indent + INDENT);
                    self.map(inner, indent + INDENT);
                }
                Tree::Array(list) if !list.is_empty() => {
                    self.line(indent);
                    self.list(list, indent);
                }
                scalar => {
                    self.out.push(' ');
                    self.scalar(scalar, indent);
                    self.out.push('\n');
                }
            }
        }
    }

    fn list(&mut self, list: &[Tree], indent: usize) {
        for (index, item) in list.iter().enumerate() {
            if index > 0 {
                self.spaces(indent);
            }
            self.out.push_str("- ");
            match item {
                Tree::Object(inner) if !inner.is_empty() => self.map(inner, indent + INDENT),
                Tree::Array(inner) if !inner.is_empty() => self.list(inner, indent + INDENT),
                scalar => {
                    self.scalar(scalar, indent);
                    self.out.push('\n');
                }
            }
        }
    }

    fn line(&mut self, indent: usize) {
        self.out.push('\n');
        self.spaces(indent);
    }

    fn spaces(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }

    fn key(&mut self, key: &str) {
        match style(key) {
            Style::Plain => self.out.push_str(key),
            Style::Single => self.single_quoted(key, None),
            Style::Double | Style::Literal => self.double_quoted(key),
        }
    }

    fn scalar(&mut self, value: &Tree, indent: usize) {
        match value {
            Tree::Null => self.out.push_str("null"),
            Tree::Bool(flag) => self.out.push_str(if *flag { "true" } else { "false" }),
            Tree::Number(_) => {
                let text = super::super::json::to_json(value, None);
                self.out.push_str(&String::from_utf8_lossy(&text));
            }
            Tree::String(text) => match style(text) {
                Style::Plain => self.folded(text, indent),
                Style::Single => self.single_quoted(text, Some(indent)),
                Style::Double => self.double_quoted(text),
                Style::Literal => self.literal(text, indent),
            },
            Tree::Array(_) => self.out.push_str("[]"),
            Tree::Object(_) => self.out.push_str("{}"),
        }
    }

    /// Writes text that may be broken at single spaces.
    fn folded(&mut self, text: &str, indent: usize) {
        let bytes = text.as_bytes();
        for (at, c) in text.char_indices() {
            let is_between_words =
                c == ' ' && at > 0 && bytes[at - 1] != b' ' && bytes.get(at + 1).is_some_and(|next| *next != b' ');
            if is_between_words && self.column() > WIDTH {
                self.line(indent + INDENT);
            } else {
                self.out.push(c);
            }
        }
    }

    fn column(&self) -> usize {
        let start = self.out.rfind('\n').map_or(0, |at| at + 1);
        self.out[start..].chars().count()
    }

    fn single_quoted(&mut self, text: &str, fold: Option<usize>) {
        self.out.push('\'');
        let escaped = text.replace('\'', "''");
        match fold {
            Some(indent) => self.folded(&escaped, indent),
            None => self.out.push_str(&escaped),
        }
        self.out.push('\'');
    }

    fn double_quoted(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            let escape = match c {
                '\0' => "\\0",
                '\u{7}' => "\\a",
                '\u{8}' => "\\b",
                '\t' => "\\t",
                '\n' => "\\n",
                '\u{b}' => "\\v",
                '\u{c}' => "\\f",
                '\r' => "\\r",
                '\u{1b}' => "\\e",
                '"' => "\\\"",
                '\\' => "\\\\",
                '\u{85}' => "\\N",
                '\u{2028}' => "\\L",
                '\u{2029}' => "\\P",
                c if is_printable(c) => {
                    self.out.push(c);
                    continue;
                }
                c => {
                    let code = c as u32;
                    let escaped = match code {
                        0..=0xff => format!("\\x{code:02X}"),
                        0x100..=0xffff => format!("\\u{code:04X}"),
                        _ => format!("\\U{code:08X}"),
                    };
                    self.out.push_str(&escaped);
                    continue;
                }
            };
            self.out.push_str(escape);
        }
        self.out.push('"');
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        if text.starts_with([' ', '\n']) {
            self.out.push('2');
        }
        let body = text.strip_suffix('\n');
        match body {
            None => self.out.push('-'),
            Some(rest) if rest.is_empty() || rest.ends_with('\n') => self.out.push('+'),
            Some(_) => (),
        }
        for line in body.unwrap_or(text).split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                self.spaces(indent + INDENT);
                self.out.push_str(line);
            }
        }
    }
}

enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// How a string has to be written to be read as that string.
fn style(text: &str) -> Style {
    let ends_in_space = text.ends_with(' ');
    let breaks_after_space = text.contains(" \n");
    let is_odd = text.chars().any(|c| !is_printable(c) && c != '\n') || breaks_after_space;
    if text.contains('\n') {
        return if is_odd || ends_in_space { Style::Double } else { Style::Literal };
    }
    if is_odd || is_special(text) {
        return Style::Double;
    }
    let is_plain = !text.starts_with(' ') && !ends_in_space && !has_indicators(text);
    if is_plain { Style::Plain } else { Style::Single }
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a plain scalar of this text would be taken for structure.
fn has_indicators(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_blank_at = |at: usize| matches!(bytes.get(at), None | Some(b' '));
    match bytes.first() {
        Some(
            b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%' | b'@'
            | b'`',
        ) => {
            return true;
        }
        Some(b'?' | b':' | b'-') if is_blank_at(1) => return true,
        _ => (),
    }
    text.starts_with("---")
        || text.starts_with("...")
        || bytes.iter().enumerate().skip(1).any(|(at, byte)| match byte {
            b':' => is_blank_at(at + 1),
            b'#' => bytes[at - 1] == b' ',
            _ => false,
        })
}
