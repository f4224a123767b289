//! Numbers that may be percentages, and counts in a status.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};

use super::check::At;
use super::names;

/// A number or a percentage that is not negative.
pub fn check_int_or_percent(value: &At, errors: &mut FieldErrors) {
    match value.value {
        Tree::String(text) => value.format(errors, names::is_percent(text)),
        Tree::Number(_) => value.nonnegative(errors),
        _ => (),
    }
}

pub fn check_at_most_100_percent(value: &At, errors: &mut FieldErrors) {
    if percent(value.value).is_some_and(|percent| percent > 100) {
        value.invalid(errors, "must not be greater than 100%");
    }
}

fn percent(value: &Tree) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// The number, or the number before the percent sign.
pub fn amount_or_percent(value: &Tree) -> i64 {
    percent(value).or(value.as_i64()).unwrap_or(0)
}

/// Counts in a status: none is negative, some are parts of others.
pub fn check_counts(status: &At, counts: &[&str], errors: &mut FieldErrors) {
    counts.iter().for_each(|count| status.child(count).nonnegative(errors));
}

/// `part` of a status must not exceed `whole`, which the complaint calls `name`.
pub fn check_part(status: &At, part: &str, whole: &str, name: &str, errors: &mut FieldErrors) {
    let number = |field: &str| status.value.int(field).unwrap_or(0);
    if number(part) > number(whole) {
        errors.invalid(status.path_to(part), number(part), format!("cannot be greater than {name}"));
    }
}

/// The number of hash collisions only rises.
pub fn check_collisions(new: &At, old: &Tree, errors: &mut FieldErrors) {
    let count = new.child("collisionCount");
    let before = old.int("status.collisionCount");
    if before.is_some_and(|before| count.int().is_none_or(|count| count < before)) {
        errors.invalid(&*count.path, count.int().unwrap_or(0), "cannot be decremented");
    }
}

/// A Go struct as upstream's complaints show its inner form: capitalised fields, absent ones as `null`.
pub fn go_struct(value: &Tree, fields: &[&str]) -> String {
    let entry = |field: &&str| {
        let shown = value.get(field).map_or("null".to_owned(), Tree::to_string);
        format!("\"{}{}\":{shown}", field[..1].to_uppercase(), &field[1..])
    };
    format!("{{{}}}", fields.iter().map(entry).collect::<Vec<_>>().join(","))
}
