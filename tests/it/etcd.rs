//! The program with its state in a real etcd: two servers that need nothing of each other's disks, an
//! etcd that goes away, and flags that lead nowhere.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Error, ResourceExt};
use serde_json::json;

use crate::etcd_server::EtcdServer;
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": "value"}})).unwrap()
}

fn endpoint(etcd: &EtcdServer) -> String {
    format!("--datastore-endpoint=http://127.0.0.1:{}", etcd.port)
}

async fn maps(server: &Server) -> Api<ConfigMap> {
    Api::namespaced(server.admin().await, "default")
}

/// How long it took until `is_so`.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "not so in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

#[tokio::test]
async fn two_servers_share_an_etcd_and_one_takes_over_when_the_other_is_killed() {
    let etcd = EtcdServer::start();
    let mut one = Server::with("one", &[endpoint(&etcd)]).await;
    let token = format!("--token={}", one.read("server/token").trim());
    let two = Server::with("two", &[endpoint(&etcd), token]).await;
    assert_eq!(one.read("server/tls/server-ca.crt"), two.read("server/tls/server-ca.crt"), "one cluster");

    // Created at one, seen at the other; and the other way round.
    let (at_one, at_two) = (maps(&one).await, maps(&two).await);
    let from = at_two.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = Box::pin(at_two.watch(&WatchParams::default(), &from).await.unwrap());
    for (name, maps) in [("a", &at_one), ("b", &at_two)] {
        let made = maps.create(&PostParams::default(), &config_map(name)).await.unwrap();
        loop {
            match events.try_next().await.unwrap().expect("the watch is open") {
                WatchEvent::Added(map) if map.name_any() == name => {
                    assert_eq!(map.resource_version(), made.resource_version());
                    break;
                }
                WatchEvent::Added(_) | WatchEvent::Bookmark(_) => (),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(at_one.get(name).await.unwrap().resource_version(), made.resource_version());
    }

    one.kill();
    let created = async || at_two.create(&PostParams::default(), &config_map("c")).await.is_ok();
    let outage = until("the other server accepts writes", created).await;
    println!("first write {outage:?} after the kill");
    let namespaces: Api<Namespace> = Api::all(two.admin().await);
    let later = serde_json::from_value(json!({"metadata": {"name": "later"}})).unwrap();
    namespaces.create(&PostParams::default(), &later).await.unwrap();
    let in_later: Api<ConfigMap> = Api::namespaced(two.admin().await, "later");
    until("its loops run", async || in_later.get("kube-root-ca.crt").await.is_ok()).await;

    one.launch().await;
    let there: Vec<String> =
        at_one.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert!(["a", "b", "c"].iter().all(|name| there.contains(&(*name).to_owned())), "{there:?}");
}

#[tokio::test]
async fn an_etcd_that_is_away_for_ten_seconds_stops_writes_and_nothing_else() {
    let mut etcd = EtcdServer::start();
    let mut server = Server::with("one", &[endpoint(&etcd)]).await;
    // One that does not try again by itself.
    let client = server.client(|config| config.default_retry = false).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    etcd.kill();
    let killed = Instant::now();
    match maps.create(&PostParams::default(), &config_map("b")).await {
        Err(Error::Api(status)) => {
            assert!([503, 504].contains(&status.code), "{status:?}");
        }
        other => panic!("nobody could write that: {other:?}"),
    }
    let from_memory = ListParams::default().match_any();
    assert!(maps.list(&from_memory).await.unwrap().iter().any(|map| map.name_any() == "a"));
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(killed.elapsed())).await;
    etcd.launch();
    let made = async || maps.create(&PostParams::default(), &config_map("c")).await.is_ok();
    until("it writes again", made).await;
    assert!(server.is_running());
}

fn skiff(args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_skiff")).args(args).env_clear().output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (output, said)
}

#[tokio::test]
async fn what_does_not_lead_to_this_clusters_state_is_refused_and_the_flag_is_named() {
    let etcd = EtcdServer::start();
    let server = Server::with("one", &[endpoint(&etcd)]).await;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("config"), "").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let port = format!("--https-listen-port={port}");
    let refused = |name: &str, more: &[&str], words: &str| {
        let (data, config) = (format!("--data-dir={}", at(name)), format!("--config={}", at("config")));
        let own = ["server", "--disable-agent", "--bind-address=127.0.0.1", &port, "--node-name=two", &data, &config];
        let (output, said) = skiff(&[&own[..], more].concat());
        assert!(!output.status.success() && said.contains(words), "{more:?}: {said}");
    };
    let here = endpoint(&etcd);
    refused("a", &["--datastore-endpoint=mysql://127.0.0.1"], "want https://HOST:2379");
    refused("b", &["--datastore-endpoint=http://127.0.0.1:9"], "--datastore-endpoint");
    refused("c", &[&here], "--token");
    refused("d", &[&here, "--token=wrong"], "the cluster in etcd has another --token");
    refused("e", &[&here, "--datastore-certfile=x"], "--datastore-keyfile");
    let tls = here.replace("http:", "https:");
    let authority = format!("--datastore-cafile={}", server.path("server/tls/server-ca.crt").display());
    refused("f", &[&tls, &authority], "--datastore-endpoint says https");
    refused("g", &[&here, "--server=https://127.0.0.1:6443"], "--server");
    let other = format!("--datastore-endpoint=https://127.0.0.1:{}", server.port());
    let missing = format!("--datastore-cafile={}", at("none"));
    refused("h", &[&other, &missing], "--datastore-cafile");
    refused("i", &[&other, &authority], "--datastore-endpoint");

    let kubeconfig = format!("--kubeconfig={}", server.kubeconfig_path().display());
    let (output, said) = skiff(&["snapshot", "save", &kubeconfig]);
    assert!(!output.status.success() && said.contains("etcdctl snapshot save"), "{said}");
    let (output, said) = skiff(&["member", "remove", "one", &kubeconfig]);
    assert!(!output.status.success() && said.contains("the state is kept in etcd"), "{said}");
    let (output, said) = skiff(&["member", "list", &kubeconfig]);
    assert!(output.status.success() && said.contains("leader"), "{said}");
}
