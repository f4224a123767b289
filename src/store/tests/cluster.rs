//! Several servers in one process: everything a real one uses, over a network that loses, delays and
//! parts, in simulated time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::*;
use crate::base::clock::Clock;
use crate::base::rand::Rand;

/// The network, as seen by nobody.
#[derive(Clone)]
pub(super) struct Net(Arc<Mutex<NetState>>);

struct NetState {
    stores: BTreeMap<u64, Store>,
    /// Who can talk to nobody.
    cut_off: BTreeSet<u64>,
    /// Of a hundred questions so many are lost, or their answers are.
    lost_percent: u64,
    delay_ms_max: u64,
    rand: RandRef,
}

/// The network as one server has it.
struct Port {
    from: u64,
    net: Net,
}

impl Net {
    fn chance(&self) -> (u64, u64, Duration) {
        let net = self.0.lock().unwrap();
        let delay = net.rand.next_u64() % (net.delay_ms_max + 1);
        (net.rand.next_u64() % 100, net.lost_percent, Duration::from_millis(delay))
    }

    pub fn any_leader(&self) -> Option<Store> {
        self.0.lock().unwrap().stores.values().find(|store| store.leads()).cloned()
    }

    fn connected(&self, from: u64, to: u64) -> Option<Store> {
        let net = self.0.lock().unwrap();
        let parted = net.cut_off.contains(&from) || net.cut_off.contains(&to);
        net.stores.get(&to).filter(|_| !parted).cloned()
    }
}

impl Network for Port {
    fn ask(&self, to: u64, ask: Ask, body: Bytes) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
        let (from, net) = (self.from, self.net.clone());
        Box::pin(async move {
            let lost = || NetworkError::Unreachable { id: to, why: "on purpose".into() };
            let (dice, lost_percent, delay) = net.chance();
            tokio::time::sleep(delay).await;
            if dice < lost_percent / 2 {
                return Err(lost());
            }
            let answer = net.connected(from, to).ok_or_else(lost)?.answer(ask, &body);
            tokio::time::sleep(delay).await;
            net.connected(to, from).filter(|_| dice >= lost_percent).ok_or_else(lost)?;
            answer.map_err(|error| NetworkError::Refused { id: to, why: error.to_string() })
        })
    }
}

/// The simulated time as the stores' clock.
pub(super) struct TestClock(pub Instant);

impl Clock for TestClock {
    fn wall_nanos(&self) -> i128 {
        0
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// One that is told its id: the store takes it from its source of randomness when it is new.
struct Fixed(u64);

impl Rand for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.to_le_bytes()[..bytes.len()]);
    }
}

/// Servers 1 to n, of which the first founded the cluster.
pub(super) struct Cluster {
    pub net: Net,
    scopes: BTreeMap<u64, Scope>,
    dir: TempDir,
    starts: u32,
    limits: LogLimits,
    history: RingLimits,
    witnesses: BTreeSet<u64>,
    /// Disks that are not simply the machine's.
    pub disks: BTreeMap<u64, DiskRef>,
}

impl Cluster {
    /// The founder alone.
    pub async fn founded(seed: u64) -> Self {
        Self::with(seed, LogLimits::default(), RingLimits::default()).await
    }

    pub async fn with(seed: u64, limits: LogLimits, history: RingLimits) -> Self {
        let state = NetState {
            stores: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            lost_percent: 0,
            delay_ms_max: 0,
            rand: crate::base::rand::SystemRand::seeded(seed),
        };
        let net = Net(Arc::new(Mutex::new(state)));
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self {
            net,
            scopes: BTreeMap::new(),
            dir,
            starts: 0,
            limits,
            history,
            witnesses: BTreeSet::new(),
            disks: BTreeMap::new(),
        };
        cluster.start(1).await;
        cluster
    }

    /// All voters.
    pub async fn of(count: u64, seed: u64) -> Self {
        let mut cluster = Self::founded(seed).await;
        for id in 2..=count {
            cluster.join(id).await;
        }
        cluster
    }

    pub async fn join(&mut self, id: u64) {
        self.start(id).await;
        let leader = self.leader().await;
        self.store(leader).change_members(Change::Add(id)).await.unwrap();
        let mut members = self.store(id).members();
        members.wait_for(|members| members.voters.contains(&id)).await.unwrap();
    }

    pub async fn join_witness(&mut self, id: u64) {
        self.witnesses.insert(id);
        self.join(id).await;
        for (_, store) in self.running() {
            store.set_witnesses(vec![id]);
        }
    }

    pub fn path(&self, id: u64) -> std::path::PathBuf {
        self.dir.path().join(format!("{id}"))
    }

    pub async fn start(&mut self, id: u64) {
        self.open(id, self.path(id)).await;
    }

    /// Starts a server that knows others to get from what it lost; if it did, it is `id` from now on.
    pub async fn start_anew(&mut self, old: u64, id: u64) {
        self.open(id, self.path(old)).await;
    }

    async fn open(&mut self, id: u64, path: std::path::PathBuf) {
        let options = Options {
            clock: Arc::new(TestClock(Instant::now())),
            rand: Arc::new(Fixed(id)),
            network: Arc::new(Port { from: id, net: self.net.clone() }),
            joins: id != 1,
            rejoins: id != 1,
            witness: self.witnesses.contains(&id),
            disk: self.disks.get(&id).cloned().unwrap_or_else(SystemDisk::shared),
            log: self.limits,
            history: self.history,
            ..Options::new(path)
        };
        let scope = Scope::root("server");
        let store = Store::open(options, &scope).await.unwrap();
        self.net.0.lock().unwrap().stores.insert(id, store);
        self.scopes.insert(id, scope);
        self.starts += 1;
    }

    /// What the server had on its disk is there; what was on its way is not.
    pub async fn crash(&mut self, id: u64) {
        let left = self.dir.path().join(format!("{id}-{}", self.starts));
        copy(&self.path(id), &left);
        self.stop(id).await;
        std::fs::remove_dir_all(self.path(id)).unwrap();
        std::fs::rename(left, self.path(id)).unwrap();
    }

    pub async fn stop(&mut self, id: u64) {
        let scope = self.scopes.remove(&id).unwrap();
        self.net.0.lock().unwrap().stores.remove(&id);
        assert!(scope.stop(Duration::from_secs(30)).await);
    }

    pub fn store(&self, id: u64) -> Store {
        self.net.0.lock().unwrap().stores[&id].clone()
    }

    pub fn running(&self) -> Vec<(u64, Store)> {
        self.net.0.lock().unwrap().stores.iter().map(|(id, store)| (*id, store.clone())).collect()
    }

    pub fn cut_off(&self, ids: impl IntoIterator<Item = u64>) {
        self.net.0.lock().unwrap().cut_off = ids.into_iter().collect();
    }

    pub fn losing(&self, lost_percent: u64, delay_ms_max: u64) {
        let mut net = self.net.0.lock().unwrap();
        (net.lost_percent, net.delay_ms_max) = (lost_percent, delay_ms_max);
    }

    pub fn dice(&self, sides: u64) -> u64 {
        self.net.0.lock().unwrap().rand.next_u64() % sides
    }

    /// Waits until somebody leads who can be talked to.
    pub async fn leader(&self) -> u64 {
        loop {
            let cut_off = self.net.0.lock().unwrap().cut_off.clone();
            let running = self.running();
            let leads = running.iter().filter(|(id, store)| store.leads() && !cut_off.contains(id));
            if let Some((id, _)) = leads.max_by_key(|(_, store)| store.role().borrow().term()) {
                return *id;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn run(&self, line: &str) -> String {
        let leader = self.leader().await;
        show_outcome(&self.store(leader).propose(command(line)).await.expect("an outcome"))
    }

    /// What all servers say when they have everything; they must not differ.
    pub async fn agreed(&self) -> String {
        let leader = self.leader().await;
        self.store(leader).read_barrier().await.unwrap();
        let revision = self.store(leader).state().revision();
        let mut shown = BTreeSet::new();
        for (_, store) in self.running() {
            store.reached(revision).await.unwrap();
            shown.insert(show_state(&store.state()));
        }
        assert_eq!(shown.len(), 1, "servers differ: {shown:#?}");
        shown.pop_first().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_joins_is_given_everything_and_becomes_a_voter() {
    let mut cluster = Cluster::founded(1).await;
    for n in 0..300 {
        cluster.run(&format!("create a/x{n} {n}")).await;
    }
    cluster.join(2).await;
    cluster.join(3).await;
    assert_eq!(cluster.store(3).members().borrow().voters, [1, 2, 3]);
    cluster.run("create a/y 1").await;
    assert!(cluster.agreed().await.starts_with("301: "));
}

#[tokio::test(start_paused = true)]
async fn a_server_joins_while_another_is_still_given_its_state() {
    let mut cluster = Cluster::founded(1).await;
    cluster.run("create a/x 1").await;
    let before = Instant::now();
    cluster.join(2).await;
    cluster.join(3).await;
    assert!(before.elapsed() < Duration::from_secs(5), "the state offered to the second is none for the third");
}

#[tokio::test(start_paused = true)]
async fn three_servers_survive_the_loss_of_their_leader() {
    let cluster = Cluster::of(3, 1).await;
    cluster.run("create a/x 1").await;
    let first = cluster.leader().await;
    let other = if first == 1 { 2 } else { 1 };
    let refused = cluster.store(other).propose(command("create a/y 1")).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { leader: Some(first) });
    cluster.store(other).read_barrier().await.unwrap();

    cluster.cut_off([first]);
    let old = cluster.store(first);
    let lost = old.propose(command("create a/lost 1"));
    let (second, lost) = tokio::join!(cluster.leader(), lost);
    assert_ne!(second, first);
    assert_eq!(lost.unwrap_err(), ProposeError::Unknown, "it might have been written");
    cluster.run("create a/z 1").await;
    assert!(matches!(old.read_barrier().await, Err(ProposeError::NotLeader { .. })), "it may be behind, and knows");

    cluster.cut_off([]);
    assert_eq!(cluster.agreed().await, "2: pods/a/x@1=1 pods/a/z@2=1");
    let term = cluster.store(second).role().borrow().term();
    let stale = cluster.store(second).propose(command("create a/w 1").in_term(term - 1)).await.unwrap();
    assert!(matches!(stale, Outcome::Deposed { .. }));
}

#[tokio::test(start_paused = true)]
async fn watches_go_on_at_another_server_where_they_were() {
    let cluster = Cluster::of(3, 1).await;
    for n in 0..10 {
        cluster.run(&format!("put a/x {n}")).await;
    }
    let leader = cluster.leader().await;
    cluster.cut_off([leader]);
    cluster.run("put a/x 10").await;
    let next = cluster.leader().await;
    let mut watch = cluster.store(next).watch(KeyRange::all(), Revision(5)).unwrap();
    for n in 5..=10 {
        let event = watch.next().await.unwrap();
        assert_eq!(show_event(&event), format!("pods/a/x@{n}={} -> pods/a/x@{}={n}", n - 1, n + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_in_memory_are_settled_before_another_server_joins() {
    let mut cluster = Cluster::founded(1).await;
    cluster.run("create leases/n/a 0").await;
    for n in 1..=50 {
        cluster.store(1).propose(command(&format!("put leases/n/a {n}")).volatile()).await.unwrap();
    }
    cluster.join(2).await;
    cluster.crash(1).await; // it replays its log, the other has what it was given
    cluster.start(1).await;
    cluster.run("create a/x 1").await;
    assert!(cluster.agreed().await.contains("leases/n/a@51=50"), "settled as it was");
}

#[tokio::test(start_paused = true)]
async fn who_was_away_for_long_is_given_the_whole_state() {
    let history = RingLimits { events: 3, ..RingLimits::default() };
    let mut cluster = Cluster::with(1, LogLimits { bytes: 0, entries: 8 }, history).await;
    cluster.join(2).await;
    cluster.join(3).await;
    let away = (1..=3).find(|id| !cluster.store(*id).leads()).unwrap();
    let mut watch = cluster.store(away).watch(KeyRange::all(), Revision(0)).unwrap();
    cluster.cut_off([away]);
    for n in 0..200 {
        cluster.run(&format!("put a/x{} {n}", n % 7)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cluster.cut_off([]);
    cluster.agreed().await;
    assert_eq!(watch.next().await.unwrap_err(), WatchEnd::TooSlow, "it missed what nobody can tell any more");
    cluster.crash(away).await;
    cluster.start(away).await;
    cluster.run("put a/x0 end").await;
    cluster.agreed().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_first() {
    let mut cluster = Cluster::of(3, 1).await;
    let first = cluster.leader().await;
    let before = Instant::now();
    cluster.store(first).resign().await;
    assert!(!cluster.store(first).leads());
    cluster.stop(first).await;
    cluster.run("create a/x 1").await;
    assert!(before.elapsed() < Duration::from_millis(400), "nobody waited for an election");
}

#[tokio::test(start_paused = true)]
async fn members_are_removed_unless_the_rest_is_no_majority() {
    let mut cluster = Cluster::of(3, 1).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    cluster.stop(others[0]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let store = cluster.store(leader);
    let refused = store.change_members(Change::Remove(others[1])).await.unwrap_err();
    assert_eq!(refused, ChangeError::NoMajority { id: others[1], alive: 1, voters: 2 });
    store.change_members(Change::Remove(others[0])).await.unwrap();
    assert_eq!(store.members().borrow().voters.len(), 2);
    cluster.run("create a/x 1").await;

    // With its old directory it stays outside.
    cluster.start(others[0]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(store.leads() && cluster.store(others[0]).state().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_of_three_goes_on_alone_when_it_is_told_to() {
    let mut cluster = Cluster::of(3, 1).await;
    for n in 0..20 {
        cluster.run(&format!("create a/x{n} {n}")).await;
    }
    cluster.agreed().await;
    let last = (1..=3).find(|id| !cluster.store(*id).leads()).unwrap();
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    let disk = SystemDisk::shared();
    let done = {
        let clock = Arc::new(TestClock(Instant::now()));
        reset(&cluster.path(last), None, &disk, &NoSeal::shared(), clock, &Fixed(9), &|_, _| true).unwrap()
    };
    assert_eq!(done.objects, 20);
    cluster.start(last).await;
    let store = cluster.store(last);
    assert_eq!((store.id(), store.members().borrow().voters.clone()), (9, vec![9]));
    store.propose(command("create a/y 1")).await.unwrap();
    assert_eq!(store.state().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn renewals_write_nothing_to_any_disk_and_are_seen_everywhere() {
    let cluster = Cluster::of(3, 1).await;
    cluster.run("create leases/n/a 0").await;
    let leader = cluster.leader().await;
    let renew = async |value: u32| {
        let command = command(&format!("put leases/n/a {value}")).volatile();
        show_outcome(&cluster.store(leader).propose(command).await.expect("an outcome"))
    };
    renew(0).await; // reserves revisions, in the log
    tokio::time::sleep(Duration::from_secs(1)).await;
    let writes = || -> u64 { cluster.running().iter().map(|(_, store)| store.metrics().log_writes.get()).sum() };
    let before = writes();
    for value in 1..=50 {
        renew(value).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(writes(), before);
    let seen = cluster.agreed().await;
    assert!(seen.contains("=50"), "{seen}");

    // The leader renews once more, which it can tell nobody any more, and is replaced.
    cluster.cut_off([leader]);
    let unheard = renew(51).await;
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    let made = cluster.run("create a/x 1").await;
    let revision = |shown: &str| shown.split(':').next().unwrap().parse::<u64>().unwrap();
    assert!(revision(&made) > revision(&unheard), "{made} after {unheard}");
    cluster.cut_off([]);
    let seen = cluster.agreed().await;
    assert!(seen.contains("=50") && !seen.contains("=51"), "what nobody heard of gives way: {seen}");
}

#[tokio::test(start_paused = true)]
async fn what_the_log_says_is_the_same_everywhere_after_a_leader_with_renewals_was_lost() {
    let mut cluster = Cluster::of(3, 3).await;
    cluster.run("create leases/n/a 0").await;
    let leader = cluster.leader().await;
    let renewal = |value: u32| command(&format!("put leases/n/a {value}")).volatile();
    cluster.store(leader).propose(renewal(0)).await.unwrap();
    let logged = cluster.store(leader).state().get(&key("leases/n/a")).unwrap().revision();
    cluster.cut_off([leader]);
    cluster.store(leader).propose(renewal(7)).await.unwrap();
    cluster.leader().await;
    // Conditional on what the log says: the old leader, which has something newer, must decide the same.
    let done = cluster.run(&format!("update leases/n/a@{logged} 8")).await;
    assert!(done.contains("=8"), "{done}");
    cluster.cut_off([]);
    assert!(cluster.agreed().await.contains("=8"));
    cluster.crash(leader).await;
    cluster.start(leader).await;
    cluster.run("create a/y 1").await;
    assert!(cluster.agreed().await.contains("=8"));
}

#[tokio::test(start_paused = true)]
async fn two_servers_and_a_witness_survive_the_loss_of_any_one() {
    for lost in 1..=3 {
        let mut cluster = Cluster::founded(lost).await;
        cluster.join(2).await;
        cluster.join_witness(3).await;
        for n in 0..20 {
            cluster.run(&format!("create a/x{n} {n}")).await;
        }
        cluster.cut_off([lost]);
        let leader = cluster.leader().await;
        assert_ne!(leader, 3, "a witness leads nobody");
        cluster.run("create a/y 1").await;
        cluster.cut_off([]);
        cluster.run("create a/z 1").await;
        for (id, store) in cluster.running() {
            store.reached(Revision(if id == 3 { 0 } else { 22 })).await.unwrap();
        }
        assert!(cluster.store(3).state().is_empty(), "it has no objects");
        assert_eq!(show_state(&cluster.store(1).state()), show_state(&cluster.store(2).state()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_witness_brings_the_newest_writes_to_the_server_that_lacks_them() {
    let mut cluster = Cluster::founded(1).await;
    cluster.join(2).await;
    cluster.join_witness(3).await;
    cluster.run("create a/x 1").await;
    let first = cluster.leader().await;
    let other = 3 - first;
    cluster.cut_off([other]);
    for n in 0..30 {
        cluster.run(&format!("create a/y{n} {n}")).await; // only this one and the witness have it
    }
    cluster.cut_off([first]);
    assert_eq!(cluster.leader().await, other);
    assert_eq!(cluster.store(other).state().len(), 31);
    cluster.run("create a/z 1").await;
    cluster.cut_off([]);
    cluster.crash(3).await;
    cluster.start(3).await;
    cluster.run("create a/w 1").await;
    assert_eq!(cluster.store(other).state().len(), 33);
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_witness_is_bounded_and_survives_its_restart() {
    let history = RingLimits { events: 3, ..RingLimits::default() };
    let mut cluster = Cluster::with(1, LogLimits { bytes: 0, entries: 8 }, history).await;
    cluster.join(2).await;
    cluster.join_witness(3).await;
    for n in 0..100 {
        cluster.run(&format!("put a/x{} {n}", n % 7)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let kept = std::fs::read_dir(cluster.path(3).join("snapshots")).unwrap().count();
    assert_eq!(kept, 1, "it noted where its log begins");
    cluster.crash(3).await;
    cluster.start(3).await;
    let leader = cluster.leader().await;
    cluster.cut_off([3 - leader]);
    cluster.run("create a/y 1").await;
}

#[tokio::test]
async fn the_directory_of_a_witness_is_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { joins: true, witness: true, ..Options::new(dir.path().join("store")) };
    let scope = Scope::root("test");
    drop(Store::open(options.clone(), &scope).await.unwrap());
    assert!(scope.stop(Duration::from_secs(30)).await);
    let other = Options { witness: false, ..options.clone() };
    let refused = Store::open(other, &Scope::root("test")).await.err().expect("refused").to_string();
    assert!(refused.contains("--witness"), "{refused}");
}
