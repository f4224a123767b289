//! An agent whose certificates are about to end, on real sockets.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::agent::join;
use super::{Answer, PROXY_USER, Request};
use crate::base::service::Scope;
use crate::cmd::config::{self, NetworkConfig, Task};
use crate::cmd::renewal::site::{Join, TestSite, after, get, now_secs};
use crate::cmd::renewal::{OfAgent, Renewing};
use crate::security::ca::{LEAF_LIFETIME, Subject};
use crate::security::pki::{Pki, node_client, node_server};

const NODE: &str = "system:node:edge-1";
/// Long enough to be used once, also on a busy machine.
const LIFE: Duration = Duration::from_secs(10);

/// Admits everybody, with certificates that end soon until `is_long`; nobody while `is_closed`.
fn admitting(pki: &Arc<Pki>, is_long: &Arc<AtomicBool>, is_closed: &Arc<AtomicBool>) -> Join {
    let (pki, is_long, is_closed) = (pki.clone(), is_long.clone(), is_closed.clone());
    Box::new(move |body| {
        if is_closed.load(Ordering::SeqCst) {
            return None;
        }
        let request: Request = serde_json::from_slice(body).unwrap();
        let name = &request.node_name;
        let life = if is_long.load(Ordering::SeqCst) { LEAF_LIFETIME } else { LIFE };
        let client =
            |request: &str, subject: &Subject| pki.client_ca.sign_request(request, subject, life, now_secs()).unwrap();
        let serving = node_server(name, vec![name.clone()]);
        let network = NetworkConfig {
            cluster_cidrs: Vec::new(),
            service_cidrs: Vec::new(),
            node_ports: 30_000..=32_767,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".into(),
        };
        let answer = Answer {
            kubelet: client(&request.kubelet, &node_client(name)),
            proxy: client(&request.proxy, &Subject::client(PROXY_USER, "")),
            serving: pki.server_ca.sign_request(&request.serving, &serving, life, now_secs()).unwrap(),
            client_ca: pki.client_ca.pem().to_owned(),
            network: (&network).into(),
        };
        Some(serde_json::to_string(&answer).unwrap())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_gets_new_certificates_from_where_it_got_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Arc::new(Pki::open(&folder.path().join("tls"), vec!["127.0.0.1".into()], now_secs()).unwrap());
    let (is_long, is_closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let scope = Scope::root("test");
    let (_, server) = TestSite::start(&pki, &scope, admitting(&pki, &is_long, &is_closed)).await;
    let flags = [
        "skiff".to_owned(),
        "agent".to_owned(),
        format!("--server=https://{}", server.authority()),
        "--token=sesame".to_owned(),
        "--node-name=edge-1".to_owned(),
        "--node-ip=127.0.0.1".to_owned(),
        format!("--data-dir={}", folder.path().join("data").display()),
        format!("--config={}", folder.path().join("config.yaml").display()),
    ];
    std::fs::write(folder.path().join("config.yaml"), "").unwrap();
    let Task::Agent(config) = config::parse(flags.map(Into::into)).unwrap() else { panic!("no agent") };
    let config = Arc::new(*config);

    let held = join(&config).await.unwrap().held;
    let (ends, serving) = (held.ends_secs(), held.serving.identity());
    let who = async |user: &str| get(&held.backend, user, "/who").await;
    assert_eq!(who(NODE).await, (200, NODE.to_owned()));
    assert_eq!(who(PROXY_USER).await, (200, PROXY_USER.to_owned()));

    let of = OfAgent::new(config.clone(), held.clone());
    is_closed.store(true, Ordering::SeqCst);
    let troubles = of.look(now_secs()).await;
    assert_eq!((troubles.len(), troubles[0].ends_secs, held.serving.failures()), (1, Some(ends), 1), "{troubles:?}");
    assert!(troubles[0].message.contains("`skiff token` prints"), "{troubles:?}");

    is_closed.store(false, Ordering::SeqCst);
    let soon = of.look(now_secs()).await;
    assert!(soon[0].message.contains("clock") && soon[0].ends_secs == Some(i64::MAX), "{soon:?}");
    let ends = held.ends_secs();
    is_long.store(true, Ordering::SeqCst);
    assert_eq!(of.look(now_secs()).await, []);
    let until = held.ends_secs();
    assert!(until > now_secs() + 364 * 24 * 3_600);
    after(ends).await;
    assert_eq!(who(NODE).await, (200, NODE.to_owned()), "over a connection that showed the new one");
    assert_eq!(who(PROXY_USER).await, (200, PROXY_USER.to_owned()));
    assert_eq!(held.serving.identity().key, serving.key);
    assert_ne!(held.serving.identity().certificate, serving.certificate);

    let file = folder.path().join("data/agent/joined.json");
    let written = std::fs::metadata(&file).unwrap();
    assert_eq!(written.permissions().mode() & 0o777, 0o600);
    assert_eq!(of.look(now_secs()).await, []);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written.modified().unwrap(), "nothing is due");
    let scope_ended = scope.stop(LIFE * 3).await;
    assert!(scope_ended);
    let again = join(&config).await.unwrap().held;
    assert_eq!(again.ends_secs(), until, "a start without the server finds them");
}
