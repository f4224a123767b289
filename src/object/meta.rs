//! The part of `metadata` that selection, ownership and deletion need.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::string_map::StringMap;
use super::time::Timestamp;

/// What is kept of an object's metadata for as long as the object is. Its name, namespace and revision
/// are in its key and beside it, managed fields and the rest in its JSON.
///
/// A large cluster has hundreds of thousands of these: nothing in here has room to grow.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Written")]
pub struct Meta {
    uid: Box<str>,
    pub generation: i64,
    pub creation_timestamp: Option<Timestamp>,
    pub labels: StringMap,
    pub annotations: StringMap,
    pub owner_references: Box<[OwnerReference]>,
    pub finalizers: Box<[String]>,
    /// Since when it is being deleted, and the seconds of grace that it has for that.
    deletion: Option<Box<(Timestamp, Option<i64>)>>,
}

const _: () = assert!(size_of::<Meta>() <= 160, "an allocator's step");

/// The fields of [`Meta`] as JSON has them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    uid: Box<str>,
    generation: i64,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
    deletion_grace_period_seconds: Option<i64>,
    labels: StringMap,
    annotations: StringMap,
    owner_references: Box<[OwnerReference]>,
    finalizers: Box<[String]>,
}

impl From<Written> for Meta {
    fn from(written: Written) -> Self {
        let Written { uid, generation, creation_timestamp, labels, annotations, owner_references, finalizers, .. } =
            written;
        let grace = written.deletion_grace_period_seconds;
        let deletion = written.deletion_timestamp.map(|since| Box::new((since, grace)));
        Self { uid, generation, creation_timestamp, labels, annotations, owner_references, finalizers, deletion }
    }
}

/// Another object that this one depends on, by name and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// Puts the metadata into its place, and then gives up: the rest of the object is not looked at.
struct Finder<'f>(&'f mut Option<Meta>);

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if key == "metadata" {
                *self.0 = Some(map.next_value()?);
                return Err(A::Error::custom("the rest is not wanted"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

impl Meta {
    /// Reads `metadata` from an object's JSON, and nothing that comes behind it.
    pub fn from_json(bytes: &[u8]) -> serde_json::Result<Self> {
        let mut found = None;
        match serde_json::Deserializer::from_slice(bytes).deserialize_map(Finder(&mut found)) {
            Err(error) if found.is_none() => Err(error),
            _ => Ok(found.unwrap_or_default()),
        }
    }

    pub fn uid(&self) -> &str {
        &self.uid
    }

    pub fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }

    pub fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.deletion.as_ref().map(|deletion| deletion.0)
    }

    /// Zero for what may go at once; `None` for what is not being deleted.
    pub fn deletion_grace_period_seconds(&self) -> Option<i64> {
        self.deletion.as_ref().and_then(|deletion| deletion.1)
    }

    /// The owner that manages this object, if one does.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    pub fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|owner| owner.uid == uid)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key)
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key)
    }
}
