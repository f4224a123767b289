//! Looks through the log's files before anything else reads them, and tells a torn end from damage.
//!
//! An append is begun only when the one before it is on the disk as a whole. So only the last batch of
//! the newest file can be torn by a loss of power: it was never acknowledged and is dropped later on.
//! Whatever else does not agree with its checksums was good once, may have been acknowledged, and must
//! not be dropped in silence. One flipped bit, wherever it is, is told by the checksum and turned back.
//!
//! Several wrong bits in the very last batch look like a torn one; nothing on this disk could tell.
//!
//! What can be read need not be on the disk: [`harden`] sees to that before anybody believes it.

use std::io;
use std::path::{Path, PathBuf};

use super::frames::{self, Flip, Head};
use crate::store::files::{Disk, DiskFile};

/// Appended entries, and what was moved out of the way of deletion; each a row of numbered files.
const QUEUES: [&str; 2] = [".raftlog", REWRITTEN];
const REWRITTEN: &str = ".rewrite";
const NUMBER_LEN: usize = 16;
/// No file is larger: files are closed at a size, behind a last batch.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A part of the log that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Damage {
    pub path: PathBuf,
    pub offset: u64,
}

/// What the look through found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Bits that were turned back.
    pub mended: Vec<Damage>,
    /// The first place that cannot be helped.
    pub damage: Option<Damage>,
}

/// Looks through the log in `dir`; mends what can be.
pub(super) fn inspect(disk: &dyn Disk, dir: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for suffix in QUEUES {
        let files = list(dir, suffix)?;
        for (at, (number, path)) in files.iter().enumerate() {
            let is_last = at + 1 == files.len();
            if let Some(offset) = look_through(disk, path, *number, is_last, &mut found.mended)? {
                found.damage = Some(Damage { path: path.clone(), offset: offset as u64 });
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// Writes the end of the log in `dir` again and makes it durable; tells which file it could not.
///
/// After an fsync that failed the kernel shows what never reached the disk, and takes it for written: a
/// process that only reads it would build on what the next loss of power takes away. An append is begun
/// when the one before is durable, so of appended entries only the last batch can be such. What is moved
/// before a deletion is synced once, however much it is: all of it is written again.
pub(super) fn harden(disk: &dyn Disk, dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    let within = |source| (dir.to_owned(), source);
    for suffix in QUEUES {
        let files = list(dir, suffix).map_err(within)?;
        let (count, is_whole) = (files.len(), suffix == REWRITTEN);
        // Behind the file with the last batch there may be one that was only just begun.
        let skipped = if is_whole { 0 } else { count.saturating_sub(2) };
        for (number, path) in files.into_iter().skip(skipped) {
            write_again(disk, &path, number, is_whole).map_err(|source| (path, source))?;
        }
    }
    disk.sync_dir(dir).map_err(within)
}

fn write_again(disk: &dyn Disk, path: &Path, number: u64, is_whole: bool) -> io::Result<()> {
    let file = disk.open(path, true)?;
    let bytes = read(&*file)?;
    let Some(Head { len: head_len, number }) = frames::head(&bytes, number) else {
        return Ok(()); // torn as it was begun: it is begun anew
    };
    let (mut last, mut end) = (0, head_len);
    while let Some(next) = frames::batch_end(&bytes, end, number) {
        (last, end) = (end, next);
    }
    let from = if is_whole { 0 } else { last };
    for part in [0..head_len.min(from), from..end] {
        write_all(&*file, &bytes[part.clone()], part.start as u64)?;
    }
    file.sync()
}

fn write_all(file: &dyn DiskFile, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = file.write_at(bytes, at)?;
        if len == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        (bytes, at) = (&bytes[len..], at + len as u64);
    }
    Ok(())
}

/// Forgets what is at and behind `damage`, so that what is before it can be read.
pub(super) fn cut_off(disk: &dyn Disk, dir: &Path, damage: &Damage) -> io::Result<()> {
    let file = disk.open(&damage.path, true)?;
    file.truncate(damage.offset)?;
    file.sync()?;
    let queue = QUEUES.iter().find(|suffix| damage.path.to_string_lossy().ends_with(**suffix));
    for (_, path) in queue.into_iter().map(|suffix| list(dir, suffix)).collect::<io::Result<Vec<_>>>()?.concat() {
        if path > damage.path {
            disk.remove(&path)?;
        }
    }
    disk.sync_dir(dir)
}

/// Where the file is damaged, if it is.
fn look_through(
    disk: &dyn Disk,
    path: &Path,
    number: u64,
    is_last: bool,
    mended: &mut Vec<Damage>,
) -> io::Result<Option<usize>> {
    let mut bytes = read(&*disk.open(path, false)?)?;
    let Some(Head { len: head_len, number }) = frames::head(&bytes, number) else {
        let begun = is_last && [number, 0].iter().all(|number| frames::next_good(&bytes, 0, *number).is_none());
        return Ok((!begun).then_some(0));
    };
    let mut at = head_len;
    while at < bytes.len() {
        if let Some(end) = frames::batch_end(&bytes, at, number) {
            at = end;
        } else if is_last && bytes[at..].iter().all(|byte| *byte == 0) {
            break; // space that was reserved
        } else if let Some(flip) = frames::mend(&bytes, at, number) {
            bytes[flip.at] ^= flip.mask;
            turn_back(disk, path, flip, bytes[flip.at])?;
            mended.push(Damage { path: path.to_owned(), offset: flip.at as u64 });
        } else {
            let is_torn = is_last && frames::next_good(&bytes, at, number).is_none();
            return Ok((!is_torn).then_some(at));
        }
    }
    Ok(None)
}

fn turn_back(disk: &dyn Disk, path: &Path, flip: Flip, byte: u8) -> io::Result<()> {
    let file = disk.open(path, true)?;
    file.write_at(&[byte], flip.at as u64)?;
    file.sync()
}

fn read(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let size = file.size()?;
    if size > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let (mut bytes, mut at) = (vec![0; size as usize], 0);
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => bytes.truncate(at),
            len => at += len,
        }
    }
    Ok(bytes)
}

/// The files of a queue with their numbers, in order.
fn list(dir: &Path, suffix: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.strip_suffix(suffix).filter(|number| number.len() == NUMBER_LEN);
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            files.push((number, path.clone()));
        }
    }
    files.sort();
    Ok(files)
}
