//! S3 servers that fail or lie.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::base::clock::ManualClock;

/// A server that answers every request as `answer` says, given the method and how many came before.
fn server(answer: impl Fn(&str, u32) -> (u16, Vec<u8>) + Send + Sync + 'static) -> (Settings, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let (count, counted) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let counter = counted.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut seen = Vec::new();
            let mut part = [0; 4096];
            let head_end = loop {
                let len = stream.read(&mut part).unwrap();
                seen.extend_from_slice(&part[..len]);
                if let Some(at) = seen.windows(4).position(|it| it == b"\r\n\r\n") {
                    break at + 4;
                }
                assert!(len > 0, "a whole request");
            };
            let head = String::from_utf8_lossy(&seen[..head_end]).to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|it| it.split("\r\n").next());
            let wanted = head_end + length.map_or(0, |it| it.parse::<usize>().unwrap());
            while seen.len() < wanted {
                let len = stream.read(&mut part).unwrap();
                seen.extend_from_slice(&part[..len]);
            }
            let method = head.split(' ').next().unwrap().to_uppercase();
            let (code, body) = answer(&method, count.fetch_add(1, Ordering::SeqCst));
            counter.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.1 {code} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).unwrap();
        }
    });
    let settings = Settings {
        endpoint,
        bucket: "b".into(),
        region: "r".into(),
        folder: String::new(),
        access_key: "id".into(),
        secret_key: "very-secret".into(),
        session_token: None,
        ca_pem: None,
        skip_verify: false,
        insecure: true,
        timeout: Duration::from_secs(20),
    };
    (settings, counted)
}

fn clock() -> ClockRef {
    ManualClock::starting_at(0)
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.snapshot");
    std::fs::write(&path, b"all of it").unwrap();
    (dir, path)
}

#[tokio::test]
async fn a_server_that_gives_back_something_else_is_not_believed() {
    for (given, complaint) in [(&b"all of"[..], "6 bytes instead of 9"), (b"all of xx", "its checksum differs")] {
        let (settings, asked) =
            server(move |method, _| (200, if method == "GET" { given.to_vec() } else { Vec::new() }));
        let (_dir, path) = file();
        let error = S3::new(settings, clock()).unwrap().put(&path, "a.snapshot").await.unwrap_err().to_string();
        assert!(error.contains(complaint) && error.contains("cannot be trusted"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 3, "put, get, and delete what cannot be trusted");
    }
}

#[tokio::test]
async fn only_snapshots_right_in_the_folder_are_listed_page_by_page() {
    let page = |keys: &[&str], more: &str| {
        let entry = |key: &&str| format!("<Contents><Key>{key}</Key><Size>7</Size></Contents>");
        format!("<ListBucketResult xmlns=\"x\">{}{more}</ListBucketResult>", keys.iter().map(entry).collect::<String>())
    };
    let first = page(
        &["some/where/a-1.snapshot", "some/where/deeper/b-2.snapshot", "some/where/notes"],
        "<NextContinuationToken>a&amp;b</NextContinuationToken>",
    );
    let last = page(&["some/where/c-3.snapshot.gz", "some/where/..%2f..-1.snapshot"], "<NextContinuationToken/>");
    let (settings, asked) = server(move |_, before| (200, [&first, &last][before as usize].clone().into_bytes()));
    let s3 = S3::new(Settings { folder: "some/where".into(), ..settings }, clock()).unwrap();
    let names: Vec<String> = s3.list().await.unwrap().into_iter().map(|item| item.name).collect();
    assert_eq!((names, asked.load(Ordering::SeqCst)), (vec!["c-3.snapshot.gz".into(), "a-1.snapshot".into()], 2));
}

#[test]
fn addresses_and_buckets_that_are_none_are_refused() {
    let (settings, _) = server(|_, _| (200, Vec::new()));
    for endpoint in ["", "a b", "user@host", "host/path"] {
        let error = S3::new(Settings { endpoint: endpoint.into(), ..settings.clone() }, clock()).err();
        assert!(matches!(error, Some(S3Error::Address { .. })), "{endpoint}");
    }
    for bucket in ["", "a/b", "a b", "é"] {
        let error = S3::new(Settings { bucket: bucket.into(), ..settings.clone() }, clock()).err();
        assert!(matches!(error, Some(S3Error::Bucket { .. })), "{bucket}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let (settings, asked) = server(|method, before| match (method, before) {
        ("PUT", 0 | 1) => (503, Vec::new()),
        ("PUT", _) => (200, Vec::new()),
        _ => (200, b"all of it".to_vec()),
    });
    let (_dir, path) = file();
    assert_eq!(S3::new(settings, clock()).unwrap().put(&path, "a.snapshot").await.unwrap(), "s3://b/a.snapshot");
    assert_eq!(asked.load(Ordering::SeqCst), 4);

    let denied = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    let (settings, asked) = server(move |_, _| (403, denied.to_vec()));
    let error = S3::new(settings, clock()).unwrap().put(&path, "a.snapshot").await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied no: correct --s3-access-key"), "{error}");
    assert!(!format!("{error:?}").contains("very-secret"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_never_done_is_given_up() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (settings, _) = server(|_, _| {
        std::thread::sleep(Duration::from_secs(5));
        (200, Vec::new())
    });
    let slow = Settings { timeout: Duration::from_millis(300), ..settings.clone() };
    let error = S3::new(slow, clock()).unwrap().list().await.unwrap_err();
    assert!(matches!(error, S3Error::Timeout { .. }), "{error}");
    let gone = Settings { endpoint: nobody, ..settings };
    let error = S3::new(gone, clock()).unwrap().list().await.unwrap_err();
    assert!(matches!(error, S3Error::Unreachable { .. }), "{error}");
}
