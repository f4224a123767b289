//! The durable log: entries and the vote, each batch with one fsync.
//!
//! Whatever [`Log::append`] said yes to is on the disk. Torn bytes behind the last complete batch are
//! dropped when the log is opened; they were never acknowledged. An append for which there was no space
//! leaves nothing behind and may be tried again; after a failed fsync nothing may be tried again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protobuf::Message as _;
use protobuf::well_known_types::BytesValue;
use raft::eraftpb::{Entry, EntryType, HardState};
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::engine_files::EngineFiles;
use crate::base::seal::{Seal, SealRef};
use crate::base::service::Scope;
use crate::store::entry;
use crate::store::files::DiskRef;
use crate::store::state::Position;
use crate::store::wire::{Reader, WireError, put_u64};

/// One raft group: the store.
const GROUP: u64 = 1;
const HARD_STATE: &[u8] = b"hard";
const BASE: &[u8] = b"base";

/// Why the log cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot open the log in {}", dir.display())]
    Open { dir: PathBuf, source: raft_engine::Error },
    #[error("there is no space for the log")]
    Full,
    #[error("what was written to the log may not be on the disk: {reason}")]
    Failed { reason: Arc<str> },
    #[error("cannot read the log's {what}")]
    Read { what: &'static str, source: raft_engine::Error },
    #[error("cannot read the log's {what}")]
    Decode { what: &'static str, source: WireError },
}

impl LogError {
    /// Whether there was no space.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Open { source: raft_engine::Error::Io(error), .. } => is_full(error),
            _ => false,
        }
    }
}

/// What must be durable before anything that depends on it is told to anybody.
#[derive(Debug, Default)]
pub(super) struct LogWrite {
    /// A snapshot takes the place of everything up to here, and of what was there behind it.
    pub reset: Option<Position>,
    pub entries: Vec<Entry>,
    pub hard_state: Option<HardState>,
    /// The entries up to here are in a checkpoint: their space is given back.
    pub cut: Option<Position>,
    /// What is kept of the entries before these is written again, as it is to be sealed now.
    pub renew: bool,
}

/// What the log holds when it is opened.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub hard_state: HardState,
    /// The last entry that was truncated away; the first kept one follows it.
    pub base: Position,
    pub last: Position,
}

pub(super) struct Log {
    engine: Engine<EngineFiles>,
    files: Arc<EngineFiles>,
    seal: SealRef,
}

/// How entries lie in the engine: index, then raft's own encoding.
struct Stored;

impl MessageExt for Stored {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |index| u64::from_le_bytes(*index))
    }
}

impl Log {
    pub fn open(dir: &Path, disk: DiskRef, seal: SealRef, file_bytes: u64) -> Result<Self, LogError> {
        let files = Arc::new(EngineFiles::new(disk));
        let config = Config {
            dir: dir.to_string_lossy().into_owned(),
            recovery_threads: 2,
            target_file_size: ReadableSize(file_bytes),
            purge_threshold: ReadableSize(file_bytes),
            // Behind the end of a file there must be nothing but zeros: torn and damaged look different then.
            enable_log_recycle: false,
            ..Config::default()
        };
        let opened = Engine::open_with_file_system(config, files.clone());
        let engine = opened.map_err(|source| LogError::Open { dir: dir.to_owned(), source })?;
        Ok(Self { engine, files, seal })
    }

    /// How many bytes went to the disk since it was opened: entries are compressed.
    pub fn written(&self) -> u64 {
        self.files.written()
    }

    pub fn saved(&self) -> Result<Saved, LogError> {
        let mut saved = Saved::default();
        if let Some(bytes) = self.engine.get(GROUP, HARD_STATE) {
            let damaged = |source| LogError::Read { what: "vote", source: raft_engine::Error::Protobuf(source) };
            saved.hard_state.merge_from_bytes(&bytes).map_err(damaged)?;
        }
        if let Some(bytes) = self.engine.get(GROUP, BASE) {
            saved.base = decode_base(&bytes).map_err(|source| LogError::Decode { what: "base", source })?;
        }
        saved.last = match self.engine.last_index(GROUP) {
            Some(index) => Position { index, term: self.term(index)? },
            None => saved.base,
        };
        Ok(saved)
    }

    /// Makes `write` durable.
    pub fn append(&self, write: &LogWrite) -> Result<(), LogError> {
        let mut batch = LogBatch::with_capacity(2);
        if let Some(base) = write.reset {
            batch.add_command(GROUP, Command::Clean);
            batch.put(GROUP, BASE.to_vec(), encode_base(base)).map_err(failed)?;
        }
        let seal = self.seal.now();
        let kept = if write.renew { self.kept_before(write)? } else { Vec::new() };
        let stored =
            kept.iter().chain(&write.entries).map(|entry| store_entry(entry, &*seal)).collect::<Result<Vec<_>, _>>()?;
        batch.add_entries::<Stored>(GROUP, &stored).map_err(failed)?;
        drop((kept, stored));
        if let Some(hard_state) = &write.hard_state {
            put_hard_state(&mut batch, hard_state)?;
        }
        let Some(base) = write.cut else { return self.write(batch) };
        batch.add_command(GROUP, Command::Compact { index: base.index + 1 });
        batch.put(GROUP, BASE.to_vec(), encode_base(base)).map_err(failed)?;
        self.write(batch)?;
        if let Err(error) = Scope::apart(|| self.engine.purge_expired_files()) {
            tracing::warn!(%error, "cannot give back the space of old log entries; trying again with the next cut");
        }
        Ok(())
    }

    /// The entries in `low..high`, as many as fit in `bytes_max`, but one at least.
    pub fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, LogError> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let mut stored = Vec::new();
        // The library keeps the last block by thread and place in the file, whichever engine read it.
        let read =
            Scope::apart(|| self.engine.fetch_entries_to::<Stored>(GROUP, low, high, Some(bytes_max), &mut stored));
        read.map_err(|source| LogError::Read { what: "entries", source })?;
        stored.iter().map(|stored| load_entry(stored, &*self.seal)).collect()
    }

    /// The entries that stay when `write` is there.
    fn kept_before(&self, write: &LogWrite) -> Result<Vec<Entry>, LogError> {
        let ends = |last: u64| write.entries.first().map_or(last + 1, |entry| entry.index);
        let (first, last) = (self.engine.first_index(GROUP), self.engine.last_index(GROUP));
        let (Some(first), Some(last), None) = (first, last, write.reset) else { return Ok(Vec::new()) };
        let (low, high) = (write.cut.map_or(first, |base| first.max(base.index + 1)), ends(last));
        if low >= high { Ok(Vec::new()) } else { self.entries(low, high, u64::MAX) }
    }

    pub fn term(&self, index: u64) -> Result<u64, LogError> {
        let missing = || LogError::Read { what: "entry", source: raft_engine::Error::EntryNotFound };
        Ok(self.entries(index, index + 1, 0)?.first().ok_or_else(missing)?.term)
    }

    /// Takes what was cut out of the files too: what is left is written again, and every older file is
    /// removed. Other appends may go on.
    pub fn scrub(&self) -> Result<(), LogError> {
        let manager = self.engine.purge_manager();
        // The library panics where it cannot write.
        let scrubbed = catch_unwind(AssertUnwindSafe(|| {
            manager.must_rewrite_append_queue(None, None);
            manager.must_rewrite_rewrite_queue();
        }));
        if let Some(reason) = self.files.failure() {
            return Err(LogError::Failed { reason });
        }
        scrubbed.map_err(|_| LogError::Full)
    }

    /// Forgets every entry and goes on behind `base`.
    pub fn reset(&self, base: Position, hard_state: &HardState) -> Result<(), LogError> {
        self.append(&LogWrite { reset: Some(base), hard_state: Some(hard_state.clone()), ..LogWrite::default() })
    }

    fn write(&self, mut batch: LogBatch) -> Result<(), LogError> {
        if let Some(reason) = self.files.failure() {
            return Err(LogError::Failed { reason });
        }
        let written = self.engine.write(&mut batch, true);
        if let Some(reason) = self.files.failure() {
            return Err(LogError::Failed { reason });
        }
        written.map(|_| ()).map_err(failed)
    }
}

/// Errors after which an append may be repeated are told from those after which it may not.
fn failed(error: raft_engine::Error) -> LogError {
    match error {
        raft_engine::Error::TryAgain(_) => LogError::Full,
        raft_engine::Error::Io(error) if is_full(&error) => LogError::Full,
        other => LogError::Failed { reason: other.to_string().into() },
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn put_hard_state(batch: &mut LogBatch, hard_state: &HardState) -> Result<(), LogError> {
    let bytes = hard_state.write_to_bytes().map_err(|error| failed(error.into()))?;
    batch.put(GROUP, HARD_STATE.to_vec(), bytes).map_err(failed)
}

fn store_entry(entry: &Entry, seal: &dyn Seal) -> Result<BytesValue, LogError> {
    let at = Position { index: entry.index, term: entry.term };
    let sealed = match entry.get_entry_type() {
        EntryType::EntryNormal => entry::seal(&entry.data, at, seal),
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => Ok(None),
    };
    let sealed = sealed.map_err(|source| LogError::Decode { what: "entry", source })?;
    let sealed = sealed.map(|data| Entry { data: data.into(), ..entry.clone() });
    let encoded = sealed.as_ref().unwrap_or(entry).write_to_bytes().map_err(|error| failed(error.into()))?;
    let mut stored = BytesValue::new();
    stored.value.reserve_exact(8 + encoded.len());
    stored.value.extend_from_slice(&entry.index.to_le_bytes());
    stored.value.extend_from_slice(&encoded);
    Ok(stored)
}

fn load_entry(stored: &BytesValue, seal: &dyn Seal) -> Result<Entry, LogError> {
    let mut entry = Entry::default();
    let damaged = |source| LogError::Read { what: "entry", source: raft_engine::Error::Protobuf(source) };
    entry.merge_from_bytes(stored.value.get(8..).unwrap_or_default()).map_err(damaged)?;
    let at = Position { index: entry.index, term: entry.term };
    let opened = match entry.get_entry_type() {
        EntryType::EntryNormal => entry::open(&entry.data, at, seal),
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => Ok(None),
    };
    if let Some(data) = opened.map_err(|source| LogError::Decode { what: "entry", source })? {
        entry.data = data.into();
    }
    Ok(entry)
}

fn encode_base(base: Position) -> Vec<u8> {
    let mut out = Vec::new();
    put_u64(&mut out, base.index);
    put_u64(&mut out, base.term);
    out
}

fn decode_base(bytes: &[u8]) -> Result<Position, WireError> {
    let mut reader = Reader::new("the log's base", bytes);
    Ok(Position { index: reader.u64()?, term: reader.u64()? })
}
