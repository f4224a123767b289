//! One line of the audit log: `audit.k8s.io/v1` Event, field by field in upstream's order.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::policy::{Level, Stage};
use crate::object::tree::Tree;
use crate::object::{Timestamp, User};

/// Longer user agents are cut.
const USER_AGENT_BYTES_MAX: usize = 1024;

/// What is known of a request so far.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub id: String,
    pub uri: String,
    pub verb: String,
    pub user: UserInfo,
    pub impersonated: Option<UserInfo>,
    /// The verb of the constrained mode by which somebody acts as somebody else.
    pub constraint: String,
    pub source_ips: Vec<String>,
    pub user_agent: String,
    pub object: Option<ObjectReference>,
    pub response: Option<ResponseStatus>,
    pub request_object: Option<Box<RawValue>>,
    pub response_object: Option<Box<RawValue>>,
    pub received: Option<Timestamp>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct UserInfo {
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<String, Vec<String>>,
}

impl From<&User> for UserInfo {
    fn from(user: &User) -> Self {
        Self {
            username: user.name.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
        }
    }
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// The parts of a Status whose size is bounded.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ResponseStatus {
    pub metadata: Empty,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Tree>,
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Empty {}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(rename = "impersonationConstraint")]
    constraint: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: Level,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: &'a str,
    user: &'a UserInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<&'a UserInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_metadata: Option<Metadata<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "is_none")]
    source_ips: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<&'a ObjectReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<&'a ResponseStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_object: Option<&'a RawValue>,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// The event as JSON, without a line's end.
pub fn write(facts: &Facts, level: Level, stage: Stage, now: Timestamp) -> Vec<u8> {
    let received = facts.received.unwrap_or(now);
    let event = Event {
        kind: "Event",
        api_version: "audit.k8s.io/v1",
        level,
        audit_id: &facts.id,
        stage,
        request_uri: &facts.uri,
        verb: &facts.verb,
        user: &facts.user,
        impersonated_user: facts.impersonated.as_ref(),
        authentication_metadata: (!facts.constraint.is_empty()).then_some(Metadata { constraint: &facts.constraint }),
        source_ips: &facts.source_ips,
        user_agent: &facts.user_agent,
        object_ref: facts.object.as_ref(),
        response_status: facts.response.as_ref(),
        request_object: facts.request_object.as_deref(),
        response_object: facts.response_object.as_deref(),
        request_received_timestamp: received.micros(),
        stage_timestamp: if stage == Stage::RequestReceived { received } else { now }.micros(),
        annotations: &facts.annotations,
    };
    serde_json::to_vec(&event).unwrap_or_default()
}

/// A user agent as it is recorded.
pub fn user_agent(given: &str) -> String {
    if given.len() <= USER_AGENT_BYTES_MAX {
        return given.to_owned();
    }
    let end = (0..=USER_AGENT_BYTES_MAX).rev().find(|at| given.is_char_boundary(*at)).unwrap_or_default();
    format!("{}...TRUNCATED", &given[..end])
}

fn is_zero(code: &u16) -> bool {
    *code == 0
}

fn is_none(list: &&[String]) -> bool {
    list.is_empty()
}
