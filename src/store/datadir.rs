//! The store's directory: whose it is, which format it has, and that one process uses it.
//!
//! ```text
//! version      the format, a number
//! member       this server's id in the cluster
//! joined       there if another server founded the cluster
//! replaces     the id that this server had before it lost something, until the cluster knows the new one
//! witness      there if this server keeps the log only, and no objects
//! single       there while what the log continues is in a snapshot only, and not in its copy
//! lock         locked while a process uses the directory
//! log/         the raft log
//! snapshots/   the newest snapshot
//! checkpoint   the same once more
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::files::{Disk, quarantine, remove_all};
use crate::base::fs::{FileError, private_dir, read_if_there, remove_if_there, write_atomic};
use crate::base::rand::Rand;

/// What this program reads. A directory says 2 from when something in it was encrypted, so that older
/// programs leave it alone.
const VERSION: u64 = 2;
const FIRST: u64 = 1;
const SINGLE: &str = "single";

/// Why the directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("the store in {} has format {found} of a newer skiff; this one knows {VERSION}: install the newer version", dir.display())]
    Newer { dir: PathBuf, found: u64 },
    #[error("the store in {} is in use by another process: stop it, or choose another data directory", dir.display())]
    Locked { dir: PathBuf },
    #[error("the store in {} is open to other users (mode {mode:o}): run `chmod 700 {}`", dir.display(), dir.display())]
    Open { dir: PathBuf, mode: u32 },
    #[error("{} belongs to a witness, which has no objects: start it with --witness", dir.display())]
    Witness { dir: PathBuf },
    #[error("{} belongs to a server that is no witness: start it without --witness, or choose an empty --data-dir", dir.display())]
    NoWitness { dir: PathBuf },
    #[error("{} is not a number: it was damaged, or is not of skiff", path.display())]
    NotANumber { path: PathBuf },
    #[error("{} holds files but is not a store of skiff: choose an empty directory", dir.display())]
    Foreign { dir: PathBuf },
    #[error("cannot {action} {}: does this user own it, and may write there?", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// A directory that is ours until this is dropped.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    pub member: u64,
    /// This server did not found its cluster: without a state it waits to be given one.
    pub is_joining: bool,
    pub is_witness: bool,
    /// The id that this server had in the cluster before it lost a part of its log.
    pub replaces: Option<u64>,
    _lock: Flock<File>,
}

impl DataDir {
    /// Takes the directory, making what is missing.
    ///
    /// A new directory is that of a cluster of its own, or with `joins` of one that takes it in.
    pub fn open(path: &Path, rand: &dyn Rand, joins: bool, witness: bool) -> Result<Self, DataDirError> {
        make_private(path)?;
        let mode = fs::metadata(path).map_err(|source| cannot("read", path, source))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(DataDirError::Open { dir: path.to_owned(), mode });
        }
        let version = path.join("version");
        let found = read_number(&version)?;
        match found {
            Some(found) if found > VERSION => return Err(DataDirError::Newer { dir: path.to_owned(), found }),
            None if holds_data(path) => return Err(DataDirError::Foreign { dir: path.to_owned() }),
            _ => (),
        }
        let lock = lock(path)?;
        for part in ["log", "snapshots"] {
            make_private(&path.join(part))?;
        }
        let known = read_number(&path.join("member"))?;
        let is_witness = read_number(&path.join("witness"))?.is_some();
        if known.is_some() && is_witness != witness {
            return Err(match is_witness {
                true => DataDirError::Witness { dir: path.to_owned() },
                false => DataDirError::NoWitness { dir: path.to_owned() },
            });
        }
        let member = match known {
            Some(member) => member,
            None => {
                if joins {
                    write_number(path, "joined", 1)?;
                }
                if witness {
                    write_number(path, "witness", 1)?;
                }
                let member = rand.next_u64().max(1);
                write_number(path, "member", member)?;
                member
            }
        };
        write_number(path, "version", found.unwrap_or(FIRST))?;
        let is_joining = read_number(&path.join("joined"))?.is_some();
        let replaces = read_number(&path.join("replaces"))?;
        Ok(Self { path: path.to_owned(), member, is_joining, is_witness: witness, replaces, _lock: lock })
    }

    /// Something is gone that the other servers have. What is left is moved aside, and this server waits
    /// to be taken in under a new id: under the old one it may have promised what it forgot.
    pub fn start_over(&mut self, rand: &dyn Rand, disk: &dyn Disk) -> Result<(), DataDirError> {
        let replaces = self.replaces.unwrap_or(self.member); // a crash may have come in between
        write_number(&self.path, "replaces", replaces)?;
        write_number(&self.path, "joined", 1)?;
        self.rename_member(rand)?;
        for part in [self.checkpoint(), self.snapshots(), self.log()] {
            if part.exists() {
                quarantine(disk, &part).map_err(|source| cannot("move aside", &part, source))?;
            }
        }
        for part in [self.snapshots(), self.log()] {
            make_private(&part)?;
        }
        (self.is_joining, self.replaces) = (true, Some(replaces));
        Ok(())
    }

    /// The cluster knows this server's new id, and has given it everything.
    pub fn started_over(&mut self) {
        if self.replaces.take().is_none() {
            return;
        }
        let copies = ["checkpoint.damaged", "snapshots.damaged"].map(|name| self.path.join(name));
        let removed = copies.iter().try_for_each(|copy| remove_all(copy));
        if let Err(error) = removed.and_then(|()| fs::remove_file(self.path.join("replaces"))) {
            tracing::warn!(%error, "cannot remove what was left of a damaged store");
        }
    }

    /// What the log continues is in a snapshot only, or no longer.
    pub fn set_single(&self, single: bool) -> Result<(), DataDirError> {
        if single {
            return write_number(&self.path, SINGLE, 1);
        }
        remove_if_there(&self.path.join(SINGLE)).map_err(file_error)
    }

    pub fn is_single(&self) -> Result<bool, DataDirError> {
        Ok(read_number(&self.path.join(SINGLE))?.is_some())
    }

    /// From now on parts may be encrypted.
    pub fn seals(&self) -> Result<(), DataDirError> {
        write_number(&self.path, "version", VERSION)
    }

    /// Gives this server another id.
    pub fn rename_member(&mut self, rand: &dyn Rand) -> Result<(), DataDirError> {
        let member = rand.next_u64().max(1);
        write_number(&self.path, "member", member)?;
        self.member = member;
        Ok(())
    }

    /// Where a little space is set aside for a start on a full disk.
    pub fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint")
    }
}

fn holds_data(path: &Path) -> bool {
    path.join("log").join("LOCK").exists() || path.join("checkpoint").exists()
}

fn lock(path: &Path) -> Result<Flock<File>, DataDirError> {
    let file = path.join("lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
    let opened = opened.map_err(|source| cannot("open", &file, source))?;
    match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(DataDirError::Locked { dir: path.to_owned() }),
        Err((_, errno)) => Err(cannot("lock", &file, errno.into())),
    }
}

fn make_private(path: &Path) -> Result<(), DataDirError> {
    private_dir(path).map_err(file_error)
}

fn read_number(path: &Path) -> Result<Option<u64>, DataDirError> {
    let Some(text) = read_if_there(path).map_err(file_error)? else { return Ok(None) };
    let number = text.trim().parse().map_err(|_| DataDirError::NotANumber { path: path.to_owned() })?;
    Ok(Some(number))
}

/// Writes a small file as a whole, durably; leaves it alone when it says so already.
fn write_number(dir: &Path, name: &str, number: u64) -> Result<(), DataDirError> {
    let path = dir.join(name);
    if read_number(&path)? == Some(number) {
        return Ok(());
    }
    write_atomic(&path, format!("{number}\n").as_bytes(), 0o600).map_err(file_error)
}

fn file_error(error: FileError) -> DataDirError {
    let (operation, path, source) = error.into_parts();
    cannot(operation, &path, source)
}

fn cannot(action: &'static str, path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::SystemRand;

    fn open(dir: &Path) -> Result<DataDir, DataDirError> {
        DataDir::open(dir, &*SystemRand::seeded(1), false, false)
    }

    fn private() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn a_directory_keeps_its_member_and_is_private() {
        let dir = private();
        let path = dir.path().join("new/store");
        let member = open(&path).unwrap().member;
        assert_eq!(open(&path).unwrap().member, member);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_second_process_is_refused() {
        let dir = private();
        let _first = open(dir.path()).unwrap();
        assert!(matches!(open(dir.path()), Err(DataDirError::Locked { .. })));
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let dir = private();
        fs::write(dir.path().join("version"), "3\n").unwrap();
        assert!(matches!(open(dir.path()), Err(DataDirError::Newer { found: 3, .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_others_may_read_is_refused() {
        let dir = private();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("mode 755") && error.contains("chmod 700"), "{error}");
    }
}
