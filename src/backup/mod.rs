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
use name::{Name, Series};
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
    /// What those in the folder may take together; the newest stays in any case.
    pub keep_bytes: u64,
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
    async fn forget_old(&self, newest: &str) -> Result<(), S3Error> {
        let config = &self.config;
        let (prefix, node, keep_bytes) = (&*config.name, &*self.node, config.keep_bytes);
        let series = Series { prefix, node, newest, keep: config.keep, keep_bytes };
        for path in series.superfluous(sized(&config.folder)) {
            match std::fs::remove_file(config.folder.join(&path)) {
                Ok(()) => tracing::info!(path, "removed an old snapshot"),
                Err(error) => tracing::warn!(path, %error, "cannot remove an old snapshot"),
            }
        }
        let Some(s3) = &self.s3 else { return Ok(()) };
        let there = s3.list().await?.into_iter().map(|item| (item.name, item.bytes)).collect();
        for old in (Series { keep_bytes: u64::MAX, ..series }).superfluous(there) {
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
            Ok(taken) => {
                let newest = taken.path.file_name().unwrap_or_default().to_string_lossy();
                if let Err(error) = self.forget_old(&newest).await {
                    tracing::warn!(error = %Chain(&error), "cannot remove old snapshots");
                }
                for warning in warnings(taken.bytes, self.config.keep_bytes, free_bytes(&self.config.folder)) {
                    tracing::warn!(folder = %self.config.folder.display(), "{warning}");
                }
            }
        }
    }

    /// As if it could not be compressed: the store writes to the same disk, most often.
    fn check_space(&self, folder: &Path) -> Result<(), BackupError> {
        let needed = self.store.state().object_bytes() + SPARE_BYTES;
        match free_bytes(folder) {
            Some(free) if free < needed => Err(BackupError::NoSpace { folder: folder.to_owned(), free, needed }),
            _ => Ok(()), // where it is not known, writing will tell
        }
    }
}

/// What somebody has to do something about before there are no snapshots any more.
fn warnings(taken: u64, limit: u64, free: Option<u64>) -> Vec<String> {
    let alone = format!(
        "one snapshot takes {taken} bytes and --snapshot-retention-size allows all of them {limit}: only the newest is kept"
    );
    let full = format!(
        "the disk has {} bytes left and the last snapshot took {taken}: free some, or choose another --snapshot-dir",
        free.unwrap_or(0)
    );
    let holds = [(taken > limit, alone), (free.is_some_and(|free| free < taken), full)];
    holds.into_iter().filter_map(|(holds, warning)| holds.then_some(warning)).collect()
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// The names of all snapshots in `folder`, each with its size.
fn sized(folder: &Path) -> Vec<(String, u64)> {
    let size = |file: &String| std::fs::metadata(folder.join(file)).map_or(0, |data| data.len());
    files(folder).into_iter().map(|file| (file.clone(), size(&file))).collect()
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

    /// One whose clock says that it is the seventh second.
    async fn backup(folder: &Path, keep: usize, keep_bytes: u64) -> (Arc<Backup>, Arc<ManualClock>) {
        let (when, folder) = (None, folder.join("snapshots"));
        let config = Config { when, name: "tick".to_owned(), folder, keep, keep_bytes, compress: true, s3: None };
        let clock = ManualClock::starting_at(7_000_000_000);
        let backup = Backup::new(Store::temporary().await, clock.clone(), "n".to_owned(), config).unwrap();
        (backup, clock)
    }

    fn there(backup: &Backup) -> Vec<String> {
        let mut names = files(&backup.config.folder);
        names.sort();
        names
    }

    #[tokio::test]
    async fn snapshots_of_one_second_have_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let (backup, _) = backup(folder.path(), 1, 1 << 30).await;
        for _ in 0..3 {
            backup.take("by-hand").await.unwrap();
        }
        let names = ["by-hand-n-7.snapshot.gz", "by-hand-n-8.snapshot.gz", "by-hand-n-9.snapshot.gz"];
        assert_eq!(there(&backup), names);
    }

    #[tokio::test]
    async fn scheduled_snapshots_take_no_more_than_they_may_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (measured, _) = backup(folder.path(), 9, 1 << 30).await;
        let bytes = measured.take("by-hand").await.unwrap().bytes;
        // Those of other stores have other ids in them, and are a few bytes longer or shorter in gzip.
        for (keep_bytes, stay) in [(bytes * 5 / 2, 2), (bytes * 3 / 2, 1), (bytes / 2, 1)] {
            let (backup, clock) = backup(folder.path(), 9, keep_bytes).await;
            for _ in 0..4 {
                clock.advance(std::time::Duration::from_secs(1));
                backup.scheduled().await;
            }
            let names = there(&backup);
            let ticks: Vec<&String> = names.iter().filter(|name| name.starts_with("tick-n-")).collect();
            assert_eq!(ticks.len(), stay, "{names:?} of {bytes} each in {keep_bytes}");
            assert_eq!(names[0], "by-hand-n-7.snapshot.gz", "those by hand stay");
        }
    }

    #[test]
    fn whoever_has_to_make_space_is_told_in_time() {
        assert!(warnings(10, 10, Some(10)).is_empty());
        assert!(warnings(10, 10, None).is_empty());
        let told = warnings(11, 10, Some(10));
        assert!(told[0].contains("--snapshot-retention-size") && told[1].contains("10 bytes left"), "{told:?}");
    }
}
