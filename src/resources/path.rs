//! Paths of fields, for complaints.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use crate::object::field::FieldErrors;

/// Longer paths take memory of their own.
const SHORT_MAX: usize = 62;

thread_local! {
    /// Whether paths stay [`Text::Untold`].
    static UNTOLD: Cell<bool> = const { Cell::new(false) };
    /// Whether somebody wanted to read one of those.
    static WANTED: Cell<bool> = const { Cell::new(false) };
}

/// What `check` complains of. Nearly all objects are fine, and then no path is needed: it runs without them, and again
/// only where it says something and wanted a path for it. What it decides must not depend on what a path says.
pub fn complaints<T: Default + PartialEq>(check: impl Fn() -> T) -> T {
    struct ToldAgain(bool);
    impl Drop for ToldAgain {
        fn drop(&mut self) {
            UNTOLD.set(self.0);
        }
    }
    WANTED.set(false);
    let found = {
        let _told_again = ToldAgain(UNTOLD.replace(true));
        check()
    };
    if found == T::default() || !WANTED.get() { found } else { check() }
}

/// As [`complaints`], of checks that add to a list of errors.
pub fn errors_of(check: impl Fn(&mut FieldErrors)) -> FieldErrors {
    complaints(|| {
        let mut errors = FieldErrors::default();
        check(&mut errors);
        errors
    })
}

/// A path as complaints show it. Short ones take no memory of their own.
#[derive(Clone)]
pub struct Path(Text);

#[derive(Clone)]
enum Text {
    /// Nobody will read it.
    Untold,
    Short {
        len: u8,
        bytes: [u8; SHORT_MAX],
    },
    Long(String),
}

impl Path {
    pub fn then(&self, parts: &[&str]) -> Self {
        if let Text::Untold = self.0 {
            return Self(Text::Untold);
        }
        let added: usize = parts.iter().map(|part| part.len()).sum();
        match &self.0 {
            Text::Short { len, bytes } if usize::from(*len) + added <= SHORT_MAX => {
                let (mut at, mut bytes) = (usize::from(*len), *bytes);
                for part in parts {
                    bytes[at..at + part.len()].copy_from_slice(part.as_bytes());
                    at += part.len();
                }
                Self(Text::Short { len: at as u8, bytes })
            }
            _ => Self(Text::Long([&[&**self], parts].concat().concat())),
        }
    }

    pub fn child(&self, steps: &str) -> Self {
        if self.is_empty() { Self::from(steps) } else { self.then(&[".", steps]) }
    }

    pub fn index(&self, at: usize) -> Self {
        match "0123456789".get(at..=at) {
            Some(digit) => self.then(&["[", digit, "]"]),
            None if matches!(self.0, Text::Untold) => self.clone(),
            None => self.then(&["[", &at.to_string(), "]"]),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self.0, Text::Short { len: 0, .. })
    }
}

impl Default for Path {
    fn default() -> Self {
        match UNTOLD.get() {
            true => Self(Text::Untold),
            false => Self(Text::Short { len: 0, bytes: [0; SHORT_MAX] }),
        }
    }
}

impl Deref for Path {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Untold => {
                WANTED.set(true);
                ""
            }
            Text::Short { len, bytes } => std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or_default(),
            Text::Long(text) => text,
        }
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        Self::default().then(&[text])
    }
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        if text.len() <= SHORT_MAX || UNTOLD.get() { Self::from(text.as_str()) } else { Self(Text::Long(text)) }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_only_where_something_is_wrong() {
        let runs = Cell::new(0);
        let check = |is_wrong: bool| {
            runs.set(0);
            let found = errors_of(|errors| {
                runs.set(runs.get() + 1);
                let place = Path::from("spec").child("list").index(12).then(&["[", "key", "]"]);
                if is_wrong {
                    errors.required(&*place, "");
                }
            });
            (runs.get(), found.list.into_iter().map(|error| error.field).collect::<Vec<_>>())
        };
        assert_eq!(check(false), (1, vec![]));
        assert_eq!(check(true), (2, vec!["spec.list[12][key]".to_owned()]));
        let plain = |errors: &mut FieldErrors| {
            runs.set(runs.get() + 1);
            errors.required("plain", "");
        };
        runs.set(0);
        assert_eq!((errors_of(plain).list.len(), runs.get()), (1, 1), "it needs no path");
        let panicked = std::panic::catch_unwind(|| errors_of(|_| panic!("on purpose")));
        assert!(panicked.is_err() && &*Path::from("x").child("y") == "x.y", "paths are told again after a panic");
    }
}
