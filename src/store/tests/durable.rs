//! What is there after a stop or a crash.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::*;

pub(super) fn small_log(options: &mut Options) {
    options.log = LogLimits { bytes: 0, entries: 4 };
    options.history.events = 3;
}

async fn checkpointed(rig: &Rig) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while rig.store.metrics().checkpoints.get() == 0 {
        assert!(tokio::time::Instant::now() < deadline, "no checkpoint was taken");
        tokio::task::yield_now().await;
    }
}

async fn many(rig: &Rig, count: usize) {
    rig.run("create a/x 0").await;
    for n in 0..count {
        rig.run(&format!("put a/x {n} & put a/y{n} 1")).await;
    }
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let rig = Rig::new().await;
    for line in ["create a/x 1", "create a/y 1 & create a/z 1", "update a/x@1 2", "create a/x 3", "delete a/y@2"] {
        rig.run(line).await;
    }
    let before = rig.shown();
    let rig = rig.restart().await;
    assert_eq!(rig.shown(), before);
    assert_eq!(rig.run("create a/w 1").await, "5: pods/a/w@5=1");
}

#[tokio::test]
async fn what_depends_on_a_write_without_the_log_is_there_after_a_crash() {
    let rig = Rig::new().await;
    rig.run("create leases/n/a 0").await;
    rig.renew("put leases/n/a 1").await; // goes through the log, and reserves revisions
    let renewed = rig.renew("put leases/n/a 2").await;
    let (revision, _) = renewed.split_once(':').expect("a revision");
    // In one entry: the first finds only what memory held, the second is numbered after it.
    let update = format!("update leases/n/a@{revision} 3");
    let (_, made) = tokio::join!(rig.run(&update), rig.run("create a/x 1"));
    let (made, _) = made.split_once(':').expect("a revision");
    rig.run(&format!("delete a/x@{made}")).await;
    let objects = |rig: &Rig| rig.shown().split_once(": ").expect("objects").1.to_owned();
    let before = objects(&rig);
    assert!(before.contains("=3") && !before.contains("a/x"), "{before}");
    let rig = rig.crash().await;
    assert_eq!(objects(&rig), before);
}

#[tokio::test]
async fn a_watch_goes_on_over_a_restart_where_it_was() {
    let rig = Rig::new().await;
    for line in ["create a/x 1", "update a/x@1 2", "delete a/x@2"] {
        rig.run(line).await;
    }
    let rig = rig.crash().await;
    let mut watch = rig.store.watch(KeyRange::all(), Revision(1)).unwrap();
    assert_eq!(show_event(&watch.next().await.unwrap()), "pods/a/x@1=1 -> pods/a/x@2=2");
    assert_eq!(show_event(&watch.next().await.unwrap()), "pods/a/x@2=2 -> -pods/a/x@3=2");
    assert_eq!(watch.progress(), Some(Revision(3)));
}

#[tokio::test]
async fn the_log_is_cut_and_history_survives_a_restart() {
    let rig = Rig::with(small_log).await;
    many(&rig, 40).await;
    checkpointed(&rig).await;
    let before = rig.shown();
    let rig = rig.restart().await;
    assert_eq!(rig.shown(), before);
    let last = rig.store.state().revision();
    let mut watch = rig.store.watch(KeyRange::all(), Revision(last.0 - 1)).unwrap();
    assert_eq!(show_event(&watch.next().await.unwrap()), "pods/a/x@40=38 -> pods/a/x@41=39");
    assert!(matches!(rig.store.watch(KeyRange::all(), Revision(1)), Err(WatchError::Compacted { .. })));
}

#[tokio::test]
async fn a_torn_end_of_the_log_is_dropped() {
    let rig = Rig::new().await;
    rig.run("create a/x 1").await;
    let before = rig.shown();
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    let log = newest_file(&rig.options.dir.join("log"));
    OpenOptions::new().append(true).open(log).unwrap().write_all(&[7; 1000]).unwrap();
    let rig = rig.reopen().await;
    assert_eq!(rig.shown(), before);
    assert_eq!(rig.run("create a/y 1").await, "2: pods/a/y@2=1");
    assert_eq!(rig.restart().await.shown(), "2: pods/a/x@1=1 pods/a/y@2=1");
}

#[tokio::test]
async fn a_damaged_snapshot_is_moved_aside_and_the_checkpoint_used() {
    for damage in [overwrite, truncate] {
        let rig = reopened_after(|dir| damage(&only_file(&dir.join("snapshots")))).await;
        let names = std::fs::read_dir(rig.options.dir.join("snapshots")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().any(|name| name.ends_with(".snapshot.damaged")), "{names:?}");
    }
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_taken_away() {
    let half = |dir: &Path| dir.join("snapshots/00000000000000000007.snapshot.partial");
    let rig = reopened_after(|dir| std::fs::write(half(dir), "half").unwrap()).await;
    assert!(!half(&rig.options.dir).exists());
}

#[tokio::test]
async fn a_damaged_checkpoint_is_made_anew_when_the_next_is_due() {
    for damage in [overwrite, truncate] {
        let rig = reopened_after(|dir| damage(&dir.join("checkpoint"))).await;
        many(&rig, 40).await;
        checkpointed(&rig).await;
        assert!(
            rig.options.dir.join("checkpoint.damaged").exists(),
            "what was there is kept for whoever wants to look"
        );
        assert!(rig.scope.stop(Duration::from_secs(30)).await);
        overwrite(&only_file(&rig.options.dir.join("snapshots")));
        let (before, rig) = (rig.shown(), rig.reopen().await);
        assert_eq!(rig.shown(), before, "the new checkpoint is good");
    }
}

/// A store that was cut, stopped, damaged and opened again, and has everything.
async fn reopened_after(damage: impl Fn(&Path)) -> Rig {
    let rig = Rig::with(small_log).await;
    many(&rig, 40).await;
    checkpointed(&rig).await;
    let before = rig.shown();
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    damage(&rig.options.dir);
    let rig = rig.reopen().await;
    assert_eq!(rig.shown(), before);
    rig.run("create a/more 1").await;
    let before = rig.shown();
    let rig = rig.restart().await;
    assert_eq!(rig.shown(), before);
    rig
}

#[tokio::test]
async fn without_checkpoint_and_snapshot_a_cut_log_is_refused() {
    let rig = Rig::with(small_log).await;
    many(&rig, 40).await;
    checkpointed(&rig).await;
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    std::fs::remove_file(rig.options.dir.join("checkpoint")).unwrap();
    overwrite(&only_file(&rig.options.dir.join("snapshots")));
    let refused = Store::open(rig.options.clone(), &Scope::root("test")).await.err().expect("refused");
    assert!(refused.to_string().contains("restore a backup"), "{refused}");
}

#[tokio::test]
async fn renewals_write_nothing_and_revisions_never_go_back() {
    let rig = Rig::new().await;
    rig.run("create leases/n/a 0").await;
    rig.renew("put leases/n/a 1").await; // reserves, in the log
    let written = rig.store.metrics().log_writes.get();
    let mut seen = String::new();
    for n in 0..100 {
        seen = rig.renew(&format!("put leases/n/a {n}")).await;
    }
    assert_eq!(seen, "102: leases/n/a@102=99");
    assert_eq!(rig.store.metrics().log_writes.get(), written);

    let rig = rig.crash().await;
    assert_eq!(rig.shown(), "10001: leases/n/a@2=1");
    assert_eq!(rig.run("create a/x 1").await, "10002: pods/a/x@10002=1");
    assert_eq!(rig.restart().await.shown(), "10002: leases/n/a@2=1 pods/a/x@10002=1");
}

#[tokio::test]
async fn renewals_between_writes_replay_at_the_same_revisions() {
    let rig = Rig::with(small_log).await;
    rig.run("create leases/n/a 0").await;
    for n in 0..30 {
        rig.renew(&format!("put leases/n/a {n}")).await;
        rig.run(&format!("put a/x {n}")).await;
    }
    let pod = rig.store.state().get(&key("a/x")).map(|object| show(object));
    let rig = rig.crash().await;
    assert_eq!(rig.store.state().get(&key("a/x")).map(|object| show(object)), pod);
    let before = rig.shown();
    assert_eq!(rig.crash().await.shown(), before);
}

#[tokio::test]
async fn a_snapshot_brings_everything_back_and_revisions_go_on_ahead() {
    let rig = Rig::with(small_log).await;
    many(&rig, 10).await;
    let (saved, file) = (rig.shown(), rig.dir.path().join("saved"));
    rig.store.save(file.clone(), true).await.unwrap();
    rig.run("put a/x later").await;
    rig.run("create a/new 1").await;
    let last = rig.store.state().revision();
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    assert_eq!(show_state(&read_snapshot(&file, &NoSeal::shared()).unwrap()), saved);

    let Options { dir, disk, clock, rand, .. } = rig.options.clone();
    let done = reset(&dir, Some(&file), &disk, &NoSeal::shared(), clock, &*rand, &|_, _| true).unwrap();
    let rig = rig.reopen().await;
    let objects = |shown: &str| shown.split_once(": ").unwrap().1.to_owned();
    assert_eq!(objects(&rig.shown()), objects(&saved));
    assert!(rig.store.state().revision() >= done.revision && done.revision > last);
    rig.run("create a/more 1").await;
    let before = rig.shown();
    assert_eq!(rig.crash().await.shown(), before);
}

#[tokio::test]
async fn a_second_store_in_the_same_directory_is_refused() {
    let rig = Rig::new().await;
    let refused = Store::open(rig.options.clone(), &Scope::root("test")).await.err().expect("refused");
    assert!(matches!(refused, OpenError::DataDir(DataDirError::Locked { .. })));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let rig = Rig::new().await;
    rig.run("create a/x 1").await;
    let mut watch = rig.store.watch(KeyRange::all(), Revision(1)).unwrap();
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    assert_eq!(rig.try_run("create a/y 1").await, Err(ProposeError::Closed));
    assert_eq!(watch.next().await.unwrap_err(), WatchEnd::Closed);
}

#[tokio::test]
async fn many_at_once_share_log_writes() {
    let rig = Rig::new().await;
    let before = rig.store.metrics().log_writes.get();
    let lines: Vec<String> = (0..500).map(|n| format!("create a/x{n} 1")).collect();
    futures_util::future::join_all(lines.iter().map(|line| rig.run(line))).await;
    let writes = rig.store.metrics().log_writes.get() - before;
    assert!(writes < 50, "{writes} writes for 500 commands");
    assert_eq!(rig.store.state().len(), 500);
}

#[tokio::test]
async fn reads_wait_for_nobody_when_there_is_nobody_else() {
    let rig = Rig::new().await;
    rig.store.read_barrier().await.unwrap();
    assert!(matches!(*rig.store.role().borrow(), Role::Leader { .. }));
    rig.run("create a/x 1").await;
    rig.store.reached(Revision(1)).await.unwrap();
}

fn newest_file(dir: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|suffix| suffix == "raftlog"));
    files.sort();
    files.pop().expect("a log file")
}

fn only_file(dir: &Path) -> PathBuf {
    let files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    match &files[..] {
        [file] => file.clone(),
        other => panic!("one file was expected: {other:?}"),
    }
}

fn truncate(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn overwrite(path: &Path) {
    let len = std::fs::metadata(path).unwrap().len() as usize;
    std::fs::write(path, vec![0xa5; len]).unwrap();
}
