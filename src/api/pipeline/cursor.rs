//! `continue` tokens: where the next page of a list begins, and of which revision it is.
//!
//! A token is as upstream's: URL-safe base64 of JSON with the last key and the revision. A page at a
//! revision that is forgotten is 410 Expired, with a token in it that goes on from the same place
//! in the newest state.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::object::{GroupResource, Key, ObjectRef, Revision, Status};

const API_VERSION: &str = "meta.k8s.io/v1";
/// The revision of a token that goes on in the newest state.
const NEWEST: i64 = -1;

const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

#[derive(Debug, PartialEq)]
pub struct Cursor {
    /// None is the newest there is.
    pub revision: Option<Revision>,
    /// `namespace/name` of the last object of the page before.
    after: String,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    rv: i64,
    start: String,
}

impl Cursor {
    pub fn after(object: &ObjectRef, revision: Revision) -> Self {
        let key = object.key();
        Self { revision: Some(revision), after: format!("{}/{}", key.namespace(), key.name()) }
    }

    pub fn read(token: &str, resource_version: &str) -> Result<Self, Status> {
        let bad = |why: String| Status::bad_request(format!("invalid continue token: {why}"));
        let not_valid = |_| bad("continue key is not valid: illegal base64 data at input byte 0".into());
        let json = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(not_valid)?;
        let wire: Wire =
            serde_json::from_slice(&json).map_err(|error| bad(format!("continue key is not valid: {error}")))?;
        if wire.v != API_VERSION {
            return Err(bad(format!(
                "continue key is not valid: server does not recognize this encoded version {:?}",
                wire.v
            )));
        }
        if !matches!(resource_version, "" | "0") {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        let key = wire.start.trim_end_matches('\0');
        if wire.rv == 0 || key.matches('/').count() != 1 {
            return Err(bad("incorrect encoded start resourceVersion 0 (version meta.k8s.io/v1)".into()));
        }
        Ok(Self { revision: (wire.rv > 0).then_some(Revision(wire.rv as u64)), after: key.to_owned() })
    }

    /// The key that the page begins behind.
    pub fn key(&self, resource: &GroupResource) -> Key {
        let (namespace, name) = self.after.split_once('/').unwrap_or(("", &self.after));
        Key::new(resource, namespace, name)
    }

    /// The answer when the page's revision is forgotten.
    pub fn expired(&self) -> Status {
        let onward = Self { revision: None, after: self.after.clone() };
        Status { continue_token: onward.to_string(), ..Status::expired(INCONSISTENT) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rv = self.revision.map_or(NEWEST, |revision| revision.0 as i64);
        let wire = Wire { v: API_VERSION.into(), rv, start: format!("{}\0", self.after) };
        f.write_str(&URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_a_bad_one_is_refused() {
        let cursor = Cursor { revision: Some(Revision(7)), after: "default/web".into() };
        assert_eq!(Cursor::read(&cursor.to_string(), ""), Ok(cursor));
        assert!(Cursor::read("rubbish", "").unwrap_err().message.starts_with("invalid continue token"));
    }
}
