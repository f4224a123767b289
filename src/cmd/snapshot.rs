//! `skiff snapshot`: the whole state in a file, to look at and to begin again with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use http::Method;
use serde::{Deserialize, Serialize};

use super::config::flags::{SaveFlags, SnapshotCommand};
use super::{admin, datastore};
use crate::base::clock::SystemClock;
use crate::base::rand::SystemRand;
use crate::base::seal::NoSeal;
use crate::object::Key;
use crate::store::files::SystemDisk;
use crate::store::{self, KeyRange, State};

/// Where the server is asked for one.
pub const PATH: &str = "/v1-skiff/snapshot";
const SUFFIX: &str = ".snapshot";

/// What the server is asked for, and what it made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub name: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    pub path: PathBuf,
    pub bytes: u64,
    pub revision: u64,
}

/// Where a server keeps them.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("server/snapshots")
}

/// What a snapshot is called: sorted by name, those of one name are sorted by time.
pub fn file_name(name: &str, secs: i64) -> String {
    format!("{name}-{secs}{SUFFIX}")
}

pub async fn run(command: SnapshotCommand) -> Result<()> {
    match command {
        SnapshotCommand::Save(flags) => save(flags).await,
        SnapshotCommand::List(flags) => list(&flags.data_dir),
        SnapshotCommand::Prune(flags) => prune(&flags.dir.data_dir, flags.keep),
        SnapshotCommand::Verify(flags) => {
            let state = read(&flags.file)?;
            println!("{} is whole: {} objects at revision {}", flags.file.display(), state.len(), state.revision());
            Ok(())
        }
        SnapshotCommand::Ls(flags) => {
            let (state, all) = (read(&flags.file)?, KeyRange::all());
            let keys = state.range(&all).map(|object| object.key().to_string());
            keys.filter(|key| key.starts_with(&flags.prefix)).for_each(|key| println!("{key}"));
            Ok(())
        }
        SnapshotCommand::Get(flags) => {
            let key =
                Key::parse(&flags.key).context("want RESOURCE/NAMESPACE/NAME, as `skiff snapshot ls` prints it")?;
            let state = read(&flags.file)?;
            let Some(object) = state.get(&key) else { bail!("{} holds no {key}", flags.file.display()) };
            println!("{}", String::from_utf8_lossy(object.bytes()));
            Ok(())
        }
        SnapshotCommand::Restore(flags) => reset(&flags.dir.data_dir, Some(&flags.file)),
    }
}

/// Makes the server whose folder this is the only one of its cluster. It must not be running.
pub fn reset(data_dir: &Path, from: Option<&Path>) -> Result<()> {
    datastore::refuse_external(&data_dir.join("server"))?;
    let (disk, rand) = (SystemDisk::shared(), SystemRand::shared());
    let seal = NoSeal::shared();
    let done =
        store::reset(&data_dir.join("server/db"), from, &disk, &seal, SystemClock::shared(), &*rand, &|_, _| true);
    let done = done.context("the cluster was not reset")?;
    println!("this server is a cluster of its own now: {} objects at revision {}", done.objects, done.revision);
    println!("start it without --cluster-reset; others join it again with an empty --data-dir");
    Ok(())
}

fn read(file: &Path) -> Result<State> {
    store::read_snapshot(file, &NoSeal::shared())
        .with_context(|| format!("{} is no snapshot that can be used", file.display()))
}

async fn save(flags: SaveFlags) -> Result<()> {
    let body = serde_json::to_vec(&Wanted { name: flags.name.0 })?;
    let answer = admin::send(&flags.admin.kubeconfig, Method::POST, PATH, body.into()).await?;
    let saved: Saved = serde_json::from_slice(&answer).context("the server's answer is not what it should be")?;
    println!("saved revision {} in {} ({} bytes)", saved.revision, saved.path.display(), saved.bytes);
    Ok(())
}

/// Newest first.
fn files(data_dir: &Path) -> Result<Vec<(PathBuf, std::fs::Metadata)>> {
    let folder = folder(data_dir);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let named = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(SUFFIX));
    let mut files: Vec<_> = named.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect();
    files.sort_by_key(|(_, data)| std::cmp::Reverse(data.modified().ok()));
    Ok(files)
}

fn list(data_dir: &Path) -> Result<()> {
    for (path, data) in files(data_dir)? {
        println!("{:>12}  {}", data.len(), path.display());
    }
    Ok(())
}

fn prune(data_dir: &Path, keep: usize) -> Result<()> {
    for (path, _) in files(data_dir)?.into_iter().skip(keep) {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        println!("removed {}", path.display());
    }
    Ok(())
}
