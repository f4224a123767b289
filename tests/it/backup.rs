//! Snapshots by the clock, in a folder and in the bucket of a real S3 server.
//!
//! The S3 server is PyPI's `moto`, which checks every signature as Amazon does; `tests/run.sh` installs it.
//! `SKIFF_MOTO_PYTHON` names another Python that has it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::server::Server;

const BUCKET: &str = "skiff";
const PATIENCE: Duration = Duration::from_secs(60);

struct S3Server {
    child: Child,
    endpoint: String,
    access_key: String,
    secret_key: String,
}

impl S3Server {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let own = root.join("target/moto/bin/python3");
        let default = if own.exists() { own.into() } else { "python3".into() };
        let mut child = Command::new(std::env::var_os("SKIFF_MOTO_PYTHON").unwrap_or(default))
            .arg(root.join("tests/it/s3_server.py"))
            .arg(BUCKET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("an output")).read_line(&mut line).expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [port, access_key, secret_key] = words[..] else {
            panic!("moto does not start: run tests/run.sh, or `pip install 'moto[s3]' flask flask-cors`")
        };
        let (access_key, secret_key) = (access_key.to_owned(), secret_key.to_owned());
        Self { child, endpoint: format!("127.0.0.1:{port}"), access_key, secret_key }
    }

    fn flags(&self) -> Vec<String> {
        self.flags_for(BUCKET, &self.secret_key)
    }

    fn flags_for(&self, bucket: &str, secret: &str) -> Vec<String> {
        vec![
            "--s3".to_owned(),
            "--s3-insecure".to_owned(),
            format!("--s3-endpoint={}", self.endpoint),
            format!("--s3-bucket={bucket}"),
            format!("--s3-access-key={}", self.access_key),
            format!("--s3-secret-key={secret}"),
        ]
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn skiff(args: &[&str], more: &[String]) -> (bool, String) {
    let more = more.iter().map(String::as_str);
    Server::skiff(&args.iter().copied().chain(more).collect::<Vec<_>>())
}

fn done(args: &[&str], more: &[String]) -> String {
    let (done, said) = skiff(args, more);
    assert!(done, "{args:?}: {said}");
    said
}

/// Names in a listing, newest first.
fn names(listing: &str) -> Vec<String> {
    listing.lines().filter_map(|line| line.split_whitespace().last().map(str::to_owned)).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not so in time: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_come_by_the_clock_and_old_ones_go_here_and_in_the_bucket() {
    let s3 = S3Server::start();
    let flags = s3.flags();
    let own = ["--snapshot-schedule-cron=@every 1s", "--snapshot-retention=2", "--snapshot-name=tick"];
    let all: Vec<&str> = own.into_iter().chain(flags.iter().map(String::as_str)).collect();
    let mut server = Server::start_with(&all).await;
    let said = server.administer(&["snapshot", "save", "--name=by-hand"]);
    assert!(said.contains("and in s3://skiff/by-hand-it-"), "{said}");
    let listed = || names(&done(&["snapshot", "list"], &flags));
    let first = listed().into_iter().filter(|name| name.starts_with("tick-")).max();
    until("a later one is there", || listed().into_iter().filter(|name| name.starts_with("tick-")).max() > first).await;
    until("no more than two are kept", || listed().iter().filter(|name| name.starts_with("tick-")).count() == 2).await;
    assert!(listed().iter().any(|name| name.starts_with("by-hand-it-")), "retention is about scheduled ones");
    server.kill();

    let here = format!("--data-dir={}", server.data().display());
    let local = names(&done(&["snapshot", "list", &here], &[]));
    assert!((3..=4).contains(&local.len()) && local.iter().all(|name| name.ends_with(".snapshot.gz")), "{local:?}");
    let newest = listed().remove(0);
    let said = done(&["snapshot", "verify", &newest, &here], &flags);
    assert!(said.contains("is whole"), "{said}");
    done(&["snapshot", "prune", "--keep=1", &here], &flags);
    assert_eq!(listed().len(), 1);
    assert!(!server.data().join("server/snapshots").join(format!("{newest}.download")).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_snapshot_goes_in_parts_and_comes_back_into_another_directory() {
    let s3 = S3Server::start();
    let flags = s3.flags();
    let own = ["--disable-snapshots", "--snapshot-compress=false"];
    let all: Vec<&str> = own.into_iter().chain(flags.iter().map(String::as_str)).collect();
    let server = Server::start_with(&all).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(server.admin().await);
    for n in 0..20 {
        let text: String = (0..900_000u32).map(|at| char::from(b'a' + ((at * (n + 7)) >> 5) as u8 % 26)).collect();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{n}")}, "data": {"text": text}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).expect("a ConfigMap")).await.expect("a write");
    }
    server.administer(&["snapshot", "save"]);
    let name = names(&done(&["snapshot", "list"], &flags)).remove(0);

    let dir = tempfile::tempdir().expect("a directory");
    let there = format!("--data-dir={}", dir.path().join("data").display());
    let said = done(&["snapshot", "restore", &name, &there], &flags);
    let revision: u64 =
        said.lines().next().and_then(|line| line.rsplit(' ').next()).expect("a revision").parse().expect("a number");
    let known = maps.get("m19").await.expect("a map").metadata.resource_version.expect("a revision");
    assert!(revision >= 1_000_000_000 + known.parse::<u64>().expect("a number"), "time does not go back");

    // Another cluster's snapshot does not take a cluster's place by mistake.
    let mut other = Server::start_with(&["--disable-snapshots"]).await;
    other.kill();
    let here = format!("--data-dir={}", other.data().display());
    let (restored, said) = skiff(&["snapshot", "restore", &name, &here], &flags);
    assert!(!restored && said.contains("of another cluster") && said.contains("--other-cluster"), "{said}");
    other.launch().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(other.admin().await);
    assert!(maps.get_opt("m1").await.expect("an answer").is_none(), "it is as it was");
    other.kill();
    done(&["snapshot", "restore", &name, "--other-cluster", &here], &flags);
    other.launch().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(other.admin().await);
    assert!(maps.get_opt("m1").await.expect("an answer").is_some());
}

#[test]
fn a_bucket_that_cannot_be_used_is_told_with_what_helps() {
    let s3 = S3Server::start();
    let (listed, said) = skiff(&["snapshot", "list"], &s3.flags_for(BUCKET, "wrong-and-never-shown"));
    assert!(!listed && said.contains("SignatureDoesNotMatch") && said.contains("--s3-secret-key"), "{said}");
    assert!(!said.contains("wrong-and-never-shown"), "{said}");
    let (listed, said) = skiff(&["snapshot", "list"], &s3.flags()[..4]);
    assert!(!listed && said.contains("--s3-access-key"), "{said}");
    let (listed, said) = skiff(&["snapshot", "list"], &s3.flags_for("nowhere", &s3.secret_key));
    assert!(!listed && said.contains("NoSuchBucket") && said.contains("make the bucket"), "{said}");
    let dir = tempfile::tempdir().expect("a directory");
    let here = format!("--data-dir={}", dir.path().display());
    let (opened, said) = skiff(&["snapshot", "verify", "not-there.snapshot", &here], &s3.flags());
    assert!(!opened && said.contains("NoSuchKey"), "{said}");
}
