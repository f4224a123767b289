//! The kubelet's own HTTPS server: logs, exec, attach, port-forward, and what the node knows.
//!
//! HTTP/1.1 only, since streams are upgrades.

mod access;
mod answer;
mod configuration;
mod numbers;
pub mod route;
pub mod spdy;
mod streams;
mod summary;
pub mod websocket;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use self::access::{Access, Peer};
use self::answer::{Answer, Failure, bytes, text};
use self::route::{Place, Query, Route};
use self::websocket::Wanted;
use super::config::ServingTls;
use super::context::ContextRef;
use super::logs::line::Stream;
use super::logs::read::{self, Options};
use super::pods::manager::Pods;
use super::pods::seen::{Instance, Seen};
use super::spec::Pod;
use super::usage::shot;
use crate::base::service::Scope;
use crate::object::tree::json;
use crate::object::{Timestamp, Tree, TreePath};

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const RUN_LIMIT: Duration = Duration::from_secs(600);
const LOG_CHUNKS_MAX: usize = 16;
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot use the kubelet's certificate")]
    Tls(#[from] rustls::Error),
    #[error("cannot read the client authority")]
    Pem(#[from] rustls_pki_types::pem::Error),
    #[error("cannot use the client authority")]
    Authority(#[from] rustls::server::VerifierBuilderError),
    #[error("cannot listen on {address}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
}

pub struct Server {
    ctx: ContextRef,
    pods: Arc<Pods>,
    access: Access,
    scope: Scope,
}

impl Server {
    pub fn new(ctx: ContextRef, pods: Arc<Pods>, scope: &Scope) -> Arc<Self> {
        let access = Access::new(ctx.clone());
        Arc::new(Self { ctx, pods, access, scope: scope.child("kubelet server") })
    }

    /// Serves until the scope stops.
    pub async fn run(self: Arc<Self>) -> Result<(), ServeError> {
        let acceptor = TlsAcceptor::from(Arc::new(tls_config(&self.ctx.config.tls)?));
        let address = self.ctx.config.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.scope.stopping() => return Ok(()),
            };
            match accepted {
                Ok((tcp, _)) => {
                    let (server, acceptor) = (self.clone(), acceptor.clone());
                    self.scope.spawn("kubelet connection", async move { server.connection(tcp, acceptor).await });
                }
                Err(error) => {
                    // Out of descriptors, most likely: others must end first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream, acceptor: TlsAcceptor) {
        let _ = tcp.set_nodelay(true);
        let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(tcp)).await else { return };
        let peer = Arc::new(Peer::of(tls.get_ref().1.peer_certificates().and_then(<[_]>::first)));
        let server = self.clone();
        let service = service_fn(move |request| {
            let (server, peer) = (server.clone(), peer.clone());
            async move { Ok::<_, std::convert::Infallible>(server.serve(request, &peer).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).with_upgrades();
        tokio::select! {
            _ = connection => (),
            () = self.scope.stopping() => (),
        }
    }

    async fn serve(&self, request: Request<Incoming>, peer: &Peer) -> Answer {
        let path = request.uri().path();
        if let Err(failure) = self.access.check(peer, request.method(), path, request.headers()).await {
            return failure.into_answer();
        }
        match Route::parse(path) {
            Some(route) => self.answer(route, request).await.unwrap_or_else(Failure::into_answer),
            None => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    async fn answer(&self, route: Route, request: Request<Incoming>) -> Result<Answer, Failure> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let cri = &self.ctx.cri;
        let internal = |error: super::cri::CriError| Failure::internal(error.to_string());
        match route {
            Route::Healthz => Ok(text(StatusCode::OK, "ok")),
            Route::Pods => Ok(answer::json(&self.pod_list())),
            Route::RunningPods => Ok(answer::json(&self.running_pods())),
            Route::Configuration => Ok(answer::json(&configuration::of(&self.ctx))),
            Route::Summary => {
                let shot = shot::take(&self.ctx, &self.pods, !query.flag("only_cpu_and_memory")).await;
                Ok(answer::json(&summary::summary(&self.ctx, &shot.map_err(internal)?)))
            }
            Route::Metrics => Ok(answer::numbers(numbers::own(&self.ctx, &self.pods))),
            Route::ResourceMetrics => {
                let shot = shot::take(&self.ctx, &self.pods, false).await.map_err(internal)?;
                Ok(answer::numbers(numbers::resource(&shot)))
            }
            Route::GroupMetrics => {
                let shot = shot::take(&self.ctx, &self.pods, false).await.map_err(internal)?;
                Ok(answer::numbers(numbers::cadvisor(&self.ctx, &shot)))
            }
            Route::Logs(place) => self.logs(&place, &query),
            Route::Exec(place) => {
                let id = self.running(&place)?;
                let wanted = wanted(&query);
                let stderr = wanted.stderr && !wanted.tty;
                let command = query.all("command");
                let url =
                    cri.exec(&id, command, wanted.tty, wanted.stdin, wanted.stdout, stderr).await.map_err(internal)?;
                streams::exec(&self.scope, request, &url, wanted).await
            }
            Route::Attach(place) => {
                let id = self.running(&place)?;
                let mut wanted = wanted(&query);
                // A container's terminal is what its specification says, not what the client wishes.
                let (pod, _) = self.find(&place.namespace, &place.pod)?;
                wanted.tty = pod.container(&place.container).is_some_and(|(_, container)| container.tty);
                let stderr = wanted.stderr && !wanted.tty;
                let url = cri.attach(&id, wanted.stdin, wanted.tty, wanted.stdout, stderr).await.map_err(internal)?;
                streams::exec(&self.scope, request, &url, wanted).await
            }
            Route::PortForward { namespace, pod } => {
                let (_, seen) = self.find(&namespace, &pod)?;
                let sandbox = seen.sandboxes.first().filter(|sandbox| sandbox.is_ready);
                let sandbox = sandbox.ok_or_else(|| Failure::bad_request(format!("pod {pod:?} is not running")))?;
                let ports = query.all("port").iter().filter_map(|port| port.parse().ok()).collect();
                let url = cri.port_forward(&sandbox.id, ports).await.map_err(internal)?;
                streams::port_forward(&self.scope, request, &url).await
            }
            Route::Run(place) => {
                let id = self.running(&place)?;
                let command: Vec<String> = query.get("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
                let done = cri.exec_sync(&id, &command, RUN_LIMIT).await.map_err(internal)?;
                let output = [done.stdout, done.stderr].concat();
                Ok(bytes(StatusCode::OK, "text/plain", output.into()))
            }
        }
    }

    fn pod_list(&self) -> Tree {
        let snap = self.ctx.cache.snapshot();
        let pods = snap.pods_on_node(&self.ctx.config.node_name);
        let items: Vec<Tree> = pods.iter().map(|pod| pod.object().tree()).collect();
        json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items })
    }

    /// What the runtime runs, by its own words: pods of this node that the API may not know.
    fn running_pods(&self) -> Tree {
        let item = |(pod, seen): (Arc<Pod>, Arc<Seen>)| {
            let containers: Vec<Tree> =
                seen.running().map(|one| json!({ "name": one.name, "image": one.image, "resources": {} })).collect();
            json!({
                "metadata": { "name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid() },
                "spec": { "containers": containers },
                "status": {},
            })
        };
        let runs = |(_, seen): &(Arc<Pod>, Arc<Seen>)| seen.sandboxes.iter().any(|sandbox| sandbox.is_ready);
        let items: Vec<Tree> = self.pods.all().into_iter().filter(runs).map(item).collect();
        json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items })
    }

    fn find(&self, namespace: &str, pod: &str) -> Result<(Arc<Pod>, Arc<Seen>), Failure> {
        let found = self.pods.find(namespace, pod);
        found.ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, format!("pod does not exist: {pod}_{namespace}")))
    }

    /// The id of the running instance of a container.
    fn running(&self, place: &Place) -> Result<String, Failure> {
        let (_, seen) = self.find(&place.namespace, &place.pod)?;
        let running = seen.newest(&place.container).filter(|instance| instance.is_running());
        running.map(|instance| instance.id.clone()).ok_or_else(|| {
            let container = &place.container;
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("unable to upgrade connection: container not found ({container:?})"),
            )
        })
    }

    fn logs(&self, place: &Place, query: &Query) -> Result<Answer, Failure> {
        let (pod, seen) = self.find(&place.namespace, &place.pod)?;
        let instance = instance_for_logs(&pod, &seen, place, query.flag("previous"))?;
        let since_seconds = query.number::<u64>("sinceSeconds").map(|secs| self.ctx.now() - Duration::from_secs(secs));
        let options = Options {
            follow: query.flag("follow"),
            tail_lines: query.number("tailLines"),
            since: since_seconds.or_else(|| query.get("sinceTime").and_then(Timestamp::parse)),
            timestamps: query.flag("timestamps"),
            limit_bytes: query.number("limitBytes"),
            stream: match query.get("stream") {
                Some("Stdout") => Some(Stream::Stdout),
                Some("Stderr") => Some(Stream::Stderr),
                _ => None,
            },
        };
        let (out, chunks) = mpsc::channel(LOG_CHUNKS_MAX);
        let path = instance.log_path.clone().into();
        let (id, pods, place) = (instance.id.clone(), self.pods.clone(), place.clone());
        let is_running = move || {
            let found = pods.find(&place.namespace, &place.pod);
            found.is_some_and(|(_, seen)| seen.instance(&id).is_some_and(Instance::is_running))
        };
        self.scope.spawn("log", async move {
            if let Err(error) = read::send(path, options, is_running, out.clone()).await {
                let _ = out.send(Ok(Bytes::from(format!("failed to open log file: {error}\n")))).await;
            }
        });
        let frames = futures_util::stream::unfold(chunks, |mut chunks| async {
            let chunk: std::io::Result<Bytes> = chunks.recv().await?;
            Some((chunk.map(Frame::data), chunks))
        });
        let mut answer = Response::new(BodyExt::boxed(StreamBody::new(frames)));
        answer.headers_mut().insert("Content-Type", http::HeaderValue::from_static("text/plain"));
        Ok(answer)
    }
}

fn wanted(query: &Query) -> Wanted {
    Wanted {
        stdin: query.flag("input"),
        stdout: query.flag("output"),
        stderr: query.flag("error"),
        tty: query.flag("tty"),
    }
}

/// The instance whose log is meant.
fn instance_for_logs<'a>(pod: &Pod, seen: &'a Seen, place: &Place, previous: bool) -> Result<&'a Instance, Failure> {
    let (name, container) = (&place.pod, &place.container);
    if pod.container(container).is_none() {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("container {container:?} not found in pod {:?}", pod.display()),
        ));
    }
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let mut told = lists.iter().flat_map(|list| pod.status.items(list));
    let told = told.find(|status| status.text("name") == container);
    let last = told.map(|status| status.text("lastState.terminated.containerID")).unwrap_or_default();
    let by_status = last.split_once("://").and_then(|(_, id)| seen.instance(id));
    if previous {
        return by_status.or_else(|| seen.previous(container)).ok_or_else(|| {
            Failure::bad_request(format!("previous terminated container {container:?} in pod {name:?} not found"))
        });
    }
    seen.newest(container).ok_or_else(|| {
        let reason = told.map(|status| status.text("state.waiting.reason")).unwrap_or_default();
        let why = match reason {
            "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image",
            "" => "ContainerCreating",
            reason => reason,
        };
        Failure::bad_request(format!("container {container:?} in pod {name:?} is waiting to start: {why}"))
    })
}

fn tls_config(tls: &ServingTls) -> Result<rustls::ServerConfig, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(tls.client_ca_pem.as_bytes()) {
        roots.add(authority?)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(tls.serving.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
