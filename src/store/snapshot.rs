//! Snapshot files: the whole state at one index, in one checksummed file.
//!
//! The log is truncated only up to a snapshot, so that snapshot and log together always hold
//! everything, whatever happens to the checkpoint. The format is in `docs/design/store.md`; a file
//! appears under its name only when it is complete and durable.

use std::io;
use std::path::{Path, PathBuf};

use super::base::{Base, Loader, Summary, encode_object};
use super::files::{Disk, DiskFile};
use super::wire::{Reader, WireError, checksum, put_bytes};

const MAGIC: &[u8; 8] = b"SKIFFSN1";
const SUFFIX: &str = ".snapshot";
const BLOCK_BYTES: usize = 256 << 10;
/// No block is larger: a block holds at least one object and ends soon after `BLOCK_BYTES`.
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot write snapshot {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read snapshot {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("snapshot {} is damaged", path.display())]
    Damaged { path: PathBuf, source: WireError },
}

/// Writes `base` into a file of `dir`, durably, and removes older snapshots.
pub(super) fn save(disk: &dyn Disk, dir: &Path, base: &Base) -> Result<PathBuf, SnapshotError> {
    let path = dir.join(format!("{:020}{SUFFIX}", base.state.position.index));
    export(disk, &path, base)?;
    for old in list(dir).into_iter().filter(|other| *other < path) {
        if let Err(error) = disk.remove(&old) {
            tracing::warn!(path = %old.display(), %error, "cannot remove an old snapshot");
        }
    }
    Ok(path)
}

/// Writes `base` into the file at `path`, durably: all of it is there, or no file.
pub(super) fn export(disk: &dyn Disk, path: &Path, base: &Base) -> Result<(), SnapshotError> {
    let partial = path.with_extension("partial");
    let written = write(disk, &partial, base)
        .and_then(|()| disk.rename(&partial, path))
        .and_then(|()| disk.sync_dir(path.parent().unwrap_or(Path::new("/"))))
        .inspect_err(|_| drop(disk.remove(&partial)));
    written.map_err(|source| SnapshotError::Write { path: path.to_owned(), source })
}

/// The snapshots in `dir`, newest first.
pub(super) fn list(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(SUFFIX));
    paths.sort_by(|a, b| b.cmp(a));
    paths
}

pub(super) fn load(disk: &dyn Disk, path: &Path) -> Result<Base, SnapshotError> {
    let damaged = |source| SnapshotError::Damaged { path: path.to_owned(), source };
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => damaged(WireError::Short { what: "a snapshot" }),
        _ => SnapshotError::Read { path: path.to_owned(), source },
    };
    let file = disk.open(path, false).map_err(unreadable)?;
    let mut input = Input { file, offset: 0 };
    let mut magic = [0; MAGIC.len()];
    input.fill(&mut magic).map_err(unreadable)?;
    if magic != *MAGIC {
        return Err(damaged(WireError::Value { what: "the head of a snapshot", value: u64::from_le_bytes(magic) }));
    }
    let mut loader = Loader::default();
    loop {
        match input.block().map_err(unreadable)?.map_err(damaged)? {
            Block::Records(bytes) => {
                let mut reader = Reader::new("a block of a snapshot", &bytes);
                while !reader.is_empty() {
                    reader.bytes().and_then(|record| loader.add(record)).map_err(damaged)?;
                }
            }
            Block::Summary(bytes) => {
                return Summary::decode(&bytes).and_then(|summary| loader.finish(summary)).map_err(damaged);
            }
        }
    }
}

fn write(disk: &dyn Disk, path: &Path, base: &Base) -> io::Result<()> {
    let mut output = Output { file: disk.create(path)?, offset: 0 };
    output.put(MAGIC)?;
    let mut block = Vec::with_capacity(BLOCK_BYTES + 8192);
    let mut sum = 0u64;
    for object in base.state.objects.values() {
        let record = encode_object(object);
        sum = sum.wrapping_add(checksum(&record).into());
        put_bytes(&mut block, &record);
        if block.len() >= BLOCK_BYTES {
            output.block(RECORDS, &block)?;
            block.clear();
        }
    }
    output.block(RECORDS, &block)?;
    output.block(SUMMARY, &Summary::of(base, sum).encode())?;
    output.file.sync()
}

const RECORDS: u8 = 1;
const SUMMARY: u8 = 2;

enum Block {
    Records(Vec<u8>),
    Summary(Vec<u8>),
}

struct Output {
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl Output {
    fn block(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let head = [&[kind][..], &len.to_le_bytes(), &checksum(bytes).to_le_bytes()].concat();
        self.put(&head)?;
        self.put(bytes)
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let len = self.file.write_at(bytes, self.offset)?;
            if len == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.offset += len as u64;
            bytes = &bytes[len..];
        }
        Ok(())
    }
}

struct Input {
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl Input {
    fn block(&mut self) -> io::Result<Result<Block, WireError>> {
        const WHAT: &str = "a block of a snapshot";
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let [kind, l0, l1, l2, l3, sum @ ..] = head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > BLOCK_BYTES_MAX {
            return Ok(Err(WireError::Value { what: WHAT, value: len as u64 }));
        }
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        if checksum(&bytes).to_le_bytes() != sum {
            return Ok(Err(WireError::Checksum { what: WHAT }));
        }
        Ok(match kind {
            RECORDS => Ok(Block::Records(bytes)),
            SUMMARY => Ok(Block::Summary(bytes)),
            other => Err(WireError::Value { what: WHAT, value: other.into() }),
        })
    }

    fn fill(&mut self, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match self.file.read_at(into, self.offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => {
                    self.offset += len as u64;
                    into = &mut into[len..];
                }
            }
        }
        Ok(())
    }
}
