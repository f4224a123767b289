//! The checkpoint: the state at some index, in sled. The only file that names it.
//!
//! A checkpoint is written behind, in batches, from a state that no longer changes. It is never what
//! makes a write durable: the log is. sled 0.34's `flush` survives the death of the process but not a
//! loss of power, so its files are fsynced before [`save`] says yes, and only then is the log
//! truncated. While batches are being written the checkpoint says that it is partial.
//!
//! sled writes two to three bytes for each that it is given, so it is given records that are compressed,
//! where that makes them shorter: `record = 0 bytes | 1 compressed:bytes`.
//!
//! sled is open only inside these functions: the state is in memory already. It knows the machine's files
//! only: on any other [`Disk`] the checkpoint is one file, written like a snapshot.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::base::{Base, Loader, Summary, encode_record, record_sum};
use super::command::OBJECT_BYTES_MAX;
use super::damage::{Damages, Part, Remedy};
use super::files::{Disk, quarantine};
use super::snapshot::{self, SnapshotError};
use super::state::Position;
use super::wire::WireError;
use crate::base::error::Chain;
use crate::base::seal::{Seal, SealError, SealRef};
use crate::object::{Key, Revision};

const SUMMARY: &[u8] = b"summary";
/// How the records are sealed; not there if none is.
const SEALED: &[u8] = b"sealed";
const PLAIN: u8 = 0;
const PACKED: u8 = 1;
/// An object with its key and numbers; sealing adds little.
const RECORD_BYTES_MAX: usize = OBJECT_BYTES_MAX + (64 << 10);
const CACHE_BYTES: u64 = 4 << 20;
const BATCH_BYTES: usize = 1 << 20;
const LOCK_TRIES_MAX: u32 = 100;
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot use the checkpoint in {}", dir.display())]
    Sled { dir: PathBuf, source: sled::Error },
    #[error("the checkpoint in {} is damaged", dir.display())]
    Damaged { dir: PathBuf, source: WireError },
    #[error("the checkpoint in {} cannot be opened: put the key back among this server's keys", dir.display())]
    Locked { dir: PathBuf, source: WireError },
    #[error("the checkpoint in {} cannot be encrypted", dir.display())]
    Seal { dir: PathBuf, source: SealError },
    #[error("the checkpoint in {} was not finished", dir.display())]
    Partial { dir: PathBuf },
    #[error("the checkpoint in {} is damaged: reading it ended in a panic", dir.display())]
    Panic { dir: PathBuf },
    #[error("cannot make {} durable", path.display())]
    Sync { path: PathBuf, source: io::Error },
    #[error("cannot use the checkpoint")]
    File(#[from] SnapshotError),
    #[error("cannot move {} aside", path.display())]
    Aside { path: PathBuf, source: io::Error },
}

impl CheckpointError {
    /// Whether what is on the disk is to blame: another try over it would fail like this one.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sled { source: sled::Error::Io(error), .. } => {
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
            }
            Self::Sled { .. } | Self::Damaged { .. } | Self::Partial { .. } | Self::Panic { .. } => true,
            Self::File(error) => matches!(error, SnapshotError::Damaged { .. }),
            Self::Sync { .. } | Self::Aside { .. } | Self::Locked { .. } | Self::Seal { .. } => false,
        }
    }
}

/// Reads the checkpoint in `dir`; `None` if there has never been one.
pub(super) fn load(disk: &dyn Disk, dir: &Path, seal: &SealRef) -> Result<Option<Base>, CheckpointError> {
    if !dir.exists() {
        return Ok(None);
    }
    if !disk.is_machine() {
        return Ok(Some(snapshot::load(disk, dir, seal)?));
    }
    guarded(dir, || read(dir, seal))
}

fn read(dir: &Path, seal: &SealRef) -> Result<Option<Base>, CheckpointError> {
    let db = open(dir)?;
    let Some(summary) = read_summary(&db, dir)? else { return Err(CheckpointError::Partial { dir: dir.to_owned() }) };
    let mut loader = Loader::new(seal.clone());
    for item in db.iter() {
        let (_, record) = item.map_err(|source| failed(dir, source))?;
        unpack(&record).and_then(|record| loader.add(&record)).map_err(|source| damaged(dir, source))?;
    }
    loader.finish(summary).map(Some).map_err(|source| damaged(dir, source))
}

/// Brings the checkpoint in `dir` to `base`, durably.
///
/// `changed` are the keys written since `since`, where the last checkpoint was taken; when `dir` holds
/// any other checkpoint, or none, everything is written. One that is damaged is moved aside first; one
/// that is sealed in another way is removed, since sled keeps what was overwritten for a while: by then
/// the same is in a snapshot.
pub(super) fn save(
    disk: &dyn Disk,
    dir: &Path,
    base: &Base,
    since: Position,
    changed: &BTreeMap<Key, Revision>,
    seal: &dyn Seal,
    damages: &Damages,
) -> Result<(), CheckpointError> {
    if !disk.is_machine() {
        return Ok(snapshot::export(disk, dir, base, seal, false)?);
    }
    if dir.exists() && guarded(dir, || sealed_as(dir)).is_ok_and(|found| found != seal.generation()) {
        remove(dir)?;
    }
    let write = || guarded(dir, || write(dir, base, since, changed, seal));
    match write() {
        Err(error) if error.is_damage() => {
            let aside =
                quarantine(disk, dir).map_err(|source| CheckpointError::Aside { path: dir.to_owned(), source })?;
            tracing::error!(error = %Chain(&error), "the checkpoint cannot be used");
            damages.add(Part::Checkpoint, dir, Remedy::Replaced { aside });
            write()
        }
        done => done,
    }
}

/// sled panics over some damages.
fn guarded<T>(dir: &Path, work: impl FnOnce() -> Result<T, CheckpointError>) -> Result<T, CheckpointError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(CheckpointError::Panic { dir: dir.to_owned() }))
}

/// Takes away the checkpoint in `dir`.
pub(super) fn remove(dir: &Path) -> Result<(), CheckpointError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CheckpointError::Aside { path: dir.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn sealed_as(dir: &Path) -> Result<u64, CheckpointError> {
    let meta = open(dir)?.open_tree("meta").map_err(|source| failed(dir, source))?;
    let found = meta.get(SEALED).map_err(|source| failed(dir, source))?;
    Ok(found.and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?))).unwrap_or_default())
}

fn write(
    dir: &Path,
    base: &Base,
    since: Position,
    changed: &BTreeMap<Key, Revision>,
    seal: &dyn Seal,
) -> Result<(), CheckpointError> {
    let db = open(dir)?;
    let known = read_summary(&db, dir).ok().flatten().is_some_and(|summary| summary.position == since);
    let meta = db.open_tree("meta").map_err(|source| failed(dir, source))?;
    let begun = meta.remove(SUMMARY).and_then(|_| match seal.generation() {
        0 => meta.remove(SEALED),
        generation => meta.insert(SEALED, &generation.to_le_bytes()),
    });
    begun.and_then(|_| db.flush()).map_err(|source| failed(dir, source))?;

    let mut writer = Writer { db: &db, batch: sled::Batch::default(), bytes: 0, seal, dir };
    let written = match known {
        true => changed.keys().try_for_each(|key| writer.set(key, &base.state)),
        false => db
            .clear()
            .map_err(|source| failed(dir, source))
            .and_then(|()| base.state.objects.keys().try_for_each(|key| writer.set(key, &base.state))),
    };
    written.and_then(|()| writer.flush())?;

    let sum = base.state.objects.values().map(|object| record_sum(object, seal));
    let summary = Summary::of(base, sum.fold(0, u64::wrapping_add));
    meta.insert(SUMMARY, summary.encode()).and_then(|_| db.flush()).map_err(|source| failed(dir, source))?;
    drop((meta, db));
    sync_all(dir)
}

struct Writer<'a> {
    db: &'a sled::Db,
    batch: sled::Batch,
    bytes: usize,
    seal: &'a dyn Seal,
    dir: &'a Path,
}

impl Writer<'_> {
    fn set(&mut self, key: &Key, state: &super::State) -> Result<(), CheckpointError> {
        match state.get(key) {
            Some(object) => {
                let sealed = encode_record(object, self.seal);
                let (record, _) =
                    sealed.map_err(|source| CheckpointError::Seal { dir: self.dir.to_owned(), source })?;
                let record = pack(&record);
                self.bytes += record.len();
                self.batch.insert(key.as_str().as_bytes(), record);
            }
            None => self.batch.remove(key.as_str().as_bytes()),
        }
        if self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CheckpointError> {
        self.bytes = 0;
        self.db.apply_batch(std::mem::take(&mut self.batch)).map_err(|source| failed(self.dir, source))
    }
}

/// A record as it lies in sled.
fn pack(record: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::compress_prepend_size(record);
    match packed.len() < record.len() {
        true => [&[PACKED][..], &packed].concat(),
        false => [&[PLAIN][..], record].concat(),
    }
}

fn unpack(stored: &[u8]) -> Result<Cow<'_, [u8]>, WireError> {
    const WHAT: &str = "a record of the checkpoint";
    match stored.split_first() {
        Some((&PLAIN, record)) => Ok(record.into()),
        Some((&PACKED, packed)) => {
            let len = packed.first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
            if len as usize > RECORD_BYTES_MAX {
                return Err(WireError::Value { what: WHAT, value: len.into() });
            }
            let record = lz4_flex::decompress_size_prepended(packed);
            record.map(Cow::Owned).map_err(|_| WireError::Checksum { what: WHAT })
        }
        other => Err(WireError::Value { what: WHAT, value: other.map_or(0, |(kind, _)| (*kind).into()) }),
    }
}

/// sled's own threads may hold its lock for a moment after the last use in this process.
fn open(dir: &Path) -> Result<sled::Db, CheckpointError> {
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let mut tries = 0..LOCK_TRIES_MAX;
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock && tries.next().is_some() => {
                std::thread::sleep(LOCK_RETRY);
            }
            opened => return opened.map_err(|source| failed(dir, source)),
        }
    }
}

/// `None` when a checkpoint was begun and not finished, or never begun.
fn read_summary(db: &sled::Db, dir: &Path) -> Result<Option<Summary>, CheckpointError> {
    let stored = db.open_tree("meta").and_then(|meta| meta.get(SUMMARY)).map_err(|source| failed(dir, source))?;
    stored.map(|bytes| Summary::decode(&bytes)).transpose().map_err(|source| damaged(dir, source))
}

/// Makes every file and name below `dir` durable.
fn sync_all(dir: &Path) -> Result<(), CheckpointError> {
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    let entries = std::fs::read_dir(dir).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let entries = entries.map_err(|source| CheckpointError::Sync { path: dir.to_owned(), source })?;
    for path in entries.iter().map(std::fs::DirEntry::path) {
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            sync(&path).map_err(|source| CheckpointError::Sync { path, source })?;
        }
    }
    sync(dir).map_err(|source| CheckpointError::Sync { path: dir.to_owned(), source })
}

fn failed(dir: &Path, source: sled::Error) -> CheckpointError {
    CheckpointError::Sled { dir: dir.to_owned(), source }
}

fn damaged(dir: &Path, source: WireError) -> CheckpointError {
    let dir = dir.to_owned();
    match source.is_locked() {
        true => CheckpointError::Locked { dir, source },
        false => CheckpointError::Damaged { dir, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_lie_in_sled_as_short_as_they_can_be() {
        let text = r#"{"kind":"Pod","metadata":{"name":"a"}}"#.repeat(40);
        let packed = pack(text.as_bytes());
        assert!(packed.len() < text.len() / 4 && unpack(&packed).unwrap() == text.as_bytes());
        assert_eq!((pack(b"x"), unpack(&pack(b"x")).unwrap().as_ref()), (vec![PLAIN, b'x'], &b"x"[..]));
        for damaged in [&b""[..], &[7], &[PACKED, 1], &[PACKED, 0xff, 0xff, 0xff, 0x7f, 0], &[PACKED, 9, 0, 0, 0, 0x10]]
        {
            assert!(unpack(damaged).is_err(), "{damaged:?}");
        }
    }
}
