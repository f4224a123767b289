//! Follows the stored configuration: uses it, keeps the bootstrap objects, and says in the status of
//! a FlowSchema whether its level exists.

use std::sync::Arc;
use std::time::Duration;

use super::bootstrap;
use super::config::Config;
use crate::api::pipeline::Api;
use crate::api::started::Step;
use crate::base::service::Scope;
use crate::object::tree::json;
use crate::object::{
    Body, Call, GroupResource, ObjectRef, Options, PatchKind, Reason, Status, Target, Tree, TreePath, User, Verb,
};
use crate::store::{KeyRange, State, WatchEnd};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const LEVELS: &str = "prioritylevelconfigurations";
const SCHEMAS: &str = "flowschemas";
/// Who keeps the bootstrap objects, and who writes conditions.
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
/// How long a bootstrap object may be other than it should.
const REPAIR_AFTER: Duration = Duration::from_secs(60);

/// Begins to follow what is stored; what is there now is used when this returns.
pub fn start(api: &Arc<Api>, scope: &Scope) {
    use_stored(api);
    api.started.reached(Step::Queues);
    let follows = api.clone();
    scope.supervise("priority levels", move || follow(follows.clone()));
    let times = api.clone();
    scope.supervise("fair queues", move || keep_time(times.clone()));
}

pub(super) fn use_stored(api: &Api) {
    let state = api.state();
    let (levels, schemas) = (range(LEVELS), range(SCHEMAS));
    api.flow.configure(Config::read(state.range(&levels), state.range(&schemas)));
}

fn range(resource: &str) -> KeyRange {
    KeyRange::resource(&GroupResource::new(GROUP, resource))
}

async fn follow(api: Arc<Api>) -> Result<(), Status> {
    let failed = |error: &dyn std::fmt::Display| Status::new(Reason::ServiceUnavailable, error.to_string());
    let revision = api.state().revision();
    let watch = |resource| api.store.watch(range(resource), revision).map_err(|error| failed(&error));
    let (mut levels, mut schemas) = (watch(LEVELS)?, watch(SCHEMAS)?);
    let mut role = api.store.role();
    loop {
        use_stored(&api);
        let mut is_done = true;
        if api.store.decides() {
            is_done = write_conditions(&api).await && is_tidy(&api.state());
        }
        let pause = if is_done { Duration::MAX } else { REPAIR_AFTER };
        let changed = tokio::select! {
            event = levels.next() => event.map(drop),
            event = schemas.next() => event.map(drop),
            _ = role.changed() => Ok(()),
            () = tokio::time::sleep(pause) => {
                repair(&api).await;
                Ok(())
            }
        };
        let drained = changed.and_then(|()| drain(&mut levels)).and_then(|()| drain(&mut schemas));
        match drained {
            Ok(()) => (),
            Err(WatchEnd::TooSlow) => return Ok(()), // and again, from the beginning
            Err(WatchEnd::Closed) => std::future::pending().await,
        }
    }
}

fn drain(watch: &mut crate::store::Watch) -> Result<(), WatchEnd> {
    while watch.try_next()?.is_some() {}
    Ok(())
}

/// Lets those who wait have seats that come free by time alone; sleeps while nobody does.
async fn keep_time(api: Arc<Api>) -> Result<(), Status> {
    loop {
        api.flow.timer.notified().await;
        while let Some(next) = api.flow.next_tick() {
            tokio::time::sleep(next.saturating_sub(api.flow.clock.elapsed())).await;
            api.flow.tick();
        }
    }
}

/// Writes the condition of each schema that lacks it; false if some could not be written.
async fn write_conditions(api: &Api) -> bool {
    let mut is_done = true;
    let state = api.state();
    let names: Vec<String> = state.range(&range(LEVELS)).map(|level| level.key().name().to_owned()).collect();
    let now = api.now().to_string();
    for schema in state.range(&range(SCHEMAS)) {
        let Some(condition) = condition(&schema.tree(), |level| names.iter().any(|name| name == level), &now) else {
            continue;
        };
        let name = schema.key().name();
        let patch = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "FlowSchema", "metadata": {"name": name},
            "status": {"conditions": [condition]},
        });
        let call = Call {
            target: Target { subresource: "status".into(), ..target(SCHEMAS, name) },
            body: Body::Patch(PatchKind::Apply, patch.to_string().into_bytes().into()),
            ..call(Verb::Patch, CONSUMER)
        };
        match api.run(call).await {
            Ok(_) => (),
            Err(status) if status.is(Reason::NotFound) => (),
            Err(status) => {
                tracing::debug!(schema = name, %status, "cannot write the condition of a FlowSchema");
                is_done = false;
            }
        }
    }
    is_done
}

/// The condition that a schema should have and does not.
fn condition(schema: &Tree, exists: impl Fn(&str) -> bool, now: &str) -> Option<Tree> {
    let level = schema.text("spec.priorityLevelConfiguration.name");
    let named = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = match exists(level) {
        true => ("False", "Found", format!("{named} and it exists")),
        false => ("True", "NotFound", format!("{named} but there is no such object")),
    };
    let wanted = json!({"type": "Dangling", "status": status, "reason": reason, "message": message});
    let is_wanted = |condition: &Tree| {
        ["type", "status", "reason", "message"].iter().all(|field| condition.get(field) == wanted.get(field))
    };
    if schema.items("status.conditions").iter().any(is_wanted) {
        return None;
    }
    let mut wanted = wanted;
    wanted.set("lastTransitionTime", now);
    Some(wanted)
}

/// Whether every bootstrap object is as it should be, and nothing of an older release is left.
fn is_tidy(state: &State) -> bool {
    repairs(state).next().is_none()
}

/// What has to be done about bootstrap objects: resource, name and what to write (nothing: remove it).
fn repairs(state: &State) -> impl Iterator<Item = (&'static str, String, Option<Tree>)> {
    let wanted = bootstrap::objects();
    let resource = |object: &Tree| if object.text("kind") == "FlowSchema" { SCHEMAS } else { LEVELS };
    let key = |object: &Tree| (resource(object), object.text("metadata.name").to_owned());
    let known: Vec<_> = wanted.iter().map(key).collect();
    let mut repairs = Vec::new();
    for object in wanted {
        let (resource, name) = key(&object);
        match state.range(&range(resource)).find(|stored| stored.key().name() == name) {
            None => repairs.push((resource, name, Some(object))),
            Some(stored) => {
                let better = bootstrap::revise(&object, &stored.tree());
                repairs.extend(better.map(|better| (resource, name, Some(better))));
            }
        }
    }
    for resource in [SCHEMAS, LEVELS] {
        let is_left = |stored: &&ObjectRef| {
            !known.iter().any(|(of, name)| *of == resource && name == stored.key().name())
                && bootstrap::is_left_over(&stored.tree())
        };
        let left = range(resource);
        repairs
            .extend(state.range(&left).filter(is_left).map(|stored| (resource, stored.key().name().to_owned(), None)));
    }
    repairs.into_iter()
}

async fn repair(api: &Api) {
    if !api.store.decides() {
        return;
    }
    for (resource, name, object) in repairs(&api.state()) {
        let call = match object {
            None => Call { target: target(resource, &name), ..call(Verb::Delete, PRODUCER) },
            Some(object) if object.has("metadata.uid") => {
                Call { target: target(resource, &name), body: Body::Tree(object), ..call(Verb::Update, PRODUCER) }
            }
            Some(object) => {
                Call { target: target(resource, ""), body: Body::Tree(object), ..call(Verb::Create, PRODUCER) }
            }
        };
        if let Err(status) = api.run(call).await {
            tracing::warn!(resource, name, %status, "cannot keep a bootstrap object of priority and fairness");
        }
    }
}

fn target(resource: &str, name: &str) -> Target {
    let (group, version) = (GROUP.to_owned(), "v1".to_owned());
    Target { group, version, resource: resource.to_owned(), name: name.to_owned(), ..Target::default() }
}

fn call(verb: Verb, manager: &str) -> Call {
    Call {
        user: User::named("system:apiserver", &["system:masters"]),
        verb,
        target: Target::default(),
        options: Options {
            field_manager: manager.to_owned(),
            force: (manager == CONSUMER).then_some(true),
            ..Options::default()
        },
        body: Body::None,
        user_agent: manager.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_dangles_while_its_level_is_missing() {
        let mut schema = json!({"spec": {"priorityLevelConfiguration": {"name": "x"}}});
        let found = condition(&schema, |_| false, "now").unwrap();
        assert_eq!((found.text("status"), found.text("reason")), ("True", "NotFound"));
        assert_eq!(
            found.text("message"),
            "This FlowSchema references the PriorityLevelConfiguration object named \"x\" but there is no such object"
        );
        schema.set("status.conditions", json!([found]));
        assert_eq!(condition(&schema, |_| false, "later"), None);
        assert_eq!(condition(&schema, |level| level == "x", "later").unwrap().text("status"), "False");
    }
}
