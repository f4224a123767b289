//! Reading a container's log: from where it is asked, and on while it grows.

use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;

use super::line::{self, Stream};
use crate::object::Timestamp;

const CHUNK_BYTES: usize = 64 << 10;
/// A line without an end is cut here.
const LINE_BYTES_MAX: usize = 1 << 20;
/// How often a log that is followed is looked at.
const FOLLOW_PERIOD: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub follow: bool,
    pub tail_lines: Option<u64>,
    pub since: Option<Timestamp>,
    pub timestamps: bool,
    pub limit_bytes: Option<u64>,
    /// Only this stream; both without one.
    pub stream: Option<Stream>,
}

/// Sends the text of the log at `path` until its end, or while `is_running` says that more may
/// come. Ends early when nobody listens any more.
pub async fn send(
    path: PathBuf,
    options: Options,
    is_running: impl Fn() -> bool + Send,
    out: mpsc::Sender<std::io::Result<Bytes>>,
) -> std::io::Result<()> {
    let mut file = File::open(&path).await?;
    if let Some(lines) = options.tail_lines {
        let start = start_of_tail(&mut file, lines).await?;
        file.seek(SeekFrom::Start(start)).await?;
    }
    let mut printer = Printer { left: options.limit_bytes, options: &options, starts_line: true };
    let mut pending = BytesMut::new();
    loop {
        // Asked before reading: what is written until the end is then read for certain.
        let more_may_come = options.follow && is_running();
        let chunk = read_to_end(&mut file, &mut pending, &mut printer, &out).await?;
        if chunk == Sent::Closed {
            return Ok(());
        }
        if let Some(next) = rotated(&file, &path).await {
            read_to_end(&mut file, &mut pending, &mut printer, &out).await?;
            file = next;
            continue;
        }
        if !more_may_come {
            return Ok(());
        }
        tokio::select! {
            () = out.closed() => return Ok(()),
            () = tokio::time::sleep(FOLLOW_PERIOD) => (),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Sent {
    All,
    /// The limit is reached, or nobody listens.
    Closed,
}

async fn read_to_end(
    file: &mut File,
    pending: &mut BytesMut,
    printer: &mut Printer<'_>,
    out: &mpsc::Sender<std::io::Result<Bytes>>,
) -> std::io::Result<Sent> {
    loop {
        pending.reserve(CHUNK_BYTES);
        if file.read_buf(pending).await? == 0 {
            return Ok(Sent::All);
        }
        let mut text = Vec::new();
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line = pending.split_to(end + 1);
            printer.print(&line, &mut text);
        }
        if pending.len() > LINE_BYTES_MAX {
            pending.clear();
        }
        if !text.is_empty() && out.send(Ok(text.into())).await.is_err() {
            return Ok(Sent::Closed);
        }
        if printer.left == Some(0) {
            return Ok(Sent::Closed);
        }
    }
}

/// The file now at `path`, if it is another one.
async fn rotated(file: &File, path: &PathBuf) -> Option<File> {
    let here = file.metadata().await.ok()?;
    let there = tokio::fs::metadata(path).await.ok()?;
    if (here.dev(), here.ino()) == (there.dev(), there.ino()) {
        return None;
    }
    File::open(path).await.ok()
}

struct Printer<'a> {
    options: &'a Options,
    left: Option<u64>,
    /// Whether the last entry ended its line.
    starts_line: bool,
}

impl Printer<'_> {
    fn print(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let Some(entry) = line::parse(raw) else { return };
        let options = self.options;
        if options.stream.is_some_and(|stream| stream != entry.stream)
            || options.since.is_some_and(|since| entry.timestamp().is_some_and(|time| time < since))
        {
            return;
        }
        let before = out.len();
        if options.timestamps && self.starts_line {
            out.extend_from_slice(entry.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(entry.text);
        if !entry.is_partial {
            out.push(b'\n');
        }
        self.starts_line = !entry.is_partial;
        if let Some(left) = &mut self.left {
            let added = (out.len() - before) as u64;
            out.truncate(before + added.min(*left) as usize);
            *left = left.saturating_sub(added);
        }
    }
}

/// The offset behind which the last `lines` lines lie.
async fn start_of_tail(file: &mut File, lines: u64) -> std::io::Result<u64> {
    let length = file.metadata().await?.len();
    if lines == 0 {
        return Ok(length);
    }
    let mut end = length;
    let mut found = 0;
    let mut block = vec![0; CHUNK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start)).await?;
        file.read_exact(part).await?;
        for at in (0..part.len()).rev() {
            let offset = start + at as u64;
            // The newline that ends the file ends its last line; it begins none.
            if part[at] == b'\n' && offset + 1 != length {
                found += 1;
                if found == lines {
                    return Ok(offset + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(content: &str, options: Options) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, content).unwrap();
        let (out, mut got) = mpsc::channel(64);
        send(path, options, || false, out).await.unwrap();
        let mut text = Vec::new();
        while let Some(chunk) = got.recv().await {
            text.extend_from_slice(&chunk.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    const LOG: &str = "2026-01-01T00:00:01.5Z stdout F one\n\
                       2026-01-01T00:00:02Z stderr P tw\n\
                       2026-01-01T00:00:02Z stderr F o\n\
                       2026-01-01T00:00:03Z stdout F three\n";

    #[tokio::test]
    async fn lines_are_joined_chosen_and_cut() {
        assert_eq!(run(LOG, Options::default()).await, "one\ntwo\nthree\n");
        assert_eq!(run(LOG, Options { tail_lines: Some(1), ..Options::default() }).await, "three\n");
        assert_eq!(run(LOG, Options { tail_lines: Some(0), ..Options::default() }).await, "");
        assert_eq!(run(LOG, Options { limit_bytes: Some(5), ..Options::default() }).await, "one\nt");
        let since = Timestamp::parse("2026-01-01T00:00:03Z");
        assert_eq!(run(LOG, Options { since, ..Options::default() }).await, "three\n");
        let stamped = run(LOG, Options { timestamps: true, stream: Some(Stream::Stderr), ..Options::default() }).await;
        assert_eq!(stamped, "2026-01-01T00:00:02Z two\n");
    }
}
