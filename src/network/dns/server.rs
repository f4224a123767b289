//! Sockets of the DNS server: datagrams and streams in, answers out, each under a limit.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::forward::Upstream;
use super::message::{self, Question, Verdict};
use super::zone::{Answer, Records, Zone};
use crate::base::service::Scope;
use crate::client::snapshot::Snapshot;

/// Questions passed on at the same time; more are answered with a failure at once.
const FORWARDS_MAX: usize = 512;
const STREAMS_MAX: usize = 256;
const STREAM_IDLE: Duration = Duration::from_secs(10);
const PORT: u16 = 53;

/// Answers DNS questions about the cluster.
pub struct Server {
    zone: Zone,
    snapshot: Box<dyn Fn() -> Snapshot + Send + Sync>,
    upstream: Upstream,
    forwards: Semaphore,
}

impl Server {
    pub fn new(zone: Zone, snapshot: impl Fn() -> Snapshot + Send + Sync + 'static) -> Arc<Self> {
        let upstream = Upstream::of_this_machine();
        Arc::new(Self { zone, snapshot: Box::new(snapshot), upstream, forwards: Semaphore::new(FORWARDS_MAX) })
    }

    /// Serves on `address`, which this machine must have, until the scope stops.
    pub fn start(self: &Arc<Self>, scope: &Scope, address: Ipv4Addr) {
        let at = SocketAddr::from((address, PORT));
        let (server, tasks) = (self.clone(), scope.clone());
        scope.supervise("dns-udp", move || server.clone().serve_datagrams(at, tasks.clone()));
        let (server, tasks) = (self.clone(), scope.clone());
        scope.supervise("dns-tcp", move || server.clone().serve_streams(at, tasks.clone()));
    }

    async fn serve_datagrams(self: Arc<Self>, at: SocketAddr, tasks: Scope) -> io::Result<()> {
        let socket = Arc::new(UdpSocket::bind(at).await?);
        let mut buffer = vec![0; 4096];
        loop {
            let (len, client) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // An earlier answer found nobody; that says nothing about the socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            match self.answer_now(&buffer[..len], false) {
                Now::Reply(reply) => drop(socket.send_to(&reply, client).await),
                Now::Silence => {}
                Now::Ask(question) => {
                    let (server, socket, query) = (self.clone(), socket.clone(), buffer[..len].to_vec());
                    tasks.spawn("dns-forward", async move {
                        let reply = server.answer_later(&question, &query, false).await;
                        let _ = socket.send_to(&reply, client).await;
                    });
                }
            }
        }
    }

    async fn serve_streams(self: Arc<Self>, at: SocketAddr, tasks: Scope) -> io::Result<()> {
        let listener = TcpListener::bind(at).await?;
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        loop {
            let (stream, _) = listener.accept().await?;
            let Ok(place) = streams.clone().try_acquire_owned() else { continue };
            let server = self.clone();
            tasks.spawn("dns-stream", async move {
                let _ = server.serve_stream(stream).await;
                drop(place);
            });
        }
    }

    async fn serve_stream(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let len = timeout(STREAM_IDLE, stream.read_u16()).await??;
            let mut query = vec![0; usize::from(len)];
            timeout(STREAM_IDLE, stream.read_exact(&mut query)).await??;
            let reply = match self.answer_now(&query, true) {
                Now::Reply(reply) => reply,
                Now::Silence => return Ok(()),
                Now::Ask(question) => self.answer_later(&question, &query, true).await,
            };
            stream.write_u16(reply.len() as u16).await?;
            stream.write_all(&reply).await?;
        }
    }

    fn answer_now(&self, query: &[u8], over_tcp: bool) -> Now {
        let question = match Question::read(query) {
            Ok(question) => question,
            Err(Some(reply)) => return Now::Reply(reply),
            Err(None) => return Now::Silence,
        };
        let verdict = match self.zone.answer(&(self.snapshot)(), &question.name, question.asked) {
            Answer::Known(records) => Verdict::Records(records),
            Answer::NoSuchName => Verdict::NoSuchName,
            Answer::Alias { .. } | Answer::Elsewhere => return Now::Ask(Box::new(question)),
        };
        Now::Reply(question.reply(&verdict, &[], &self.zone.domain, over_tcp))
    }

    /// Asks upstream: the question itself, or what a service's alias stands for.
    async fn answer_later(&self, question: &Question, query: &[u8], over_tcp: bool) -> Vec<u8> {
        let reply = |verdict, extra: &[_]| question.reply(&verdict, extra, &self.zone.domain, over_tcp);
        let Ok(_place) = self.forwards.try_acquire() else { return reply(Verdict::Refused, &[]) };
        let answer = self.zone.answer(&(self.snapshot)(), &question.name, question.asked);
        let Answer::Alias { record, target } = answer else {
            return match self.upstream.ask(query, over_tcp).await {
                Some(answer) => answer,
                None => reply(Verdict::Failed, &[]),
            };
        };
        let mut extra = Vec::new();
        if let Some(about_target) = question.about(&target) {
            extra = match self.answer_now(&about_target, true) {
                Now::Reply(inside) => message::answers_in(&inside),
                _ => self
                    .upstream
                    .ask(&about_target, over_tcp)
                    .await
                    .map_or_else(Vec::new, |found| message::answers_in(&found)),
            };
        }
        reply(Verdict::Records(Records { answers: vec![record], additional: Vec::new() }), &extra)
    }
}

/// What can be said without asking anybody.
enum Now {
    Reply(Vec<u8>),
    Ask(Box<Question>),
    Silence,
}
