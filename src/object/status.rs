//! `metav1.Status`: the answer of a request that did not do what was asked.
//!
//! This is the error type of every API call, in process or over the wire. It carries the reason;
//! which HTTP code belongs to it is decided in one place, [`Reason::code`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::key::GroupResource;
use super::quote::Quoted;

/// Why a request failed, in upstream's words (`metav1.StatusReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Unknown,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Expired,
    Invalid,
    ServerTimeout,
    Timeout,
    TooManyRequests,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    ServiceUnavailable,
    /// Any other HTTP code, with no reason of its own (such as 507 or a proxied answer).
    Other(u16),
}

/// Reasons with a name, and the code each is sent with.
const REASONS: &[(Reason, &str, u16)] = &[
    (Reason::Unknown, "", 500),
    (Reason::BadRequest, "BadRequest", 400),
    (Reason::Unauthorized, "Unauthorized", 401),
    (Reason::Forbidden, "Forbidden", 403),
    (Reason::NotFound, "NotFound", 404),
    (Reason::AlreadyExists, "AlreadyExists", 409),
    (Reason::Conflict, "Conflict", 409),
    (Reason::Gone, "Gone", 410),
    (Reason::Expired, "Expired", 410),
    (Reason::Invalid, "Invalid", 422),
    (Reason::ServerTimeout, "ServerTimeout", 500),
    (Reason::Timeout, "Timeout", 504),
    (Reason::TooManyRequests, "TooManyRequests", 429),
    (Reason::MethodNotAllowed, "MethodNotAllowed", 405),
    (Reason::NotAcceptable, "NotAcceptable", 406),
    (Reason::RequestEntityTooLarge, "RequestEntityTooLarge", 413),
    (Reason::UnsupportedMediaType, "UnsupportedMediaType", 415),
    (Reason::InternalError, "InternalError", 500),
    (Reason::ServiceUnavailable, "ServiceUnavailable", 503),
];

impl Reason {
    pub fn as_str(self) -> &'static str {
        REASONS.iter().find(|(reason, ..)| *reason == self).map_or("", |(_, name, _)| name)
    }

    pub fn code(self) -> u16 {
        match self {
            Self::Other(code) => code,
            _ => REASONS.iter().find(|(reason, ..)| *reason == self).map_or(500, |(.., code)| *code),
        }
    }

    pub fn parse(name: &str, code: u16) -> Self {
        let named = REASONS.iter().find(|(_, known, _)| *known == name && !name.is_empty());
        named.map_or(Self::Other(code), |(reason, ..)| *reason)
    }
}

/// A failed (or plainly successful) request, as `metav1.Status` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub reason: Reason,
    pub message: String,
    pub details: Option<Box<Details>>,
    /// Of an expired page of a list: where to go on in the newest state.
    pub continue_token: String,
    /// The few answers whose code is not that of their reason.
    pub other_code: Option<u16>,
    /// What the client is warned of besides, in headers.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Status {
    pub fn with_warnings(self, warnings: &[String]) -> Self {
        Self { warnings: warnings.to_vec(), ..self }
    }

    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            details: None,
            continue_token: String::new(),
            other_code: None,
            warnings: Vec::new(),
        }
    }

    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    pub fn code(&self) -> u16 {
        self.other_code.unwrap_or_else(|| self.reason.code())
    }

    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    pub fn internal(message: impl fmt::Display) -> Self {
        let cause = Cause { message: message.to_string(), ..Cause::default() };
        Self::new(Reason::InternalError, format!("Internal error occurred: {message}"))
            .with_details(Details { causes: vec![cause], ..Details::default() })
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::about(Reason::NotFound, resource, name, format!("{resource} {} not found", Quoted(name)))
    }

    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::about(Reason::AlreadyExists, resource, name, format!("{resource} {} already exists", Quoted(name)))
    }

    pub fn conflict(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", Quoted(name));
        Self::about(Reason::Conflict, resource, name, message)
    }

    pub fn forbidden(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = match (resource.as_str(), name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{resource} is forbidden: {why}"),
            _ => format!("{resource} {} is forbidden: {why}", Quoted(name)),
        };
        Self::about(Reason::Forbidden, resource, name, message)
    }

    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    fn about(reason: Reason, resource: &GroupResource, name: &str, message: String) -> Self {
        Self::new(reason, message).with_details(Details {
            name: name.into(),
            group: resource.group().into(),
            kind: resource.resource().into(),
            ..Details::default()
        })
    }

    /// The JSON body that goes over the wire.
    pub fn to_json(&self) -> super::tree::Tree {
        let mut body = super::tree::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code(),
        });
        if !self.continue_token.is_empty() {
            body["metadata"]["continue"] = self.continue_token.as_str().into();
        }
        if !self.reason.as_str().is_empty() {
            body["reason"] = self.reason.as_str().into();
        }
        if let Some(details) = &self.details {
            body["details"] = super::tree::to_tree(details);
        }
        body
    }

    /// Reads a Status that a server sent with `code`; anything else becomes its message.
    pub fn from_wire(code: u16, body: &[u8]) -> Self {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Wire {
            kind: String,
            reason: String,
            message: String,
            details: Option<Box<Details>>,
            metadata: WireMeta,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct WireMeta {
            r#continue: String,
        }
        match serde_json::from_slice::<Wire>(body) {
            Ok(wire) if wire.kind == "Status" => Self {
                reason: Reason::parse(&wire.reason, code),
                message: wire.message,
                details: wire.details,
                continue_token: wire.metadata.r#continue,
                other_code: None,
                warnings: Vec::new(),
            },
            _ => Self::new(Reason::Other(code), String::from_utf8_lossy(&body[..body.len().min(1024)])),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_the_wire() {
        let status = Status::not_found(&GroupResource::new("apps", "deployments"), "web");
        assert_eq!(status.message, "deployments.apps \"web\" not found");
        let body = serde_json::to_vec(&status.to_json()).unwrap();
        assert_eq!(Status::from_wire(404, &body), status);
    }
}
