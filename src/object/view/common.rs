//! Pieces that many views share.

use crate::object::StringMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::object::time::Timestamp;
use crate::object::tree::Tree;

/// Amounts by resource name, as written (`cpu: 500m`).
pub type Amounts = StringMap;

fields! {
    /// A condition of any kind; kinds differ only in which times they keep.
    Condition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
        reason: String,
        message: String,
        observed_generation: i64,
        last_transition_time: Option<Timestamp>,
        last_update_time: Option<Timestamp>,
        last_probe_time: Option<Timestamp>,
        last_heartbeat_time: Option<Timestamp>,
    }

    /// A reference by name alone.
    Named {
        name: String,
    }

    /// `ObjectReference`, and every shorter reference with some of its fields.
    Reference {
        api_version: String,
        kind: String,
        namespace: String,
        name: String,
        uid: String,
        resource_version: String,
        field_path: String,
    }

    /// What a container or a pod asks for and may use.
    Resources {
        requests: Amounts,
        limits: Amounts,
    }
}

impl Condition {
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }
}

/// The condition of type `kind` among `conditions`.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// JSON that is passed through: kept as text, so that unknown fields survive.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Raw(Box<str>);

impl Raw {
    pub fn text(&self) -> &str {
        if self.0.is_empty() { "null" } else { &self.0 }
    }

    /// `null` where the field is absent.
    pub fn tree(&self) -> Tree {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Box::<RawValue>::deserialize(deserializer)?.get().into()))
    }
}

/// An integer or a percentage.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(untagged)]
pub enum IntOrPercent {
    Int(i64),
    Text(String),
}

impl IntOrPercent {
    /// The number, or the percentage of `total`, rounded as asked; `None` for text that is no percentage.
    pub fn of(&self, total: i64, up: bool) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(text) => {
                let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
                let scaled = percent.saturating_mul(total);
                Some(if up { (scaled + 99).div_euclid(100) } else { scaled.div_euclid(100) })
            }
        }
    }
}

/// The text of an integer or a string, as a port reference has it.
impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}
