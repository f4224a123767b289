//! PATCH: an object changed by what a client says about it, not replaced.
//!
//! A patch is made for the version in the path: the stored object is converted, patched, decoded like
//! any sent object, and converted back. Apply also creates what is not there.

use bytes::Bytes;

use super::Api;
use super::act::Act;
use super::decode::Strictness;
use super::fields::{VersionsOf, reset_fields};
use super::metadata;
use super::update::Part;
use crate::api::{audit, encode};
use crate::object::codec::{json, yaml};
use crate::object::patch::{self, FieldManager, Patched};
use crate::object::schema::{Schema, builtin, decode, decode_untyped, fill};
use crate::object::tree::{Tree, TreePath};
use crate::object::{Answer, Body, Call, FieldErrors, Gvk, PatchKind, Status, Verb};

impl Api {
    pub(crate) async fn patch(&self, mut act: Act, part: Part) -> Result<Answer, Status> {
        let (kind, bytes) = take_patch(&mut act)?;
        if kind == PatchKind::Apply {
            return self.apply(act, part, bytes).await;
        }
        self.change(act, part, |api, act, old| api.patched(act, kind, &bytes, &old.tree())).await
    }

    /// What a patch makes of the stored tree.
    fn patched(&self, act: &mut Act, kind: PatchKind, bytes: &[u8], old: &Tree) -> Result<Tree, Status> {
        let schema = act.version().schema.clone();
        let schema = schema.of(builtin()).ok_or_else(|| Status::internal("the resource has no schema"))?;
        let live = encode::in_version(old, &act.resource, &act.version().name).into_owned();
        let patched = apply_patch(kind, live, bytes, schema)?;
        let rules = act.resource.rules.clone();
        if let Some(custom) = rules.custom() {
            let mut tree = self.settle_custom(act, custom, patched.tree, patched.complaints)?;
            settle(act, &mut tree)?;
            return Ok(tree);
        }
        let mut tree = self.decode_patched(act, kind, bytes, patched, schema)?;
        act.resource.rules.default(&mut tree);
        let mut tree = encode::in_storage(tree, &act.resource);
        settle(act, &mut tree)?;
        Ok(tree)
    }

    /// Reads what came out of a patch, treating unknown and duplicate fields as the call wishes.
    pub(crate) fn decode_patched(
        &self,
        act: &mut Act,
        kind: PatchKind,
        patch: &[u8],
        patched: Patched,
        schema: Schema<'_>,
    ) -> Result<Tree, Status> {
        let text = json::to_json(&patched.tree, Some(schema));
        let shown = || match kind {
            PatchKind::Strategic => patch::strategic::show_patch(patch),
            _ => patch::show_patched(kind, &patched.tree, patch, schema),
        };
        let decoded = decode(&text, schema).map_err(|error| unfit(shown(), &error.to_string()))?;
        let mut complaints = patched.complaints;
        complaints.extend(decoded.complaints);
        match Strictness::of(act) {
            Strictness::Strict if !complaints.is_empty() => {
                return Err(unfit(shown(), &format!("strict decoding error: {}", complaints.join(", "))));
            }
            Strictness::Warn => act.warnings.extend(complaints),
            _ => (),
        }
        let mut tree = decoded.tree;
        fill(&mut tree, schema);
        Ok(tree)
    }

    async fn apply(&self, mut act: Act, part: Part, bytes: Bytes) -> Result<Answer, Status> {
        let config = read_config(&bytes)?;
        check_repeated(&mut act, &bytes)?;
        act.tracks_fields = false;
        let exists = self.state().get(&act.key()).is_some();
        if exists {
            return self.change(act, part, |api, act, old| api.applied(act, part, &config, Some(&old.tree()))).await;
        }
        if part != Part::Main {
            return Err(act.not_found());
        }
        self.authorize(&Call { verb: Verb::Create, ..act.call.clone() })?;
        let mut tree = self.applied(&mut act, part, &config, None)?;
        tree.unset("metadata.resourceVersion"); // there is nothing that it could be compared with
        let uid = tree.text("metadata.uid");
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(&act.resource.name, act.name(), why));
        }
        self.create_tree(act, tree).await
    }

    /// What an applied configuration makes of the stored tree, or of nothing.
    fn applied(&self, act: &mut Act, part: Part, config: &Tree, old: Option<&Tree>) -> Result<Tree, Status> {
        let schema = act.version().schema.clone();
        let schema = schema.of(builtin()).ok_or_else(|| Status::internal("the resource has no schema"))?;
        let version = act.version().name.clone();
        let live = old.map(|old| encode::in_version(old, &act.resource, &version).into_owned());
        let applied = {
            let (kind, reset) = (act.gvk(), reset_fields(act, part));
            let versions = VersionsOf { resource: &act.resource, kind: &act.resource.kind };
            let fields = FieldManager {
                kind: &kind,
                subresource: &act.call.target.subresource,
                reset: &reset,
                versions: &versions,
                now: self.now(),
            };
            let force = act.call.options.force.unwrap_or(false);
            fields.apply(live.as_ref(), config, &act.call.options.field_manager, force)?
        };
        let mut tree = applied.object;
        tree.set("kind", act.resource.kind.as_ref());
        tree.set("apiVersion", act.api_version());
        let rules = act.resource.rules.clone();
        if let Some(custom) = rules.custom() {
            let mut tree = self.settle_custom(act, custom, tree, Vec::new())?;
            settle(act, &mut tree)?;
            return Ok(tree);
        }
        let text = json::to_json(&tree, Some(schema));
        let mut tree = decode(&text, schema).map_err(|error| Status::bad_request(error.to_string()))?.tree;
        fill(&mut tree, schema);
        act.resource.rules.default(&mut tree);
        let mut tree = encode::in_storage(tree, &act.resource);
        settle(act, &mut tree)?;
        Ok(tree)
    }

    /// What a patch makes of a Scale.
    pub(crate) fn patched_scale(
        &self,
        act: &mut Act,
        kind: PatchKind,
        bytes: &[u8],
        scale: Tree,
    ) -> Result<Tree, Status> {
        let schema = builtin().kind("autoscaling/v1", "Scale");
        let schema = schema.ok_or_else(|| Status::internal("Scale has no schema"))?;
        let patched = match kind {
            // The only field there is to apply is the number.
            PatchKind::Apply => Patched { tree: overlay(scale, &read_config(bytes)?), complaints: Vec::new() },
            kind => apply_patch(kind, scale, bytes, schema)?,
        };
        self.decode_patched(act, kind, bytes, patched, schema)
    }
}

/// The patch in a call's body.
pub(crate) fn take_patch(act: &mut Act) -> Result<(PatchKind, Bytes), Status> {
    match std::mem::take(&mut act.call.body) {
        Body::Patch(kind, bytes) => {
            audit::patch(&bytes);
            Ok((kind, bytes))
        }
        _ => Err(Status::bad_request("the body is no patch")),
    }
}

fn apply_patch(kind: PatchKind, live: Tree, bytes: &[u8], schema: Schema<'_>) -> Result<Patched, Status> {
    match kind {
        PatchKind::Json => patch::json::apply(live, bytes),
        PatchKind::Merge => patch::merge::apply(live, bytes),
        PatchKind::Strategic => patch::strategic::apply(live, bytes, schema),
        PatchKind::Apply => Err(Status::internal("apply is no plain patch")),
    }
}

fn overlay(mut scale: Tree, config: &Tree) -> Tree {
    if let Some(replicas) = config.int("spec.replicas") {
        scale.set("spec.replicas", replicas);
    }
    scale
}

/// Checks that the patched object is still the one that the path names.
fn settle(act: &Act, tree: &mut Tree) -> Result<(), Status> {
    metadata::match_namespace(tree, act.namespace())?;
    metadata::match_name(tree, act.name(), false)
}

/// Tells of keys that an applied configuration has twice, as strictly as the call wants it.
fn check_repeated(act: &mut Act, bytes: &[u8]) -> Result<(), Status> {
    let strictness = Strictness::of(act);
    let repeated = if strictness == Strictness::Ignore { Vec::new() } else { yaml::repeated_keys(bytes) };
    if repeated.is_empty() {
        return Ok(());
    }
    let told = format!("error converting YAML to JSON: yaml: unmarshal errors:\n  {}", repeated.join("\n  "));
    if strictness == Strictness::Strict {
        return Err(Status::bad_request(format!("error strict decoding YAML: {told}")));
    }
    act.warnings.push(told);
    Ok(())
}

/// Reads an applied configuration.
fn read_config(bytes: &[u8]) -> Result<Tree, Status> {
    let bad = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let text = yaml::to_json(bytes).map_err(|error| bad(error.to_string()))?;
    let tree = decode_untyped(&text).map_err(|error| bad(error.to_string()))?.tree;
    match tree {
        Tree::Object(_) => Ok(tree),
        other => {
            let word = match other {
                Tree::Array(_) => "array",
                Tree::String(_) => "string",
                Tree::Bool(_) => "bool",
                Tree::Number(_) => "number",
                _ => return Ok(Tree::Object(Default::default())),
            };
            Err(bad(format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"
            )))
        }
    }
}

fn unfit(shown: String, why: &str) -> Status {
    let mut errors = FieldErrors::default();
    errors.invalid("patch", shown, why);
    errors.into_status(&Gvk::default(), "")
}
