//! Bits that flip and files that rot: nothing acknowledged goes missing in silence.

use std::path::{Path, PathBuf};

use super::*;

/// Where the log's bytes are: the newest file that entries are appended to.
fn log_file(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|it| it == "raftlog")).max().unwrap()
}

/// Changes bytes of the newest log file: `at` counts from its written end.
fn change(dir: &Path, at: usize, len: usize, how: impl Fn(u8) -> u8) {
    let path = log_file(dir);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[end - at..end - at + len].iter_mut().for_each(|byte| *byte = how(*byte));
    std::fs::write(path, bytes).unwrap();
}

async fn written() -> (Rig, String) {
    let rig = Rig::new().await;
    for n in 0..20 {
        rig.run(&format!("create a/x{n} {n}")).await;
    }
    let shown = rig.shown();
    (rig, shown)
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_is_turned_back() {
    for at in [2, 9, 60, 300, 900] {
        let (rig, before) = written().await;
        assert!(rig.scope.stop(Duration::from_secs(30)).await);
        change(&rig.options.dir, at, 1, |byte| byte ^ 4);
        let rig = rig.reopen().await;
        assert_eq!(rig.shown(), before, "a bit {at} bytes from the end");
        let damages = rig.store.damages().borrow().clone();
        assert!(matches!(&damages[..], [Damage { part: Part::Log, remedy: Remedy::Mended { .. }, .. }]), "{damages:?}");
        assert_eq!(rig.store.metrics().damaged_logs.get(), 1);
        let rig = rig.restart().await;
        assert_eq!((rig.shown(), rig.store.damages().borrow().len()), (before, 0));
    }
}

/// As a loss of power leaves it that comes when the next file is begun.
fn begin_torn_file(dir: &Path) {
    let newest = log_file(dir);
    let number: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    std::fs::write(newest.with_file_name(format!("{:016}.raftlog", number + 1)), "RAFT-LOG-FILE-HEADER").unwrap();
}

#[tokio::test]
async fn a_file_of_the_log_that_was_begun_twice_is_as_good_as_others() {
    let (rig, _) = written().await;
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    begin_torn_file(&rig.options.dir);
    let rig = rig.reopen().await;
    rig.run("create a/y 1").await;
    let before = rig.shown();
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    change(&rig.options.dir, 9, 1, |byte| byte ^ 4);
    begin_torn_file(&rig.options.dir);
    let rig = rig.reopen().await;
    assert_eq!(rig.shown(), before, "nobody has to help");
    assert_eq!(rig.store.damages().borrow().len(), 1, "the bit was turned back");
}

#[tokio::test]
async fn a_log_damaged_before_its_end_is_refused_and_can_be_salvaged() {
    let (rig, _) = written().await;
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    change(&rig.options.dir, 900, 30, |byte| byte ^ 0x5a);
    let refused = Store::open(rig.options.clone(), &Scope::root("test")).await.err().expect("refused");
    assert!(matches!(refused, OpenError::DamagedLog { .. }), "{refused}");
    assert!(refused.to_string().contains("skiff server --cluster-reset"), "{refused}");

    let Options { dir, disk, clock, rand, .. } = rig.options.clone();
    let done = reset(&dir, None, &disk, &NoSeal::shared(), clock, &*rand, &|_, _| true).unwrap();
    assert!((10..19).contains(&done.objects), "what is before the damage: {done:?}");
    assert!(dir.join("log.damaged").exists(), "nothing is thrown away");
    let rig = rig.reopen().await;
    assert_eq!(rig.store.state().len(), done.objects);
    rig.run("create a/more 1").await;
}

#[tokio::test]
async fn what_was_torn_by_a_loss_of_power_is_dropped_without_a_word() {
    let (rig, _) = written().await;
    let before = rig.shown();
    rig.run("create a/last 1").await;
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    change(&rig.options.dir, 40, 40, |_| 0); // had it not been acknowledged
    let rig = rig.reopen().await;
    assert_eq!((rig.shown(), rig.store.damages().borrow().len()), (before, 0));
}

#[tokio::test(start_paused = true)]
async fn one_of_three_whose_log_is_damaged_gets_everything_anew() {
    let mut cluster = super::cluster::Cluster::of(3, 1).await;
    for n in 0..30 {
        cluster.run(&format!("create a/x{n} {n}")).await;
    }
    cluster.agreed().await;
    let harmed = (1..=3).find(|id| !cluster.store(*id).leads()).unwrap();
    cluster.stop(harmed).await;
    change(&cluster.path(harmed), 900, 30, |byte| byte ^ 0x5a);
    cluster.start_anew(harmed, 9).await;
    let store = cluster.store(9);
    assert_eq!((store.id(), store.replaces(), store.is_outside()), (9, Some(harmed), true));
    assert!(store.state().is_empty(), "it votes for nothing and answers nothing");

    let leader = cluster.leader().await;
    cluster.store(leader).change_members(Change::Remove(harmed)).await.unwrap();
    cluster.store(leader).change_members(Change::Add(9)).await.unwrap();
    let mut members = store.members();
    members.wait_for(|members| members.voters.contains(&9)).await.unwrap();
    cluster.run("create a/y 1").await;
    assert!(cluster.agreed().await.starts_with("31: "));
    cluster.stop(9).await;
    assert!(cluster.path(harmed).join("log.damaged").exists() && !cluster.path(harmed).join("replaces").exists());
}
