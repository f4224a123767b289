//! Requests as metrics count them.

use std::time::Duration;

use http::{StatusCode, header};

use super::answer::{Answer, text};
use super::exchange::Exchange;
use super::flow::{Load, Refused};
use super::pipeline::Api;
use super::route::load_of;

impl Api {
    pub(super) fn too_many(&self, exchange: &Exchange, load: Load, refused: &Refused) -> Answer {
        let kind = if load == Load::Write { "mutating" } else { "readOnly" };
        self.metrics.rejected.with(&[kind]).add(1);
        self.terminated(exchange, "429");
        let mut answer = text(429, "Too many requests, please try again later.\n");
        answer.headers_mut().insert(header::RETRY_AFTER, refused.retry_secs.into());
        answer
    }

    pub(super) fn count(&self, exchange: &Exchange, answer: &Answer, took: Duration) {
        let (line, code) = (&exchange.line, answer.status());
        let place = Labels::of(exchange, code != StatusCode::NOT_FOUND);
        let dry_run = if line.param("dryRun").is_some() { "All" } else { "" };
        let Labels([verb, group, version, resource, subresource, scope, component]) = place;
        let labels = [verb, dry_run, group, version, resource, subresource, scope, component, code.as_str()];
        self.metrics.requests.with(&labels).add(1);
        if load_of(line) == Load::LongRunning {
            return;
        }
        self.metrics.durations.with(&labels[..8]).observe(took);
        self.metrics.sli.with(&place.0).observe(took);
        if let Some(bytes) =
            http_body::Body::size_hint(answer.body()).exact().filter(|_| matches!(verb, "GET" | "LIST"))
        {
            self.metrics.sizes.with(&place.0).observe_number(bytes as f64);
        }
    }

    /// Counts a request that the server ended.
    pub(super) fn terminated(&self, exchange: &Exchange, code: &str) {
        let Labels([a, b, c, d, e, f, g]) = Labels::of(exchange, true);
        self.metrics.terminations.with(&[a, b, c, d, e, f, g, code]).add(1);
    }
}

/// Verb, group, version, resource, subresource, scope and component, as metrics tell requests apart.
struct Labels<'a>([&'a str; 7]);

impl<'a> Labels<'a> {
    /// What does not exist has no labels: its names are whatever somebody sent.
    fn of(exchange: &'a Exchange, exists: bool) -> Self {
        let line = &exchange.line;
        let (group, version, resource, subresource) = match line.target.as_ref().filter(|_| exists) {
            Some(target) => (&*target.group, &*target.version, &*target.resource, &*target.subresource),
            None => ("", "", "", ""),
        };
        let scope = match line.target.as_ref().filter(|_| exists) {
            None => "",
            Some(target) if !target.name.is_empty() => "resource",
            Some(target) if !target.namespace.is_empty() => "namespace",
            Some(_) => "cluster",
        };
        let verb = match line.verb {
            "update" | "put" => "PUT",
            "create" | "post" => "POST",
            "watch" => "WATCH",
            "list" => "LIST",
            "get" => "GET",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            "head" => "HEAD",
            _ => "other",
        };
        let connects = matches!(subresource, "exec" | "attach" | "portforward" | "proxy");
        let verb = if connects { "CONNECT" } else { verb };
        Self([verb, group, version, resource, subresource, scope, "apiserver"])
    }
}

/// A user's name as metrics show it: there may be any number of others.
pub(super) fn known_name(name: &str) -> &str {
    const KNOWN: &[&str] = &["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];
    if KNOWN.contains(&name) { name } else { "other" }
}
