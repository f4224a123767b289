//! Questions about rights, put together step by step: `authorizer.group('').resource('pods')…`.

use super::value::Value;

/// Answers whether the one who asks, or a service account, may do something.
pub trait Authorizer {
    /// Whether it is allowed, and why (not).
    fn check(&self, question: &Question) -> (bool, String);
}

/// What is asked, as far as it is put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    pub path: Option<String>,
    /// Namespace and name of a service account in whose place is asked.
    pub service_account: Option<(String, String)>,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub verb: String,
    pub field_selector: String,
    pub label_selector: String,
    /// Set when it has been answered.
    pub decision: Option<(bool, String)>,
}

/// Carries a question one step further, or answers it.
pub fn call(
    question: &Question,
    name: &str,
    args: &[Value],
    authorizer: Option<&dyn Authorizer>,
) -> Option<Result<Value, String>> {
    let mut next = question.clone();
    let text = |at: usize| args.get(at).and_then(Value::str).unwrap_or_default().to_owned();
    match (name, args.len()) {
        ("path", 1) => next.path = Some(text(0)),
        ("group", 1) => next.group = text(0),
        ("resource", 1) => next.resource = text(0),
        ("subresource", 1) => next.subresource = text(0),
        ("namespace", 1) => next.namespace = text(0),
        ("name", 1) => next.name = text(0),
        ("serviceAccount", 2) => next.service_account = Some((text(0), text(1))),
        ("fieldSelector", 1) => next.field_selector = text(0),
        ("labelSelector", 1) => next.label_selector = text(0),
        ("check", 1) => {
            next.verb = text(0);
            let Some(authorizer) = authorizer else { return Some(Err("no authorizer is at hand here".into())) };
            next.decision = Some(authorizer.check(&next));
        }
        ("allowed", 0) => {
            return Some(Ok(Value::Bool(question.decision.as_ref().is_some_and(|(allowed, _)| *allowed))));
        }
        ("reason", 0) => {
            let reason = question.decision.as_ref().map_or("", |(_, reason)| reason);
            return Some(Ok(Value::from(reason)));
        }
        ("errored", 0) => return Some(Ok(Value::Bool(false))),
        ("error", 0) => return Some(Ok(Value::from(""))),
        _ => return None,
    }
    Some(Ok(Value::Authorizer(next.into())))
}
