//! Bodies into trees of the storage version, defaulted, with complaints in upstream's words.

use bytes::Bytes;

use super::Api;
use super::act::Act;
use crate::api::{audit, encode};
use crate::object::codec::json::to_json;
use crate::object::codec::protobuf::Envelope;
use crate::object::codec::yaml;
use crate::object::schema::{DecodeError, Decoded, Schema, builtin, decode, decode_untyped, fill};
use crate::object::tree::{Tree, TreePath, json};
use crate::object::{Body, Encoding, Gvk, Status};

/// What happens to unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    Ignore,
    Warn,
    Strict,
}

impl Strictness {
    pub fn of(act: &Act) -> Self {
        match act.call.options.field_validation.as_str() {
            "Ignore" => Self::Ignore,
            "Strict" => Self::Strict,
            _ => Self::Warn,
        }
    }
}

impl Api {
    /// The object in the call's body: in the storage version, with defaults.
    ///
    /// A custom resource's stays in the version of the request until it is stored.
    pub(crate) fn decode(&self, act: &mut Act) -> Result<Tree, Status> {
        let rules = act.resource.rules.clone();
        if let Some(custom) = rules.custom() {
            return self.decode_custom(act, custom);
        }
        let schema = act.version().schema.clone();
        let schema = schema.of(builtin()).ok_or_else(|| Status::internal("the resource has no schema"))?;
        let mut tree = self.decode_kind(act, act.gvk(), schema)?;
        act.resource.rules.default(&mut tree);
        Ok(encode::in_storage(tree, &act.resource))
    }

    /// The object in the body of a subresource that has a kind of its own.
    pub(crate) fn decode_as(&self, act: &mut Act, api_version: &str, kind: &str) -> Result<Tree, Status> {
        let schema = builtin().kind(api_version, kind);
        let schema = schema.ok_or_else(|| Status::internal(format!("{kind} has no schema")))?;
        self.decode_kind(act, Gvk::of(api_version, kind), schema)
    }

    /// Reads the body as `expected`, and gives it static defaults.
    fn decode_kind(&self, act: &mut Act, expected: Gvk, schema: Schema<'_>) -> Result<Tree, Status> {
        let mut tree = match std::mem::take(&mut act.call.body) {
            Body::Bytes(Encoding::Protobuf, bytes) => {
                let envelope = Envelope::open(&bytes).map_err(|error| Status::bad_request(error.to_string()))?;
                let gvk = Gvk::of(&envelope.api_version, &envelope.kind);
                self.check_kind(act, &expected, &gvk)?;
                envelope.decode(schema).map_err(|error| unfit(&expected, &gvk, &error.to_string()))?
            }
            Body::Patch(..) => return Err(Status::bad_request("a patch is no object")),
            body => {
                let bytes = json_of(body)?;
                match decode(&bytes, schema) {
                    Ok(decoded) if is_kind(&decoded.tree, &expected) => accept(act, &expected, decoded)?,
                    decoded => {
                        // That it is something else is said before what is wrong with it.
                        let gvk = stated_kind(&expected, &bytes)?;
                        self.check_kind(act, &expected, &gvk)?;
                        let decoded = decoded.map_err(|error| unfit(&expected, &gvk, &error.to_string()))?;
                        accept(act, &expected, decoded)?
                    }
                }
            }
        };
        fill(&mut tree, schema);
        tree.set("kind", expected.kind.as_ref());
        tree.set("apiVersion", expected.api_version());
        audit::request(&tree);
        Ok(tree)
    }

    /// Checks that a body is of the kind that the path names.
    fn check_kind(&self, act: &Act, expected: &Gvk, gvk: &Gvk) -> Result<(), Status> {
        if gvk == expected {
            return Ok(());
        }
        if gvk.kind == expected.kind && gvk.group == expected.group && act.resource.version(&gvk.version).is_some() {
            return Err(Status::bad_request(format!(
                "the API version in the data ({}) does not match the expected API version ({})",
                gvk.api_version(),
                expected.api_version()
            )));
        }
        let why = if self.registry.find_kind(gvk).is_some() {
            format!(
                "converting ({}.{}) to ({}.{}): unknown conversion",
                gvk.version,
                gvk.kind,
                package(&expected.group),
                expected.kind
            )
        } else {
            format!(
                "no kind {:?} is registered for version {:?} in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"",
                gvk.kind,
                gvk.api_version()
            )
        };
        Err(unfit(expected, gvk, &why))
    }

    /// Reads `metav1.DeleteOptions`, in whatever group's version.
    pub(super) fn decode_delete_options(&self, encoding: Encoding, bytes: &Bytes) -> Result<Tree, Status> {
        let schema = builtin().named("apimachinery.pkg.apis.meta.v1.DeleteOptions");
        let schema = schema.ok_or_else(|| Status::internal("DeleteOptions has no schema"))?;
        let bad = |error: DecodeError| Status::bad_request(error.to_string());
        if encoding == Encoding::Protobuf {
            return Envelope::open(bytes).and_then(|envelope| envelope.decode(schema)).map_err(bad);
        }
        let json = json_of(Body::Bytes(encoding, bytes.clone()))?;
        let meta = type_meta(&json)
            .map_err(|why| Status::bad_request(format!("couldn't get version/kind; json parse error: {why}")))?;
        if !matches!(meta.kind.as_str(), "" | "DeleteOptions") {
            return Err(Status::bad_request(format!(
                "no kind {:?} is registered for version {:?} in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:40\"",
                meta.kind, meta.api_version
            )));
        }
        decode(&json, schema).map(|decoded| decoded.tree).map_err(bad)
    }
}

/// Whether an object says that it is `expected`, as far as it says anything.
fn is_kind(tree: &Tree, expected: &Gvk) -> bool {
    let says = |field: &str, wanted: &str| matches!(tree.text(field), stated if stated.is_empty() || stated == wanted);
    tree.is_object() && says("kind", &expected.kind) && says("apiVersion", &expected.api_version())
}

/// Treats unknown and duplicate fields as the call wishes.
fn accept(act: &mut Act, expected: &Gvk, decoded: Decoded) -> Result<Tree, Status> {
    if !decoded.complaints.is_empty() {
        match Strictness::of(act) {
            Strictness::Ignore => (),
            Strictness::Warn => act.warnings.extend(decoded.complaints),
            Strictness::Strict => {
                let told = format!("strict decoding error: {}", decoded.complaints.join(", "));
                return Err(unfit(expected, expected, &told));
            }
        }
    }
    Ok(if decoded.tree.is_object() { decoded.tree } else { json!({}) })
}

#[derive(serde::Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct TypeMeta {
    pub api_version: String,
    pub kind: String,
}

/// What an object says it is; the error is the syntax error, as Go words it.
pub(crate) fn type_meta(bytes: &[u8]) -> Result<TypeMeta, String> {
    if bytes.is_empty() {
        return Err("unexpected end of JSON input".into());
    }
    // A list would do for the deriver, and does not for Go.
    let is_list = bytes.trim_ascii_start().starts_with(b"[");
    match serde_json::from_slice::<TypeMeta>(bytes) {
        Ok(meta) if !is_list => Ok(meta),
        // Perhaps not even JSON: have the strict reader say it as Go does.
        _ => match decode_untyped(bytes) {
            Err(error) => Err(error.to_string()),
            Ok(decoded) if !decoded.tree.is_object() && !decoded.tree.is_null() => Err(format!(
                "json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
                word(&decoded.tree)
            )),
            Ok(decoded) => Ok(TypeMeta {
                api_version: decoded.tree.text("apiVersion").into(),
                kind: decoded.tree.text("kind").into(),
            }),
        },
    }
}

/// What Go calls such a value in its messages.
fn word(value: &Tree) -> &'static str {
    match value {
        Tree::Array(_) => "array",
        Tree::String(_) => "string",
        Tree::Number(_) => "number",
        Tree::Bool(_) => "bool",
        Tree::Null | Tree::Object(_) => "object",
    }
}

/// A body's JSON text.
pub(crate) fn json_of(body: Body) -> Result<Bytes, Status> {
    match body {
        Body::Bytes(Encoding::Yaml, bytes) => {
            let json = yaml::to_json(&bytes).map_err(|error| Status::bad_request(error.to_string()))?;
            Ok(if json == b"null" { Bytes::from_static(b"{}") } else { json.into() })
        }
        Body::Bytes(_, bytes) => Ok(bytes),
        Body::Tree(tree) => Ok(to_json(&tree, None).into()),
        Body::None | Body::Patch(..) => Ok(Bytes::new()),
    }
}

/// The kind that a body says it is; what it does not say is as expected.
fn stated_kind(expected: &Gvk, bytes: &[u8]) -> Result<Gvk, Status> {
    let TypeMeta { api_version, kind } = type_meta(bytes).map_err(|why| {
        let shown = summary(bytes);
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {why} ({shown})",
            expected.kind
        ))
    })?;
    let api_version = if api_version.is_empty() { expected.api_version() } else { api_version };
    Ok(Gvk::of(&api_version, if kind.is_empty() { &expected.kind } else { &kind }))
}

/// The beginning of a body that could not be read, as upstream shows it.
fn summary(bytes: &[u8]) -> String {
    const BYTES_MAX: usize = 30;
    let more = if bytes.len() > BYTES_MAX { " ..." } else { "" };
    let start = &bytes[..bytes.len().min(BYTES_MAX)];
    match start.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(start)),
        Some(_) => {
            let hex: String = start.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}

pub(crate) fn unfit(expected: &Gvk, gvk: &Gvk, why: &str) -> Status {
    Status::bad_request(format!(
        "{} in version {:?} cannot be handled as a {}: {why}",
        gvk.kind, gvk.version, expected.kind
    ))
}

/// The Go package of a group's internal types.
fn package(group: &str) -> &str {
    match group {
        "" => "core",
        group => group.split('.').next().unwrap_or(group),
    }
}
