//! Quantities such as `500m`, `1.5Gi` and `1e3`: exact to a billionth, printed as upstream prints them.

use std::cmp::Ordering;
use std::fmt;

/// How a quantity likes to be printed; the form it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `k`, `M`, `m`, …
    DecimalSi,
    /// `Ki`, `Mi`, …
    BinarySi,
    /// `e3`
    DecimalExponent,
}

/// An amount of something. Compares by amount, whatever the format.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse quantity's suffix")]
    Suffix,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
}

const NANO: i128 = 1_000_000_000;
/// Suffixes and the exponents of ten they stand for.
const DECIMAL: &[(&str, i32)] =
    &[("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Suffixes and the exponents of 1024 they stand for.
const BINARY: &[(&str, u32)] = &[("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];
/// Binary quantities above this are cut to it, as upstream does.
const BINARY_MAX: i128 = i64::MAX as i128 * NANO;

/// The pieces of a quantity's text.
struct Parts<'a> {
    is_negative: bool,
    /// Digits before the point, without leading zeros (`0` if there are none).
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl Quantity {
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// Reads a quantity. Amounts finer than a billionth are rounded away from zero.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let parts = split(text)?;
        let (mut format, scale) = interpret(parts.suffix)?;
        let magnitude = match scale {
            Scale::Ten(exponent) => decimal(&parts, exponent)?,
            Scale::Kibi(exponent) => {
                let unit = 1i128 << (10 * exponent);
                multiply_rounding_up(&parts, unit)?.min(BINARY_MAX)
            }
        };
        if format == Format::BinarySi && magnitude < NANO {
            format = Format::DecimalSi;
        }
        Ok(Self { nanos: if parts.is_negative { -magnitude } else { magnitude }, format })
    }

    /// The text that upstream writes back after reading `text`: most canonical texts are kept as
    /// they are, others are put in canonical form.
    pub fn normalize(text: &str) -> Result<String, QuantityError> {
        let quantity = Self::parse(text)?;
        Ok(if is_kept(text) { text.to_owned() } else { quantity.to_string() })
    }

    pub fn from_int(value: i64) -> Self {
        Self { nanos: i128::from(value) * NANO, format: Format::DecimalSi }
    }

    pub fn from_millis(value: i64) -> Self {
        Self { nanos: i128::from(value) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// Thousandths of what is counted in `Ki`, `Mi`, ….
    pub fn from_milli_bytes(value: i64) -> Self {
        Self { nanos: i128::from(value) * (NANO / 1000), format: Format::BinarySi }
    }

    pub fn from_bytes(value: i64) -> Self {
        Self { nanos: i128::from(value) * NANO, format: Format::BinarySi }
    }

    /// The amount in whole units, rounded up, cut to what fits.
    pub fn value(&self) -> i64 {
        self.scaled(NANO)
    }

    /// The amount in thousandths, rounded up, cut to what fits.
    pub fn millis(&self) -> i64 {
        self.scaled(NANO / 1000)
    }

    fn scaled(&self, unit: i128) -> i64 {
        let rounded = div_ceil_away(self.nanos, unit);
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The amount as a float, for ratios only.
    pub fn approximate(&self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// The same amount, or the next whole number.
    pub fn rounded_up(self) -> Self {
        Self { nanos: div_ceil_away(self.nanos, NANO).saturating_mul(NANO), ..self }
    }

    /// Whether the amount is a whole number.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }
}

/// Adds; the sum is printed as the left side, or as the right side if the left is zero.
impl std::ops::Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}

impl std::ops::Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let is_binary = self.format == Format::BinarySi && self.is_whole() && self.nanos.abs() >= 1024 * NANO;
        if is_binary {
            let (mut number, mut power) = (self.nanos / NANO, 0);
            while number % 1024 == 0 && power < 6 {
                number /= 1024;
                power += 1;
            }
            let suffix = BINARY.iter().find(|(_, exponent)| *exponent == power).map_or("", |(suffix, _)| suffix);
            return write!(f, "{number}{suffix}");
        }
        let (mut number, mut exponent) = (self.nanos, -9);
        while number % 1000 == 0 && (exponent < 18 || self.format == Format::DecimalExponent) {
            number /= 1000;
            exponent += 3;
        }
        match self.format {
            Format::DecimalExponent if exponent != 0 => write!(f, "{number}e{exponent}"),
            _ => {
                let suffix = DECIMAL.iter().find(|(_, tens)| *tens == exponent).map_or("", |(suffix, _)| suffix);
                write!(f, "{number}{suffix}")
            }
        }
    }
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let (is_negative, rest) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let rest = rest.trim_start_matches('0');
    let (whole, rest) = take_digits(rest);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), take_digits);
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QuantityError::Format);
    }
    Ok(Parts { is_negative, whole: if whole.is_empty() { "0" } else { whole }, fraction, suffix })
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

enum Scale {
    Ten(i32),
    Kibi(u32),
}

fn interpret(suffix: &str) -> Result<(Format, Scale), QuantityError> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        return Ok((Format::DecimalSi, Scale::Ten(*exponent)));
    }
    if let Some((_, exponent)) = BINARY.iter().find(|(known, _)| *known == suffix) {
        return Ok((Format::BinarySi, Scale::Kibi(*exponent)));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|digits| digits.parse().ok());
    exponent.map(|exponent| (Format::DecimalExponent, Scale::Ten(exponent))).ok_or(QuantityError::Suffix)
}

/// `whole.fraction` × 10^`exponent` in billionths.
fn decimal(parts: &Parts<'_>, exponent: i32) -> Result<i128, QuantityError> {
    let digits = unscaled(parts)?;
    if digits == 0 {
        return Ok(0);
    }
    let shift = i64::from(exponent) + 9 - parts.fraction.len() as i64;
    match u32::try_from(shift.unsigned_abs()).ok().and_then(|shift| 10i128.checked_pow(shift)) {
        Some(power) if shift >= 0 => digits.checked_mul(power).ok_or(QuantityError::Numeric),
        Some(power) => Ok(div_ceil_away(digits, power)),
        None if shift < 0 => Ok(1), // something tiny is still something
        None => Err(QuantityError::Numeric),
    }
}

fn multiply_rounding_up(parts: &Parts<'_>, unit: i128) -> Result<i128, QuantityError> {
    let power = 10i128.checked_pow(parts.fraction.len() as u32).ok_or(QuantityError::Numeric)?;
    let Some(product) = unscaled(parts)?.checked_mul(unit) else { return Ok(BINARY_MAX) };
    match product.checked_mul(NANO) {
        Some(nanos) => Ok(div_ceil_away(nanos, power)),
        None => Ok((product / power).saturating_mul(NANO)),
    }
}

/// The digits without the point.
fn unscaled(parts: &Parts<'_>) -> Result<i128, QuantityError> {
    let mut value: i128 = 0;
    for digit in parts.whole.bytes().chain(parts.fraction.bytes()) {
        let next = value.checked_mul(10).and_then(|tens| tens.checked_add(i128::from(digit - b'0')));
        value = next.ok_or(QuantityError::Numeric)?;
    }
    Ok(value)
}

fn div_ceil_away(value: i128, unit: i128) -> i128 {
    let whole = value / unit;
    if value % unit == 0 { whole } else { whole + value.signum() }
}

/// Whether upstream keeps the text as it was written, because it takes it for canonical.
fn is_kept(text: &str) -> bool {
    let Ok(parts) = split(text) else { return false };
    let Ok((format, scale)) = interpret(parts.suffix) else { return false };
    if text == "0" {
        return true;
    }
    if parts.whole == "0" && parts.fraction.is_empty() {
        return false;
    }
    match (format, scale) {
        (Format::BinarySi, Scale::Kibi(exponent)) => {
            let room = 15 - parts.whole.len() as i32 - (10 * exponent * 3 / 10) as i32 - 1;
            parts.fraction.is_empty() && room >= 0 && unscaled(&parts).is_ok_and(|value| value & 7 != 0)
        }
        (_, Scale::Ten(exponent)) => {
            let places = parts.fraction.len() as i32;
            let Some(scale) = exponent.checked_sub(places) else { return false };
            let ends_in_thousands = [parts.fraction, parts.whole].concat().len() >= 3
                && [parts.whole, parts.fraction].concat().ends_with("000");
            let is_short = parts.whole.len() + parts.fraction.len() <= 18;
            is_short && scale >= -9 && scale % 3 == 0 && !ends_in_thousands && !parts.whole.starts_with('0')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_back_as_upstream_does() {
        for (read, written) in [
            ("0", "0"),
            ("00", "0"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("100m", "100m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000Mi", "1000Mi"),
            ("1Ki", "1Ki"),
            ("512", "512"),
            ("1e3", "1e3"),
            ("1000e3", "1e6"),
            ("1E", "1E"),
            ("0.1n", "1n"),
            ("-1.5", "-1500m"),
            ("5000", "5k"),
            ("1.500", "1.500"),
            ("0.5Ki", "512"),
            ("0.1Mi", "104857600m"),
            ("+1", "+1"),
            ("1000Ki", "1000Ki"),
            ("2048", "2048"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            assert_eq!(Quantity::normalize(read).as_deref(), Ok(written), "{read}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_upstreams_words() {
        assert_eq!(Quantity::parse(""), Err(QuantityError::Format));
        assert_eq!(Quantity::parse("1 Gi"), Err(QuantityError::Format));
        assert_eq!(Quantity::parse("1ki"), Err(QuantityError::Suffix));
        assert_eq!(Quantity::parse("abc"), Err(QuantityError::Format));
    }

    #[test]
    fn amounts_add_and_compare_across_formats() {
        let sum = Quantity::parse("1Gi").unwrap() + Quantity::parse("1024M").unwrap();
        assert_eq!(sum.value(), 1_073_741_824 + 1_024_000_000);
        assert!(Quantity::parse("1k").unwrap() < Quantity::parse("1Ki").unwrap());
        assert_eq!(Quantity::parse("1.0005").unwrap().millis(), 1001);
        assert_eq!(Quantity::parse("0.2").unwrap() + Quantity::parse("0.1").unwrap(), Quantity::parse("300m").unwrap());
    }
}
