//! `scale`: the number of replicas of whatever can be scaled, as `autoscaling/v1` Scale.

use crate::api::pipeline::Api;
use crate::api::pipeline::act::{Act, no_such_method};
use crate::api::pipeline::metadata;
use crate::api::pipeline::patch::take_patch;
use crate::api::pipeline::update::Part;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, from_tree, json};
use crate::object::view::LabelSelector;
use crate::object::{Answer, Gvk, ObjectRef, Reply, Status, Verb};
use crate::resources::{Resource, ScalePaths};

const KIND: Gvk = Gvk::fixed("autoscaling", "v1", "Scale");

pub async fn run(api: &Api, mut act: Act, paths: &ScalePaths) -> Result<Answer, Status> {
    let paths = paths.clone();
    match act.call.verb {
        Verb::Get => {
            let object = api.state().get(&act.key()).cloned().ok_or_else(|| act.not_found())?;
            Ok(Answer { reply: reply(&object.tree(), &act.resource, &paths), warnings: act.warnings })
        }
        Verb::Update => {
            let scale = api.decode_as(&mut act, "autoscaling/v1", "Scale")?;
            change(api, act, paths, move |_, _| Ok(scale.clone())).await
        }
        Verb::Patch => {
            let (kind, bytes) = take_patch(&mut act)?;
            change(api, act, paths, move |act, scale| api.patched_scale(act, kind, &bytes, scale)).await
        }
        _ => Err(no_such_method()),
    }
}

/// Makes a new Scale from the present one, and the object what it says.
async fn change<F>(api: &Api, act: Act, paths: ScalePaths, mut make: F) -> Result<Answer, Status>
where
    F: FnMut(&mut Act, Tree) -> Result<Tree, Status>,
{
    let resource = act.resource.clone();
    let answer = api
        .change(act, Part::Main, |_, act, old: &ObjectRef| {
            let mut object = old.tree();
            let mut scale = make(act, scale_of(&object, &act.resource, &paths))?;
            let (name, namespace) = (act.name().to_owned(), act.namespace().to_owned());
            metadata::match_namespace(&mut scale, &namespace)?;
            metadata::match_name(&mut scale, &name, false)?;
            let replicas = scale.int("spec.replicas").unwrap_or(0);
            // A custom object's own rules complain, of its own field.
            if replicas < 0 && !act.resource.is_custom {
                let mut errors = FieldErrors::default();
                errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0");
                return Err(errors.into_status(&KIND, &name));
            }
            object.set(&paths.replicas, replicas);
            // A Scale without a version is meant for whatever there is.
            if !scale.text("metadata.resourceVersion").is_empty() {
                object.set("metadata.resourceVersion", scale.text("metadata.resourceVersion"));
            }
            Ok(object)
        })
        .await?;
    let changed = match answer.reply {
        Reply::Object { object, .. } => object.tree(),
        Reply::Tree { tree, .. } => tree,
        other => return Ok(Answer { reply: other, warnings: answer.warnings }),
    };
    Ok(Answer { reply: reply(&changed, &resource, &paths), warnings: answer.warnings })
}

fn reply(object: &Tree, resource: &Resource, paths: &ScalePaths) -> Reply {
    Reply::Tree { tree: scale_of(object, resource, paths), created: false }
}

/// The Scale that an object is.
fn scale_of(object: &Tree, resource: &Resource, paths: &ScalePaths) -> Tree {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.at(&format!("metadata.{field}")) {
            metadata[field] = value.clone();
        }
    }
    let _ = resource;
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {}, "status": {"replicas": object.int(&paths.status_replicas).unwrap_or(0)},
    });
    if let Some(replicas) = object.int(&paths.replicas).filter(|replicas| *replicas != 0) {
        scale.set("spec.replicas", replicas);
    }
    let selector = selector_of(object, &paths.selector);
    if !selector.is_empty() {
        scale.set("status.selector", selector);
    }
    scale
}

/// A selector in the syntax of queries, from any of the forms that objects have.
fn selector_of(object: &Tree, path: &str) -> String {
    match object.at(path) {
        Some(Tree::String(text)) => text.clone(),
        Some(tree @ Tree::Object(map)) if map.contains_key("matchLabels") || map.contains_key("matchExpressions") => {
            from_tree::<LabelSelector>(tree).unwrap_or_default().to_query()
        }
        Some(Tree::Object(map)) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            pairs.collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    }
}
