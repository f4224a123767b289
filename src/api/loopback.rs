//! An HTTPS server of a test's own, on loopback. Uses nothing of ours, so that every kind of test can.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub struct Loopback {
    /// `https://localhost:…`
    pub url: String,
    /// Whom to trust to believe that, in PEM.
    pub authority: String,
}

/// A server that gives what `answer` makes of paths and bodies: codes and texts. It works while the future
/// is waited for, which never ends.
pub async fn serve(
    answer: impl Fn(&str, &[u8]) -> (u16, String) + Send + Sync + 'static,
) -> (Loopback, impl Future<Output = ()> + Send) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let answer = Arc::new(answer);
    let working = async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let answer = answer.clone();
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
    (Loopback { url, authority: made.cert.pem() }, working)
}
