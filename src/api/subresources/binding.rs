//! `pods/binding`: puts a pod on a node, once.

use crate::api::admission::topology_labels::{COPIED, set_label};
use crate::api::pipeline::Api;
use crate::api::pipeline::act::Act;
use crate::api::pipeline::update::Part;
use crate::object::field::FieldErrors;
use crate::object::tree::{Map, Tree, TreePath, json};
use crate::object::{Answer, Reason, Reply, Status, Target, Timestamp, Verb};
use crate::resources::Resource;

pub async fn bind(api: &Api, mut act: Act) -> Result<Answer, Status> {
    let binding = api.decode_as(&mut act, "v1", "Binding")?;
    let name = match (act.name(), binding.text("metadata.name")) {
        ("", "") => return Err(Status::bad_request("name must be provided")),
        ("", name) => name.to_owned(),
        (name, "") => name.to_owned(),
        (url, name) if url != name => {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({url})"
            )));
        }
        (name, _) => name.to_owned(),
    };
    check(&binding)?;
    let warnings = std::mem::take(&mut act.warnings);
    let call = act.call.clone();
    let target = Target { resource: "pods".into(), name: name.clone(), subresource: "binding".into(), ..call.target };
    let call = crate::object::Call { target, verb: Verb::Update, ..call };
    let mut act = Act::find(&api.registry, call)?;
    act.tracks_fields = false;
    let now = api.now();
    let node = binding.text("target.name").to_owned();
    let node_labels = api.state().get(&crate::object::Key::of("nodes", "", &node)).cloned();
    api.change(act, Part::Special("binding"), |_, act, old| {
        let mut pod = old.tree();
        let uid = binding.text("metadata.uid");
        if !uid.is_empty() && uid != old.meta().uid() {
            let why =
                format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", old.meta().uid());
            return Err(conflict(&act.resource, &name, &why));
        }
        if old.meta().is_deleting() {
            return Err(conflict(
                &act.resource,
                &name,
                &format!("pod {name} is being deleted, cannot be assigned to a host"),
            ));
        }
        let host = pod.text("spec.nodeName");
        if !host.is_empty() {
            return Err(conflict(&act.resource, &name, &format!("pod {name} is already assigned to node {host:?}")));
        }
        if !pod.items("spec.schedulingGates").is_empty() {
            return Err(conflict(&act.resource, &name, &format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        pod.set("spec.nodeName", node.as_str());
        for (key, value) in binding.map("metadata.annotations").into_iter().flatten() {
            if !pod.has("metadata.annotations") {
                pod.set("metadata.annotations", Map::new());
            }
            if let Some(annotations) = pod.at_mut("metadata.annotations").and_then(Tree::as_object_mut) {
                annotations.insert(key.clone(), value.clone());
            }
        }
        if let Some(node) = &node_labels {
            for label in COPIED {
                if let Some(value) = node.meta().label(label) {
                    set_label(&mut pod, label, value);
                }
            }
        }
        pod.unset("status.nominatedNodeName");
        set_scheduled(&mut pod, now);
        Ok(pod)
    })
    .await?;
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Answer { reply: Reply::Success(done), warnings })
}

/// Complains of a binding that leads nowhere; as a plain error, as upstream does.
fn check(binding: &Tree) -> Result<(), Status> {
    let mut errors = FieldErrors::default();
    let kind = binding.text("target.kind");
    if !matches!(kind, "" | "Node") {
        crate::api::options::not_supported(&mut errors, "target.kind", json!(kind), &["Node", "<empty>"]);
    }
    if binding.text("target.name").is_empty() {
        errors.required("target.name", "");
    }
    match errors.list.first() {
        Some(error) => Err(Status::new(Reason::Unknown, format!("{}: {}", error.field, error.body))),
        None => Ok(()),
    }
}

fn conflict(resource: &Resource, name: &str, why: &str) -> Status {
    // Upstream names the subresource as the resource here.
    let mut status = Status::conflict(&resource.name, name, why);
    status.message = format!("Operation cannot be fulfilled on pods/binding {name:?}: {why}");
    if let Some(details) = &mut status.details {
        details.kind = "pods/binding".into();
    }
    status
}

fn set_scheduled(pod: &mut Tree, now: Timestamp) {
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": Tree::Null, "lastTransitionTime": now.to_string(),
    });
    let mut conditions = pod.items("status.conditions").to_vec();
    conditions.retain(|present| present.text("type") != "PodScheduled");
    conditions.push(condition);
    pod.set("status.conditions", conditions);
}
