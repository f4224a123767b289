//! The calls of etcd's API, made at whichever endpoint answers.
//!
//! There is one endpoint in use. When it does not answer, the next one is, for everything from then on.
//! A call is made again at another endpoint only if it is certain that nobody got it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::connect::{ANSWER_BYTES_MAX, Endpoint, channel};
use super::error::{EtcdError, EtcdErrorKind};
use super::layout::{Layout, created, put};
use super::proto::*;

/// How long one call may take. A write of which nothing was heard by then may still happen.
const CALL_MAX: Duration = Duration::from_secs(7);

/// How to reach an etcd, and what of it is ours.
#[derive(Clone)]
pub struct EtcdOptions {
    pub endpoints: Vec<Endpoint>,
    /// For endpoints that speak it: whom to trust, and who we are.
    pub tls: Option<rustls::ClientConfig>,
    /// Of all keys; without a slash at its end.
    pub prefix: String,
}

/// A client of etcd. Clones share its connections.
#[derive(Clone)]
pub struct Etcd(Arc<Inner>);

struct Inner {
    endpoints: Vec<(Arc<str>, Channel)>,
    current: AtomicUsize,
    layout: Layout,
    /// The newest revision that any answer told of.
    newest: AtomicU64,
}

impl Etcd {
    /// Connects when it is first asked something. `options` has at least one endpoint.
    pub fn new(options: &EtcdOptions) -> Self {
        let endpoints = &options.endpoints;
        let connect = |it: &Endpoint| (it.to_string().into(), channel(it, options.tls.as_ref()));
        Self(Arc::new(Inner {
            endpoints: endpoints.iter().map(connect).collect(),
            current: AtomicUsize::new(0),
            layout: Layout::new(&options.prefix),
            newest: AtomicU64::new(0),
        }))
    }

    /// Returns when etcd has answered, and fails at once when waiting cannot help.
    pub async fn ready(&self, limit: Duration) -> Result<(), EtcdError> {
        const RETRY: Duration = Duration::from_millis(500);
        let deadline = tokio::time::Instant::now() + limit;
        let mut told = false;
        loop {
            match self.read(self.0.layout.head()).await {
                Ok(_) => return Ok(()),
                Err(error) if !error.kind.may_pass() || tokio::time::Instant::now() > deadline => return Err(error),
                Err(error) if !std::mem::replace(&mut told, true) => tracing::warn!(%error, "waiting for etcd"),
                Err(_) => (),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// The value that a server left for others under `name`.
    pub async fn note(&self, name: &str) -> Result<Option<Bytes>, EtcdError> {
        Ok(self.read(self.0.layout.note(name)).await?.map(|kv| kv.value))
    }

    /// Leaves a value under `name`, unless there is one. Tells whether there was none.
    pub async fn leave_note(&self, name: &str, value: Bytes) -> Result<bool, EtcdError> {
        let key = self.0.layout.note(name);
        let compare = vec![created(key.clone(), Relation::Equal, 0)];
        let request = TxnRequest { compare, success: vec![put(key, value, 0)], failure: Vec::new() };
        Ok(self.txn(request).await?.succeeded)
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The newest revision that etcd told of.
    pub(super) fn newest(&self) -> u64 {
        self.0.newest.load(Ordering::Relaxed)
    }

    pub(super) fn saw(&self, header: Option<&Header>) {
        self.0.newest.fetch_max(revision(header), Ordering::Relaxed);
    }

    /// What one key holds, as new as everything acknowledged before.
    pub(super) async fn read(&self, key: Bytes) -> Result<Option<KeyValue>, EtcdError> {
        let answer = self.range(RangeRequest { key, ..RangeRequest::default() }).await?;
        Ok(answer.kvs.into_iter().next())
    }

    pub(super) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, EtcdError> {
        let answer: RangeResponse = self.call("/etcdserverpb.KV/Range", request).await?;
        self.saw(answer.header.as_ref());
        Ok(answer)
    }

    pub(super) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, EtcdError> {
        let answer: TxnResponse = self.call("/etcdserverpb.KV/Txn", request).await?;
        self.saw(answer.header.as_ref());
        Ok(answer)
    }

    pub(super) async fn compact(&self, to: u64) -> Result<(), EtcdError> {
        let request = CompactRequest { revision: super::layout::signed(to) };
        self.call::<_, CompactResponse>("/etcdserverpb.KV/Compact", request).await.map(drop)
    }

    pub(super) async fn grant(&self, ttl: Duration) -> Result<GrantResponse, EtcdError> {
        self.call("/etcdserverpb.Lease/LeaseGrant", GrantRequest { ttl: super::layout::signed(ttl.as_secs()) }).await
    }

    pub(super) async fn revoke(&self, id: i64) -> Result<(), EtcdError> {
        self.call::<_, RevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", RevokeRequest { id }).await.map(drop)
    }

    /// Everything that changes below `state/` from `revision` on.
    pub(super) async fn watch(&self, revision: u64) -> Result<Answers<WatchResponse>, EtcdError> {
        let (key, range_end) = self.0.layout.state();
        let start_revision = super::layout::signed(revision);
        let create = WatchCreate { key, range_end, start_revision, fragment: true };
        let questions = futures_util::stream::once(async { WatchRequest { create: Some(create) } });
        // The stream of questions stays open, or etcd would end its answers.
        let questions = futures_util::StreamExt::chain(questions, futures_util::stream::pending());
        self.stream("/etcdserverpb.Watch/Watch", questions).await
    }

    /// One answer for each question that `questions` asks.
    pub(super) async fn keep_alive(
        &self,
        questions: impl Stream<Item = KeepAliveRequest> + Send + 'static,
    ) -> Result<Answers<KeepAliveResponse>, EtcdError> {
        self.stream("/etcdserverpb.Lease/LeaseKeepAlive", questions).await
    }

    async fn call<Q, A>(&self, path: &'static str, question: Q) -> Result<A, EtcdError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut tries = self.0.endpoints.len();
        loop {
            let (at, endpoint, mut grpc) = self.pick();
            let asking = async {
                grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
                grpc.unary(led(question.clone()), PathAndQuery::from_static(path), ProstCodec::default()).await
            };
            let status = match tokio::time::timeout(CALL_MAX, asking).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!("nothing heard in {CALL_MAX:?}")),
            };
            let error = EtcdError::of(&status, &endpoint);
            self.leave(at, error.kind);
            tries -= 1;
            if tries == 0 || !error.kind.is_untouched() {
                return Err(error);
            }
        }
    }

    async fn stream<Q, A>(
        &self,
        path: &'static str,
        questions: impl Stream<Item = Q> + Send + 'static,
    ) -> Result<Answers<A>, EtcdError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let (at, endpoint, mut grpc) = self.pick();
        let asking = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.streaming(led(questions), PathAndQuery::from_static(path), ProstCodec::default()).await
        };
        let answers = tokio::time::timeout(CALL_MAX, asking).await;
        let answers = answers.unwrap_or_else(|_| Err(Status::deadline_exceeded("nothing heard")));
        match answers {
            Ok(answers) => Ok(Answers { answers: answers.into_inner(), at, endpoint, etcd: self.clone() }),
            Err(status) => {
                let error = EtcdError::of(&status, &endpoint);
                self.leave(at, error.kind);
                Err(error)
            }
        }
    }

    fn pick(&self) -> (usize, Arc<str>, Grpc<Channel>) {
        let at = self.0.current.load(Ordering::Relaxed);
        let (endpoint, channel) = &self.0.endpoints[at % self.0.endpoints.len()];
        (at, endpoint.clone(), Grpc::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    /// Lets the next calls go to another endpoint, unless somebody did so already.
    fn leave(&self, at: usize, why: EtcdErrorKind) {
        if why.is_of_endpoint() {
            let _ = self.0.current.compare_exchange(at, at.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// A request that etcd refuses where it has no leader, instead of answering nothing.
fn led<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    request
}

/// Answers that come one after the other, until something breaks.
pub(super) struct Answers<A> {
    answers: Streaming<A>,
    at: usize,
    endpoint: Arc<str>,
    etcd: Etcd,
}

impl<A> Answers<A> {
    pub async fn next(&mut self) -> Result<A, EtcdError> {
        match self.answers.message().await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.broken(&Status::unavailable("the stream ended"))),
            Err(status) => Err(self.broken(&status)),
        }
    }

    fn broken(&self, status: &Status) -> EtcdError {
        let error = EtcdError::of(status, &self.endpoint);
        self.etcd.leave(self.at, error.kind);
        error
    }

    /// That the other end says what no etcd would say.
    pub fn nonsense(&self, why: impl ToString) -> EtcdError {
        EtcdError::new(EtcdErrorKind::Lost, &self.endpoint, why)
    }
}
