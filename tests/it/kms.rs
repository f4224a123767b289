//! A real server with its keys at a KMS v2 plugin, which this test is.
//!
//! The plugin speaks gRPC by hand over HTTP/2 and has its own idea of the messages, so that it does not
//! share mistakes with the server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::UnixListener;

use crate::encryption::{found, read, texts_of, write};
use crate::server::Server;

/// Any of the messages: they share their field numbers where they have the same types.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    healthz: String,
    #[prost(string, tag = "3")]
    key_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Decrypt {
    #[prost(bytes = "bytes", tag = "1")]
    ciphertext: Bytes,
    #[prost(string, tag = "3")]
    key_id: String,
    #[prost(map = "string, bytes", tag = "4")]
    annotations: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct One {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Encrypted {
    #[prost(bytes = "bytes", tag = "1")]
    ciphertext: Bytes,
    #[prost(string, tag = "2")]
    key_id: String,
    #[prost(map = "string, bytes", tag = "3")]
    annotations: HashMap<String, Vec<u8>>,
}

/// "Encrypts" by turning bits; insists on getting back what it gave.
struct Plugin {
    key_id: Mutex<String>,
    /// It takes questions and never answers.
    hangs: AtomicBool,
    task: tokio::task::JoinHandle<()>,
}

impl Plugin {
    fn start(socket: &Path) -> Arc<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).expect("a socket");
        Arc::new_cyclic(|weak: &std::sync::Weak<Self>| {
            let weak = weak.clone();
            let task = tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Some(plugin) = weak.upgrade() else { return };
                    let service = service_fn(move |request| {
                        let plugin = plugin.clone();
                        async move { Ok::<_, Infallible>(plugin.answer(request).await) }
                    });
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
                }
            });
            Self { key_id: Mutex::new("kek-1".into()), hangs: AtomicBool::new(false), task }
        })
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Response<http_body_util::combinators::BoxBody<Bytes, Infallible>> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let answered = self.call(&path, body.slice(body.len().min(5)..));
        let (message, code) = answered.map_or((Vec::new(), "3"), |message| (message, "0"));
        let mut framed = BytesMut::new();
        if code == "0" {
            framed.put_u8(0);
            framed.put_u32(message.len() as u32);
            framed.put_slice(&message);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().expect("a value"));
        let body = Full::new(framed.freeze()).with_trailers(async move { Some(Ok(trailers)) }).boxed();
        Response::builder().header("content-type", "application/grpc").body(body).expect("an answer")
    }

    fn call(&self, path: &str, body: Bytes) -> Option<Vec<u8>> {
        let key_id = self.key_id.lock().expect("a key").clone();
        let turned = |bytes: &Bytes| bytes.iter().map(|byte| !byte).collect::<Bytes>();
        match path {
            "/v2.KeyManagementService/Status" => {
                Some(Status { version: "v2".into(), healthz: "ok".into(), key_id }.encode_to_vec())
            }
            "/v2.KeyManagementService/Encrypt" => {
                let plain = One::decode(body).ok()?.bytes;
                let annotations = HashMap::from([("note.example.com".to_owned(), key_id.clone().into_bytes())]);
                Some(Encrypted { ciphertext: turned(&plain), key_id, annotations }.encode_to_vec())
            }
            "/v2.KeyManagementService/Decrypt" => {
                let asked = Decrypt::decode(body).ok()?;
                let noted = asked.annotations.get("note.example.com")?;
                (noted == asked.key_id.as_bytes()).then(|| One { bytes: turned(&asked.ciphertext) }.encode_to_vec())
            }
            _ => None,
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_holds_the_keys_and_its_next_key_is_taken_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let (socket, rules) = (dir.path().join("kms.sock"), dir.path().join("rules.yaml"));
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - kms: {{apiVersion: v2, name: vault, endpoint: 'unix://{}', timeout: 1s}}\n  - identity: {{}}\n",
        socket.display()
    );
    std::fs::write(&rules, &text).expect("a file");
    let flag = format!("--encryption-provider-config={}", rules.display());
    let plugin = Plugin::start(&socket);
    let mut server = Server::start_with(&[&flag]).await;
    let secrets = texts_of("kept by somebody else");
    write(&server, "a", "kept by somebody else").await;
    assert_eq!(found(&server.data(), &secrets), Vec::<PathBuf>::new());
    assert!(is_well(&server).await);

    // A plugin that hangs is told of, and stops nothing that runs.
    plugin.hangs.store(true, Ordering::SeqCst);
    std::fs::write(&rules, format!("{text}# look at it\n")).expect("a file");
    until_well(&server, false).await;
    write(&server, "b", "kept by somebody else").await;
    assert_eq!(found(&server.data(), &secrets), Vec::<PathBuf>::new());
    plugin.hangs.store(false, Ordering::SeqCst);
    until_well(&server, true).await;

    // The plugin has another key; the file is touched so that nobody has to wait for the next minute.
    *plugin.key_id.lock().expect("a key") = "kek-2".into();
    std::fs::write(&rules, format!("{text}# once more\n")).expect("a file");
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.administer(&["secrets-encrypt", "status"]).matches("  key kms:vault:").count() < 2 {
        assert!(Instant::now() < deadline, "the new key is not taken up");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    server.administer(&["secrets-encrypt", "reencrypt"]);
    let keys = std::fs::read_to_string(server.data().join("server/encryption-keys.json")).expect("keys");
    assert!(keys.contains("kek-1") && keys.contains("kek-2") && !keys.contains("\"plain\""), "only encrypted keys");

    // Without its plugin the server does not start, and says what is missing; with it all is there.
    server.kill();
    plugin.hangs.store(true, Ordering::SeqCst);
    let said = server.fails();
    assert!(said.contains("\"vault\"") && said.contains("no answer in 1s"), "{said}");
    drop(plugin);
    let _ = std::fs::remove_file(&socket);
    let said = server.fails();
    assert!(said.contains("\"vault\"") && said.contains("does not answer: is it running?"), "{said}");
    let _plugin = Plugin::start(&socket);
    server.launch().await;
    for name in ["a", "b"] {
        assert_eq!(read(&server, name).await, "kept by somebody else");
    }
}

async fn is_well(server: &Server) -> bool {
    let request = Request::get("/readyz/kms-providers").body(Vec::new()).expect("a request");
    server.admin().await.request_text(request).await.is_ok_and(|text| text == "ok")
}

async fn until_well(server: &Server, wanted: bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while is_well(server).await != wanted {
        assert!(Instant::now() < deadline, "the plugin's health is not told");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
