//! Secrets lie readable in no file of a real server, whatever happens to keys and process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::server::Server;

/// The files below `dir` in which any of the texts is.
pub fn found(dir: &Path, texts: &[String]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        if entry.path().is_dir() {
            files.extend(found(&entry.path(), texts));
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            let holds = |text: &String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            files.extend(texts.iter().any(holds).then(|| entry.path()));
        }
    }
    files
}

/// How the secret may stand in a file.
pub fn texts_of(secret: &str) -> Vec<String> {
    vec![secret.to_owned(), BASE64.encode(secret)]
}

pub async fn write(server: &Server, name: &str, secret: &str) {
    let client = server.admin().await;
    let of = |kind: &str, field: &str, value: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: {"value": value}});
    let object = serde_json::from_value(of("Secret", "stringData", secret)).expect("a Secret");
    is_there(Api::<Secret>::default_namespaced(client.clone()).create(&PostParams::default(), &object).await);
    let object = serde_json::from_value(of("ConfigMap", "data", "plain-for-everybody")).expect("a ConfigMap");
    is_there(Api::<ConfigMap>::default_namespaced(client).create(&PostParams::default(), &object).await);
}

/// The client asks again by itself where nobody led for a moment; the first try may have succeeded.
fn is_there<T>(created: Result<T, kube::Error>) {
    match created {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => (),
        created => drop(created.expect("a write")),
    }
}

pub async fn read(server: &Server, name: &str) -> String {
    let secret = Api::<Secret>::default_namespaced(server.admin().await).get(name).await.expect("a Secret");
    let value = secret.data.and_then(|data| data.get("value").cloned()).expect("a value");
    String::from_utf8(value.0).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_survive_every_change_of_keys_and_are_readable_in_no_file() {
    let mut server = Server::start_with(&["--secrets-encryption"]).await;
    let secrets = texts_of("correct horse battery staple");
    write(&server, "a", "correct horse battery staple").await;
    server.administer(&["snapshot", "save"]);
    assert_eq!(found(&server.data(), &secrets), Vec::<PathBuf>::new());
    assert!(!found(&server.data(), &["plain-for-everybody".into()]).is_empty(), "other objects are found");

    // Killed while keys change and while everything is written anew.
    for wait_ms in [0, 3, 30, 200] {
        server.administer(&["secrets-encrypt", "rotate"]);
        let asking = server.ask_aside(&["secrets-encrypt", "reencrypt"]);
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
        server.kill();
        let _ = asking.join();
        server.launch().await;
        assert_eq!(read(&server, "a").await, "correct horse battery staple", "killed after {wait_ms} ms");
    }
    server.administer(&["secrets-encrypt", "reencrypt"]);
    assert_eq!(found(&server.data(), &secrets), Vec::<PathBuf>::new());
    let status = server.administer(&["secrets-encrypt", "status"]);
    assert!(status.contains("it: Enabled") && status.matches("  key skiff:").count() == 5, "{status}");

    // Without its keys a server does not start, says which file it needs, and has lost nothing.
    server.kill();
    let (keys, away) = (server.path("server/encryption-keys.json"), server.path("server/away"));
    std::fs::rename(&keys, &away).expect("keys");
    let said = server.fails();
    assert!(said.contains("put back") && said.contains("is encrypted with key \"skiff:"), "{said}");
    std::fs::rename(&away, &keys).expect("keys");
    server.launch().await;
    assert_eq!(read(&server, "a").await, "correct horse battery staple");

    // The snapshot from before all that opens with the keys, and without them says which is missing.
    let folder = server.data().join("server/snapshots");
    let file = std::fs::read_dir(&folder).expect("snapshots").flatten().next().expect("one").path();
    let file = file.to_str().expect("text").to_owned();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let there = format!("--data-dir={}", elsewhere.path().join("data").display());
    let keys = format!("--encryption-keys={}", server.data().join("server/encryption-keys.json").display());
    let (opened, said) = Server::skiff(&["snapshot", "restore", &file, &there]);
    assert!(!opened && said.contains("is encrypted with key \"skiff:"), "{said}");
    let (opened, said) = Server::skiff(&["snapshot", "verify", &file, &there, &keys]);
    assert!(opened && said.contains("is whole"), "{said}");
    let (opened, said) = Server::skiff(&["snapshot", "get", &file, "secrets/default/a", &there, &keys]);
    assert!(opened && said.contains(&secrets[1]), "{said}");
    let (restored, said) = Server::skiff(&["snapshot", "restore", &file, &there, &keys]);
    assert!(restored, "{said}");
    assert_eq!(found(elsewhere.path(), &secrets), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_readable_before_is_gone_after_encrypting_it_and_a_reader_notices_nothing() {
    let mut server = Server::start().await;
    let secrets = texts_of("in the open at first");
    write(&server, "a", "in the open at first").await;
    assert!(!found(&server.data(), &secrets).is_empty());
    let (kubeconfig, before) =
        (server.data().with_file_name("kubeconfig"), server.administer(&["secrets-encrypt", "status"]));
    assert!(before.contains("it: Disabled") && kubeconfig.exists(), "{before}");
    server.administer(&["secrets-encrypt", "enable"]);
    write(&server, "b", "never in the open").await;
    assert_eq!(found(&server.data(), &texts_of("never in the open")), Vec::<PathBuf>::new());

    // New keys and everything written anew while others write.
    let (rotating, writing) = (server.ask_aside(&["secrets-encrypt", "rotate"]), 30);
    for n in 0..writing {
        write(&server, &format!("w{n}"), "written meanwhile").await;
        if n == writing / 2 {
            server.administer(&["secrets-encrypt", "reencrypt"]);
        }
    }
    assert!(rotating.join().expect("an end").0);
    server.administer(&["secrets-encrypt", "reencrypt"]);
    assert_eq!(found(&server.data(), &texts_of("written meanwhile")), Vec::<PathBuf>::new());
    assert_eq!(found(&server.data(), &secrets), Vec::<PathBuf>::new());
    assert_eq!(read(&server, "a").await, "in the open at first");
    server.kill();
    server.launch().await;
    assert_eq!(read(&server, "a").await, "in the open at first");
    assert_eq!(read(&server, "b").await, "never in the open");
    for n in 0..writing {
        assert_eq!(read(&server, &format!("w{n}")).await, "written meanwhile");
    }

    server.administer(&["secrets-encrypt", "disable"]);
    server.administer(&["secrets-encrypt", "reencrypt"]);
    assert!(!found(&server.data(), &secrets).is_empty(), "disabled is disabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_have_the_same_keys_and_each_hides_what_it_keeps() {
    let first = Server::with("it", &["--secrets-encryption".to_owned()]).await;
    let secrets = texts_of("known to both of them");
    write(&first, "a", "known to both of them").await;
    let other = first.joined_by("other").await;
    assert_eq!(read(&other, "a").await, "known to both of them");
    assert_eq!(found(&other.data(), &secrets), Vec::<PathBuf>::new());
    other.administer(&["secrets-encrypt", "rotate"]);
    let said = other.administer(&["secrets-encrypt", "reencrypt"]);
    assert!(!said.contains("not reached"), "{said}");
    let status = first.administer(&["secrets-encrypt", "status"]);
    assert!(status.contains("it: Enabled") && status.contains("other: Enabled"), "{status}");
    assert_eq!(status.matches("  key skiff:").count(), 4, "two keys on each: {status}");
    for server in [&first, &other] {
        assert_eq!(found(&server.data(), &secrets), Vec::<PathBuf>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_hides_what_is_in_its_log() {
    let first = Server::with("it", &[]).await;
    let witness = first.witnessed_by("witness").await;
    let secret = texts_of("seen by a witness");
    write(&first, "a", "seen by a witness").await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while found(&witness.data(), &secret).is_empty() {
        assert!(Instant::now() < deadline, "a witness keeps the log");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    first.administer(&["secrets-encrypt", "enable"]);
    first.administer(&["secrets-encrypt", "reencrypt"]);
    assert_eq!(found(&witness.data(), &secret), Vec::<PathBuf>::new());
    write(&first, "b", "not seen by anybody").await;
    let status = first.administer(&["secrets-encrypt", "status"]);
    assert!(status.contains("witness: Enabled"), "{status}");
    assert_eq!(found(&witness.data(), &texts_of("not seen by anybody")), Vec::<PathBuf>::new());
}
