//! Says of each FlowSchema whether the priority level that it names exists.

use std::sync::Arc;

use super::crd::controller::own_call;
use super::pipeline::Api;
use crate::base::service::Scope;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::{Body, GroupResource, Key, Reason, Status, Target, Timestamp, Verb};
use crate::store::{KeyRange, WatchEnd};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const LEVELS: &str = "prioritylevelconfigurations";
const SCHEMAS: &str = "flowschemas";

/// From now on follows both kinds.
pub fn start(api: &Arc<Api>, scope: &Scope) {
    let api = api.clone();
    scope.supervise("flow schemas", move || run(api.clone()));
}

async fn run(api: Arc<Api>) -> Result<(), Status> {
    loop {
        let from = api.state().revision();
        let follow = |plural: &str| {
            let watch = api.store.watch(KeyRange::resource(&GroupResource::new(GROUP, plural)), from);
            watch.map_err(|error| Status::new(Reason::ServiceUnavailable, error.to_string()))
        };
        let (mut schemas, mut levels) = (follow(SCHEMAS)?, follow(LEVELS)?);
        loop {
            pass(&api).await;
            let changed = tokio::select! {
                changed = schemas.next() => changed,
                changed = levels.next() => changed,
            };
            match changed {
                Ok(_) => {
                    while let Ok(Some(_)) = schemas.try_next() {}
                    while let Ok(Some(_)) = levels.try_next() {}
                }
                Err(WatchEnd::TooSlow) => break,
                Err(WatchEnd::Closed) => return Ok(()),
            }
        }
    }
}

async fn pass(api: &Api) {
    let state = api.state();
    for object in state.range(&KeyRange::resource(&GroupResource::new(GROUP, SCHEMAS))) {
        let mut schema = object.tree();
        let level = schema.text("spec.priorityLevelConfiguration.name").to_owned();
        let is_there = state.get(&Key::of(&format!("{LEVELS}.{GROUP}"), "", &level)).is_some();
        if !judge(&mut schema, &level, is_there, api.now()) {
            continue;
        }
        let target = Target {
            group: GROUP.into(),
            version: "v1".into(),
            resource: SCHEMAS.into(),
            name: object.key().name().into(),
            subresource: "status".into(),
            ..Target::default()
        };
        if let Err(status) = api.run_boxed(own_call(Verb::Update, target, Body::Tree(schema))).await {
            tracing::debug!(%status, schema = object.key().name(), "cannot write the status of a flow schema");
        }
    }
}

/// Puts the condition right; false if it is already.
fn judge(schema: &mut Tree, level: &str, is_there: bool, now: Timestamp) -> bool {
    let (status, reason, told) = match is_there {
        true => ("False", "Found", "and it exists"),
        false => ("True", "NotFound", "but there is no such object"),
    };
    let message = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {told}");
    let is_ours = |condition: &Tree| condition.text("type") == "Dangling";
    let before = schema.items("status.conditions").iter().find(|condition| is_ours(condition));
    if before.is_some_and(|one| (one.text("status"), one.text("message")) == (status, &message)) {
        return false;
    }
    let since = before.filter(|one| one.text("status") == status).map(|one| one.text("lastTransitionTime").to_owned());
    let since = since.unwrap_or_else(|| now.to_string());
    let mut conditions = schema.items("status.conditions").to_vec();
    conditions.retain(|condition| !is_ours(condition));
    conditions.push(json!({
        "type": "Dangling", "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
    }));
    schema.set("status.conditions", conditions);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_dangles_while_its_level_is_missing() {
        let mut schema = json!({});
        let now = Timestamp::from_secs(0);
        assert!(judge(&mut schema, "gone", false, now) && !judge(&mut schema, "gone", false, now));
        let condition = |schema: &Tree| schema.items("status.conditions")[0].clone();
        assert_eq!((condition(&schema).text("status"), condition(&schema).text("reason")), ("True", "NotFound"));
        assert!(judge(&mut schema, "gone", true, now));
        assert_eq!(
            condition(&schema).text("message"),
            "This FlowSchema references the PriorityLevelConfiguration object named \"gone\" and it exists"
        );
    }
}
