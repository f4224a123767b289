//! Source text as tokens.

use super::value::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Ident(String),
    Literal(Value),
    /// Operators and brackets.
    Sign(&'static str),
    End,
}

/// Longer signs before their beginnings.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "?.", "[?", ".", ",", ":", "?", "(", ")", "[", "]", "{", "}", "+", "-", "*",
    "/", "%", "<", ">", "!",
];

/// Tokens with their byte offsets. The error is an offset and a message.
pub fn tokens(source: &str) -> Result<Vec<(Token, usize)>, (usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some((value, len)) = string(rest).map_err(|why| (at, why))? {
            found.push((Token::Literal(value), at));
            at += len;
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let (value, len) = number(rest).ok_or_else(|| (at, format!("Syntax error: invalid number {rest:.8}")))?;
            found.push((Token::Literal(value), at));
            at += len;
        } else if c == '`' {
            let end = rest[1..].find('`').ok_or_else(|| (at, "Syntax error: token recognition error".to_owned()))?;
            found.push((Token::Ident(rest[1..=end].to_owned()), at));
            at += end + 2;
        } else if c.is_ascii_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let token = match &rest[..end] {
                "true" => Token::Literal(Value::Bool(true)),
                "false" => Token::Literal(Value::Bool(false)),
                "null" => Token::Literal(Value::Null),
                name => Token::Ident(name.to_owned()),
            };
            found.push((token, at));
            at += end;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign) && **sign != "?.") {
            found.push((Token::Sign(sign), at));
            at += sign.len();
        } else {
            return Err((at, format!("Syntax error: token recognition error at: '{c}'")));
        }
    }
    found.push((Token::End, source.len()));
    Ok(found)
}

fn number(text: &str) -> Option<(Value, usize)> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        if hex[end..].starts_with(['u', 'U']) {
            return Some((Value::Uint(u64::from_str_radix(&hex[..end], 16).ok()?), end + 3));
        }
        return Some((Value::Int(i64::from_str_radix(&hex[..end], 16).ok()?), end + 2));
    }
    let digits = |from: usize| text[from..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |end| from + end);
    let mut end = digits(0);
    let mut is_float = false;
    if text[end..].starts_with('.') && text[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        is_float = true;
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let after = digits(end + 1 + sign);
        if after > end + 1 + sign {
            is_float = true;
            end = after;
        }
    }
    if is_float {
        return Some((Value::Double(text[..end].parse().ok()?), end));
    }
    if text[end..].starts_with(['u', 'U']) {
        return Some((Value::Uint(text[..end].parse().ok()?), end + 1));
    }
    // The smallest integer has no positive counterpart: its digits are read together with the sign.
    let value = text[..end]
        .parse::<i64>()
        .or_else(|error| if &text[..end] == "9223372036854775808" { Ok(i64::MIN) } else { Err(error) });
    Some((Value::Int(value.ok()?), end))
}

/// A string or bytes literal with its length in the source; `None` if none begins here.
fn string(text: &str) -> Result<Option<(Value, usize)>, String> {
    let quoted = text.char_indices().take(3).find(|(_, c)| matches!(c, '"' | '\''));
    let Some((prefix, _)) = quoted.filter(|(at, _)| text[..*at].chars().all(|c| "rRbB".contains(c))) else {
        return Ok(None);
    };
    let (raw, bytes) = (text[..prefix].contains(['r', 'R']), text[..prefix].contains(['b', 'B']));
    let body = &text[prefix..];
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote)).unwrap_or("\"");
    let mut out: Vec<u8> = Vec::new();
    let mut rest = &body[quote.len()..];
    loop {
        if let Some(after) = rest.strip_prefix(quote) {
            let len = text.len() - after.len();
            let value = match bytes {
                true => Value::Bytes(out.into()),
                false => Value::from(String::from_utf8(out).map_err(|_| "invalid UTF-8 in string")?),
            };
            return Ok(Some((value, len)));
        }
        let c = rest.chars().next().ok_or("Syntax error: unterminated string")?;
        if c == '\n' && quote.len() == 1 {
            return Err("Syntax error: unterminated string".into());
        }
        if c == '\\' && !raw {
            rest = escape(&rest[1..], bytes, &mut out)?;
            continue;
        }
        out.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
        rest = &rest[c.len_utf8()..];
    }
}

fn escape<'s>(rest: &'s str, bytes: bool, out: &mut Vec<u8>) -> Result<&'s str, String> {
    let c = rest.chars().next().ok_or("unable to unescape string")?;
    let after = &rest[c.len_utf8()..];
    let simple = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => c as u8,
        _ => 0,
    };
    if simple != 0 {
        out.push(simple);
        return Ok(after);
    }
    let (digits, base, skip) = match c {
        'x' | 'X' => (2, 16, 1),
        'u' => (4, 16, 1),
        'U' => (8, 16, 1),
        '0'..='3' => (3, 8, 0),
        _ => return Err("unable to unescape string".into()),
    };
    let text = rest.get(skip..skip + digits).ok_or("unable to unescape string")?;
    let code = u32::from_str_radix(text, base).map_err(|_| "unable to unescape string")?;
    match (bytes && digits < 4, char::from_u32(code)) {
        (true, _) => out.push(code as u8),
        (false, Some(c)) => out.extend_from_slice(c.to_string().as_bytes()),
        (false, None) => return Err("unable to unescape string".into()),
    }
    Ok(&rest[skip + digits..])
}
