//! Takes the steps of a plan.

use std::collections::HashMap;

use futures_util::StreamExt;

use super::plan::{Failure, Step, Told};
use crate::client::{Client, Note, Recorder};
use crate::object::{GroupResource, Key, Kind, ObjectRef, Options, Reason, Revision, Status};

const PARALLEL_STEPS_MAX: usize = 64;

/// What has to show up in the snapshot before the key is looked at again.
pub(super) enum Held {
    Written(GroupResource, Revision),
    Deleted(Key, String),
}

/// What came of a plan.
#[derive(Default)]
pub(super) struct Outcome {
    pub held: Vec<Held>,
    pub failure: Option<Failure>,
}

pub(super) async fn execute(client: &Client, recorder: &Recorder, steps: Vec<Step>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut steps = steps.into_iter().peekable();
    // Creates start slowly: a quota that refuses one refuses a thousand.
    let mut creates_at_once = 1;
    while let Some(step) = steps.next() {
        if outcome.failure.is_some() && !matches!(step, Step::Status { .. }) {
            continue;
        }
        let at_once = match step {
            Step::Create { .. } => creates_at_once,
            Step::Delete { .. } => usize::MAX,
            _ => 1,
        };
        let mut batch = vec![step];
        while batch.len() < at_once {
            match steps.next_if(|next| std::mem::discriminant(next) == std::mem::discriminant(&batch[0])) {
                Some(next) => batch.push(next),
                None => break,
            }
        }
        if matches!(batch[0], Step::Create { .. }) {
            creates_at_once *= 2;
        }
        let mut taken = futures_util::stream::iter(batch.into_iter().map(|step| take(client, recorder, step)))
            .buffer_unordered(PARALLEL_STEPS_MAX);
        while let Some(result) = taken.next().await {
            match result {
                Ok(held) => outcome.held.extend(held),
                Err(failure) => outcome.failure = outcome.failure.or(Some(failure)),
            }
        }
    }
    outcome
}

async fn take(client: &Client, recorder: &Recorder, step: Step) -> Result<Option<Held>, Failure> {
    match step {
        Step::Create { kind, object, told } => {
            let result = client.create(&kind, object).await;
            match result {
                // Nothing can be created there any more, and nothing needs to be.
                Err(status) if is_ending(&status) => Ok(None),
                result => finish("create", recorder, told, &kind, result),
            }
        }
        Step::Update { kind, object } => finish("update", recorder, None, &kind, client.update(&kind, object).await),
        Step::Status { kind, object } => {
            finish("update status of", recorder, None, &kind, client.update_status(&kind, object).await)
        }
        Step::Patch { kind, key, subresource, patch, body, told } => {
            let result = client.patch(&kind, &key, subresource, patch, &body).await;
            match result {
                // Whatever was to be changed is gone, and with it the need.
                Err(status) if status.is(Reason::NotFound) => Ok(None),
                result => finish("patch", recorder, told, &kind, result),
            }
        }
        Step::Apply { kind, object, manager } => {
            finish("apply", recorder, None, &kind, client.apply(&kind, object, manager, true).await)
        }
        Step::EndIfAny(objects) => {
            for (kind, key, uid) in &objects {
                let found = client.find(kind, key.namespace(), key.name()).await;
                if found
                    .map_err(|status| failure("get", &status))?
                    .is_some_and(|object| uid.is_empty() || object.meta().uid() == *uid)
                {
                    let message = format!("{key} exists after all");
                    return Err(Failure { verb: "check", reason: Reason::Conflict, message });
                }
            }
            Ok(None)
        }
        Step::EndIfBehind { kind, namespace, until, seen } => {
            match client.list(&kind, &namespace, Options::default()).await {
                Ok(list) => match list.items.iter().find(|object| is_missed(object, until, &seen)) {
                    Some(object) => {
                        let message = format!("{} is not seen as it is yet", object.key());
                        Err(Failure { verb: "check", reason: Reason::Conflict, message })
                    }
                    None => Ok(None),
                },
                Err(status) if status.is(Reason::NotFound) => Ok(None), // not served any more
                Err(status) => Err(failure("list", &status)),
            }
        }
        Step::Delete { kind, key, options, told } => {
            let uid = options.uid.clone().unwrap_or_default();
            match client.delete(&kind, &key, &options).await {
                // Gone, or another object by now: both are what was wanted.
                Err(status) if matches!(status.reason, Reason::NotFound | Reason::Conflict) => {
                    Ok(Some(Held::Deleted(key, uid)))
                }
                Ok(None) => {
                    tell(recorder, told.as_ref(), Ok(key.name()));
                    Ok(Some(Held::Deleted(key, uid)))
                }
                Ok(Some(left)) => finish("delete", recorder, told, &kind, Ok(left)),
                Err(status) => finish("delete", recorder, told, &kind, Err(status)),
            }
        }
        Step::DeleteAll { kind, namespace } => {
            let result = client.delete_all(&kind, &namespace, &Default::default()).await;
            match result {
                Err(status) if !matches!(status.reason, Reason::NotFound | Reason::MethodNotAllowed) => {
                    Err(failure("delete all", &status))
                }
                _ => Ok(None),
            }
        }
        Step::Put { kind, subresource, object } => match client.put(&kind, subresource, object).await {
            Err(status) if status.is(Reason::NotFound) => Ok(None),
            result => finish("update", recorder, None, &kind, result),
        },
        Step::Post { kind, key, subresource, body } => match client.post(&kind, &key, subresource, body).await {
            Ok(_) => Ok(None),
            Err(status) if status.is(Reason::NotFound) => Ok(None),
            Err(status) => Err(failure("post to", &status)),
        },
        Step::FirstAllowed(choices) => {
            for (review, step) in choices {
                let allowed = client.review_access(review).await.map_err(|status| failure("review", &status))?;
                if allowed {
                    return Box::pin(take(client, recorder, *step)).await;
                }
            }
            Ok(None)
        }
        Step::Note(note) => {
            recorder.record(note);
            Ok(None)
        }
    }
}

fn is_missed(object: &ObjectRef, until: Revision, seen: &HashMap<Key, Revision>) -> bool {
    object.revision() <= until && seen.get(object.key()) != Some(&object.revision())
}

fn finish(
    verb: &'static str,
    recorder: &Recorder,
    told: Option<Told>,
    kind: &Kind,
    result: Result<ObjectRef, Status>,
) -> Result<Option<Held>, Failure> {
    match result {
        Ok(object) => {
            tell(recorder, told.as_ref(), Ok(object.key().name()));
            Ok(Some(Held::Written(kind.resource(), object.revision())))
        }
        Err(status) => {
            tell(recorder, told.as_ref(), Err(&status));
            Err(failure(verb, &status))
        }
    }
}

fn tell(recorder: &Recorder, told: Option<&Told>, result: Result<&str, &Status>) {
    let Some(told) = told else { return };
    let regarding = told.regarding.clone();
    match (result, &told.done, &told.failed) {
        (Ok(name), Some((reason, text)), _) => {
            recorder.record(Note::normal(regarding, reason, text.replace("{}", name)));
        }
        (Err(status), _, Some((reason, text))) => {
            recorder.record(Note::warning(regarding, reason, text.replace("{}", &status.message)));
        }
        _ => (),
    }
}

/// Whether a create was refused only because its namespace is going away.
fn is_ending(status: &Status) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
}

fn failure(verb: &'static str, status: &Status) -> Failure {
    Failure { verb, reason: status.reason, message: status.message.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use crate::object::kind::POD;

    #[test]
    fn who_is_behind_has_missed_what_was_written_until_then() {
        let pod = |name: &str, revision| Object::new(POD.key("default", name), Revision(revision), "{}".into());
        let seen = HashMap::from([(POD.key("default", "seen"), Revision(3))]);
        let is_missed = |pod: ObjectRef| is_missed(&pod, Revision(7), &seen);
        assert!(!is_missed(pod("seen", 3)));
        assert!(is_missed(pod("seen", 5)), "it was changed since");
        assert!(is_missed(pod("new", 7)));
        assert!(!is_missed(pod("new", 8)), "whoever wrote it changed the quota too, which then is not written");
    }
}
