//! What is wrong with an object, field by field, in upstream's words (`field.ErrorList`).

use std::fmt;

use super::gvk::Gvk;
use super::quote::Quoted;
use super::status::{Cause, Details, Reason, Status};
use super::tree::Tree;

/// The kinds of complaint, with the cause reason and the words each begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    InternalError,
    TypeInvalid,
}

impl Complaint {
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::InternalError => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::InternalError => "Internal error",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub complaint: Complaint,
    pub field: String,
    /// Everything after `field: `.
    pub body: String,
}

/// Complaints in the order they were found; empty means valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors {
    pub list: Vec<FieldError>,
    /// What is wrong and may stay so, each as a warning.
    tolerated: Vec<String>,
}

impl FieldErrors {
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn required(&mut self, field: impl Into<String>, detail: impl fmt::Display) {
        self.push(Complaint::Required, field, detail, None);
    }

    pub fn forbidden(&mut self, field: impl Into<String>, detail: impl fmt::Display) {
        self.push(Complaint::Forbidden, field, detail, None);
    }

    pub fn invalid(&mut self, field: impl Into<String>, value: impl Into<Tree>, detail: impl fmt::Display) {
        self.push(Complaint::Invalid, field, detail, Some(value.into()));
    }

    /// Makes warnings of complaints: what they are about was as wrong before.
    pub fn tolerate(&mut self, complaints: Self) {
        self.tolerated.extend(complaints.list.into_iter().map(|error| format!("{}: {}", error.field, error.body)));
    }

    /// The warnings, which are told whether there are complaints or not.
    pub fn take_tolerated(&mut self) -> Vec<String> {
        std::mem::take(&mut self.tolerated)
    }

    /// As [`FieldErrors::invalid`], for a value that upstream shows in another form.
    pub fn invalid_shown(&mut self, field: impl Into<String>, shown: &str, detail: impl fmt::Display) {
        let body = format!("{}: {shown}: {detail}", Complaint::Invalid.words());
        self.list.push(FieldError { complaint: Complaint::Invalid, field: field.into(), body });
    }

    pub fn type_invalid(&mut self, field: impl Into<String>, value: impl Into<Tree>, detail: impl fmt::Display) {
        self.push(Complaint::TypeInvalid, field, detail, Some(value.into()));
    }

    pub fn duplicate(&mut self, field: impl Into<String>, value: impl Into<Tree>) {
        self.push(Complaint::Duplicate, field, "", Some(value.into()));
    }

    /// As [`FieldErrors::duplicate`], for a value that upstream shows in another form.
    pub fn duplicate_shown(&mut self, field: impl Into<String>, shown: &str, detail: &str) {
        let tail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        let body = format!("{}: {shown}{tail}", Complaint::Duplicate.words());
        self.list.push(FieldError { complaint: Complaint::Duplicate, field: field.into(), body });
    }

    pub fn not_found(&mut self, field: impl Into<String>, value: impl Into<Tree>) {
        self.push(Complaint::NotFound, field, "", Some(value.into()));
    }

    /// `supported` is shown in the order given.
    pub fn not_supported(&mut self, field: impl Into<String>, value: impl Into<Tree>, supported: &[&str]) {
        let names: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
        let detail = if names.is_empty() { String::new() } else { format!("supported values: {}", names.join(", ")) };
        self.push(Complaint::NotSupported, field, detail, Some(value.into()));
    }

    /// As [`FieldErrors::not_supported`], for a value that upstream shows in another form.
    pub fn not_supported_shown(&mut self, field: impl Into<String>, shown: &str, supported: &[&str]) {
        let names: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
        let body = format!("{}: {shown}: supported values: {}", Complaint::NotSupported.words(), names.join(", "));
        self.list.push(FieldError { complaint: Complaint::NotSupported, field: field.into(), body });
    }

    /// Wrong in a way that no single value shows.
    pub fn invalid_without_value(&mut self, field: impl Into<String>, detail: impl fmt::Display) {
        self.push(Complaint::Invalid, field, detail, None);
    }

    pub fn too_long(&mut self, field: impl Into<String>, max_bytes: usize) {
        self.push(Complaint::TooLong, field, format!("may not be more than {max_bytes} bytes"), None);
    }

    pub fn too_many(&mut self, field: impl Into<String>, actual: usize, max: usize) {
        let detail = format!("must have at most {max} item{}", if max == 1 { "" } else { "s" });
        self.push(Complaint::TooMany, field, detail, Some(actual.into()));
    }

    pub fn push(
        &mut self,
        complaint: Complaint,
        field: impl Into<String>,
        detail: impl fmt::Display,
        value: Option<Tree>,
    ) {
        let shown = value.map(|value| format!(": {}", show(&value))).unwrap_or_default();
        let detail = detail.to_string();
        let tail = if detail.is_empty() { detail } else { format!(": {detail}") };
        let body = format!("{}{shown}{tail}", complaint.words());
        self.list.push(FieldError { complaint, field: field.into(), body });
    }

    /// All of them as one text, each said once.
    pub fn message(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for line in self.list.iter().map(|error| format!("{}: {}", error.field, error.body)) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        match lines.as_slice() {
            [] => "unknown".into(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        }
    }

    /// The 422 answer for an object of `kind` named `name`.
    pub fn into_status(self, kind: &Gvk, name: &str) -> Status {
        let told = self.message();
        let group_kind =
            if kind.group.is_empty() { kind.kind.to_string() } else { format!("{}.{}", kind.kind, kind.group) };
        let causes = self.list.into_iter().map(|error| Cause {
            reason: error.complaint.reason().into(),
            message: error.body,
            field: error.field,
        });
        Status::new(Reason::Invalid, format!("{group_kind} {} is invalid: {told}", Quoted(name))).with_details(
            Details {
                name: name.into(),
                group: kind.group.to_string(),
                kind: kind.kind.to_string(),
                causes: causes.collect(),
                ..Details::default()
            },
        )
    }
}

/// A bad value as upstream prints it: strings quoted as Go does, numbers and booleans plain, the rest as JSON.
fn show(value: &Tree) -> String {
    match value {
        Tree::String(text) => Quoted(text).to_string(),
        Tree::Null => "null".into(),
        other => other.to_string(),
    }
}
