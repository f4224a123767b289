//! Backups: snapshots of the whole state on a schedule, in a folder and in an S3-compatible bucket.
//!
//! A snapshot is never half there: it gets its name when it is complete, and one in a bucket counts only
//! after it was read back. An older one is removed only when a newer one is safe. Failing leaves what
//! was there, and the next try comes at the next time.

pub mod name;
pub mod s3;
mod schedule;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::clock::ClockRef;
use crate::base::error::Chain;
use crate::base::fs::{self, FileError};
use crate::object::Timestamp;
use crate::object::cron::Schedule;
use crate::object::zone::Zone;
use crate::store::{SnapshotError, Store};
use name::Name;
use s3::{S3, S3Error, Settings};

/// What must be left on the disk besides a snapshot, for the store to go on.
const SPARE_BYTES: u64 = 64 << 20;

/// What is to be backed up when and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// Never, if there is none.
    pub when: Option<When>,
    /// What the names of scheduled snapshots begin with.
    pub name: String,
    pub folder: PathBuf,
    /// How many scheduled ones are kept, in the folder and in the bucket.
    pub keep: usize,
    pub compress: bool,
    pub s3: Option<Settings>,
}

#[derive(Clone, Debug)]
pub struct When {
    pub schedule: Schedule,
    pub zone: Zone,
}

/// Why there is no new snapshot. Older ones are as they were.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Folder(#[from] FileError),
    #[error(
        "no space for a snapshot: {} has {free} bytes left and {needed} are needed; free some, or choose another --snapshot-dir",
        folder.display()
    )]
    NoSpace { folder: PathBuf, free: u64, needed: u64 },
    #[error("the snapshot was not written")]
    Snapshot(#[from] SnapshotError),
    #[error("snapshot {} is here, but not in the bucket", path.display())]
    Upload { path: PathBuf, source: S3Error },
}

/// A snapshot that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    pub path: PathBuf,
    pub bytes: u64,
    pub revision: u64,
    /// Where it is besides.
    pub url: Option<String>,
}

/// Takes snapshots of a store.
pub struct Backup {
    store: Store,
    clock: ClockRef,
    /// Of this machine: several servers may share a bucket.
    node: String,
    config: Config,
    s3: Option<S3>,
    /// One at a time: they would only fight for the disk.
    taking: tokio::sync::Mutex<()>,
}

impl Backup {
    pub fn new(store: Store, clock: ClockRef, node: String, config: Config) -> Result<Arc<Self>, S3Error> {
        let s3 = config.s3.clone().map(|settings| S3::new(settings, clock.clone())).transpose()?;
        Ok(Arc::new(Self { store, clock, node, config, s3, taking: tokio::sync::Mutex::default() }))
    }

    /// Takes a snapshot whose name begins with `prefix`.
    pub async fn take(&self, prefix: &str) -> Result<Taken, BackupError> {
        let _taking = self.taking.lock().await;
        let folder = &self.config.folder;
        fs::private_dir(folder)?;
        self.check_space(folder)?;
        let secs = Timestamp::from_nanos(self.clock.wall_nanos()).as_secs();
        let mut name = Name::new(prefix, &self.node, secs, self.config.compress);
        while folder.join(name.file()).exists() {
            name.secs += 1; // another was taken in this second
        }
        let path = folder.join(name.file());
        let revision = self.store.save(path.clone(), self.config.compress).await?.0;
        let bytes = std::fs::metadata(&path).map_or(0, |data| data.len());
        tracing::info!(path = %path.display(), bytes, revision, "saved a snapshot");
        let mut taken = Taken { path, bytes, revision, url: None };
        if let Some(s3) = &self.s3 {
            let failed = |source| BackupError::Upload { path: taken.path.clone(), source };
            taken.url = Some(s3.put(&taken.path, &name.file()).await.map_err(failed)?);
            tracing::info!(url = taken.url, bytes, "the snapshot is in the bucket");
        }
        Ok(taken)
    }

    /// Removes scheduled snapshots of this server that are more than are to be kept.
    async fn forget_old(&self) -> Result<(), S3Error> {
        let (prefix, keep) = (&self.config.name, self.config.keep);
        for path in name::superfluous(files(&self.config.folder), prefix, &self.node, keep) {
            match std::fs::remove_file(self.config.folder.join(&path)) {
                Ok(()) => tracing::info!(path, "removed an old snapshot"),
                Err(error) => tracing::warn!(path, %error, "cannot remove an old snapshot"),
            }
        }
        let Some(s3) = &self.s3 else { return Ok(()) };
        let there = s3.list().await?.into_iter().map(|item| item.name).collect();
        for old in name::superfluous(there, prefix, &self.node, keep) {
            s3.delete(&old).await?;
            tracing::info!(name = old, "removed an old snapshot from the bucket");
        }
        Ok(())
    }

    /// A scheduled snapshot. Whatever fails is told in the log.
    async fn scheduled(&self) {
        if self.store.is_outside() {
            return; // what it has is not the cluster's state yet, and must not push out what is
        }
        match self.take(&self.config.name).await {
            Err(error) => tracing::error!(error = %Chain(&error), "a scheduled snapshot failed; old ones are kept"),
            Ok(_) => {
                if let Err(error) = self.forget_old().await {
                    tracing::warn!(error = %Chain(&error), "cannot remove old snapshots");
                }
            }
        }
    }

    /// As if it could not be compressed: the store writes to the same disk, most often.
    fn check_space(&self, folder: &Path) -> Result<(), BackupError> {
        let needed = self.store.state().object_bytes() + SPARE_BYTES;
        let Ok(disk) = nix::sys::statvfs::statvfs(folder) else { return Ok(()) }; // writing will tell
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        match free < needed {
            true => Err(BackupError::NoSpace { folder: folder.to_owned(), free, needed }),
            false => Ok(()),
        }
    }
}

/// The names of all snapshots in `folder`.
pub fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|file| name::is_snapshot(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;

    #[tokio::test]
    async fn snapshots_of_one_second_have_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            when: None,
            name: "scheduled".to_owned(),
            folder: folder.path().join("snapshots"),
            keep: 1,
            compress: true,
            s3: None,
        };
        let clock = ManualClock::starting_at(7_000_000_000);
        let backup = Backup::new(Store::temporary().await, clock, "n".to_owned(), config).unwrap();
        for _ in 0..3 {
            backup.take("by-hand").await.unwrap();
        }
        let mut names = files(&backup.config.folder);
        names.sort();
        assert_eq!(names, ["by-hand-n-7.snapshot.gz", "by-hand-n-8.snapshot.gz", "by-hand-n-9.snapshot.gz"]);
    }
}
