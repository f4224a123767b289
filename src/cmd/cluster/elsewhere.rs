//! Handing requests over to the server that leads, in the name of whoever made them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;

use super::Carrier;
use super::carrier::PROXY;
use crate::api::elsewhere::{Elsewhere, HANDED_OVER, NoAnswer, Request, is_not_leader};
use crate::client::remote::reply;
use crate::client::remote::request::Wire;
use crate::object::{Answer, Call, Reason, Status, User};
use crate::store::{Health, Role, Store};

const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Leader {
    pub carrier: Carrier,
    pub store: Store,
}

impl Leader {
    /// Makes a call of this process where it can be made.
    pub async fn call(&self, call: &Call) -> Result<Answer, NoAnswer> {
        let wire = Wire::of(call).map_err(NoAnswer::Lost)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if !wire.content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(wire.content_type));
        }
        if let Ok(agent) = HeaderValue::from_str(&call.user_agent) {
            headers.insert(header::USER_AGENT, agent);
        }
        let uri = wire.path.parse().map_err(|error| NoAnswer::Lost(Status::internal(error)))?;
        let request = Request { method: wire.method, uri, headers, body: wire.body };
        let (code, headers, bytes) = self.ask(&call.user, &request).await?;
        if !code.is_success() {
            return Err(NoAnswer::Lost(Status::from_wire(code.as_u16(), &bytes)));
        }
        let warnings = headers.get_all(header::WARNING).iter().filter_map(reply::warning).collect();
        let reply = reply::read(call, code == StatusCode::CREATED, bytes).map_err(NoAnswer::Lost)?;
        Ok(Answer { reply, warnings })
    }

    /// Where the leader is, if it is another server.
    fn address(&self) -> Option<String> {
        match *self.store.role().borrow() {
            Role::Follower { leader: Some(id), .. } if id != self.store.id() => self.carrier.book().address(id),
            _ => None,
        }
    }
}

impl Elsewhere for Leader {
    fn ask<'a>(
        &'a self,
        user: &'a User,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<(StatusCode, HeaderMap, Bytes), NoAnswer>> {
        Box::pin(async move {
            let untouched = |why: &str| NoAnswer::Untouched(Status::new(Reason::ServiceUnavailable, why));
            let Some(address) = self.address() else {
                return Err(match &*self.store.health().borrow() {
                    Health::Unreachable { reason } => untouched(reason),
                    _ if self.store.is_external() => untouched("no server leads the cluster yet"),
                    _ => untouched("no server leads the cluster: are more than half of its servers there?"),
                });
            };
            let mut wire = http::Request::builder().method(method(request)).uri(path(request));
            if let Some(headers) = wire.headers_mut() {
                headers.extend(request.headers.clone());
                name_user(headers, user);
                headers.insert(HeaderName::from_static(HANDED_OVER), HeaderValue::from_static("1"));
            }
            let wire = wire.body(Full::new(request.body.clone())).map_err(|error| untouched(&error.to_string()))?;
            match self.carrier.send(PROXY, &address, wire, TIMEOUT).await {
                Ok((code, _, bytes))
                    if code == StatusCode::SERVICE_UNAVAILABLE
                        && is_not_leader(&Status::from_wire(code.as_u16(), &bytes)) =>
                {
                    Err(untouched("the server that led does not lead any more"))
                }
                Ok(answer) => Ok(answer),
                Err(failure) if failure.was_sent => Err(NoAnswer::Lost(failure.status)),
                Err(failure) => Err(NoAnswer::Untouched(failure.status)),
            }
        })
    }
}

fn method(request: &Request) -> Method {
    request.method.clone()
}

fn path(request: &Request) -> &str {
    request.uri.path_and_query().map_or("/", |path| path.as_str())
}

/// What the authentication of proxied requests reads.
fn name_user(headers: &mut HeaderMap, user: &User) {
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::try_from(name.to_ascii_lowercase());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    user.groups.iter().for_each(|group| add("x-remote-group", group));
    for (key, values) in &user.extra {
        values.iter().for_each(|value| add(&format!("x-remote-extra-{}", escape(key)), value));
    }
}

/// Header names hold few characters; the rest is percent-encoded, as upstream does.
fn escape(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!#$&'*+^`|".contains(&byte);
    let shown = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    key.bytes().map(shown).collect()
}
