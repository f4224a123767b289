//! Schemas of custom resources: OpenAPI v3 as a user wrote it, and what upstream does with it.
//!
//! [`Props`] is one JSON schema, read once. From it follow the [`Types`](super::Types) that apply and
//! OpenAPI walk, pruning and defaulting ([`settle`]), and the complaints about values ([`validate`]).
//! Which schemas are acceptable at all is for the rules of CustomResourceDefinitions.

mod change;
mod format;
mod lists;
mod pattern;
mod props;
mod settle;
mod types;
mod values;

pub use change::{correlated, is_unchanged};
pub use format::{fits as fits_format, is_supported as is_supported_format};
pub use lists::check_lists;
pub use pattern::compile as compile_pattern;
pub use props::{Additional, CompiledRule, Props, Rule};
pub use settle::{Settled, prune, settle};
pub use types::types_of;
pub use values::validate;

use std::fmt::Write as _;

/// A number as Go prints it with `%v`.
pub fn go_number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut out = digits.to_owned();
    let _ = write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    out
}
