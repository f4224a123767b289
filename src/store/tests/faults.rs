//! Disks that are full, or fail.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU8;

use super::super::files::{Disk, DiskFile};
use super::*;

const GOOD: u8 = 0;
const FULL: u8 = 1;
const FAILS_TO_SYNC: u8 = 2;
/// As full, and not even a file can be made before the one that is set aside goes.
const TO_THE_BRIM: u8 = 3;
/// As full, but a file can be begun: there is what was set aside.
const RESERVE_GIVEN: u8 = 4;

/// The machine's disk, until it is told otherwise.
#[derive(Clone)]
struct FaultyDisk {
    fault: Arc<AtomicU8>,
    real: DiskRef,
}

struct FaultyFile {
    fault: Arc<AtomicU8>,
    real: Box<dyn DiskFile>,
}

impl FaultyDisk {
    fn new() -> Self {
        Self { fault: Arc::default(), real: SystemDisk::shared() }
    }

    fn becomes(&self, fault: u8) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    fn file(&self, real: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { fault: self.fault.clone(), real })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.fault.load(Ordering::SeqCst) == TO_THE_BRIM {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.real.create(path).map(|real| self.file(real))
    }
    fn open(&self, path: &Path, writable: bool) -> io::Result<Box<dyn DiskFile>> {
        self.real.open(path, writable).map(|real| self.file(real))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let is_brimming = self.fault.load(Ordering::SeqCst) == TO_THE_BRIM;
        self.real.remove(path)?;
        if is_brimming && path.ends_with("reserve") {
            self.becomes(RESERVE_GIVEN);
        }
        Ok(())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.real.sync_dir(path)
    }
}

#[tokio::test]
async fn a_snapshot_without_space_leaves_nothing_behind_and_says_so() {
    let rig = Rig::new().await;
    rig.run("create a/x 1").await;
    let disk = FaultyDisk::new();
    disk.becomes(FULL);
    let base = base::Base { state: State::clone(&rig.store.state()), ..base::Base::default() };
    for packing in [snapshot::Packing::None, snapshot::Packing::Blocks, snapshot::Packing::Gzip] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.snapshot");
        let error = snapshot::export(&disk, &path, &base, &NoSeal, packing).unwrap_err();
        assert!(error.to_string().starts_with("there is no space for snapshot"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

impl FaultyFile {
    fn is(&self, fault: u8) -> bool {
        self.fault.load(Ordering::SeqCst) == fault
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(into, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.is(TO_THE_BRIM) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let is_begun = offset > 0 || bytes.len() > 4_096;
        let is_full = self.is(FULL) || (self.is(RESERVE_GIVEN) && is_begun);
        if is_full && bytes.len() > 40 {
            self.real.write_at(&bytes[..40], offset)?; // some of it fits
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.real.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        if self.is(FAILS_TO_SYNC) { Err(io::Error::other("the flash is worn out")) } else { self.real.sync() }
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.real.truncate(len)
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        match self.fault.load(Ordering::SeqCst) {
            GOOD | FAILS_TO_SYNC => self.real.allocate(offset, len),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }
    fn size(&self) -> io::Result<u64> {
        self.real.size()
    }
}

async fn faulty() -> (Rig, FaultyDisk, Arc<ManualClock>) {
    let disk = FaultyDisk::new();
    let clock = ManualClock::starting_at(0);
    let rig = Rig::with(|options| {
        options.disk = Arc::new(disk.clone());
        options.clock = clock.clone();
    });
    (rig.await, disk, clock)
}

use crate::base::clock::ManualClock;

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_space() {
    let (rig, disk, clock) = faulty().await;
    rig.run("create a/x 1").await;
    rig.run("create leases/n/a 1").await;
    rig.renew("put leases/n/a 2").await;

    disk.becomes(FULL);
    assert_eq!(rig.try_run("create a/y 1").await, Err(ProposeError::DiskFull));
    assert_eq!(*rig.store.health().borrow(), Health::DiskFull);
    assert_eq!(rig.shown(), "10002: leases/n/a@3=2 pods/a/x@1=1", "reads go on");
    rig.store.read_barrier().await.unwrap();
    assert!(rig.store.decides() && !rig.store.leads(), "who asks is told why by this server");
    clock.advance(Duration::from_secs(2));
    assert_eq!(rig.try_run("create a/y 1").await, Err(ProposeError::DiskFull), "still full");

    disk.becomes(GOOD);
    assert_eq!(rig.try_run("create a/y 1").await, Err(ProposeError::DiskFull), "not asked again at once");
    clock.advance(Duration::from_secs(2));
    assert_eq!(rig.run("create a/y 1").await, "10003: pods/a/y@10003=1", "nothing of the refused was written");
    assert_eq!(*rig.store.health().borrow(), Health::Good);
    let before = rig.shown();
    assert_eq!(rig.crash().await.shown(), before);
}

#[tokio::test]
async fn a_lone_server_finds_out_by_itself_that_there_is_space() {
    let (rig, disk, _) = faulty().await;
    disk.becomes(FULL);
    rig.try_run("create a/x 1").await.unwrap_err();
    assert!(!rig.store.leads());
    disk.becomes(GOOD);
    rig.store.role().wait_for(|role| matches!(role, Role::Leader { .. })).await.unwrap();
    rig.store.health().wait_for(|health| *health == Health::Good).await.unwrap();
}

#[tokio::test]
async fn a_store_opens_on_a_full_disk_also_if_its_log_must_make_a_file() {
    let (rig, disk, _) = faulty().await;
    rig.run("create a/x 1").await;
    assert!(rig.scope.stop(Duration::from_secs(30)).await);
    let (log, reserve) = (rig.options.dir.join("log"), rig.options.dir.join("reserve"));
    let files = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let begun: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "rewrite")).collect();
    assert_eq!(begun.len(), 1);
    std::fs::remove_file(&begun[0]).unwrap(); // as a crash leaves it that comes just before
    disk.becomes(TO_THE_BRIM);

    let rig = rig.reopen().await;
    assert!(rig.shown().ends_with(": pods/a/x@1=1"), "{}", rig.shown());
    assert_eq!(rig.try_run("create a/y 1").await, Err(ProposeError::DiskFull));
    assert!(begun[0].exists() && !reserve.exists());
    disk.becomes(GOOD);
    let rig = rig.restart().await;
    assert!(rig.shown().ends_with(": pods/a/x@1=1") && reserve.exists(), "set aside for the next time");
}

#[tokio::test]
async fn renewals_go_on_while_the_disk_is_full() {
    let (rig, disk, _clock) = faulty().await;
    rig.run("create leases/n/a 1").await;
    rig.renew("put leases/n/a 2").await;
    disk.becomes(FULL);
    rig.try_run("create a/y 1").await.unwrap_err();
    assert!(matches!(rig.store.propose(command("put leases/n/a 3").volatile()).await, Err(ProposeError::DiskFull)));
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged_any_more() {
    let (rig, disk, _clock) = faulty().await;
    rig.run("create a/x 1").await;
    disk.becomes(FAILS_TO_SYNC);
    assert_eq!(rig.try_run("create a/y 1").await, Err(ProposeError::Unknown));
    disk.becomes(GOOD);
    let refused = rig.try_run("create a/z 1").await.unwrap_err();
    assert!(matches!(refused, ProposeError::LogFailed { .. }) && refused.to_string().contains("worn out"), "{refused}");
    assert!(matches!(*rig.store.role().borrow(), Role::Follower { .. }));
    assert_eq!(rig.shown(), "1: pods/a/x@1=1", "reads go on");
    let after = rig.restart().await;
    assert!(after.shown().contains("pods/a/x@1=1"));
    after.run("create a/z 1").await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_fsync_fails_is_replaced_and_nothing_is_lost() {
    let mut cluster = super::cluster::Cluster::founded(1).await;
    let disks: Vec<FaultyDisk> = (0..3).map(|_| FaultyDisk::new()).collect();
    cluster.stop(1).await;
    for (id, disk) in (1..).zip(&disks) {
        cluster.disks.insert(id, Arc::new(disk.clone()));
    }
    cluster.start(1).await;
    cluster.join(2).await;
    cluster.join(3).await;
    cluster.run("create a/x 1").await;
    let first = cluster.leader().await;
    disks[first as usize - 1].becomes(FAILS_TO_SYNC);
    let store = cluster.store(first);
    let refused = store.propose(command("create a/y 1")).await.unwrap_err();
    assert_eq!(refused, ProposeError::Unknown, "the others may have it");
    assert!(matches!(*store.health().borrow(), Health::LogFailed { .. }) && !store.leads());
    assert!(!store.state().is_empty(), "reads go on");
    disks[first as usize - 1].becomes(GOOD);

    let second = cluster.leader().await;
    assert_ne!(second, first);
    cluster.run("put a/y 2").await;
    assert!(store.propose(command("create a/z 1")).await.is_err(), "it takes part in nothing any more");
    cluster.stop(first).await;
    cluster.start(first).await; // what the disk really holds
    let agreed = cluster.agreed().await;
    assert!(agreed.contains("a/x@1=1") && agreed.contains("=2"), "{agreed}");
}
