//! A bucket of an S3-compatible server.
//!
//! Only what snapshots need of the protocol, sent by the HTTP client that is in the program anyway. What was
//! uploaded is read back and compared as a whole: an answer of 200 is not believed. The secret key is in
//! no log, no error and no address that is printed.

mod http;
mod sign;
mod upload;
mod xml;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::uri::Authority;
use ::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;

use self::http::{Answer, Http, Sent};
use self::sign::Credentials;
use crate::base::clock::ClockRef;
use crate::object::Timestamp;

/// What lists and errors may be long.
const TEXT_BYTES_MAX: usize = 4 << 20;
const PAGES_MAX: usize = 1_000;

/// Where a bucket is and who asks.
#[derive(Clone)]
pub struct Settings {
    /// `host` or `host:port`
    pub endpoint: String,
    pub bucket: String,
    pub region: String,
    /// Names begin with it; empty, or without a slash at its ends.
    pub folder: String,
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
    /// Of the endpoint's authority; else those of the system.
    pub ca_pem: Option<String>,
    pub skip_verify: bool,
    /// Without TLS.
    pub insecure: bool,
    /// For an upload or a download as a whole.
    pub timeout: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {} at {}", self.bucket, self.endpoint)
    }
}

/// Why a bucket could not be used.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("--s3-endpoint {endpoint:?} is no address: want HOST or HOST:PORT")]
    Address { endpoint: String },
    #[error("--s3-bucket {bucket:?} cannot be a bucket's name: want letters, digits, '-', '.' and '_'")]
    Bucket { bucket: String },
    #[error("cannot set up TLS for S3: {why}")]
    Tls { why: String },
    #[error("S3 at {endpoint} cannot be reached: {why}")]
    Unreachable { endpoint: String, why: String },
    #[error("S3 at {endpoint} was not done in {seconds} s (--s3-timeout)")]
    Timeout { endpoint: String, seconds: u64 },
    #[error("S3 refuses to {operation}: {code} {message}{hint}")]
    Refused { operation: &'static str, code: String, message: String, hint: &'static str },
    #[error("S3 says yes to {operation}, and its answer makes no sense")]
    Nonsense { operation: &'static str },
    #[error("S3 took {name} and gives back something else: {why}; the copy in the bucket cannot be trusted")]
    Lies { name: String, why: String },
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
}

/// A snapshot in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Without the folder.
    pub name: String,
    pub bytes: u64,
    pub modified: String,
}

pub struct S3 {
    settings: Settings,
    clock: ClockRef,
    /// `host` or `host:port`, as it is signed.
    host: String,
    /// What paths begin with: the bucket, unless the host names it.
    root: String,
    credentials: Credentials,
    http: Http,
}

/// One request, which may be sent several times.
struct Ask<'a> {
    method: Method,
    /// Empty for the bucket itself.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    body: Bytes,
}

impl<'a> Ask<'a> {
    fn new(method: Method, key: &'a str) -> Self {
        Self { method, key, query: &[], body: Bytes::new() }
    }
}

impl S3 {
    pub fn new(settings: Settings, clock: ClockRef) -> Result<Self, S3Error> {
        let bucket = &settings.bucket;
        if bucket.is_empty() || bucket.len() > 255 || !bucket.bytes().all(is_name_byte) {
            return Err(S3Error::Bucket { bucket: bucket.clone() });
        }
        // Amazon wants the bucket in the host's name; nobody else can be sure to have such names.
        let (host, root) = match settings.endpoint.ends_with(".amazonaws.com") && !bucket.contains('.') {
            true => (format!("{bucket}.{}", settings.endpoint), "/".to_owned()),
            false => (settings.endpoint.clone(), format!("/{bucket}/")),
        };
        let address = host.parse::<Authority>().ok().filter(|it| !it.host().is_empty() && !it.as_str().contains('@'));
        let address = address.ok_or_else(|| S3Error::Address { endpoint: settings.endpoint.clone() })?;
        let credentials = Credentials {
            access_key: settings.access_key.clone(),
            secret_key: settings.secret_key.clone(),
            session_token: settings.session_token.clone(),
        };
        let http = Http::new(&settings, &address)?;
        Ok(Self { settings, clock, host, root, credentials, http })
    }

    /// Uploads the file at `path` and reads it back. Tells where it is.
    pub async fn put(&self, path: &Path, name: &str) -> Result<String, S3Error> {
        let key = self.key(name);
        self.in_time(async {
            let sum = self.upload(path, &key).await?;
            self.compare(&key, &sum).await
        })
        .await?;
        Ok(self.url(&key))
    }

    /// Downloads `name` into a new file at `path`.
    pub async fn get(&self, name: &str, path: &Path) -> Result<(), S3Error> {
        self.in_time(self.download(&self.key(name), path)).await
    }

    pub async fn delete(&self, name: &str) -> Result<(), S3Error> {
        let key = self.key(name);
        self.in_time(self.ask("delete the snapshot", Ask::new(Method::DELETE, &key))).await.map(drop)
    }

    /// All snapshots in the folder.
    pub async fn list(&self) -> Result<Vec<Item>, S3Error> {
        const WHAT: &str = "list the bucket";
        let prefix = self.key("");
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("list-type", "2"), ("prefix", prefix.as_str())];
            query.extend(next.as_deref().map(|token| ("continuation-token", token)));
            let asking = self.ask(WHAT, Ask { query: &query, ..Ask::new(Method::GET, "") });
            let text = self.in_time(asking).await?.text();
            let Some(page) = xml::all(&text, "ListBucketResult").first().copied() else {
                return Err(S3Error::Nonsense { operation: WHAT });
            };
            items.extend(xml::all(page, "Contents").into_iter().filter_map(|entry| item(entry, &prefix)));
            next = xml::first(page, "NextContinuationToken").filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        items.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| b.name.cmp(&a.name)));
        Ok(items)
    }

    fn key(&self, name: &str) -> String {
        match self.settings.folder.as_str() {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        }
    }

    fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.settings.bucket)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, S3Error>>) -> Result<T, S3Error> {
        let late = |_| {
            let seconds = self.settings.timeout.as_secs();
            Err(S3Error::Timeout { endpoint: self.settings.endpoint.clone(), seconds })
        };
        tokio::time::timeout(self.settings.timeout, work).await.unwrap_or_else(late)
    }

    /// Sends it; anything but success is an error.
    async fn ask(&self, operation: &'static str, ask: Ask<'_>) -> Result<Answer, S3Error> {
        let answer = self.http.send(|| self.sign(&ask), TEXT_BYTES_MAX).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(refusal(operation, answer.status, &answer.text()))
    }

    fn sign(&self, ask: &Ask<'_>) -> Result<Sent, S3Error> {
        let path = format!("{}{}", self.root, sign::escape(ask.key, "/"));
        let (method, host) = (ask.method.as_str(), self.host.as_str());
        let signed = sign::Request { method, host, path: &path, query: ask.query, body: &ask.body };
        let now = Timestamp::from_nanos(self.clock.wall_nanos());
        let target = match sign::query(ask.query) {
            none if none.is_empty() => path.clone(),
            query => format!("{path}?{query}"),
        };
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(target)
            .header(header::HOST, host)
            .header(header::CONTENT_LENGTH, ask.body.len());
        for (name, value) in sign::headers(&signed, &self.settings.region, &self.credentials, now) {
            request = request.header(name, value);
        }
        request.body(Full::new(ask.body.clone())).map_err(|error| self.http.unreachable(error))
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// An entry of a list, if it is a snapshot right in the folder.
fn item(entry: &str, prefix: &str) -> Option<Item> {
    let name = xml::first(entry, "Key")?.strip_prefix(prefix)?.to_owned();
    let bytes = xml::first(entry, "Size").and_then(|size| size.parse().ok()).unwrap_or_default();
    let modified = xml::first(entry, "LastModified").unwrap_or_default();
    (super::name::is_snapshot(&name) && name.bytes().all(is_name_byte)).then_some(Item { name, bytes, modified })
}

fn refusal(operation: &'static str, status: StatusCode, text: &str) -> S3Error {
    let code = tag(text, "Code").unwrap_or_else(|| status.to_string());
    let hint = match (status, code.as_str()) {
        (_, "NoSuchBucket") => ": make the bucket, or correct --s3-bucket",
        (_, "NoSuchKey") | (StatusCode::NOT_FOUND, _) => ": `skiff snapshot list --s3` shows what is there",
        (_, "RequestTimeTooSkewed") => ": set this machine's clock",
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect") => {
            ": correct --s3-region or --s3-endpoint"
        }
        (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, _) => {
            ": correct --s3-access-key and --s3-secret-key, or what they may do"
        }
        _ => "",
    };
    S3Error::Refused { operation, code, message: tag(text, "Message").unwrap_or_default(), hint }
}

/// What a server says of itself, cut to what fits a line.
fn tag(text: &str, name: &str) -> Option<String> {
    let value: String = xml::first(text, name)?.chars().filter(|c| !c.is_control()).take(300).collect();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests;
