//! Who may ask what: the API server itself everything, others what the cluster's rules allow them on
//! this node. They show a token or a certificate of the cluster, and the API server judges both.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::Failure;
use crate::kubelet::context::ContextRef;
use crate::object::kind::Kind;
use crate::object::tree::json;
use crate::object::{Status, Tree, TreePath};
use crate::security::x509;

const MASTERS: &str = "system:masters";
const TOKEN_REVIEW: Kind = Kind::fixed("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", false);
const ACCESS_REVIEW: Kind =
    Kind::fixed("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", false);
/// How long a judgement counts. Short, since rights may be taken away.
const ALLOWED_FOR: Duration = Duration::from_secs(30);
const DENIED_FOR: Duration = Duration::from_secs(5);
const JUDGEMENTS_MAX: usize = 1024;

/// Paths by how they begin, and what part of a node they belong to; any of the parts is enough.
static PARTS: &[(&str, &[&str])] = &[
    ("/stats", &["stats"]),
    ("/metrics", &["metrics"]),
    ("/logs", &["log"]),
    ("/checkpoint", &["checkpoint"]),
    ("/pods", &["pods", "proxy"]),
    ("/runningpods", &["pods", "proxy"]),
    ("/healthz", &["healthz", "proxy"]),
    ("/configz", &["configz", "proxy"]),
];

/// Who is on the other end of a connection, as far as its certificate tells.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    name: String,
    groups: Vec<String>,
}

impl Peer {
    /// Of a certificate that was checked against the clients' authority.
    pub fn of(certificate: Option<&rustls_pki_types::CertificateDer<'_>>) -> Self {
        let facts = certificate.and_then(|certificate| x509::facts(certificate));
        facts.map_or_else(Self::default, |facts| Self { name: facts.common_name, groups: facts.organizations })
    }

    fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

pub struct Access {
    ctx: ContextRef,
    /// By what was asked and with what; until when.
    judged: Mutex<HashMap<[u8; 32], (bool, Duration)>>,
}

impl Access {
    pub fn new(ctx: ContextRef) -> Self {
        Self { ctx, judged: Mutex::default() }
    }

    /// Fails if the peer may not make this request.
    pub async fn check(&self, peer: &Peer, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Failure> {
        if peer.is_master() {
            return Ok(());
        }
        let token = bearer(headers);
        if token.is_none() && peer.name.is_empty() {
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized"));
        }
        let (verb, parts) = (verb(method, path), parts(path));
        let asked = digest(&[token.unwrap_or_default(), &peer.name, verb, &parts.join(",")]);
        let now = self.ctx.clock.elapsed();
        let known = self.lock().get(&asked).filter(|(_, until)| now < *until).map(|(allowed, _)| *allowed);
        let allowed = match known {
            Some(allowed) => allowed,
            None => {
                let allowed = self.judge(peer, token, verb, parts).await?;
                let mut judged = self.lock();
                if judged.len() >= JUDGEMENTS_MAX {
                    judged.clear();
                }
                judged.insert(asked, (allowed, now + if allowed { ALLOWED_FOR } else { DENIED_FOR }));
                allowed
            }
        };
        let node = &self.ctx.config.node_name;
        let refused = || format!("Forbidden (verb={verb}, resource=nodes, subresource(s)={parts:?}, node={node})");
        if allowed { Ok(()) } else { Err(Failure::new(StatusCode::FORBIDDEN, refused())) }
    }

    async fn judge(&self, peer: &Peer, token: Option<&str>, verb: &str, parts: &[&str]) -> Result<bool, Failure> {
        let user = match token {
            Some(token) => {
                let review = self.post(&TOKEN_REVIEW, json!({ "token": token })).await?;
                if review.flag("status.authenticated") != Some(true) {
                    return Err(Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized"));
                }
                review.at("status.user").cloned().unwrap_or_default()
            }
            None => json!({ "username": peer.name, "groups": peer.groups }),
        };
        for part in parts {
            let mut spec = json!({
                "user": user.text("username"),
                "uid": user.text("uid"),
                "groups": user.items("groups"),
                "resourceAttributes": {
                    "verb": verb, "version": "v1", "resource": "nodes", "subresource": part,
                    "name": self.ctx.config.node_name,
                },
            });
            if let Some(extra) = user.get("extra") {
                spec["extra"] = extra.clone();
            }
            if self.post(&ACCESS_REVIEW, spec).await?.flag("status.allowed") == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn post(&self, kind: &Kind, spec: Tree) -> Result<Tree, Failure> {
        let failed = |status: Status| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, status.message);
        let body = json!({ "apiVersion": kind.api_version(), "kind": &*kind.kind, "spec": spec });
        self.ctx.client.post(kind, &kind.key("", ""), "", body).await.map_err(failed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], (bool, Duration)>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Streams into containers are opened by GET as well, and need the right to create all the same.
fn verb(method: &Method, path: &str) -> &'static str {
    let is_stream = ["/exec/", "/attach/", "/portForward/", "/run/"].iter().any(|begin| path.starts_with(begin));
    match method.as_str() {
        _ if is_stream => "create",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "get",
    }
}

fn parts(path: &str) -> &'static [&'static str] {
    let begins = |begin: &str| path.strip_prefix(begin).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    PARTS.iter().find(|(begin, _)| begins(begin)).map_or(&["proxy"], |(_, parts)| parts)
}

fn digest(words: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for word in words {
        hasher.update((word.len() as u64).to_le_bytes());
        hasher.update(word);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_needs_the_right_to_its_part_of_the_node() {
        assert_eq!(parts("/metrics/cadvisor"), ["metrics"]);
        assert_eq!(parts("/healthz"), ["healthz", "proxy"]);
        assert_eq!(parts("/metricsfoo"), ["proxy"]);
        assert_eq!(verb(&Method::GET, "/exec/ns/pod/c"), "create");
        assert_eq!(verb(&Method::GET, "/pods"), "get");
    }

    #[test]
    fn only_bearer_tokens_count() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, http::HeaderValue::from_static(value));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with("Bearer abc"), Some("abc".into()));
        assert_eq!(with("Basic abc"), None);
    }
}
