//! A call as it goes over the wire: method, path, content type and body.

use bytes::Bytes;
use http::Method;

use crate::object::{Body, Call, Encoding, Options, PatchKind, Status, Target, Tree, Verb};

#[derive(Debug, PartialEq, Eq)]
pub struct Wire {
    pub method: Method,
    pub path: String,
    /// Empty if there is no body.
    pub content_type: &'static str,
    pub body: Bytes,
}

impl Wire {
    pub fn of(call: &Call) -> Result<Self, Status> {
        let method = match call.verb {
            Verb::Get | Verb::List | Verb::Watch => Method::GET,
            Verb::Create => Method::POST,
            Verb::Update => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete | Verb::DeleteCollection => Method::DELETE,
        };
        let (content_type, body) = match &call.body {
            Body::None => ("", Bytes::new()),
            Body::Tree(tree) => ("application/json", json(tree)?),
            Body::Bytes(encoding, bytes) => (content_type(*encoding), bytes.clone()),
            Body::Patch(kind, bytes) => (patch_type(*kind), bytes.clone()),
        };
        let mut path = path(&call.target);
        let query = query(call.verb, &call.options);
        if !query.is_empty() {
            path.push('?');
            path.push_str(&query);
        }
        Ok(Self { method, path, content_type, body })
    }
}

fn json(tree: &Tree) -> Result<Bytes, Status> {
    serde_json::to_vec(tree).map(Bytes::from).map_err(Status::internal)
}

fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/json",
        Encoding::Yaml => "application/yaml",
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
    }
}

fn patch_type(kind: PatchKind) -> &'static str {
    match kind {
        PatchKind::Json => "application/json-patch+json",
        PatchKind::Merge => "application/merge-patch+json",
        PatchKind::Strategic => "application/strategic-merge-patch+json",
        PatchKind::Apply => "application/apply-patch+yaml",
    }
}

fn path(target: &Target) -> String {
    let mut steps = match target.group.as_str() {
        "" => vec!["api", &target.version],
        group => vec!["apis", group, &target.version],
    };
    if !target.namespace.is_empty() {
        steps.extend(["namespaces", &target.namespace]);
    }
    steps.push(&target.resource);
    // A subresource may go on behind its name (`proxy/some/path`).
    let name = [target.name.as_str()].into_iter().chain(target.subresource.split('/'));
    steps.extend(name.filter(|step| !step.is_empty()));
    steps.into_iter().map(|step| format!("/{}", escape(step))).collect()
}

fn query(verb: Verb, options: &Options) -> String {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    let mut text = |name: &'static str, value: &str| {
        if !value.is_empty() {
            pairs.push((name, value.to_owned()));
        }
    };
    text("labelSelector", &options.label_selector);
    text("fieldSelector", &options.field_selector);
    text("continue", &options.continue_token);
    text("resourceVersion", &options.resource_version);
    text("resourceVersionMatch", &options.resource_version_match);
    text("fieldManager", &options.field_manager);
    text("fieldValidation", &options.field_validation);
    text("limit", &options.limit.map(|limit| limit.to_string()).unwrap_or_default());
    text("timeoutSeconds", &options.timeout_seconds.map(|secs| secs.to_string()).unwrap_or_default());
    text("sendInitialEvents", &options.send_initial_events.map(|flag| flag.to_string()).unwrap_or_default());
    text("force", &options.force.map(|flag| flag.to_string()).unwrap_or_default());
    text("dryRun", if options.dry_run { "All" } else { "" });
    text("allowWatchBookmarks", if options.allow_watch_bookmarks { "true" } else { "" });
    text("watch", if verb == Verb::Watch { "true" } else { "" });
    pairs.extend(options.other.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

/// Percent-encodes everything but what is safe everywhere in a URL.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => escaped.push(byte.into()),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
