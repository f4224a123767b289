//! What a request line asks for: which verb of which resource, of whom, for how long.

use std::time::Duration;

use http::header;

use crate::object::time::go_duration;
use crate::object::{Status, Target, User, Verb};
use crate::resources::{Resource, Verbs};

use super::authz::{Ask, ResourceRef};
use super::exchange::Exchange;
use super::flow::Load;
use super::pipeline::act::{no_such_method, no_such_resource};
use super::request::RequestLine;
use super::subresources;

/// The question that authorisation answers for a request.
pub(super) fn ask<'a>(user: &'a User, line: &'a RequestLine) -> Ask<'a> {
    match &line.target {
        Some(target) => {
            let selector = |name| line.param(name).unwrap_or_default();
            let (fields, labels) = (selector("fieldSelector"), selector("labelSelector"));
            Ask::resource(user, line.verb, ResourceRef::from(target).selecting(line.verb, fields, labels))
        }
        None => Ask::path(user, line.verb, &line.path),
    }
}

/// Whether a request is answered while the server stops: by us, or to say that we stop.
pub(super) fn is_served_to_the_end(exchange: &Exchange) -> bool {
    const PATHS: &[&str] = &["/readyz", "/healthz", "/livez", "/metrics"];
    exchange.header(header::USER_AGENT).starts_with("kube-apiserver/")
        || PATHS.iter().any(|path| exchange.line.path.starts_with(path))
}

/// Whether a path is in a namespace and the resource is not, or the other way round.
pub(super) fn is_elsewhere(resource: &Resource, target: &Target) -> bool {
    match target.namespace.is_empty() {
        true => resource.is_namespaced() && !target.name.is_empty(),
        false => !resource.is_namespaced(),
    }
}

/// Whether the resource (or subresource) has something for this method, and which verb it is.
pub(super) fn check_route(resource: &Resource, exchange: &Exchange) -> Result<Option<Verb>, Status> {
    let line = &exchange.line;
    let target = line.target.as_ref().ok_or_else(no_such_resource)?;
    let version = resource.version(&target.version).ok_or_else(no_such_resource)?;
    let in_namespace = !target.namespace.is_empty();
    let is_namespace_itself = target.resource == "namespaces" && target.group.is_empty();
    if !resource.is_namespaced() && in_namespace && !is_namespace_itself {
        return Err(no_such_resource());
    }
    if resource.is_namespaced() && !in_namespace && !target.name.is_empty() {
        return Err(no_such_resource());
    }
    if !target.subresource.is_empty() {
        let missing = || match resource.is_custom {
            true => Status::not_found(&resource.name, &target.name),
            false => no_such_resource(),
        };
        let sub = version.subresource(&target.subresource).ok_or_else(missing)?;
        if !line.rest.trim_matches('/').is_empty() && target.subresource != "proxy" {
            return Err(no_such_resource());
        }
        let connects = subresources::connect_of(resource, &target.subresource).is_some();
        if !connects && !sub.verbs().contains(&line.verb) {
            return Err(no_such_method());
        }
        return Ok(line.pipeline_verb());
    }
    let verb = line.pipeline_verb().ok_or_else(no_such_method)?;
    let named = !target.name.is_empty();
    let fits = match verb {
        Verb::Get | Verb::Update | Verb::Patch | Verb::Delete => named,
        Verb::Create | Verb::DeleteCollection => {
            !named && (in_namespace || !resource.is_namespaced() || review(resource))
        }
        Verb::List => !named,
        Verb::Watch => true,
    };
    if fits && resource.verbs.allows(verb.as_str()) { Ok(Some(verb)) } else { Err(no_such_method()) }
}

/// Reviews need no namespace to be created in.
fn review(resource: &Resource) -> bool {
    resource.verbs == Verbs::CreateOnly && !resource.is_namespaced()
}

/// Whether it may last as long as its client likes.
pub(super) fn is_long(line: &RequestLine) -> bool {
    const LONG: &[&str] = &["exec", "attach", "portforward", "proxy", "log"];
    line.verb == "watch" || line.target.as_ref().is_some_and(|target| LONG.contains(&target.subresource.as_str()))
}

pub(super) fn load_of(line: &RequestLine) -> Load {
    match line.verb {
        _ if is_long(line) => Load::LongRunning,
        "get" | "list" | "head" | "options" => Load::Read,
        _ if line.target.is_none() => Load::Read,
        _ => Load::Write,
    }
}

/// How long a request may take: what it asks for, as long as that is less than the server's limit.
pub(super) fn time_limit(line: &RequestLine, limit: Duration) -> Result<Duration, Status> {
    let Some(text) = line.param("timeout").filter(|text| !text.is_empty()) else { return Ok(limit) };
    match go_duration(text) {
        Ok(nanos) => Ok(u64::try_from(nanos)
            .ok()
            .filter(|nanos| *nanos > 0)
            .map_or(limit, |nanos| limit.min(Duration::from_nanos(nanos)))),
        Err(why) => Err(Status::bad_request(format!("invalid timeout specified in the request URL - {why}"))),
    }
}
