//! Checks of file paths and modes.

use crate::object::field::FieldErrors;
use crate::resources::check::At;

pub fn check_no_backsteps(path: &At, errors: &mut FieldErrors) {
    if path.str().split('/').any(|part| part == "..") {
        path.invalid_text(errors, "must not contain '..'");
    }
}

/// A path inside a volume.
pub fn check_descending(path: &At, errors: &mut FieldErrors) {
    if path.str().starts_with('/') {
        path.invalid_text(errors, "must be a relative path");
    }
    check_no_backsteps(path, errors);
}

/// A path inside a volume that the kubelet fills: names with two dots are its own.
pub fn check_file(path: &At, errors: &mut FieldErrors) {
    check_descending(path, errors);
    if path.str().starts_with("..") && !path.str().starts_with("../") {
        path.invalid_text(errors, "must not start with '..'");
    }
}

pub fn check_mode(mode: &At, errors: &mut FieldErrors) {
    if mode.int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        mode.invalid(errors, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}
