//! An HTTPS server of a test's own, on loopback. Uses nothing of ours, so that every kind of test can.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub struct Loopback {
    /// `https://localhost:…`; the certificate is also for the service `hook` in `default`.
    pub url: String,
    /// Whom to trust to believe that, in PEM.
    pub authority: String,
}

/// A place to listen, and what speaks TLS there.
pub async fn listen() -> (Loopback, TcpListener, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "hook.default.svc".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    (Loopback { url, authority: made.cert.pem() }, listener, TlsAcceptor::from(Arc::new(config)))
}

/// A server that gives what `answer` makes of paths and bodies: codes and texts. It works while the future
/// is waited for, which never ends.
pub async fn serve(
    answer: impl Fn(&str, &[u8]) -> (u16, String) + Send + Sync + 'static,
) -> (Loopback, impl Future<Output = ()> + Send) {
    let (place, listener, acceptor) = listen().await;
    let answer = Arc::new(answer);
    let serve = move |stream: TcpStream| {
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let (code, said) = answer(&path, &body);
                    Ok::<_, Infallible>(Response::builder().status(code).body(Full::<Bytes>::from(said)).unwrap())
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    };
    let working = async move {
        let mut served = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => served.push(serve(accepted.unwrap().0)),
                Some(()) = served.next() => (),
            }
        }
    };
    (place, working)
}
