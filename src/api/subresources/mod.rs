//! What hangs below an object's path: a table of names, one file for each with work of its own.

mod binding;
pub mod connect;
mod eviction;
mod reviews;
mod scale;
mod selectors;
mod token;

use super::admission::{Attributes, Operation};
use super::pipeline::Api;
use super::pipeline::act::{Act, no_such_method, no_such_resource};
use super::pipeline::update::Part;
use crate::object::{Answer, Status, Tree, Verb};
use crate::resources::Subresource;

pub use connect::{Connect, connect_of};

/// Subresources that show the object itself, of which a write may change only a part.
const PARTS: &[&str] = &["approval", "ephemeralcontainers", "finalize", "resize"];

/// Answers a call about a subresource.
pub async fn run(api: &Api, act: Act) -> Result<Answer, Status> {
    let name = act.call.target.subresource.clone();
    let sub = act.version().subresource(&name).cloned().ok_or_else(no_such_resource)?;
    if !sub.verbs().contains(&act.call.verb.as_str()) {
        return Err(no_such_method());
    }
    // A token request is shown to admission by its own handler, which reads it.
    if act.call.verb == Verb::Create && name != "token" {
        let state = api.state();
        let attributes = Attributes::of(api, &act, &state, Operation::Create, None);
        api.admission.admit(&attributes, &mut Tree::Null, &mut Vec::new())?;
    }
    match sub {
        Subresource::Status => part(api, act, Part::Status).await,
        Subresource::Scale(paths) => scale::run(api, act, &paths).await,
        Subresource::Special(special) => match (act.resource.name.as_str(), special.name) {
            ("pods", "binding") => binding::bind(api, act).await,
            ("pods", "eviction") => eviction::evict(api, act).await,
            ("serviceaccounts", "token") => token::request(api, act).await,
            (_, name) => match PARTS.iter().find(|part| **part == name) {
                Some(name) => part(api, act, Part::Special(name)).await,
                None => Err(no_such_method()),
            },
        },
    }
}

async fn part(api: &Api, act: Act, part: Part) -> Result<Answer, Status> {
    match act.call.verb {
        Verb::Get => api.get(act),
        Verb::Update => api.update(act, part).await,
        Verb::Patch => api.patch(act, part).await,
        _ => Err(no_such_method()),
    }
}

/// Answers a call about what is never stored.
pub async fn run_unstored(api: &Api, act: Act) -> Result<Answer, Status> {
    match act.resource.name.as_str() {
        "bindings" => binding::bind(api, act).await,
        _ => reviews::run(api, act).await,
    }
}
