//! One HTTP request and its answer: the only order of middleware.
//!
//! Audit id → who asks → seat → may they → what is there → do it → write the answer. Every answer,
//! also one of a handler that panicked, leaves through the same door.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http::header::{self, HeaderName, HeaderValue};
use http_body_util::BodyExt;

use crate::base::rand;
use crate::object::{Body, Call, Encoding, Reason, Status, User, Verb};
use crate::resources::Resource;

use super::aggregate;
use super::answer::{Answer, failure, read_body, read_body_up_to, stopping, timed_out, warn, write};
use super::audit;
use super::authn::impersonate;
use super::authz::MASTERS;
use super::body::{self, BoxError};
use super::counting::known_name;
use super::exchange::{Exchange, Peer};
use super::extension::Reply;
use super::flow::{Digest, Load, Refused, Seat};
use super::negotiate::{self, Format};
use super::pipeline::act::{no_such_method, no_such_resource};
use super::pipeline::{Api, permit};
use super::request::RequestLine;
use super::respond::View;
use super::route::{ask, check_route, is_elsewhere, is_long, is_served_to_the_end, load_of, time_limit};
use super::{crd, elsewhere, options, plain, stream, subresources};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");

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
                record.settle().await;
                answer = answer.map(|body| body.map_frame(move |frame| (&record, frame).1).boxed_unsync());
            } else {
                record.complete();
                record.settle().await;
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
                Ok(_) => {
                    record.received();
                    if !record.settle().await {
                        return Err(Status::internal("failed to store audit event"));
                    }
                }
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
        let format = negotiate::accept_for(&resource, exchange.header(header::ACCEPT), exchange.pretty())?;
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
        let answer = self.run_decided(call).await?;
        audit::reply(&answer.reply, || view.shown(&answer.reply));
        let mut response = write(view.reply(answer.reply)?);
        warn(response.headers_mut(), &answer.warnings);
        Ok(response)
    }
}
