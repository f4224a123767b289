//! The log file: one event a line, put aside when it is large, old ones removed.
//!
//! Files put aside are named after the moment (`audit-2027-01-15T08-00-00.000.log`), as upstream
//! names them, so that tools find them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::sink::Writer;
use crate::base::clock::ClockRef;
use crate::base::service::Scope;
use crate::object::Timestamp;

const MEGABYTE: u64 = 1024 * 1024;
const DAY_SECS: i64 = 24 * 3_600;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Days; 0 is for ever.
    pub age_days: u32,
    /// Files; 0 is all.
    pub files: usize,
    /// Of one file; 0 is without end.
    pub megabytes: u64,
}

pub struct LogFile(Arc<Mutex<Rotating>>);

struct Rotating {
    path: PathBuf,
    keep: Keep,
    clock: ClockRef,
    /// None is standard output.
    file: Option<File>,
    bytes: u64,
}

impl LogFile {
    /// Opens the file, or makes it; `-` is standard output.
    pub fn open(path: &Path, keep: Keep, clock: ClockRef) -> io::Result<Self> {
        let mut log = Rotating { path: path.to_owned(), keep, clock, file: None, bytes: 0 };
        if path != Path::new("-") {
            log.reopen()?;
            log.prune();
        }
        Ok(Self(Arc::new(Mutex::new(log))))
    }
}

impl Writer for LogFile {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn write(&mut self, batch: Vec<Arc<[u8]>>) -> Result<(), String> {
        let log = self.0.clone();
        let written = Scope::blocking(move || {
            let mut log = log.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            log.write(&batch)
        });
        written.await.map_err(|error| error.to_string())
    }
}

impl Rotating {
    fn reopen(&mut self) -> io::Result<()> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            crate::base::fs::private_dir(folder).map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn write(&mut self, batch: &[Arc<[u8]>]) -> io::Result<()> {
        let mut lines = Vec::with_capacity(batch.iter().map(|event| event.len() + 1).sum());
        for event in batch {
            let limit = self.keep.megabytes * MEGABYTE;
            let ahead = self.bytes + lines.len() as u64;
            if limit > 0 && self.file.is_some() && ahead > 0 && ahead + event.len() as u64 + 1 > limit {
                self.append(&lines)?;
                lines.clear();
                self.rotate()?;
            }
            lines.extend_from_slice(event);
            lines.push(b'\n');
        }
        self.append(&lines)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(lines)?,
            None => io::stdout().lock().write_all(lines)?,
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let now = Timestamp::from_nanos(self.clock.wall_nanos());
        let mut aside = self.aside(now);
        // Two in the same millisecond would be one.
        for more in 1.. {
            if !aside.exists() {
                break;
            }
            aside = self.aside(Timestamp::from_nanos(now.as_nanos() + more * 1_000_000));
        }
        fs::rename(&self.path, aside)?;
        self.reopen()?;
        self.prune();
        Ok(())
    }

    fn aside(&self, at: Timestamp) -> PathBuf {
        let (stem, extension) = self.names();
        let millis = at.as_nanos().rem_euclid(1_000_000_000) / 1_000_000;
        let moment = at.to_string().trim_end_matches('Z').replace(':', "-");
        self.path.with_file_name(format!("{stem}-{moment}.{millis:03}{extension}"))
    }

    fn names(&self) -> (String, String) {
        let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let extension = part(self.path.extension());
        (part(self.path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
    }

    /// Removes files that are too old or too many. One that cannot be removed is tried again next time.
    fn prune(&self) {
        let now = Timestamp::from_nanos(self.clock.wall_nanos()).as_secs();
        for (at, (moment, path)) in self.put_aside().into_iter().enumerate() {
            let too_many = self.keep.files > 0 && at >= self.keep.files;
            let too_old = self.keep.age_days > 0 && now - moment > i64::from(self.keep.age_days) * DAY_SECS;
            if (too_many || too_old)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove an old audit log");
            }
        }
    }

    /// Files put aside, newest first, with their moments.
    fn put_aside(&self) -> Vec<(i64, PathBuf)> {
        let (stem, extension) = self.names();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let moment = |name: &str| {
            let moment = name.strip_prefix(&format!("{stem}-"))?.strip_suffix(&extension)?;
            let (date, time) = moment.split_once('T')?;
            let secs = time.split('.').next()?.replace('-', ":");
            Some((moment.to_owned(), Timestamp::parse(&format!("{date}T{secs}Z"))?.as_secs()))
        };
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let mut found: Vec<(String, i64, PathBuf)> = entries
            .filter_map(|entry| {
                let (text, secs) = moment(entry.file_name().to_str()?)?;
                Some((text, secs, entry.path()))
            })
            .collect();
        found.sort_by(|a, b| b.0.cmp(&a.0));
        found.into_iter().map(|(_, secs, path)| (secs, path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::base::clock::ManualClock;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_full_file_is_put_aside_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::starting_at(1_800_000_000 * 1_000_000_000);
        let keep = Keep { age_days: 30, files: 2, megabytes: 1 };
        let path = folder.path().join("audit.log");
        let mut log = LogFile::open(&path, keep, clock.clone()).unwrap();
        let line: Arc<[u8]> = vec![b'x'; 600 * 1024].into();
        for _ in 0..4 {
            log.write(vec![line.clone()]).await.unwrap();
            clock.advance(Duration::from_secs(60));
        }
        assert_eq!(
            names(folder.path()),
            ["audit-2027-01-15T08-02-00.000.log", "audit-2027-01-15T08-03-00.000.log", "audit.log"]
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        clock.advance(Duration::from_secs(31 * 24 * 3_600));
        LogFile::open(&path, keep, clock).unwrap();
        assert_eq!(names(folder.path()), ["audit.log"]);
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::starting_at(0);
        let keep = Keep { age_days: 0, files: 0, megabytes: 0 };
        let path = folder.path().join("audit.log");
        for text in ["one", "two"] {
            let mut log = LogFile::open(&path, keep, clock.clone()).unwrap();
            log.write(vec![text.as_bytes().into()]).await.unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
