//! A little space that is set aside, for a store to open on a disk that is full: the log must be able to make
//! a file then, for reads to go on.

use std::io;
use std::path::Path;

use super::files::Disk;

/// A file of the log with its name and the beginning of its content takes a block or two.
const RESERVE_BYTES: usize = 128 << 10;

/// Sets the space aside, if there is any; the next start tries again.
pub(super) fn keep(disk: &dyn Disk, path: &Path) {
    let is_there = || disk.open(path, false).and_then(|file| file.size()).is_ok_and(|len| len >= RESERVE_BYTES as u64);
    if is_there() {
        return;
    }
    if let Err(error) = write(disk, path) {
        let _ = disk.remove(path); // half of it is of no use
        tracing::debug!(%error, "no space can be set aside for a start on a full disk");
    }
}

/// Gives the space back for something that has none. Tells whether there was any.
pub(super) fn spend(disk: &dyn Disk, path: &Path) -> bool {
    disk.remove(path).is_ok()
}

fn write(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let (file, bytes) = (disk.create(path)?, vec![0; RESERVE_BYTES]);
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], written as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            some => written += some,
        }
    }
    file.sync()
}
