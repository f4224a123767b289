//! A disk whose power can be cut: what was not synced is gone, or there in part.
//!
//! Contents are in memory, twice: as programs see them and as the platters hold them. Empty files of
//! the same names lie in a real folder, since the log library looks for its files there. Whoever
//! opened a file before a crash can do nothing to it afterwards.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::dice::Dice;
use super::trace::Trace;
use crate::store::files::{Disk, DiskFile, DiskRef, SystemDisk};

/// What survives a loss of power of a write that was not synced survives in pieces of this size.
const SECTOR: u64 = 512;

thread_local! {
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static JITTER: RefCell<Option<Dice>> = const { RefCell::new(None) };
}

/// Lets this thread's blocking work take as long as the disks say, and wait a little before.
pub fn simulate_time(dice: Dice) {
    JITTER.set(Some(dice));
    SPENT.set(Duration::ZERO);
    crate::base::service::Scope::simulate_blocking(pace);
}

fn pace() -> Duration {
    let jitter = JITTER.with_borrow(|dice| dice.as_ref().map_or(0, |dice| dice.below(2_000)));
    SPENT.take() + Duration::from_micros(jitter)
}

fn spend(micros: u64) {
    SPENT.set(SPENT.get() + Duration::from_micros(micros));
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub full: bool,
    /// An fsync says no, and takes what was to be synced for clean: it is seen until the next loss of power.
    pub fails_to_sync: bool,
    /// Every read says no.
    pub fails_to_read: bool,
    /// An operation takes so many times as long.
    pub slow: u64,
}

/// Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Inner>>);

struct Inner {
    root: PathBuf,
    names: BTreeMap<PathBuf, FileRef>,
    durable: BTreeMap<PathBuf, FileRef>,
    /// What was done to names since their folders were synced, in order.
    pending: Vec<NameOp>,
    faults: Faults,
    dice: Dice,
    trace: Trace,
    boot: u64,
    /// So many operations later the power fails.
    cut_after: Option<u64>,
}

#[derive(Clone)]
enum NameOp {
    Set(PathBuf, FileRef),
    Gone(PathBuf),
}

type FileRef = Arc<Mutex<Data>>;

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Behind `bytes` there are zeros up to here.
    len: u64,
}

#[derive(Default)]
struct Data {
    seen: Content,
    durable: Content,
    dirty: Vec<Change>,
}

#[derive(Clone, Copy)]
enum Change {
    Write { at: u64, len: u64 },
    Len(u64),
}

impl Content {
    fn resize(&mut self, len: u64) {
        self.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        self.len = len;
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let (start, end) = (at as usize, at as usize + bytes.len());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        self.len = self.len.max(end as u64);
    }

    fn read(&self, at: u64, into: &mut [u8]) -> usize {
        let len = self.len.saturating_sub(at).min(into.len() as u64) as usize;
        let known = self.bytes.get(at as usize..).unwrap_or_default();
        let known = &known[..known.len().min(len)];
        into[..known.len()].copy_from_slice(known);
        into[known.len()..len].fill(0);
        len
    }

    /// What stands at `at..at + len` in `other`.
    fn copy(&mut self, other: &Self, at: u64, len: u64) {
        let mut piece = vec![0; len as usize];
        let read = other.read(at, &mut piece);
        self.write(at, &piece[..read]);
    }
}

impl Data {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.dirty) {
            match change {
                Change::Write { at, len } => self.durable.copy(&self.seen, at, len),
                Change::Len(len) => self.durable.resize(len),
            }
        }
    }

    /// What a loss of power leaves.
    fn cut(&mut self, dice: &Dice) {
        let dirty = std::mem::take(&mut self.dirty);
        let kept = match dice.below(10) {
            0..4 => 0,
            4..6 => dirty.len(),
            _ => dice.below(dirty.len() as u64 + 1) as usize,
        };
        let scattered = dice.percent(15);
        for (n, change) in dirty.iter().enumerate() {
            match *change {
                Change::Len(len) if n < kept => self.durable.resize(len),
                Change::Write { at, len } if n < kept && !scattered => self.durable.copy(&self.seen, at, len),
                Change::Write { at, len } if n == kept || (scattered && n <= kept) => {
                    self.tear(at, len, scattered, dice);
                }
                Change::Len(_) | Change::Write { .. } => (),
            }
        }
        self.seen = self.durable.clone();
    }

    /// Some sectors of a write: the first ones, or any.
    fn tear(&mut self, at: u64, len: u64, scattered: bool, dice: &Dice) {
        let end = at + len;
        let stop = at + dice.below(len + 1);
        let mut next = at;
        while next < end {
            let until = ((next / SECTOR + 1) * SECTOR).min(end);
            if if scattered { dice.percent(50) } else { until <= stop } {
                self.durable.copy(&self.seen, next, until - next);
            }
            next = until;
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimDisk {
    /// An empty disk, whose names lie below `root`.
    pub fn new(root: PathBuf, dice: Dice, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            root,
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            faults: Faults::default(),
            dice,
            trace,
            boot: 0,
            cut_after: None,
        })))
    }

    /// The disk for a process that starts now; those before lose hold of it.
    pub fn boot(&self) -> DiskRef {
        let mut inner = lock(&self.0);
        inner.boot += 1;
        inner.cut_after = None;
        Arc::new(Booted { disk: self.clone(), boot: inner.boot })
    }

    /// The process is gone: nothing that it still holds does anything.
    pub fn unplug(&self) {
        lock(&self.0).boot += 1;
    }

    /// The power fails.
    pub fn cut(&self) {
        let mut inner = lock(&self.0);
        inner.boot += 1;
        let dice = inner.dice.clone();
        let kept = dice.below(inner.pending.len() as u64 + 1) as usize;
        for done in std::mem::take(&mut inner.pending).into_iter().take(kept) {
            done.apply(&mut inner.durable);
        }
        inner.durable.values().for_each(|file| lock(file).cut(&dice));
        let left = inner.durable.clone();
        let before = std::mem::replace(&mut inner.names, left);
        before.keys().filter(|path| !inner.names.contains_key(*path)).for_each(|path| drop(std::fs::remove_file(path)));
        inner.names.keys().filter(|path| !before.contains_key(*path)).for_each(|path| drop(std::fs::write(path, b"")));
    }

    /// Lets the power fail in the middle of what is done next.
    pub fn cut_soon(&self, operations: u64) {
        lock(&self.0).cut_after = Some(operations);
    }

    pub fn set(&self, faults: Faults) {
        lock(&self.0).faults = faults;
    }

    pub fn faults(&self) -> Faults {
        lock(&self.0).faults
    }

    /// Turns one bit over in a file whose path has `part` in it, if there is one; tells which.
    pub fn rot(&self, part: &str) -> Option<PathBuf> {
        let inner = lock(&self.0);
        let paths: Vec<&PathBuf> = inner.names.keys().filter(|path| path.to_string_lossy().contains(part)).collect();
        let path = (*inner.dice.pick(&paths)?).clone();
        let mut data = lock(&inner.names[&path]);
        let len = data.durable.bytes.len() as u64;
        if len == 0 {
            return None;
        }
        data.flip(inner.dice.below(len) as usize, inner.dice.below(8));
        drop(data);
        Some(path)
    }

    /// Turns a bit over in the middle of every file whose path has `part` in it; tells how many those are.
    pub fn ruin(&self, part: &str) -> usize {
        let inner = lock(&self.0);
        let files = inner.names.iter().filter(|(path, _)| path.to_string_lossy().contains(part));
        let ruined = files.map(|(_, file)| {
            let mut data = lock(file);
            let at = data.durable.bytes.len() / 2;
            data.flip(at, 0)
        });
        ruined.filter(|was_there| *was_there).count()
    }
}

impl Data {
    /// Turns a bit over on the disk, and for who reads it now; `false` if nothing is there.
    fn flip(&mut self, at: usize, bit: u64) -> bool {
        for bytes in [&mut self.durable.bytes, &mut self.seen.bytes] {
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
        }
        at < self.durable.bytes.len()
    }
}

impl NameOp {
    fn apply(self, names: &mut BTreeMap<PathBuf, FileRef>) {
        match self {
            Self::Set(path, file) => drop(names.insert(path, file)),
            Self::Gone(path) => drop(names.remove(&path)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Set(path, _) | Self::Gone(path) => path,
        }
    }
}

impl Inner {
    fn missing(path: &Path) -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, path.display().to_string())
    }

    fn done(&mut self, op: NameOp) {
        op.clone().apply(&mut self.names);
        self.pending.push(op);
    }

    /// Everything at and below `from` is at `to` instead, durably, and what was there is gone.
    fn move_away(&mut self, from: &Path, to: &Path) {
        self.pending.retain(|op| !op.path().starts_with(from) && !op.path().starts_with(to));
        for names in [&mut self.names, &mut self.durable] {
            let moved = names.extract_if(.., |path, _| path.starts_with(from) || path.starts_with(to));
            let moved: Vec<_> = moved.filter_map(|(path, file)| Some((moved_to(&path, from, to)?, file))).collect();
            names.extend(moved);
        }
    }

    /// Time passes, and the power may fail.
    fn operate(&mut self, micros: u64) -> io::Result<()> {
        spend(micros * self.faults.slow.max(1));
        if let Some(left) = &mut self.cut_after {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => {
                    self.boot += 1; // the rest of this process meets a dead disk
                    return Err(dead());
                }
            }
        }
        Ok(())
    }
}

/// Where what is at `path` is when `from` is at `to`; nowhere if it was not below `from`.
fn moved_to(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(from).ok()?;
    Some(if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) })
}

fn dead() -> io::Error {
    io::Error::other("the disk is gone")
}

/// The disk as one process has it.
struct Booted {
    disk: SimDisk,
    boot: u64,
}

impl Booted {
    fn lock(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = lock(&self.disk.0);
        if inner.boot == self.boot { Ok(inner) } else { Err(dead()) }
    }
}

impl Disk for Booted {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock()?;
        inner.operate(50)?;
        if inner.faults.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        std::fs::write(path, b"")?;
        let file = FileRef::default();
        inner.done(NameOp::Set(path.to_owned(), file.clone()));
        Ok(Box::new(Opened { disk: self.disk.clone(), boot: self.boot, file }))
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.lock()?;
        if !path.starts_with(&inner.root) {
            return SystemDisk::shared().open(path, writable);
        }
        let file = inner.names.get(path).cloned().ok_or_else(|| Inner::missing(path))?;
        Ok(Box::new(Opened { disk: self.disk.clone(), boot: self.boot, file }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock()?;
        inner.operate(50)?;
        if !inner.names.contains_key(path) {
            return Err(Inner::missing(path));
        }
        std::fs::remove_file(path)?;
        inner.done(NameOp::Gone(path.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock()?;
        inner.operate(50)?;
        let file = inner.names.get(from).cloned().ok_or_else(|| Inner::missing(from))?;
        std::fs::rename(from, to)?;
        inner.done(NameOp::Set(to.to_owned(), file));
        inner.done(NameOp::Gone(from.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock()?;
        let micros = inner.dice.within(100..2_000);
        inner.operate(micros)?;
        if inner.faults.fails_to_sync {
            return Err(io::Error::other("the flash is worn out"));
        }
        let pending = std::mem::take(&mut inner.pending);
        for op in pending {
            if op.path().parent() == Some(path) { op.apply(&mut inner.durable) } else { inner.pending.push(op) }
        }
        Ok(())
    }

    fn move_away(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock()?;
        inner.operate(50)?;
        std::fs::rename(from, to)?;
        inner.move_away(from, to);
        Ok(())
    }
}

struct Opened {
    disk: SimDisk,
    boot: u64,
    file: FileRef,
}

impl Opened {
    fn lock(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = lock(&self.disk.0);
        if inner.boot == self.boot { Ok(inner) } else { Err(dead()) }
    }
}

impl DiskFile for Opened {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.lock()?.faults.fails_to_read {
            return Err(io::Error::other("the flash cannot be read"));
        }
        Ok(lock(&self.file).seen.read(offset, into))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.lock()?;
        inner.operate(20)?;
        let full = inner.faults.full;
        let fits = if full { inner.dice.below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
        let mut data = lock(&self.file);
        let is_old = offset + bytes.len() as u64 <= data.seen.len; // space that was reserved
        let fits = if is_old { bytes.len() } else { fits };
        data.seen.write(offset, &bytes[..fits]);
        data.dirty.push(Change::Write { at: offset, len: fits as u64 });
        inner.trace.numbers([1, offset, fits as u64]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.lock()?;
        let micros = inner.dice.within(200..3_000);
        inner.operate(micros)?;
        if inner.faults.fails_to_sync {
            lock(&self.file).dirty.clear(); // and nobody will be told again
            return Err(io::Error::other("the flash is worn out"));
        }
        inner.trace.numbers([2, micros]);
        lock(&self.file).sync();
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.lock()?.operate(20)?;
        let mut data = lock(&self.file);
        data.seen.resize(len);
        data.dirty.push(Change::Len(len));
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut inner = self.lock()?;
        inner.operate(20)?;
        if inner.faults.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut data = lock(&self.file);
        let len = data.seen.len.max(offset + len);
        data.seen.resize(len);
        data.dirty.push(Change::Len(len));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        drop(self.lock()?);
        Ok(lock(&self.file).seen.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_synced_survives_every_cut_and_the_rest_only_some() {
        let (mut rest_gone, mut rest_there) = (false, false);
        for seed in 0..60 {
            let folder = tempfile::tempdir().unwrap();
            let disk = SimDisk::new(folder.path().to_owned(), Dice::of(seed), Trace::new(false));
            let booted = disk.boot();
            let path = folder.path().join("a");
            let file = booted.create(&path).unwrap();
            file.write_at(b"synced", 0).unwrap();
            file.sync().unwrap();
            booted.sync_dir(folder.path()).unwrap();
            file.write_at(b"not", 6).unwrap();
            booted.create(&folder.path().join("b")).unwrap();
            disk.cut();
            assert!(file.write_at(b"x", 0).is_err(), "the process before is gone");
            let file = disk.boot().open(&path, false).unwrap();
            let mut bytes = [0; 20];
            let len = file.read_at(&mut bytes, 0).unwrap();
            match &bytes[..len] {
                b"synced" => rest_gone = true,
                b"syncednot" => rest_there = true,
                other => panic!("{other:?}"),
            }
        }
        assert!(rest_gone && rest_there);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_was_not_synced_may_be_gone() {
        let gone = (0..40).filter(|seed| {
            let folder = tempfile::tempdir().unwrap();
            let disk = SimDisk::new(folder.path().to_owned(), Dice::of(*seed), Trace::new(false));
            let path = folder.path().join("a");
            disk.boot().create(&path).unwrap().sync().unwrap();
            disk.cut();
            assert_eq!(path.exists(), disk.boot().open(&path, false).is_ok());
            !path.exists()
        });
        assert!((1..40).contains(&gone.count()));
    }
}
