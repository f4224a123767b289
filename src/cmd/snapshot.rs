//! `skiff snapshot`: the whole state in a file or a bucket, to look at and to begin again with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http::Method;
use serde::{Deserialize, Serialize};

use super::config::EncryptionConfig;
use super::config::flags::{FromFlags, SaveFlags, SnapshotCommand};
use super::{admin, datastore, encryption};
use crate::backup::name::superfluous_of;
use crate::backup::s3::S3;
use crate::backup::{self, Backup, BackupError};
use crate::base::clock::SystemClock;
use crate::base::error::Chain;
use crate::base::fs;
use crate::base::rand::SystemRand;
use crate::base::seal::SealRef;
use crate::object::{Key, Reason, Status};
use crate::store::files::SystemDisk;
use crate::store::{self, KeyRange, ResetError, State};

/// Where the server is asked for one.
pub const PATH: &str = "/v1-skiff/snapshot";
/// A namespace that every cluster has and none has twice: its uid tells clusters apart.
const CLUSTER: &str = "namespaces//kube-system";

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
    pub url: Option<String>,
}

pub async fn run(command: SnapshotCommand) -> Result<()> {
    match command {
        SnapshotCommand::Save(flags) => save(flags).await,
        SnapshotCommand::List(flags) => list(&flags).await,
        SnapshotCommand::Prune(flags) => {
            prune(&flags.from, flags.name.as_ref().map_or("", |name| &name.0), flags.keep).await
        }
        SnapshotCommand::Verify(flags) => {
            let state = read(&flags.file, &flags.from).await?;
            println!("{} is whole: {} objects at revision {}", flags.file.display(), state.len(), state.revision());
            Ok(())
        }
        SnapshotCommand::Ls(flags) => {
            let (state, all) = (read(&flags.file, &flags.from).await?, KeyRange::all());
            let keys = state.range(&all).map(|object| object.key().to_string());
            keys.filter(|key| key.starts_with(&flags.prefix)).for_each(|key| println!("{key}"));
            Ok(())
        }
        SnapshotCommand::Get(flags) => {
            let key =
                Key::parse(&flags.key).context("want RESOURCE/NAMESPACE/NAME, as `skiff snapshot ls` prints it")?;
            let state = read(&flags.file, &flags.from).await?;
            let Some(object) = state.get(&key) else { bail!("{} holds no {key}", flags.file.display()) };
            println!("{}", String::from_utf8_lossy(object.bytes()));
            Ok(())
        }
        SnapshotCommand::Restore(flags) => {
            let file = Local::of(&flags.file, &flags.from).await?;
            let from = Some((file.path.as_path(), flags.other_cluster));
            reset(&flags.from.dir.data_dir, &flags.from.encryption(), from).await
        }
    }
}

/// Makes the server whose folder this is the only one of its cluster, with what it has or with a
/// snapshot, which may be of another cluster if that is said. It must not be running.
pub async fn reset(data_dir: &Path, encryption: &EncryptionConfig, from: Option<(&Path, bool)>) -> Result<()> {
    datastore::refuse_external(&data_dir.join("server"))?;
    let (disk, rand) = (SystemDisk::shared(), SystemRand::shared());
    let keyring = encryption::open(&data_dir.join("server"), encryption).await?;
    let may_differ = from.is_none_or(|(_, other)| other);
    let is_meant = |here: &State, given: &State| may_differ || is_same_cluster(here, given);
    let (dir, path) = (data_dir.join("server/db"), from.map(|(path, _)| path));
    let done = store::reset(&dir, path, &disk, &keyring.seal(), SystemClock::shared(), &*rand, &is_meant);
    let done = match done {
        Err(error @ ResetError::Other) => Err(error).context(
            "give --other-cluster if it is to take this one's place: certificates and tokens here stay this one's",
        ),
        done => done.context("the cluster was not reset"),
    }?;
    println!("this server is a cluster of its own now: {} objects at revision {}", done.objects, done.revision);
    println!("start it without --cluster-reset; others join it again with an empty --data-dir");
    Ok(())
}

/// Where nothing is yet, any snapshot is right.
fn is_same_cluster(here: &State, given: &State) -> bool {
    let uid = |state: &State| Some(state.get(&Key::parse(CLUSTER)?)?.meta().uid().to_owned());
    match (uid(here), uid(given)) {
        (Some(here), Some(given)) => here == given,
        _ => true,
    }
}

/// A server's answer to a request for a snapshot.
pub async fn take(backup: &Arc<Backup>, wanted: Wanted) -> Result<Saved, Status> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if wanted.name.is_empty() || wanted.name.len() > 100 || !wanted.name.bytes().all(good) {
        return Err(Status::bad_request(format!("{:?} cannot be a part of a file's name", wanted.name)));
    }
    let failed = |error: BackupError| match error {
        full @ BackupError::NoSpace { .. } => Status::new(Reason::ServiceUnavailable, full.to_string()),
        error => Status::internal(Chain(&error)),
    };
    let taken = backup.take(&wanted.name).await.map_err(failed)?;
    Ok(Saved { path: taken.path, bytes: taken.bytes, revision: taken.revision, url: taken.url })
}

/// A snapshot in a file here: its own, or for a while one from a bucket.
struct Local {
    path: PathBuf,
    is_copy: bool,
}

impl Local {
    async fn of(file: &Path, from: &FromFlags) -> Result<Self> {
        let Some(s3) = s3(from)? else { return Ok(Self { path: file.to_owned(), is_copy: false }) };
        let folder = folder(from)?;
        fs::private_dir(&folder)?;
        let name = file.to_string_lossy();
        let path = folder.join(format!("{}.download", name.replace('/', "_")));
        let local = Self { path, is_copy: true };
        s3.get(&name, &local.path).await.with_context(|| format!("cannot get {name} from the bucket"))?;
        Ok(local)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if self.is_copy {
            let _ = std::fs::remove_file(&self.path); // the next download replaces it
        }
    }
}

async fn read(file: &Path, from: &FromFlags) -> Result<State> {
    let seal: SealRef = encryption::look(&from.dir.data_dir.join("server"), &from.encryption()).await?;
    let local = Local::of(file, from).await?;
    let state = store::read_snapshot(&local.path, &seal);
    state.with_context(|| format!("{} is no snapshot that can be used", file.display()))
}

fn s3(from: &FromFlags) -> Result<Option<S3>> {
    Ok(from.s3.settings()?.map(|settings| S3::new(settings, SystemClock::shared())).transpose()?)
}

fn folder(from: &FromFlags) -> Result<PathBuf> {
    from.folder.folder(&from.dir.data_dir)
}

async fn save(flags: SaveFlags) -> Result<()> {
    let body = serde_json::to_vec(&Wanted { name: flags.name.0 })?;
    let answer = admin::send(&flags.admin.kubeconfig, Method::POST, PATH, body.into()).await?;
    let saved: Saved = serde_json::from_slice(&answer).context("the server's answer is not what it should be")?;
    println!("saved revision {} in {} ({} bytes)", saved.revision, saved.path.display(), saved.bytes);
    if let Some(url) = saved.url {
        println!("and in {url}");
    }
    Ok(())
}

async fn list(from: &FromFlags) -> Result<()> {
    if let Some(s3) = s3(from)? {
        for item in s3.list().await? {
            println!("{:>12}  {}  {}", item.bytes, item.modified, item.name);
        }
        return Ok(());
    }
    let folder = folder(from)?;
    let mut files: Vec<_> = (backup::files(&folder).into_iter().map(|file| folder.join(file)))
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?, path)))
        .collect();
    files.sort_by_key(|(data, _)| std::cmp::Reverse(data.modified().ok()));
    files.iter().for_each(|(data, path)| println!("{:>12}  {}", data.len(), path.display()));
    Ok(())
}

async fn prune(from: &FromFlags, prefix: &str, keep: usize) -> Result<()> {
    if let Some(s3) = s3(from)? {
        let there = s3.list().await?.into_iter().map(|item| item.name).collect();
        for name in superfluous_of(there, prefix, keep) {
            s3.delete(&name).await?;
            println!("removed {name} from the bucket");
        }
        return Ok(());
    }
    let folder = folder(from)?;
    for name in superfluous_of(backup::files(&folder), prefix, keep) {
        let path = folder.join(name);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        println!("removed {}", path.display());
    }
    Ok(())
}
