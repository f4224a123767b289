//! A place in an object, for checks that have to say where something is wrong.

use super::path::Path;
use crate::object::field::{Complaint, FieldErrors};
use crate::object::tree::{Tree, TreePath};

static MISSING: Tree = Tree::Null;

/// What is at a path of an object: `null` where nothing is. Cheap to make, path and all.
#[derive(Clone, Debug)]
pub struct At<'t> {
    pub value: &'t Tree,
    /// As complaints name it: `spec.containers[0].name`.
    pub path: Path,
}

impl<'t> At<'t> {
    pub fn root(value: &'t Tree) -> Self {
        Self { value, path: Path::default() }
    }

    pub fn new(value: &'t Tree, path: impl Into<Path>) -> Self {
        Self { value, path: path.into() }
    }

    /// What is under this place; `steps` may be dotted.
    pub fn child(&self, steps: &str) -> Self {
        Self { value: self.value.at(steps).unwrap_or(&MISSING), path: self.path.child(steps) }
    }

    /// The value of a map's key, which may hold dots: `labels[a.b/c]`.
    pub fn key(&self, key: &str) -> Self {
        Self { value: self.value.get(key).unwrap_or(&MISSING), path: self.path.then(&["[", key, "]"]) }
    }

    pub fn index(&self, at: usize) -> Self {
        Self { value: self.value.get(at).unwrap_or(&MISSING), path: self.path.index(at) }
    }

    /// The path of a field that need not be there.
    pub fn path_to(&self, steps: &str) -> String {
        self.path.child(steps).to_string()
    }

    /// The elements of a list; none if this is no list.
    pub fn items(&self) -> impl ExactSizeIterator<Item = At<'t>> + use<'t> {
        let path = self.path.clone();
        let items = self.value.as_array().map_or(&[][..], Vec::as_slice);
        items.iter().enumerate().map(move |(at, value)| At { value, path: path.index(at) })
    }

    /// The entries of a map, in the order of their keys.
    pub fn entries(&self) -> impl Iterator<Item = (&'t str, At<'t>)> + use<'t> {
        let path = self.path.clone();
        let map = self.value.as_object();
        map.into_iter()
            .flatten()
            .map(move |(key, value)| (key.as_str(), At { value, path: path.then(&["[", key, "]"]) }))
    }

    pub fn len(&self) -> usize {
        match self.value {
            Tree::Array(items) => items.len(),
            Tree::Object(map) => map.len(),
            Tree::String(text) => text.len(),
            _ => 0,
        }
    }

    /// Missing, `null`, `""`, `[]` or `{}`.
    pub fn is_empty(&self) -> bool {
        match self.value {
            Tree::Null => true,
            Tree::Bool(_) | Tree::Number(_) => false,
            _ => self.len() == 0,
        }
    }

    pub fn exists(&self) -> bool {
        !self.value.is_null()
    }

    /// The text here, or `""`.
    pub fn str(&self) -> &'t str {
        self.value.as_str().unwrap_or_default()
    }

    pub fn text(&self, steps: &str) -> &'t str {
        self.value.text(steps)
    }

    pub fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    pub fn flag(&self) -> bool {
        self.value.as_bool().unwrap_or(false)
    }

    pub fn has(&self, steps: &str) -> bool {
        self.value.has(steps)
    }

    pub fn required(&self, errors: &mut FieldErrors, detail: &str) {
        errors.required(&*self.path, detail);
    }

    pub fn forbidden(&self, errors: &mut FieldErrors, detail: impl std::fmt::Display) {
        errors.forbidden(&*self.path, detail);
    }

    /// The value as it stands is wrong. A missing one is shown as `null`: see [`At::invalid_text`].
    pub fn invalid(&self, errors: &mut FieldErrors, detail: impl std::fmt::Display) {
        errors.invalid(&*self.path, self.value.clone(), detail);
    }

    /// As [`At::invalid`] for a text: a missing one is shown as `""`.
    pub fn invalid_text(&self, errors: &mut FieldErrors, detail: impl std::fmt::Display) {
        errors.invalid(&*self.path, self.str(), detail);
    }

    pub fn not_supported(&self, errors: &mut FieldErrors, supported: &[&str]) {
        let value = if self.exists() { self.value.clone() } else { "".into() };
        errors.not_supported(&*self.path, value, supported);
    }

    pub fn duplicate(&self, errors: &mut FieldErrors) {
        errors.duplicate(&*self.path, self.value.clone());
    }

    pub fn not_found(&self, errors: &mut FieldErrors) {
        errors.not_found(&*self.path, self.value.clone());
    }

    /// Each complaint about the text here becomes an error.
    pub fn format(&self, errors: &mut FieldErrors, complaints: Vec<String>) {
        for complaint in complaints {
            self.invalid_text(errors, complaint);
        }
    }

    /// As [`At::format`], with a number.
    pub fn number_format(&self, errors: &mut FieldErrors, complaints: Vec<String>) {
        for complaint in complaints {
            errors.invalid(&*self.path, self.int().unwrap_or(0), complaint);
        }
    }

    /// A text that has to be there and one of these.
    pub fn one_of(&self, errors: &mut FieldErrors, supported: &[&str]) {
        if self.str().is_empty() {
            self.required(errors, "");
        } else if !supported.contains(&self.str()) {
            self.not_supported(errors, supported);
        }
    }

    /// A number that, if it is there, must not be negative.
    pub fn nonnegative(&self, errors: &mut FieldErrors) {
        if self.int().is_some_and(|number| number < 0) {
            self.invalid(errors, "must be greater than or equal to 0");
        }
    }

    pub fn positive(&self, errors: &mut FieldErrors) {
        if self.int().is_some_and(|number| number <= 0) {
            self.invalid(errors, "must be greater than 0");
        }
    }

    /// Nothing may have changed here.
    pub fn immutable(&self, errors: &mut FieldErrors, old: &Tree) {
        if self.value != old {
            errors.push(Complaint::Invalid, &*self.path, "field is immutable", Some(self.value.clone()));
        }
    }
}

/// What is at a path, or `null`.
pub fn at<'t>(tree: &'t Tree, path: &str) -> &'t Tree {
    tree.at(path).unwrap_or(&MISSING)
}

/// Complains if what is at `path` differs between two states of an object.
pub fn immutable(errors: &mut FieldErrors, new: &Tree, old: &Tree, path: &str) {
    At::root(new).child(path).immutable(errors, at(old, path));
}
