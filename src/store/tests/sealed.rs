//! What is to be encrypted lies in no file readable, and what was there before is gone when asked.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::durable::small_log;
use super::*;
use crate::base::seal::{Seal, SealError, split_key};

/// Turns every bit, and binds to the context with a checksum. Its key is its generation.
struct Inverter {
    generation: AtomicU64,
    known: Vec<u64>,
}

impl Inverter {
    fn new(generation: u64, known: &[u64]) -> Arc<Self> {
        Arc::new(Self { generation: generation.into(), known: known.to_vec() })
    }
}

impl Seal for Inverter {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn covers(&self, resource: &str) -> bool {
        self.generation() != 0 && resource == "secrets"
    }

    fn seal(&self, _resource: &str, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let name = format!("key-{}", self.generation());
        let mut out = vec![name.len() as u8];
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&wire::checksum(context).to_le_bytes());
        out.extend(plain.iter().map(|byte| !byte));
        Ok(out)
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let (name, rest) = split_key(sealed).ok_or(SealError::Format)?;
        if !self.known.iter().any(|known| format!("key-{known}") == name) {
            return Err(SealError::NoKey { key: name.to_owned() });
        }
        match rest.split_first_chunk::<4>() {
            Some((sum, rest)) if *sum == wire::checksum(context).to_le_bytes() => Ok(rest.iter().map(|b| !b).collect()),
            _ => Err(SealError::Damaged { key: name.to_owned() }),
        }
    }

    fn now(&self) -> SealRef {
        Self::new(self.generation(), &self.known)
    }
}

/// The files below `dir` in which `needle` is.
fn found(dir: &Path, needle: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        if entry.path().is_dir() {
            files.extend(found(&entry.path(), needle));
        } else if std::fs::read(entry.path()).is_ok_and(|it| it.windows(needle.len()).any(|w| w == needle.as_bytes())) {
            files.push(entry.path().display().to_string());
        }
    }
    files
}

async fn fill(rig: &Rig, from: u32) {
    for n in from..from + 60 {
        rig.run(&format!("put secrets/a/s{n} hunter2-{n} & put pods/a/p{n} readable-{n}")).await;
        rig.run(&format!("put secrets/a/busy hunter2-again-{n}")).await;
    }
}

#[tokio::test]
async fn sealed_objects_are_readable_in_no_file_and_come_back_after_a_crash() {
    let rig = Rig::with(|options| {
        small_log(options);
        options.seal = Inverter::new(1, &[1]);
    })
    .await;
    fill(&rig, 0).await;
    let file = rig.dir.path().join("a.snapshot");
    rig.store.save(file.clone(), false).await.unwrap();
    assert!(rig.store.metrics().checkpoints.get() > 0, "the log was cut on the way");
    assert_eq!(found(rig.dir.path(), "hunter2"), Vec::<String>::new());
    assert!(!found(rig.dir.path(), "readable-59").is_empty(), "the rest is as it was");
    let before = rig.shown();
    let seal: SealRef = Inverter::new(1, &[1]);
    assert_eq!(show_state(&read_snapshot(&file, &seal).unwrap()), before);
    let rig = rig.crash().await;
    assert_eq!(rig.shown(), before);
    std::fs::remove_dir_all(rig.options.dir.join("snapshots")).unwrap();
    assert_eq!(rig.restart().await.shown(), before, "the checkpoint holds the same");
}

#[tokio::test]
async fn a_rewrite_leaves_nothing_as_it_was_before_and_watches_go_on() {
    let seal = Inverter::new(0, &[1, 2]);
    let rig = Rig::with(|options| options.seal = seal.clone()).await;
    let mut watch = rig.store.watch(KeyRange::all(), rig.store.state().revision()).unwrap();
    fill(&rig, 0).await;
    assert!(!found(rig.dir.path(), "hunter2").is_empty());
    for generation in [1, 2] {
        seal.generation.store(generation, Ordering::SeqCst);
        rig.store.rewrite().await.unwrap();
        let old = format!("key-{}", generation - 1);
        assert_eq!(found(&rig.options.dir, "hunter2"), Vec::<String>::new(), "generation {generation}");
        assert_eq!(found(&rig.options.dir, &old), Vec::<String>::new());
        fill(&rig, 0).await;
        assert_eq!(found(&rig.options.dir, "hunter2"), Vec::<String>::new());
    }
    assert_eq!(std::fs::read_to_string(rig.options.dir.join("version")).unwrap(), "2\n", "old programs stay away");
    let first = watch.next().await.unwrap();
    assert!(show_event(&first).contains("hunter2-0"), "history is still there");
    let before = rig.shown();
    let rig = rig.crash().await;
    assert_eq!(rig.shown(), before);

    // And back: everything is readable again, without the keys.
    seal.generation.store(0, Ordering::SeqCst);
    rig.store.rewrite().await.unwrap();
    rig.run("create secrets/a/last 1").await;
    let before = rig.shown();
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    let rig = Rig { options: Options { seal: NoSeal::shared(), ..rig.options }, ..rig };
    assert_eq!(rig.reopen().await.shown(), before);
}

#[tokio::test]
async fn a_missing_key_is_named_and_nothing_is_moved_aside() {
    let rig = Rig::with(|options| options.seal = Inverter::new(7, &[7])).await;
    fill(&rig, 0).await;
    let file = rig.dir.path().join("a.snapshot");
    rig.store.save(file.clone(), true).await.unwrap();
    let before = rig.shown();
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    let error = read_snapshot(&file, &NoSeal::shared()).unwrap_err();
    assert!(crate::base::error::Chain(&error).to_string().contains("key \"key-7\", which this server does not have"));
    let without = Options { seal: NoSeal::shared(), ..rig.options.clone() };
    let error = Store::open(without, &Scope::root("test")).await.err().expect("refused");
    assert!(crate::base::error::Chain(&error).to_string().contains("key \"key-7\""), "{error:?}");
    assert_eq!(rig.reopen().await.shown(), before, "with the key everything is there");
}

#[tokio::test]
async fn a_snapshot_of_a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.snapshot");
    let head = b"SKIFFSN7";
    std::fs::write(&file, [&head[..], &wire::checksum(head).to_le_bytes(), b" and more"].concat()).unwrap();
    let error = read_snapshot(&file, &NoSeal::shared()).unwrap_err().to_string();
    assert!(error.contains("format 7 of a newer skiff"), "{error}");
    assert!(file.exists());
}
