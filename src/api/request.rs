//! What a request line says: method, path and query, read into a verb and a target.
//!
//! Knows the forms of upstream's URLs and nothing of which resources exist. Absent on purpose:
//! bodies, headers, and who asks.

use std::borrow::Cow;

use crate::object::{Target, Verb};

/// One request line, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestLine {
    pub path: String,
    /// The verb that authorisation asks about: `get`, `watch`, …, or the method in lower case for
    /// what is not a resource.
    pub verb: &'static str,
    /// What it is about, if the path is one of resources (`/api/VERSION/…`, `/apis/GROUP/VERSION/…`).
    pub target: Option<Target>,
    /// The path behind a subresource, with a leading slash (`…/proxy/REST`); empty if there is none.
    pub rest: String,
    pub query: Vec<(String, String)>,
}

/// Subresources of namespaces; every other name behind `/namespaces/NAME/` is a resource in it.
const NAMESPACE_SUBRESOURCES: &[&str] = &["status", "finalize"];

impl RequestLine {
    /// Reads a request line; `path` and `query` are as they came over the wire.
    pub fn read(method: &str, path: &str, query: &str) -> Self {
        let query = read_query(query);
        let path = decode(path).into_owned();
        let verb = match method {
            "GET" | "HEAD" => "get",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "",
        };
        let mut line = Self { verb: plain_verb(method), query, ..Self::default() };
        if let Some((target, rest, watch_prefix)) = read_target(&path) {
            line.verb = line.resource_verb(verb, &target, watch_prefix);
            line.target = Some(target);
            line.rest = rest;
        }
        line.path = path;
        line
    }

    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean parameter: there, and not `false` or `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.param(name).is_some_and(truth)
    }

    pub fn is_watch(&self) -> bool {
        self.verb == "watch"
    }

    /// The pipeline's verb, for methods that have one.
    pub fn pipeline_verb(&self) -> Option<Verb> {
        Some(match self.verb {
            "get" => Verb::Get,
            "list" => Verb::List,
            "watch" => Verb::Watch,
            "create" => Verb::Create,
            "update" => Verb::Update,
            "patch" => Verb::Patch,
            "delete" => Verb::Delete,
            "deletecollection" => Verb::DeleteCollection,
            _ => return None,
        })
    }

    fn resource_verb(&self, verb: &'static str, target: &Target, watch_prefix: bool) -> &'static str {
        match verb {
            "get" if watch_prefix => "watch",
            "get" if target.name.is_empty() && self.flag("watch") => "watch",
            "get" if target.name.is_empty() => "list",
            "delete" if target.name.is_empty() => "deletecollection",
            verb => verb,
        }
    }
}

/// How upstream reads booleans in queries: everything but `false` and `0` is true.
pub fn truth(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

/// Takes a query apart; values and names are decoded.
pub fn read_query(query: &str) -> Vec<(String, String)> {
    let unescape = |text: &str| decode(&text.replace('+', " ")).into_owned();
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (unescape(name), unescape(value))
        })
        .collect()
}

fn plain_verb(method: &str) -> &'static str {
    match method {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "other",
    }
}

/// The resource that `path` names, what comes behind it, and whether it has the old `watch` prefix.
fn read_target(path: &str) -> Option<(Target, String, bool)> {
    let mut steps = path.strip_prefix('/')?.trim_end_matches('/').split('/');
    let mut target = Target::default();
    match steps.next()? {
        "api" => (),
        "apis" => target.group = steps.next()?.into(),
        _ => return None,
    }
    target.version = steps.next()?.into();
    let mut steps: Vec<&str> = steps.collect();
    let watch_prefix = steps.first() == Some(&"watch") && steps.len() > 1;
    if watch_prefix {
        steps.remove(0);
    }
    let rest: &[&str] = match steps.as_slice() {
        [] => return None,
        ["namespaces", name, sub, ..] if NAMESPACE_SUBRESOURCES.contains(sub) => {
            target.namespace = (*name).into();
            &steps
        }
        ["namespaces", namespace, inside @ ..] if !inside.is_empty() => {
            target.namespace = (*namespace).into();
            inside
        }
        ["namespaces", name] => {
            target.namespace = (*name).into();
            &steps
        }
        other => other,
    };
    target.resource = rest.first()?.to_string();
    target.name = rest.get(1).map(ToString::to_string).unwrap_or_default();
    target.subresource = rest.get(2).map(ToString::to_string).unwrap_or_default();
    let behind = rest.get(3..).unwrap_or_default();
    let mut tail: String = behind.iter().flat_map(|step| ["/", step]).collect();
    if !target.subresource.is_empty() && path.ends_with('/') {
        tail.push('/');
    }
    Some((target, tail, watch_prefix))
}

/// Resolves `%XX`; what is not UTF-8 afterwards is replaced, and so matches nothing.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `METHOD PATH[?QUERY]` → `verb group/version/resource namespace/name/subresource rest`.
    fn check(request: &str, expected: &str) {
        let (method, url) = request.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let line = RequestLine::read(method, path, query);
        let got = match &line.target {
            None => line.verb.to_owned(),
            Some(t) => format!(
                "{} {}/{}/{} {}/{}/{} {}",
                line.verb, t.group, t.version, t.resource, t.namespace, t.name, t.subresource, line.rest
            ),
        };
        assert_eq!(got.trim_end(), expected, "{request}");
    }

    #[test]
    fn urls_say_verb_and_target() {
        check("GET /api/v1/pods", "list /v1/pods //");
        check("GET /api/v1/pods?watch=true", "watch /v1/pods //");
        check("GET /api/v1/watch/namespaces/a/pods/p", "watch /v1/pods a/p/");
        check("GET /api/v1/pods?watch=0", "list /v1/pods //");
        check("GET /api/v1/namespaces/a/pods/p", "get /v1/pods a/p/");
        check("POST /apis/apps/v1/namespaces/a/deployments", "create apps/v1/deployments a//");
        check("DELETE /api/v1/namespaces/a/pods", "deletecollection /v1/pods a//");
        check("GET /api/v1/namespaces/a/", "get /v1/namespaces a/a/");
        check("PUT /api/v1/namespaces/a/finalize", "update /v1/namespaces a/a/finalize");
        check("GET /api/v1/namespaces/a/services/s:80/proxy/x/y%20z/", "get /v1/services a/s:80/proxy /x/y z/");
        check("GET /api/v1/nodes/n/proxy/", "get /v1/nodes /n/proxy /");
        check("HEAD /healthz", "head");
        check("GET /apis/apps/v1", "get");
        check("GET //api/v1/pods", "get");
    }
}
