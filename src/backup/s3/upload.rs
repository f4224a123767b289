//! Files there and back: in parts when they are large, and compared when they are there.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::http::is_passing;
use super::{Ask, S3, S3Error, refusal, xml};
use crate::base::hex::hex;

/// A file larger than this goes in parts of this size. There may be ten thousand.
const PART_BYTES: usize = 8 << 20;

/// What identifies contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    bytes: u64,
    sha256: String,
}

struct Summer {
    bytes: u64,
    hash: Sha256,
}

impl Summer {
    fn new() -> Self {
        Self { bytes: 0, hash: Sha256::new() }
    }

    fn add(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.hash.update(part);
    }

    fn end(self) -> Sum {
        Sum { bytes: self.bytes, sha256: hex(&self.hash.finalize()) }
    }
}

impl S3 {
    /// Tells what was uploaded.
    pub(super) async fn upload(&self, path: &Path, key: &str) -> Result<Sum, S3Error> {
        const WHAT: &str = "take the snapshot";
        let unreadable = |source| S3Error::File { action: "read", path: path.to_owned(), source };
        let mut file = Parts::open(path).await.map_err(unreadable)?;
        let mut sum = Summer::new();
        let first = file.next().await.map_err(unreadable)?;
        sum.add(&first);
        if first.len() < PART_BYTES {
            self.ask(WHAT, Ask { body: first, ..Ask::new(Method::PUT, key) }).await?;
            return Ok(sum.end());
        }
        let answer = self.ask(WHAT, Ask { query: &[("uploads", "")], ..Ask::new(Method::POST, key) }).await?;
        let upload = xml::first(&answer.text(), "UploadId").ok_or(S3Error::Nonsense { operation: WHAT })?;
        let parts = self.upload_parts(&mut file, first, &mut sum, key, &upload, path);
        let ended = match parts.await {
            Ok(etags) => self.complete(key, &upload, &etags).await,
            Err(error) => Err(error),
        };
        if ended.is_err() {
            // What was uploaded costs money until somebody takes it back.
            let query = [("uploadId", upload.as_str())];
            let _ = self.ask(WHAT, Ask { query: &query, ..Ask::new(Method::DELETE, key) }).await;
        }
        ended.map(|()| sum.end())
    }

    async fn upload_parts(
        &self,
        file: &mut Parts,
        first: Bytes,
        sum: &mut Summer,
        key: &str,
        upload: &str,
        path: &Path,
    ) -> Result<Vec<String>, S3Error> {
        const WHAT: &str = "take a part of the snapshot";
        let (mut etags, mut part) = (Vec::new(), first);
        while !part.is_empty() {
            let number = u16::try_from(etags.len() + 1).map_err(|_| S3Error::Nonsense { operation: WHAT })?;
            let number = number.to_string();
            let query = [("partNumber", number.as_str()), ("uploadId", upload)];
            let answer = self.ask(WHAT, Ask { query: &query, body: part, ..Ask::new(Method::PUT, key) }).await?;
            if answer.etag.is_empty() {
                return Err(S3Error::Nonsense { operation: WHAT });
            }
            etags.push(answer.etag);
            part =
                file.next().await.map_err(|source| S3Error::File { action: "read", path: path.to_owned(), source })?;
            sum.add(&part);
        }
        Ok(etags)
    }

    async fn complete(&self, key: &str, upload: &str, etags: &[String]) -> Result<(), S3Error> {
        const WHAT: &str = "put the parts of the snapshot together";
        let part = |(n, etag): (usize, &String)| {
            format!("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", n + 1, xml::escape(etag))
        };
        let parts: String = etags.iter().enumerate().map(part).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>").into();
        let query = [("uploadId", upload)];
        let answer = self.ask(WHAT, Ask { query: &query, body, ..Ask::new(Method::POST, key) }).await?;
        // It may say 200 first and find out then that it failed.
        match xml::first(&answer.text(), "ETag") {
            Some(_) => Ok(()),
            None => Err(refusal(WHAT, answer.status, &answer.text())),
        }
    }

    /// Reads `key` back: it must be what was uploaded. If it is not, it is not left there as if it were.
    pub(super) async fn compare(&self, key: &str, sent: &Sum) -> Result<(), S3Error> {
        let found = match self.read(key, |_| Ok(())).await {
            Err(S3Error::Unreachable { .. }) => self.read(key, |_| Ok(())).await?, // cut off: once more
            found => found?,
        };
        if found == *sent {
            return Ok(());
        }
        let _ = self.ask("delete what it made of the snapshot", Ask::new(Method::DELETE, key)).await;
        let why = match found.bytes == sent.bytes {
            true => "its checksum differs".to_owned(),
            false => format!("{} bytes instead of {}", found.bytes, sent.bytes),
        };
        Err(S3Error::Lies { name: key.to_owned(), why })
    }

    pub(super) async fn download(&self, key: &str, path: &Path) -> Result<(), S3Error> {
        let failed = |source| S3Error::File { action: "write", path: path.to_owned(), source };
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let mut file = opened.map_err(failed)?;
        self.read(key, |part| file.write_all(part).map_err(failed)).await?;
        file.sync_all().map_err(failed)
    }

    async fn read(&self, key: &str, mut take: impl FnMut(&[u8]) -> Result<(), S3Error>) -> Result<Sum, S3Error> {
        let answer = self.http.open(self.sign(&Ask::new(Method::GET, key))?).await?;
        let (head, mut body) = answer.into_parts();
        if is_passing(head.status) {
            return Err(self.http.unreachable(head.status));
        }
        if !head.status.is_success() {
            let text = body.frame().await.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
            return Err(refusal("give the snapshot", head.status, &String::from_utf8_lossy(&text.unwrap_or_default())));
        }
        let mut sum = Summer::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.http.unreachable(error))?;
            if let Some(part) = frame.data_ref() {
                take(part)?;
                sum.add(part);
            }
        }
        Ok(sum.end())
    }
}

/// A file, part by part.
struct Parts(tokio::fs::File);

impl Parts {
    async fn open(path: &Path) -> io::Result<Self> {
        tokio::fs::File::open(path).await.map(Self)
    }

    /// Empty at the end.
    async fn next(&mut self) -> io::Result<Bytes> {
        let mut part = Vec::with_capacity(64 << 10);
        (&mut self.0).take(PART_BYTES as u64).read_to_end(&mut part).await?;
        Ok(part.into())
    }
}
