//! Connections to other API servers, on which we prove who we are and say for whom we speak.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};

use super::Remote;
use crate::api::admission::webhook::{authorities, by_dialer};
use crate::api::outgoing::pool::{Peer, Pool};
use crate::api::pipeline::Api;
use crate::api::subresources::connect::Dialer;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::object::tree::Tree;
use crate::object::{Reason, Status, User};
use crate::security::current::Current;
use crate::security::tls;

/// A longer list of resources is not read.
const DOCUMENT_BYTES_MAX: usize = 3 * 1024 * 1024;
/// What our own loops read, and how long they wait for it.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const ANSWER_MAX: Duration = Duration::from_secs(10);
const SPOKEN_FOR: &str = "x-remote-";

/// Trusts whoever answers. No bundle of authorities, which are in Base64, reads so.
const ANYBODY: &str = "*";

/// Connections to other API servers, on which `identity` is shown. The pool asks anew every few minutes, so that no
/// connection is older than that.
pub fn pool(identity: Option<Arc<Current>>, dialer: Arc<dyn Dialer>, scope: Scope) -> Pool {
    let tls = move |trust: &str| {
        let identity = identity.as_ref().map(|current| current.identity());
        let config = match trust {
            ANYBODY => tls::unverified_client_config(identity.as_ref()),
            ca_bundle => tls::client_config(&authorities(ca_bundle)?, identity.as_ref()),
        };
        config.map_err(|error| Chain(&error).to_string())
    };
    Pool::new(scope, by_dialer(dialer), Box::new(tls))
}

/// One of the pods that serve `remote`.
pub fn peer(api: &Api, remote: &Remote) -> Result<Peer, String> {
    let (address, port) = api.caller.backend(&remote.namespace, &remote.service, remote.port)?;
    let trust = if remote.insecure { ANYBODY } else { &remote.ca_bundle };
    Ok(Peer { address, port, name: format!("{}.{}.svc", remote.service, remote.namespace), trust: trust.into() })
}

/// Says whom a request is for: as upstream's, the address that it is sent to.
pub fn name(headers: &mut HeaderMap, peer: &Peer) {
    if let Ok(host) = HeaderValue::from_str(&peer.authority()) {
        headers.insert(header::HOST, host);
    }
}

/// Says in whose name a request is made; what the client said about that is taken out.
pub fn speak_for(headers: &mut HeaderMap, user: &User) {
    let claimed: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(SPOKEN_FOR)).cloned().collect();
    claimed.iter().for_each(|name| drop(headers.remove(name)));
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::try_from(format!("{SPOKEN_FOR}{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("user", &user.name);
    if !user.uid.is_empty() {
        add("uid", &user.uid);
    }
    user.groups.iter().for_each(|group| add("group", group));
    for (key, values) in &user.extra {
        values.iter().for_each(|value| add(&format!("extra-{}", escape(key)), value));
    }
}

/// A key as part of a header's name: what may not stand there as `%XX`.
fn escape(key: &str) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'~'
            | b'!'
            | b'#'
            | b'$'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'^'
            | b'`'
            | b'|' => out.push(byte.into()),
            other => out.push_str(&format!("%{other:02x}")),
        }
    }
    out
}

/// What the server answers to `user` at a path.
pub async fn read(api: &Api, remote: &Remote, user: &User, path: &str) -> Result<Tree, Status> {
    let unavailable = |why: String| Status::new(Reason::ServiceUnavailable, why);
    if !remote.is_available {
        return Err(unavailable("service unavailable".into()));
    }
    let asked = async {
        let peer = peer(api, remote)?;
        let request = request(&peer, path, user)?;
        let response = api.aggregator.pool.send(&peer, request).await.map_err(|error| error.to_string())?;
        let code = response.status();
        let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok::<_, String>((code, read.map_err(|error| error.to_string())?.to_bytes()))
    };
    let asked = tokio::time::timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_| Err("no answer in time".into()));
    let (code, bytes) = asked.map_err(|why| unavailable(format!("error trying to reach service: {why}")))?;
    match code.is_success() {
        true => serde_json::from_slice(&bytes).map_err(Status::internal),
        false => Err(Status::from_wire(code.as_u16(), &bytes)),
    }
}

fn request(peer: &Peer, path: &str, user: &User) -> Result<Request<Bytes>, String> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = path.parse().map_err(|error| format!("{error}"))?;
    let headers = request.headers_mut();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("user-agent", HeaderValue::from_static("kube-aggregator"));
    name(headers, peer);
    speak_for(headers, user);
    Ok(request)
}

/// What the server says it serves, if it says so in that time. The error is what went wrong, as the object's
/// condition tells it.
pub async fn document(api: &Api, remote: &Remote, within: Duration) -> Result<Tree, String> {
    let peer = peer(api, remote)?;
    let place = format!("https://{}{}", peer.authority(), remote.root());
    let asked = tokio::time::timeout(within, ask(api, remote, &peer, &place)).await;
    let late =
        || Err(format!("Get {place:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"));
    asked.unwrap_or_else(|_| late()).map_err(|why| format!("failing or missing response from {place}: {why}"))
}

async fn ask(api: &Api, remote: &Remote, peer: &Peer, place: &str) -> Result<Tree, String> {
    let user = User::named("system:kube-aggregator", &["system:masters"]);
    let request = request(peer, &remote.root(), &user)?;
    let response = api.aggregator.pool.send(peer, request).await.map_err(|error| format!("Get {place:?}: {error}"))?;
    let code = response.status();
    if !code.is_success() {
        return Err(format!("bad status from {place}: {}", code.as_u16()));
    }
    let read = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
    let bytes = read.map_err(|error| error.to_string())?.to_bytes();
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_claims_about_itself_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", HeaderValue::from_static("root"));
        headers.insert("x-remote-extra-x", HeaderValue::from_static("y"));
        let mut user = User { name: "jane".into(), groups: vec!["a".into(), "b".into()], ..User::default() };
        user.extra.insert("example.com/Key".into(), vec!["v".into()]);
        speak_for(&mut headers, &user);
        assert_eq!(headers["x-remote-user"], "jane");
        assert_eq!(headers.get_all("x-remote-group").iter().count(), 2);
        assert!(!headers.contains_key("x-remote-extra-x"));
        assert_eq!(headers["x-remote-extra-example.com%2f%4bey"], "v");
    }
}
