//! Bodies of custom objects: any JSON first, then what the definition makes of it.

use crate::api::pipeline::Api;
use crate::api::pipeline::act::Act;
use crate::api::pipeline::decode::{Strictness, json_of, type_meta, unfit};
use crate::object::schema::custom::settle;
use crate::object::schema::decode_untyped;
use crate::object::tree::{Tree, TreePath};
use crate::object::{Gvk, Status};
use crate::resources::custom::CustomRules;

impl Api {
    /// The object in the body, in the version of the request: pruned, defaulted, its metadata in order.
    pub(crate) fn decode_custom(&self, act: &mut Act, rules: &CustomRules) -> Result<Tree, Status> {
        let bytes = json_of(std::mem::take(&mut act.call.body))?;
        let expected = act.gvk();
        let unrecognized = |why: &str| {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
            Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): {why} ({shown})",
                expected.kind
            ))
        };
        let meta = type_meta(&bytes)
            .map_err(|why| unrecognized(&format!("couldn't get version/kind; json parse error: {why}")))?;
        let api_version = if meta.api_version.is_empty() { expected.api_version() } else { meta.api_version };
        if api_version != expected.api_version() {
            return Err(Status::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({})",
                expected.api_version()
            )));
        }
        let kind = if meta.kind.is_empty() { expected.kind.to_string() } else { meta.kind };
        let gvk = Gvk::of(&api_version, &kind);
        let decoded = decode_untyped(&bytes).map_err(|error| unfit(&expected, &gvk, &error.to_string()))?;
        let mut tree = decoded.tree;
        if !tree.is_object() {
            return Err(unrecognized("the object is no map"));
        }
        tree.set("apiVersion", api_version);
        tree.set("kind", kind);
        crate::api::audit::request(&tree);
        self.settle_custom(act, rules, tree, decoded.complaints)
    }

    /// Makes of a custom object in the version of the request what may be stored: unknown fields go
    /// (with complaints as the call wishes), defaults come.
    pub(crate) fn settle_custom(
        &self,
        act: &mut Act,
        rules: &CustomRules,
        mut tree: Tree,
        mut complaints: Vec<String>,
    ) -> Result<Tree, Status> {
        let expected = act.gvk();
        if tree.text("kind") != expected.kind {
            let mut errors = crate::object::FieldErrors::default();
            errors.invalid("kind", tree.text("kind"), format!("must be {}", expected.kind));
            return Err(errors.into_status(&expected, tree.text("metadata.name")));
        }
        let Some(version) = rules.version(&expected.api_version()) else { return Ok(tree) };
        let settled =
            settle(&mut tree, &version.schema).map_err(|error| unfit(&expected, &expected, &error.to_string()))?;
        complaints.extend(settled.complaints);
        match Strictness::of(act) {
            _ if complaints.is_empty() => (),
            Strictness::Ignore => (),
            Strictness::Warn => act.warnings.extend(complaints),
            Strictness::Strict => {
                let told = format!("strict decoding error: {}", complaints.join(", "));
                return Err(unfit(&expected, &expected, &told));
            }
        }
        Ok(tree)
    }
}
