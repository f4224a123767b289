//! What plain scalars mean: YAML 1.1 as upstream's library understands it.

/// A plain scalar as JSON has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    /// Not-a-number and the infinities, which JSON does not have.
    NoNumber,
    Text,
}

const NULLS: &[&str] = &["", "~", "null", "Null", "NULL"];
const TRUES: &[&str] = &["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"];
const FALSES: &[&str] = &["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"];
const NO_NUMBERS: &[&str] =
    &[".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"];

pub fn resolve(text: &str) -> Scalar {
    match text {
        _ if NULLS.contains(&text) => Scalar::Null,
        _ if TRUES.contains(&text) => Scalar::Bool(true),
        _ if FALSES.contains(&text) => Scalar::Bool(false),
        _ if NO_NUMBERS.contains(&text) => Scalar::NoNumber,
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => number(text),
        _ => Scalar::Text,
    }
}

/// Whether a plain scalar would be read as something else than its text, here or by other parsers.
pub fn is_special(text: &str) -> bool {
    text == "<<" || resolve(text) != Scalar::Text || is_timestamp(text) || is_sexagesimal(text)
}

fn number(text: &str) -> Scalar {
    if is_timestamp(text) {
        return Scalar::Text;
    }
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.as_bytes().first() {
        Some(b'-') => (-1, &plain[1..]),
        Some(b'+') => (1, &plain[1..]),
        _ => (1, plain.as_str()),
    };
    if !text.starts_with('.')
        && let Some(size) = integer(digits)
    {
        return match (sign, i64::try_from(size)) {
            (1, Ok(value)) => Scalar::Int(value),
            (1, Err(_)) => Scalar::Unsigned(size),
            (_, Ok(value)) => Scalar::Int(-value),
            (_, Err(_)) if size == 1 << 63 => Scalar::Int(i64::MIN),
            _ => float(&plain),
        };
    }
    float(&plain)
}

/// An integer with Go's prefixes: `0x1f`, `0o17`, `017`, `0b11`.
fn integer(digits: &str) -> Option<u64> {
    let in_base =
        |digits: &str, radix| (!digits.starts_with(['+', '-'])).then(|| u64::from_str_radix(digits, radix).ok())?;
    match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => in_base(&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => in_base(&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => in_base(&digits[2..], 2),
        [b'0', _, ..] => in_base(&digits[1..], 8),
        _ => in_base(digits, 10),
    }
}

fn float(plain: &str) -> Scalar {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let has_digit = unsigned.bytes().any(|byte| byte.is_ascii_digit());
    let is_float = has_digit && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b"eE.+-".contains(&byte));
    match plain.parse::<f64>() {
        Ok(value) if is_float && value.is_finite() => Scalar::Float(value),
        _ => Scalar::Text,
    }
}

fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let are_digits =
        |text: &str, lens: &[usize]| lens.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let day = rest.find(['T', 't', ' ']).map_or(rest, |at| &rest[..at]);
    are_digits(year, &[4]) && are_digits(month, &[1, 2]) && are_digits(day, &[1, 2])
}

/// Numbers to the base of sixty, such as `1:30`: text to us, but not to everybody.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = unsigned.split_once('.').map_or(unsigned, |(whole, _)| whole);
    let mut parts = whole.split(':');
    let is_first_fine =
        parts.next().is_some_and(|first| !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit()));
    let mut rest = parts.peekable();
    is_first_fine
        && rest.peek().is_some()
        && rest.all(|part| matches!(part.len(), 1 | 2) && part.parse::<u8>().is_ok_and(|value| value < 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_and_numbers_mean_what_they_mean_upstream() {
        for (text, meaning) in [
            ("yes", Scalar::Bool(true)),
            ("off", Scalar::Bool(false)),
            ("~", Scalar::Null),
            ("0644", Scalar::Int(420)),
            ("0x1F", Scalar::Int(31)),
            ("1_000", Scalar::Int(1000)),
            ("-5", Scalar::Int(-5)),
            ("18446744073709551615", Scalar::Unsigned(u64::MAX)),
            ("1e3", Scalar::Float(1000.0)),
            (".5", Scalar::Float(0.5)),
            ("0899", Scalar::Float(899.0)),
            (".inf", Scalar::NoNumber),
            ("2026-01-02", Scalar::Text),
            ("1.2.3", Scalar::Text),
            ("1Gi", Scalar::Text),
            ("-", Scalar::Text),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
        assert!(is_special("1:30") && is_special("2026-01-02") && !is_special("a:b"));
    }
}
