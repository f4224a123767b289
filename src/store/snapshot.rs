//! Snapshot files: the whole state at one index, in one checksummed file.
//!
//! The log is truncated only up to a snapshot, so that snapshot and log together always hold
//! everything, whatever happens to the second copy. The format is in `docs/design/store.md`; a file
//! appears under its name only when it is complete and durable. How it is packed readers see from the
//! file itself.

use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::base::{Base, Loader, Summary};
use super::blocks::{self, Block, Failure, Head};
use super::files::{Disk, DiskFile};
use super::wire::WireError;
use crate::base::seal::{Seal, SealError, SealRef};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const SUFFIX: &str = ".snapshot";
const PARTIAL: &str = ".partial";
/// How much of a file is read at once.
const READ_BYTES: usize = 256 << 10;

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot write snapshot {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("there is no space for snapshot {}: nothing was written; free some, or choose another folder", path.display())]
    Full { path: PathBuf },
    #[error("cannot encrypt snapshot {}", path.display())]
    Seal { path: PathBuf, source: SealError },
    #[error("cannot read snapshot {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("snapshot {} is damaged", path.display())]
    Damaged { path: PathBuf, source: WireError },
    #[error("snapshot {} has format {found} of a newer skiff, this one reads up to 3: install the newer version", path.display())]
    Newer { path: PathBuf, found: char },
    #[error("snapshot {} cannot be opened: put the key among this server's keys, or name the file that holds it", path.display())]
    Locked { path: PathBuf, source: WireError },
}

/// How a snapshot is made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    /// Each block by itself with LZ4, where that helps: costs next to nothing.
    Blocks,
    /// The file as a whole: smaller by half again, and slow. Any tool unpacks it.
    Gzip,
}

/// Writes `base` into a file of `dir`, durably, and removes older snapshots.
pub(super) fn save(disk: &dyn Disk, dir: &Path, base: &Base, seal: &dyn Seal) -> Result<PathBuf, SnapshotError> {
    let path = dir.join(format!("{:020}{SUFFIX}", base.state.position.index));
    export(disk, &path, base, seal, Packing::Blocks)?;
    for old in list(dir).into_iter().filter(|other| *other < path) {
        if let Err(error) = disk.remove(&old) {
            tracing::warn!(path = %old.display(), %error, "cannot remove an old snapshot");
        }
    }
    Ok(path)
}

/// Writes `base` into the file at `path`, durably: all of it is there, or no file.
pub(super) fn export(
    disk: &dyn Disk,
    path: &Path,
    base: &Base,
    seal: &dyn Seal,
    packing: Packing,
) -> Result<(), SnapshotError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SnapshotError::Full { path: path.to_owned() },
        _ => SnapshotError::Write { path: path.to_owned(), source },
    };
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    let place = || disk.rename(&partial, path).and_then(|()| disk.sync_dir(path.parent().unwrap_or(Path::new("/"))));
    let written = disk.create(&partial).map_err(Failure::Io).and_then(|file| write(file, base, seal, packing));
    let written = written.and_then(|()| place().map_err(Failure::Io));
    written.inspect_err(|_| drop(disk.remove(&partial))).map_err(|failure| match failure {
        Failure::Io(source) => failed(source),
        Failure::Seal(source) => SnapshotError::Seal { path: path.to_owned(), source },
    })
}

/// The snapshots in `dir`, newest first.
pub(super) fn list(dir: &Path) -> Vec<PathBuf> {
    list_by(dir, |name| name.ends_with(SUFFIX))
}

/// Takes away what a crash left half written in `dir`, while nobody writes there.
pub(super) fn clear(disk: &dyn Disk, dir: &Path) {
    for path in list_by(dir, |name| name.ends_with(PARTIAL)) {
        if let Err(error) = disk.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove half a snapshot");
        }
    }
}

/// What is in `dir` besides: damaged snapshots, and those that a crash left half written.
pub(super) fn list_aside(dir: &Path) -> Vec<PathBuf> {
    list_by(dir, |name| !name.ends_with(SUFFIX))
}

fn list_by(dir: &Path, is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| is_meant(&path.to_string_lossy()));
    paths.sort_by(|a, b| b.cmp(a));
    paths
}

/// Reads the snapshot at `path`, and puts the state together.
pub(super) fn load(disk: &dyn Disk, path: &Path, seal: &SealRef) -> Result<Base, SnapshotError> {
    let damaged = |source| damaged(path, source);
    let mut loader = Loader::new(seal.clone());
    let summary = read(disk, path, |block| block.records(|record| loader.add(record).map(drop)).map_err(damaged))?;
    Summary::decode(&summary).and_then(|summary| loader.finish(summary)).map_err(damaged)
}

/// Whether all bytes of the snapshot at `path` are as they were written.
pub(super) fn check(disk: &dyn Disk, path: &Path) -> Result<(), SnapshotError> {
    read(disk, path, |_| Ok(())).map(drop)
}

/// Gives each block of records to `take`; tells the summary behind them.
fn read(
    disk: &dyn Disk,
    path: &Path,
    mut take: impl FnMut(&Block) -> Result<(), SnapshotError>,
) -> Result<Vec<u8>, SnapshotError> {
    let damaged = |source| damaged(path, source);
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => damaged(WireError::Short { what: "a snapshot" }),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            damaged(WireError::Checksum { what: "a compressed snapshot" })
        }
        _ => SnapshotError::Read { path: path.to_owned(), source },
    };
    let mut input = open(disk, path).map_err(unreadable)?;
    match blocks::head(&mut *input).map_err(unreadable)? {
        Head::Known => (),
        Head::Newer(found) => return Err(SnapshotError::Newer { path: path.to_owned(), found }),
        Head::Foreign(value) => return Err(damaged(WireError::Value { what: "the head of a snapshot", value })),
    }
    loop {
        let block = blocks::next(&mut *input).map_err(unreadable)?.map_err(damaged)?;
        if !block.is_summary() {
            take(&block)?;
            continue;
        }
        // Reading on to the end makes a compressed file's own checksum count.
        return match io::copy(&mut input, &mut io::sink()).map_err(unreadable)? {
            0 => Ok(block.bytes),
            value => Err(damaged(WireError::Value { what: "the end of a snapshot", value })),
        };
    }
}

fn damaged(path: &Path, source: WireError) -> SnapshotError {
    match source.is_locked() {
        true => SnapshotError::Locked { path: path.to_owned(), source },
        false => SnapshotError::Damaged { path: path.to_owned(), source },
    }
}

fn open(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn Read>> {
    let file = disk.open(path, false)?;
    let mut start = [0; GZIP.len()];
    let is_gzip = file.read_at(&mut start, 0)? == GZIP.len() && start == GZIP;
    let reader = FileReader { file, offset: 0 };
    Ok(match is_gzip {
        true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, reader))),
        false => Box::new(reader),
    })
}

fn write(file: Box<dyn DiskFile>, base: &Base, seal: &dyn Seal, packing: Packing) -> Result<(), Failure> {
    let mut output = FileWriter { file, offset: 0 };
    match packing {
        Packing::None => blocks::write(&mut output, base, seal, false)?,
        Packing::Blocks => blocks::write(&mut output, base, seal, true)?,
        Packing::Gzip => {
            let mut packed = GzEncoder::new(output, Compression::default());
            blocks::write(&mut packed, base, seal, false)?;
            output = packed.finish()?;
        }
    }
    Ok(output.file.sync()?)
}

struct FileWriter {
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write_at(bytes, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct FileReader {
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl Read for FileReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(into, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }
}
