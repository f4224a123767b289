//! Snapshot files: the whole state at one index, in one checksummed file.
//!
//! The log is truncated only up to a snapshot, so that snapshot and log together always hold
//! everything, whatever happens to the checkpoint. The format is in `docs/design/store.md`; a file
//! appears under its name only when it is complete and durable. One that a user asked for may be
//! compressed, which readers see from its first bytes.

use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::base::{Base, Loader, Summary, encode_record};
use super::files::{Disk, DiskFile};
use super::wire::{Reader, WireError, checksum, put_bytes};
use crate::base::seal::{Seal, SealError, SealRef};

const MAGIC: &[u8; 7] = b"SKIFFSN";
/// Formats: 1, and 2 if there may be encrypted records in it.
const PLAIN: u8 = b'1';
const SEALED: u8 = b'2';
const GZIP: [u8; 2] = [0x1f, 0x8b];
const SUFFIX: &str = ".snapshot";
const BLOCK_BYTES: usize = 256 << 10;
/// No block is larger: a block holds at least one object and ends soon after `BLOCK_BYTES`.
const BLOCK_BYTES_MAX: usize = 4 << 20;

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
    #[error("snapshot {} has format {found} of a newer skiff, this one reads up to 2: install the newer version", path.display())]
    Newer { path: PathBuf, found: char },
    #[error("snapshot {} cannot be opened: put the key among this server's keys, or name the file that holds it", path.display())]
    Locked { path: PathBuf, source: WireError },
}

/// Writes `base` into a file of `dir`, durably, and removes older snapshots.
pub(super) fn save(disk: &dyn Disk, dir: &Path, base: &Base, seal: &dyn Seal) -> Result<PathBuf, SnapshotError> {
    let path = dir.join(format!("{:020}{SUFFIX}", base.state.position.index));
    export(disk, &path, base, seal, false)?;
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
    compress: bool,
) -> Result<(), SnapshotError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SnapshotError::Full { path: path.to_owned() },
        _ => SnapshotError::Write { path: path.to_owned(), source },
    };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let place = || disk.rename(&partial, path).and_then(|()| disk.sync_dir(path.parent().unwrap_or(Path::new("/"))));
    let written = disk.create(&partial).map_err(Failure::Io).and_then(|file| write(file, base, seal, compress));
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

pub(super) fn load(disk: &dyn Disk, path: &Path, seal: &SealRef) -> Result<Base, SnapshotError> {
    let damaged = |source: WireError| match source.is_locked() {
        true => SnapshotError::Locked { path: path.to_owned(), source },
        false => SnapshotError::Damaged { path: path.to_owned(), source },
    };
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => damaged(WireError::Short { what: "a snapshot" }),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            damaged(WireError::Checksum { what: "a compressed snapshot" })
        }
        _ => SnapshotError::Read { path: path.to_owned(), source },
    };
    let mut input = open(disk, path).map_err(unreadable)?;
    let mut magic = [0; MAGIC.len() + 1];
    input.read_exact(&mut magic).map_err(unreadable)?;
    let [name @ .., format] = &magic;
    match (name == MAGIC, *format) {
        (true, PLAIN | SEALED) => (),
        (true, newer) => return Err(SnapshotError::Newer { path: path.to_owned(), found: char::from(newer) }),
        (false, _) => {
            return Err(damaged(WireError::Value { what: "the head of a snapshot", value: u64::from_le_bytes(magic) }));
        }
    }
    let mut loader = Loader::new(seal.clone());
    loop {
        match block(&mut *input).map_err(unreadable)?.map_err(damaged)? {
            Block::Records(bytes) => {
                let mut reader = Reader::new("a block of a snapshot", &bytes);
                while !reader.is_empty() {
                    reader.bytes().and_then(|record| loader.add(record)).map_err(damaged)?;
                }
            }
            Block::Summary(bytes) => {
                let base = Summary::decode(&bytes).and_then(|summary| loader.finish(summary)).map_err(damaged)?;
                // Reading on to the end makes a compressed file's own checksum count.
                return match io::copy(&mut input, &mut io::sink()).map_err(unreadable)? {
                    0 => Ok(base),
                    value => Err(damaged(WireError::Value { what: "the end of a snapshot", value })),
                };
            }
        }
    }
}

fn open(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn Read>> {
    let file = disk.open(path, false)?;
    let mut start = [0; GZIP.len()];
    let is_gzip = file.read_at(&mut start, 0)? == GZIP.len() && start == GZIP;
    let reader = FileReader { file, offset: 0 };
    Ok(match is_gzip {
        true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BLOCK_BYTES, reader))),
        false => Box::new(reader),
    })
}

/// Why a file could not be written.
enum Failure {
    Io(io::Error),
    Seal(SealError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn write(file: Box<dyn DiskFile>, base: &Base, seal: &dyn Seal, compress: bool) -> Result<(), Failure> {
    let output = FileWriter { file, offset: 0 };
    let output = match compress {
        true => {
            let mut packed = GzEncoder::new(output, Compression::default());
            write_blocks(&mut packed, base, seal)?;
            packed.finish()?
        }
        false => {
            let mut output = output;
            write_blocks(&mut output, base, seal)?;
            output
        }
    };
    Ok(output.file.sync()?)
}

fn write_blocks(output: &mut dyn Write, base: &Base, seal: &dyn Seal) -> Result<(), Failure> {
    output.write_all(MAGIC)?;
    output.write_all(&[if seal.generation() == 0 { PLAIN } else { SEALED }])?;
    let mut block = Vec::with_capacity(BLOCK_BYTES + 8192);
    let mut sum = 0u64;
    for object in base.state.objects.values() {
        let (record, adds) = encode_record(object, seal).map_err(Failure::Seal)?;
        sum = sum.wrapping_add(adds);
        put_bytes(&mut block, &record);
        if block.len() >= BLOCK_BYTES {
            put_block(output, RECORDS, &block)?;
            block.clear();
        }
    }
    put_block(output, RECORDS, &block)?;
    Ok(put_block(output, SUMMARY, &Summary::of(base, sum).encode())?)
}

const RECORDS: u8 = 1;
const SUMMARY: u8 = 2;

enum Block {
    Records(Vec<u8>),
    Summary(Vec<u8>),
}

fn put_block(output: &mut dyn Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let head = [&[kind][..], &len.to_le_bytes(), &checksum(bytes).to_le_bytes()].concat();
    output.write_all(&head)?;
    output.write_all(bytes)
}

fn block(input: &mut dyn Read) -> io::Result<Result<Block, WireError>> {
    const WHAT: &str = "a block of a snapshot";
    let mut head = [0; 9];
    input.read_exact(&mut head)?;
    let [kind, l0, l1, l2, l3, sum @ ..] = head;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if len > BLOCK_BYTES_MAX {
        return Ok(Err(WireError::Value { what: WHAT, value: len as u64 }));
    }
    let mut bytes = vec![0; len];
    input.read_exact(&mut bytes)?;
    if checksum(&bytes).to_le_bytes() != sum {
        return Ok(Err(WireError::Checksum { what: WHAT }));
    }
    Ok(match kind {
        RECORDS => Ok(Block::Records(bytes)),
        SUMMARY => Ok(Block::Summary(bytes)),
        other => Err(WireError::Value { what: WHAT, value: other.into() }),
    })
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
