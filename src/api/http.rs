//! One HTTP request and its answer: the only order of middleware.
//!
//! Audit id → who asks → seat → may they → what is there → do it → write the answer. Every answer,
//! also one of a handler that panicked, leaves through the same door.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use rustls_pki_types::CertificateDer;

use crate::base::rand;
use crate::object::status::Details;
use crate::object::time::go_duration;
use crate::object::{Body, Call, Encoding, Reason, Status, Target, User, Verb};
use crate::resources::{Resource, Verbs};

use super::aggregate;
use super::audit;
use super::authn::impersonate;
use super::authz::{Ask, MASTERS, ResourceRef};
use super::body::{self, AnswerBody, BoxError};
use super::extension::Reply;
use super::flow::{Class, Digest, Load, Refused, Seat};
use super::negotiate::{self, Format, Shape};
use super::pipeline::act::{no_such_method, no_such_resource};
use super::pipeline::{Api, permit};
use super::request::RequestLine;
use super::respond::{View, Written};
use super::{crd, elsewhere, encode, options, plain, stream, subresources};

pub type Answer = Response<AnswerBody>;

/// The largest body that is read.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// What it proved to be with TLS; empty if it sent no certificate.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// One request on its way: what every step may look at.
pub struct Exchange {
    pub line: RequestLine,
    pub uri: Uri,
    pub method: Method,
    pub headers: HeaderMap,
    pub user: Arc<User>,
    pub peer: Arc<Peer>,
    /// Where it belongs by priority and fairness, once that is known.
    pub class: Option<Arc<Class>>,
}

impl Exchange {
    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the client asked for indented output.
    pub fn pretty(&self) -> bool {
        match self.line.param("pretty") {
            Some(value) => super::request::truth(value),
            // People with a terminal or browser read better with line breaks.
            None => {
                ["curl", "Wget", "Mozilla/5.0"].iter().any(|agent| self.header(header::USER_AGENT).starts_with(agent))
            }
        }
    }

    /// The format that errors are told in: what the client can read, else JSON.
    fn error_format(&self) -> Format {
        let accepted = negotiate::accept(self.header(header::ACCEPT), self.pretty());
        accepted.map_or(Format::JSON, |format| Format { shape: Shape::Whole, ..format })
    }

    fn accepts_gzip(&self) -> bool {
        self.header(header::ACCEPT_ENCODING)
            .split(',')
            .any(|coding| coding.split(';').next().is_some_and(|c| c.trim() == "gzip"))
    }
}

impl Api {
    /// Answers one request. Never fails: what goes wrong is an answer too.
    pub async fn answer<B>(self: &Arc<Self>, request: Request<B>, peer: &Arc<Peer>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let started = self.clock.elapsed();
        let (mut parts, body) = request.into_parts();
        let line = RequestLine::read(parts.method.as_str(), parts.uri.path(), parts.uri.query().unwrap_or_default());
        let audit_id = parts.headers.remove(AUDIT_ID).unwrap_or_else(|| {
            HeaderValue::from_str(&rand::uuid(&*self.rand)).unwrap_or(HeaderValue::from_static("none"))
        });
        let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let mut exchange = Exchange {
            line,
            uri: parts.uri,
            method: parts.method,
            headers: parts.headers,
            user: Arc::default(),
            peer: peer.clone(),
            class: None,
        };
        let record = self.audit.get().map(|audit| {
            let id = audit_id.to_str().unwrap_or_default();
            audit.arrived(id, &exchange.uri, &exchange.headers, exchange.peer.address)
        });
        let work = audit::within(record.clone(), Box::pin(self.work(&mut exchange, body, upgrade, started)));
        let worked = AssertUnwindSafe(work).catch_unwind().await;
        let mut answer = match worked {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => {
                record.iter().for_each(|record| record.failed(&status));
                let mut response = failure(&status, exchange.error_format());
                warn(response.headers_mut(), &status.warnings);
                response
            }
            Err(_) => {
                tracing::error!(path = exchange.line.path, "a request handler panicked; this is a bug worth reporting");
                let status = Status::internal("this request caused apiserver to panic. Look in the logs for details");
                record.iter().for_each(|record| record.panicked(&status));
                failure(&status, Format::JSON)
            }
        };
        if let Some(record) = record {
            record.answered(answer.status().as_u16());
            if is_long(&exchange.line) {
                answer = answer.map(|body| body.map_frame(move |frame| (&record, frame).1).boxed_unsync());
            }
        }
        let headers = answer.headers_mut();
        headers.insert(AUDIT_ID, audit_id);
        if let Some(class) = &exchange.class {
            headers.insert(FLOW_SCHEMA, class.schema_uid.clone());
            headers.insert(PRIORITY_LEVEL, class.level_uid.clone());
        }
        headers.entry(header::CACHE_CONTROL).or_insert(NO_CACHE);
        self.count(&exchange, &answer, self.clock.elapsed().saturating_sub(started));
        answer
    }

    /// Waits until it is the request's turn. What lasts has no turn; of a watch its beginning has.
    async fn seat(
        &self,
        exchange: &mut Exchange,
        load: Load,
        started: Duration,
        limit: Duration,
    ) -> Result<Seat, Refused> {
        let is_admin = exchange.user.in_group(MASTERS);
        if load == Load::LongRunning && !exchange.line.is_watch() {
            return self.flow.last(None, is_admin);
        }
        let line = &exchange.line;
        let digest = Digest { user: &exchange.user, verb: line.verb, target: line.target.as_ref(), path: &line.path };
        let class = self.flow.class(&digest);
        let width = self.flow.estimates().width(line, class.width_max());
        let entered = self.flow.enter(&class, &digest, load, width, started, limit).await;
        exchange.class = Some(class);
        match load {
            Load::LongRunning => self.flow.last(Some(entered?), is_admin),
            _ => entered,
        }
    }

    /// Who asks, and in whose name.
    async fn identify(&self, exchange: &Exchange, started: Duration) -> Result<Arc<User>, Status> {
        let (peer, path) = (&exchange.peer, &exchange.line.path);
        let user = self.authn.recognize(&exchange.headers, &peer.certificates, path).await;
        if let Some((audit, record)) = self.audit.get().zip(audit::current()) {
            let nobody = Arc::default();
            let ask = ask(user.as_ref().unwrap_or(&nobody), &exchange.line);
            let version = exchange.line.target.as_ref().map_or("", |target| target.version.as_str());
            audit.begin(&record, &ask, version, is_long(&exchange.line));
            match &user {
                // The server that handed it over has said that it came.
                Ok(_) if exchange.headers.contains_key(elsewhere::HANDED_OVER) => (),
                Ok(_) => record.received(),
                Err(status) => record.refused(status),
            }
        }
        let result = if user.is_ok() { "success" } else { "error" };
        self.metrics.authentications.with(&[result]).add(1);
        let took = self.clock.elapsed().saturating_sub(started);
        self.metrics.authentication_seconds.with(&[result]).observe(took);
        let user = user?;
        self.metrics.authenticated.with(&[known_name(&user.name)]).add(1);
        impersonate(&self.authz, &user, &ask(&user, &exchange.line), &exchange.headers)
    }

    /// Whether they may.
    async fn may_it(&self, exchange: &Exchange) -> Result<(), Status> {
        let since = self.clock.elapsed();
        let ask = ask(&exchange.user, &exchange.line);
        let decision = self.authz.judge(&ask).await;
        let result = decision.result();
        self.metrics.authorizations.with(&[result]).add(1);
        self.metrics.authorization_seconds.with(&[result]).observe(self.clock.elapsed().saturating_sub(since));
        permit(&ask, decision)
    }

    async fn work<B>(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        body: B,
        upgrade: Option<hyper::upgrade::OnUpgrade>,
        started: Duration,
    ) -> Result<Answer, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        if let Some(extension) = self.extension.get().filter(|it| exchange.line.path.starts_with(it.prefix())) {
            let limit = extension.body_bytes_max(&exchange.line.path);
            let body = read_body_up_to(body, limit).await?;
            let reply = extension.answer(exchange, body).await;
            return reply.map(Reply::into_answer);
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Status::new(Reason::ServiceUnavailable, "this server is joining its cluster"));
        }
        if self.scope.is_stopping() && !is_served_to_the_end(exchange) {
            return Ok(stopping());
        }
        exchange.user = self.identify(exchange, started).await?;
        let load = load_of(&exchange.line);
        let limit = match load {
            Load::LongRunning => self.settings.limits.request,
            _ => time_limit(&exchange.line, self.settings.limits.request)?,
        };
        let seat = match self.seat(exchange, load, started, limit).await {
            Ok(seat) => seat,
            Err(refused) => return Ok(self.too_many(exchange, load, &refused)),
        };
        self.may_it(exchange).await?;
        if let Some(remote) = self.aggregator.route(&exchange.line.path) {
            return Box::pin(aggregate::proxy::serve(self, &remote, exchange, body, upgrade, seat)).await;
        }
        let Some(target) = exchange.line.target.clone() else {
            return plain::answer(self, exchange);
        };
        crd::await_served(self, &target).await;
        if self.registry.load().group(&target.group).is_none() {
            return Ok(plain::not_found());
        }
        let resource =
            self.registry.find(&target.group, &target.version, &target.resource).ok_or_else(no_such_resource)?;
        if resource.is_custom && is_elsewhere(&resource, &target) {
            return Ok(plain::not_found());
        }
        let verb = check_route(&resource, exchange)?;
        if let Some(connect) = subresources::connect_of(&resource, &target.subresource) {
            return Box::pin(subresources::connect::serve(self, connect, exchange, body, upgrade, seat)).await;
        }
        let verb = verb.ok_or_else(no_such_method)?;
        if verb == Verb::Watch {
            self.fresh(exchange.line.param("resourceVersion").unwrap_or_default()).await?;
            return stream::watch(self, exchange, resource, seat);
        }
        let work = async {
            match verb.is_read() {
                true => self.handle_resource(exchange, resource, verb, body).await,
                false => Box::pin(self.write_somewhere(exchange, resource, verb, read_body(body).await?)).await,
            }
        };
        let left = limit.saturating_sub(self.clock.elapsed().saturating_sub(started));
        let answer = match tokio::time::timeout(left, work).await {
            Ok(answer) => answer?,
            Err(_) => {
                self.terminated(exchange, "504");
                return Err(timed_out(verb.is_read()));
            }
        };
        // A list is written while it is sent, which is most of its work.
        Ok(if verb == Verb::List { answer.map(|body| body::holding(body, seat)) } else { answer })
    }

    pub(super) async fn handle_resource<B>(
        self: &Arc<Self>,
        exchange: &Exchange,
        resource: Arc<Resource>,
        verb: Verb,
        body: B,
    ) -> Result<Answer, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let target = exchange.line.target.clone().unwrap_or_default();
        let content_type = exchange.header(header::CONTENT_TYPE);
        let patch = match verb {
            Verb::Patch => Some(negotiate::patch_kind(content_type, resource.is_custom)?),
            _ => None,
        };
        // Reviews are stored nowhere, and make no table.
        let has = |shape| shape != Shape::Table || resource.verbs != Verbs::CreateOnly;
        let format = negotiate::accept_among(exchange.header(header::ACCEPT), exchange.pretty(), has)?;
        if resource.is_custom && format.encoding == Encoding::Protobuf {
            return Err(negotiate::no_such_shape());
        }
        let view = View {
            include: View::include(&exchange.line, format)?,
            version: target.version.clone(),
            format,
            gzip: exchange.accepts_gzip(),
            now: self.now(),
            resource,
        };
        let encoding = match verb {
            Verb::Create | Verb::Update | Verb::Delete | Verb::DeleteCollection => {
                negotiate::body_encoding(content_type)
            }
            _ => Ok(Encoding::Json),
        };
        let bytes = match verb.is_read() {
            true => Bytes::new(),
            false => read_body(body).await?,
        };
        let body = match (patch, bytes.is_empty()) {
            (Some(kind), _) => Body::Patch(kind, bytes),
            (None, true) if verb.is_read() || matches!(verb, Verb::Delete | Verb::DeleteCollection) => Body::None,
            (None, _) => Body::Bytes(encoding?, bytes),
        };
        let call = Call {
            user: exchange.user.clone(),
            verb,
            target,
            options: options::read(&exchange.line, verb, patch)?,
            body,
            user_agent: exchange.header(header::USER_AGENT).into(),
        };
        let answer = self.run(call).await?;
        audit::reply(&answer.reply, || view.shown(&answer.reply));
        let mut response = write(view.reply(answer.reply)?);
        warn(response.headers_mut(), &answer.warnings);
        Ok(response)
    }

    fn too_many(&self, exchange: &Exchange, load: Load, refused: &Refused) -> Answer {
        let kind = if load == Load::Write { "mutating" } else { "readOnly" };
        self.metrics.rejected.with(&[kind]).add(1);
        self.terminated(exchange, "429");
        let mut answer = text(429, "Too many requests, please try again later.\n");
        answer.headers_mut().insert(header::RETRY_AFTER, refused.retry_secs.into());
        answer
    }

    fn count(&self, exchange: &Exchange, answer: &Answer, took: Duration) {
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
    fn terminated(&self, exchange: &Exchange, code: &str) {
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

/// The question that authorisation answers for a request.
fn ask<'a>(user: &'a User, line: &'a RequestLine) -> Ask<'a> {
    match &line.target {
        Some(target) => {
            let selector = |name| line.param(name).unwrap_or_default();
            let (fields, labels) = (selector("fieldSelector"), selector("labelSelector"));
            Ask::resource(user, line.verb, ResourceRef::from(target).selecting(line.verb, fields, labels))
        }
        None => Ask::path(user, line.verb, &line.path),
    }
}

/// A user's name as metrics show it: there may be any number of others.
fn known_name(name: &str) -> &str {
    const KNOWN: &[&str] = &["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];
    if KNOWN.contains(&name) { name } else { "other" }
}

/// Whether a request is answered while the server stops: by us, or to say that we stop.
fn is_served_to_the_end(exchange: &Exchange) -> bool {
    const PATHS: &[&str] = &["/readyz", "/healthz", "/livez", "/metrics"];
    exchange.header(header::USER_AGENT).starts_with("kube-apiserver/")
        || PATHS.iter().any(|path| exchange.line.path.starts_with(path))
}

/// Sends a client on to another server, or back here in a while.
fn stopping() -> Answer {
    let mut answer = text(429, "The apiserver is shutting down, please try again later.\n");
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

/// Whether a path is in a namespace and the resource is not, or the other way round.
fn is_elsewhere(resource: &Resource, target: &Target) -> bool {
    match target.namespace.is_empty() {
        true => resource.is_namespaced() && !target.name.is_empty(),
        false => !resource.is_namespaced(),
    }
}

/// Whether the resource (or subresource) has something for this method, and which verb it is.
fn check_route(resource: &Resource, exchange: &Exchange) -> Result<Option<Verb>, Status> {
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
fn is_long(line: &RequestLine) -> bool {
    const LONG: &[&str] = &["exec", "attach", "portforward", "proxy", "log"];
    line.verb == "watch" || line.target.as_ref().is_some_and(|target| LONG.contains(&target.subresource.as_str()))
}

fn load_of(line: &RequestLine) -> Load {
    match line.verb {
        _ if is_long(line) => Load::LongRunning,
        "get" | "list" | "head" | "options" => Load::Read,
        _ if line.target.is_none() => Load::Read,
        _ => Load::Write,
    }
}

/// Reads a whole body, if it is not too large.
pub async fn read_body<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    read_body_up_to(body, BODY_BYTES_MAX).await
}

pub async fn read_body_up_to<B>(body: B, limit: usize) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<BoxError>,
{
    match http_body_util::Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("Request entity too large: limit is {limit}");
            Err(Status::new(Reason::RequestEntityTooLarge, message))
        }
        Err(error) => Err(Status::bad_request(format!("cannot read the body: {error}"))),
    }
}

/// Writes a body with its headers.
pub fn write(written: Written) -> Answer {
    let mut answer = Response::new(written.body);
    *answer.status_mut() = StatusCode::from_u16(written.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(&written.content_type) {
        answer.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
        // The rest of the body is not read, so nothing can follow it (HTTP/2 leaves this header out).
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if written.gzip {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    answer
}

/// Writes a Status that says what went wrong.
pub fn failure(status: &Status, format: Format) -> Answer {
    let bytes = encode::status(&status.to_json(), format);
    let written = Written {
        code: status.code(),
        content_type: format.content_type().into(),
        gzip: false,
        body: body::full(bytes),
    };
    let mut answer = write(written);
    if let Some(details) = status.details.as_ref().filter(|details| details.retry_after_seconds > 0) {
        answer.headers_mut().insert(header::RETRY_AFTER, details.retry_after_seconds.into());
    }
    answer
}

/// A plain text answer.
pub fn text(code: u16, text: impl Into<Bytes>) -> Answer {
    let content_type = "text/plain; charset=utf-8".into();
    let mut answer = write(Written { code, content_type, gzip: false, body: body::full(text) });
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn timed_out(is_read: bool) -> Status {
    let why =
        if is_read { "within the allotted timeout" } else { "within requested timeout - context deadline exceeded" };
    Status::new(Reason::Timeout, format!("Timeout: request did not complete {why}")).with_details(Details::default())
}

/// How long a request may take: what it asks for, as long as that is less than the server's limit.
fn time_limit(line: &RequestLine, limit: Duration) -> Result<Duration, Status> {
    let Some(text) = line.param("timeout").filter(|text| !text.is_empty()) else { return Ok(limit) };
    match go_duration(text) {
        Ok(nanos) => Ok(u64::try_from(nanos)
            .ok()
            .filter(|nanos| *nanos > 0)
            .map_or(limit, |nanos| limit.min(Duration::from_nanos(nanos)))),
        Err(why) => Err(Status::bad_request(format!("invalid timeout specified in the request URL - {why}"))),
    }
}

/// Adds a `Warning` header for each text.
pub fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    let mut seen: Vec<&str> = Vec::new();
    for warning in warnings {
        if seen.contains(&warning.as_str()) {
            continue;
        }
        seen.push(warning);
        let quoted: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            headers.append(header::WARNING, value);
        }
    }
}
