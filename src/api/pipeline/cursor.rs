//! `continue` tokens: where the next page of a list begins, and of which revision it is.
//!
//! A token is as upstream's: URL-safe base64 of JSON with the last key and the revision. A page at a
//! revision that is forgotten is 410 Expired, with a token in it that goes on from the same place
//! in the newest state.

use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD, URL_SAFE_NO_PAD};
use base64::{DecodeError, Engine as _};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::object::codec::reader::Reader;
use crate::object::tree::Tree;
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

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
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
        let (revision, start) = decode(token)
            .map_err(|why| Status::bad_request(format!("invalid continue token: continue key is not valid{why}")))?;
        if !matches!(resource_version, "" | "0") {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        let after = start.trim_end_matches('\0').trim_start_matches('/').to_owned();
        Ok(Self { revision: (revision > 0).then_some(Revision(revision as u64)), after })
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

/// The revision and the last key of a token, or what is to be said behind "continue key is not valid".
fn decode(token: &str) -> Result<(i64, String), String> {
    const LOOSE: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);
    const VERSION: &str = "(version meta.k8s.io/v1)";
    let illegal = |at: usize| format!(": illegal base64 data at input byte {at}");
    let json = GeneralPurpose::new(&URL_SAFE, LOOSE).decode(token).map_err(|error| match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => illegal(at),
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => illegal(token.len().saturating_sub(1)),
    })?;
    let mut reader = Reader::new(&json);
    reader.skip().and_then(|_| reader.end()).map_err(|error| format!(": {}", error.0))?;
    let wire: Wire = serde_json::from_slice(&json).map_err(|_| format!(": {}", misfit(&json)))?;
    if wire.v != API_VERSION {
        return Err(format!(": server does not recognize this encoded version {}", wire.v));
    }
    if wire.rv == 0 {
        return Err(format!(": incorrect encoded start resourceVersion {VERSION}"));
    }
    if wire.start.is_empty() {
        return Err(format!(": encoded start key empty {VERSION}"));
    }
    // Nobody gets out of the resource's own keys.
    let inner = wire.start.strip_prefix('/').unwrap_or(&wire.start);
    if !inner.is_empty() && inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!(": {}", wire.start));
    }
    Ok((wire.rv, wire.start))
}

/// What Go says of JSON whose values are not what a token has.
fn misfit(json: &[u8]) -> String {
    let tree: Tree = serde_json::from_slice(json).unwrap_or_default();
    let kind = |value: &Tree| match value {
        Tree::Object(_) => "object",
        Tree::Array(_) => "array",
        Tree::String(_) => "string",
        Tree::Bool(_) => "bool",
        Tree::Number(_) | Tree::Null => "number",
    };
    let wrong = [("v", "string"), ("rv", "int64"), ("start", "string")].into_iter().find_map(|(field, of)| {
        let value = tree.get(field).filter(|value| !value.is_null())?;
        let fits = if of == "string" { value.is_string() } else { value.as_i64().is_some() };
        (!fits).then(|| {
            format!("json: cannot unmarshal {} into Go struct field continueToken.{field} of type {of}", kind(value))
        })
    });
    wrong.unwrap_or_else(|| {
        format!("json: cannot unmarshal {} into Go value of type storage.continueToken", kind(&tree))
    })
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
        let of_cluster = Cursor { revision: Some(Revision(7)), after: "web".into() };
        assert_eq!(Cursor::read(&of_cluster.to_string(), ""), Ok(of_cluster));
    }

    #[test]
    fn what_is_wrong_with_a_token_is_told_as_upstream_tells_it() {
        let told = |token: &str| {
            let message = Cursor::read(token, "").unwrap_err().message;
            message.strip_prefix("invalid continue token: continue key is not valid: ").expect("a reason").to_owned()
        };
        let of = |json: &str| told(&URL_SAFE_NO_PAD.encode(json));
        assert_eq!(told("ab!"), "illegal base64 data at input byte 2");
        assert_eq!(told("abcde"), "illegal base64 data at input byte 4");
        assert_eq!(told("abc"), "invalid character 'i' looking for beginning of value");
        assert_eq!(of("{}"), "server does not recognize this encoded version ");
        assert_eq!(of(r#"{"v":"v2"}"#), "server does not recognize this encoded version v2");
        let version = r#""v":"meta.k8s.io/v1""#;
        let no_revision = "incorrect encoded start resourceVersion (version meta.k8s.io/v1)";
        assert_eq!(of(&format!("{{{version}}}")), no_revision);
        assert_eq!(of(&format!(r#"{{{version},"rv":1}}"#)), "encoded start key empty (version meta.k8s.io/v1)");
        assert_eq!(of(&format!(r#"{{{version},"rv":1,"start":"../x"}}"#)), "../x");
        let misfit = "json: cannot unmarshal string into Go struct field continueToken.rv of type int64";
        assert_eq!(of(&format!(r#"{{{version},"rv":"1"}}"#)), misfit);
    }
}
