//! One version of a custom object into another: by renaming, or by asking a webhook.

use std::time::Duration;

use crate::api::pipeline::Api;
use crate::base::rand;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::{Key, Status};
use crate::resources::Resource;

use super::DEFINITIONS;

const TIMEOUT: Duration = Duration::from_secs(30);
/// What a webhook may not change.
const FIXED: &[&str] = &["kind", "metadata.name", "metadata.namespace", "metadata.uid"];

impl Api {
    /// The same objects in `api_version`, in the same order.
    pub(crate) async fn convert(
        &self,
        resource: &Resource,
        mut objects: Vec<Tree>,
        api_version: &str,
    ) -> Result<Vec<Tree>, Status> {
        let definition = self.state().get(&Key::of(DEFINITIONS, "", resource.name.as_str())).cloned();
        let conversion = definition.and_then(|definition| definition.tree().at("spec.conversion").cloned());
        let hook = conversion.as_ref().filter(|c| c.text("strategy") == "Webhook").and_then(|c| c.get("webhook"));
        let foreign: Vec<usize> =
            (0..objects.len()).filter(|at| objects[*at].text("apiVersion") != api_version).collect();
        let (Some(hook), false) = (hook, foreign.is_empty()) else {
            for object in &mut objects {
                object.set("apiVersion", api_version);
            }
            return Ok(objects);
        };
        let asked: Vec<Tree> = foreign.iter().map(|at| objects[*at].clone()).collect();
        let from = asked[0].text("apiVersion").to_owned();
        let failed = |why: String| {
            let kind = &resource.kind;
            Status::internal(format!("conversion webhook for {from}, Kind={kind} failed: {why}"))
        };
        let uid = rand::uuid(&*self.rand);
        let versions = hook.items("conversionReviewVersions");
        let known = versions.iter().filter_map(Tree::as_str).find(|version| matches!(*version, "v1" | "v1beta1"));
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{}", known.unwrap_or("v1")),
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": asked},
        });
        let config = hook.get("clientConfig").cloned().unwrap_or_default();
        let answer = self.caller.post(&config, &review, TIMEOUT).await.map_err(|error| failed(error.why))?;
        let converted = read_answer(&answer, &uid, &asked, api_version).map_err(failed)?;
        for (at, tree) in foreign.into_iter().zip(converted) {
            objects[at] = tree;
        }
        Ok(objects)
    }
}

/// Checks what a webhook sent back. It may change everything but what says which object this is.
fn read_answer(answer: &Tree, uid: &str, asked: &[Tree], api_version: &str) -> Result<Vec<Tree>, String> {
    let response = answer.get("response").filter(|response| response.is_object());
    let response = response.ok_or("no response provided")?;
    if response.text("uid") != uid {
        return Err(format!("expected response.uid={uid:?}, got {:?}", response.text("uid")));
    }
    if response.text("result.status") != "Success" {
        return Err(match response.text("result.message") {
            "" => format!("response.result.status was {:?}, not \"Success\"", response.text("result.status")),
            message => message.to_owned(),
        });
    }
    let converted = response.items("convertedObjects");
    if converted.len() != asked.len() {
        return Err(format!("webhook returned {} objects, expected {}", converted.len(), asked.len()));
    }
    let mut kept = Vec::with_capacity(asked.len());
    for (at, (tree, original)) in converted.iter().zip(asked).enumerate() {
        if tree.text("apiVersion") != api_version {
            let got = tree.text("apiVersion");
            return Err(format!(
                "invalid converted object at index {at}: invalid groupVersion (expected {api_version}, received {got})"
            ));
        }
        if let Some(field) = FIXED.iter().find(|field| tree.text(field) != original.text(field)) {
            let (old, new) = (original.text(field), tree.text(field));
            return Err(format!("invalid metadata in object at index {at}: {field} changed from {old:?} to {new:?}"));
        }
        let mut tree = tree.clone();
        // Of the metadata, webhooks have a say in labels and annotations alone.
        let mut meta = original.get("metadata").cloned().unwrap_or_default();
        for field in ["labels", "annotations"] {
            match tree.at(&format!("metadata.{field}")) {
                Some(value) => drop(meta.set(field, value.clone())),
                None => drop(meta.unset(field)),
            }
        }
        tree.set("metadata", meta);
        kept.push(tree);
    }
    Ok(kept)
}
