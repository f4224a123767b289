//! The kubelet's own HTTPS server: logs, exec, attach, port-forward, and what the node knows.
//!
//! It serves the API server and whoever else shows a certificate of the cluster's client authority
//! for the group `system:masters`; everybody may ask whether it is well. HTTP/1.1 only, since
//! streams are upgrades.

pub mod route;
pub mod spdy;
mod stats;
mod streams;
pub mod websocket;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use self::route::{Place, Query, Route};
use self::websocket::Wanted;
use super::config::ServingTls;
use super::context::ContextRef;
use super::logs::line::Stream;
use super::logs::read::{self, Options};
use super::pods::manager::Pods;
use super::pods::seen::{Instance, Seen};
use super::spec::Pod;
use crate::base::service::Scope;
use crate::object::{Reason, Timestamp, Tree, TreePath};

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const RUN_LIMIT: Duration = Duration::from_secs(600);
const LOG_CHUNKS_MAX: usize = 16;
const MASTERS: &str = "system:masters";

type Body = BoxBody<Bytes, std::io::Error>;
pub(super) type Answer = Response<Body>;

/// A request that was not served; the text goes to the client.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A `metav1.Status`, which the API server passes on as it is.
    fn into_answer(self) -> Answer {
        let reason = match self.status {
            StatusCode::BAD_REQUEST => Reason::BadRequest,
            StatusCode::NOT_FOUND => Reason::NotFound,
            StatusCode::INTERNAL_SERVER_ERROR => Reason::InternalError,
            other => Reason::Other(other.as_u16()),
        };
        let mut answer = json_answer(&crate::object::Status::new(reason, self.message).to_json());
        *answer.status_mut() = self.status;
        answer
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot use the kubelet's certificate")]
    Tls(#[from] rustls::Error),
    #[error("cannot read the kubelet's certificate or key")]
    Pem(#[from] rustls_pki_types::pem::Error),
    #[error("cannot use the client authority")]
    Authority(#[from] rustls::server::VerifierBuilderError),
    #[error("cannot listen on {address}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
}

pub struct Server {
    ctx: ContextRef,
    pods: Arc<Pods>,
    scope: Scope,
}

impl Server {
    pub fn new(ctx: ContextRef, pods: Arc<Pods>, scope: &Scope) -> Arc<Self> {
        Arc::new(Self { ctx, pods, scope: scope.child("kubelet server") })
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
        let is_master = tls.get_ref().1.peer_certificates().and_then(<[_]>::first).is_some_and(|cert| is_master(cert));
        let server = self.clone();
        let service = service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.serve(request, is_master).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).with_upgrades();
        tokio::select! {
            _ = connection => (),
            () = self.scope.stopping() => (),
        }
    }

    async fn serve(&self, request: Request<Incoming>, is_master: bool) -> Answer {
        let Some(route) = Route::parse(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        if !route.is_public() && !is_master {
            return text(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        match self.answer(route, request).await {
            Ok(answer) => answer,
            Err(failure) => failure.into_answer(),
        }
    }

    async fn answer(&self, route: Route, request: Request<Incoming>) -> Result<Answer, Failure> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let cri = &self.ctx.cri;
        let internal = |error: super::cri::CriError| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
        match route {
            Route::Healthz => Ok(text(StatusCode::OK, "ok")),
            Route::Pods => Ok(json_answer(&self.pod_list())),
            Route::StatsSummary => Ok(json_answer(&stats::summary(&self.ctx).await.map_err(internal)?)),
            Route::ResourceMetrics => {
                Ok(text(StatusCode::OK, stats::resource_metrics(&self.ctx).await.map_err(internal)?))
            }
            Route::Metrics => {
                let count = self.pods.all().len();
                let name = "kubelet_running_pods";
                Ok(text(StatusCode::OK, format!("# TYPE {name} gauge\n{name} {count}\n")))
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
        serde_json::json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items })
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

fn is_master(certificate: &CertificateDer<'_>) -> bool {
    crate::security::x509::facts(certificate).is_some_and(|facts| facts.organizations.iter().any(|one| one == MASTERS))
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
    let chain = CertificateDer::pem_slice_iter(tls.cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes())?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

pub(super) fn empty(status: StatusCode) -> Answer {
    bytes(status, "", Bytes::new())
}

fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    bytes(status, "text/plain; charset=utf-8", Bytes::from(text.into()))
}

fn json_answer(tree: &Tree) -> Answer {
    bytes(StatusCode::OK, "application/json", Bytes::from(tree.to_string()))
}

fn bytes(status: StatusCode, kind: &'static str, content: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(content).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    if !kind.is_empty() {
        answer.headers_mut().insert("Content-Type", http::HeaderValue::from_static(kind));
    }
    answer
}
