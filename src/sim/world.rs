//! A cluster, those who use it, and what befalls it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::check::history::{Answer, Call, Change, Want};
use super::client::{self, Client};
use super::dice::Dice;
use super::disk::Faults;
use super::net::{SimNet, Weather};
use super::record::Record;
use super::server::{Server, StartError};
use super::watcher;
use crate::base::service::Scope;
use crate::store::{Change as Move, Health, LogLimits, Outcome, RingLimits, Store};

/// How long a healed cluster may take until it writes again, and until all its servers have everything.
const RECOVERY_MAX: Duration = Duration::from_secs(90);
const CLIENTS: usize = 4;
const WATCHERS: usize = 3;

pub struct World {
    pub dice: Dice,
    pub net: SimNet,
    pub servers: Vec<Server>,
    pub record: Record,
    root: PathBuf,
    limits: (LogLimits, RingLimits),
    /// The members that clients know of.
    ids: Arc<Mutex<Vec<u64>>>,
    users: Scope,
    /// Leases are renewed in memory only: what servers hold of them may differ.
    pub renews: bool,
    pub befell: BTreeMap<&'static str, u32>,
    paused: BTreeSet<usize>,
}

/// Voters and others, as `store` knows them.
fn known_to(store: &Store) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let members = store.members().borrow().clone();
    let others = members.learners.iter().chain(&members.voters_outgoing).chain(&members.learners_next);
    (members.voters.iter().copied().collect(), others.copied().collect())
}

impl World {
    /// A cluster of as many servers as the dice say, in `root`.
    pub async fn found(root: &Path, dice: Dice, record: Record) -> Self {
        let limits = (
            LogLimits { bytes: dice.below(16_384), entries: dice.within(20..200) as usize },
            RingLimits { events: dice.within(10..200) as usize, ..RingLimits::default() },
        );
        let users = Scope::root("users");
        let net = SimNet::new(dice.fork(), record.trace.clone(), Scope::root("sky"));
        let mut world = Self {
            net,
            servers: Vec::new(),
            record,
            root: root.to_owned(),
            limits,
            ids: Arc::default(),
            users,
            renews: false,
            befell: BTreeMap::new(),
            paused: BTreeSet::new(),
            dice,
        };
        let size = [1, 1, 1, 3, 3, 3, 3, 3, 5, 2][world.dice.below(10) as usize];
        world.renews = size == 1 || world.dice.percent(50);
        world.add(true).await;
        for _ in 1..size {
            let place = world.add(false).await;
            world.join(place).await;
        }
        world.record.trace.note(|| format!("a cluster of {size}, {:?}", world.limits));
        world
    }

    pub fn is_single(&self) -> bool {
        self.servers.len() == 1
    }

    async fn add(&mut self, founds: bool) -> usize {
        let place = self.servers.len();
        let mut server = Server::new(place, &self.root, founds, self.limits, self.dice.fork(), &self.record);
        if let Err(error) = server.start(&self.net, &self.record).await {
            self.record.fault(format!("server {place} cannot begin: {error:?}"));
        }
        self.servers.push(server);
        self.tell_ids();
        place
    }

    fn tell_ids(&self) {
        let known = self.servers.iter().filter(|server| !server.is_removed).map(|server| server.id).collect();
        *self.ids.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Takes a new server in, and waits until it votes.
    async fn join(&mut self, place: usize) -> bool {
        let id = self.servers[place].id;
        let deadline = Instant::now() + RECOVERY_MAX;
        while Instant::now() < deadline {
            if let Some(leader) = self.leader() {
                let known = leader.members().borrow().clone();
                if known.voters.contains(&id) && known.voters_outgoing.is_empty() {
                    return true;
                }
                if !known.contains(id) {
                    let asked = tokio::time::timeout(Duration::from_secs(5), leader.change_members(Move::Add(id)));
                    drop(asked.await); // asked again if it did not come to pass
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        false
    }

    /// Takes the server of this id out of the cluster; tells whether it came to pass.
    async fn take_out(&self, id: u64) -> bool {
        let deadline = Instant::now() + RECOVERY_MAX;
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let Some(leader) = self.leader() else { continue };
            if !leader.members().borrow().contains(id) {
                return true;
            }
            let _ = tokio::time::timeout(Duration::from_secs(5), leader.change_members(Move::Remove(id))).await;
        }
        false
    }

    /// The store that leads in the newest term.
    pub fn leader(&self) -> Option<Store> {
        let running = self.servers.iter().filter(|server| !self.paused.contains(&server.place));
        let stores = running.filter_map(Server::store).filter(|store| store.leads());
        stores.max_by_key(|store| store.role().borrow().term()).cloned()
    }

    /// Lets clients and watchers work.
    pub fn populate(&self) {
        let known = self.ids.clone();
        let ids = move || known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for number in 0..CLIENTS {
            let client = Client {
                number,
                net: self.net.clone(),
                ids: ids.clone(),
                dice: self.dice.fork(),
                record: self.record.clone(),
                pause_ms: [50, 800, 3_000, 6_000][number % 4],
                known: BTreeMap::new(),
                leader: None,
                renews: self.renews,
            };
            let stop = self.users.clone();
            self.users.spawn("client", async move { client.run(stop).await });
        }
        for number in 0..WATCHERS {
            let (net, ids, dice, record) = (self.net.clone(), ids.clone(), self.dice.fork(), self.record.clone());
            let stop = self.users.clone();
            self.users.spawn("watcher", async move {
                tokio::select! {
                    biased;
                    () = watcher::wander(number, net, ids, dice, record) => (),
                    () = stop.stopping() => (),
                }
            });
        }
    }

    /// Things befall the cluster for so long.
    pub async fn suffer(&mut self, long: Duration) {
        let end = Instant::now() + long;
        while Instant::now() < end && !self.record.is_faulty() {
            self.befall().await;
            let hold = self.dice.within(50..12_000);
            self.wait(Duration::from_millis(hold)).await;
            if self.dice.percent(70) {
                self.heal(false).await;
                let quiet = self.dice.within(10..8_000);
                self.wait(Duration::from_millis(quiet)).await;
            }
        }
    }

    /// Lets time pass and compares servers meanwhile.
    async fn wait(&self, long: Duration) {
        let end = Instant::now() + long;
        while Instant::now() < end {
            let rest = end.duration_since(Instant::now());
            tokio::time::sleep(rest.min(Duration::from_millis(500))).await;
            self.compare();
        }
    }

    fn compare(&self) {
        if self.is_single() {
            return; // what it held in memory only may be gone after a crash
        }
        for server in &self.servers {
            if let Some(store) = server.store() {
                self.record.state(server.place, &store.state(), self.renews);
            }
        }
    }

    fn some_server(&self) -> usize {
        self.dice.below(self.servers.len() as u64) as usize
    }

    async fn befall(&mut self) {
        let one = self.some_server();
        let leader = self.leader().and_then(|leader| self.servers.iter().position(|it| it.id == leader.id()));
        let one = leader.filter(|_| self.dice.percent(40)).unwrap_or(one);
        let what = match self.dice.below(21) {
            0..3 => self.cut_power(one).await,
            3 => self.cut_power_everywhere().await,
            4 => {
                self.servers[one].crash(false, &self.net, &self.record).await;
                "kill"
            }
            5 => {
                let politely = self.dice.percent(60);
                self.resume(one);
                self.servers[one].stop(politely, &self.net, &self.record).await;
                "stop"
            }
            6 | 7 => {
                self.servers[one].pause();
                self.paused.insert(one);
                "pause"
            }
            8..11 => self.part(one),
            11 | 12 => {
                self.net.weather(Weather {
                    delay_micros: 100..self.dice.within(2..600) * 1_000,
                    lost_percent: self.dice.below(30),
                    twice_percent: self.dice.below(20),
                });
                "weather"
            }
            13 => self.spoil(one, "full disk", Faults { full: true, ..Faults::default() }),
            14 => {
                let slow = self.dice.within(5..400);
                self.spoil(one, "slow disk", Faults { slow, ..Faults::default() })
            }
            15 => self.spoil(one, "failed fsync", Faults { fails_to_sync: true, ..Faults::default() }),
            16 => self.rot(one).await,
            19 => self.spoil(one, "failed reads", Faults { fails_to_read: true, ..Faults::default() }),
            17 => {
                let by_ms = self.dice.below(200_000_000) as i64 - 100_000_000;
                self.servers[one].clock.jump(by_ms);
                "clock jump"
            }
            18 => {
                if let Some(leader) = self.leader() {
                    leader.resign().await;
                }
                "resign"
            }
            _ if self.is_ruins_turn() => self.ruin(one).await,
            _ => self.replace(one).await,
        };
        self.record.trace.note(|| format!("befell {one}: {what}"));
        *self.befell.entry(what).or_default() += 1;
    }

    fn resume(&mut self, place: usize) {
        self.paused.remove(&place);
        self.servers[place].resume();
    }

    async fn cut_power(&mut self, one: usize) -> &'static str {
        if self.dice.percent(60) {
            self.servers[one].disk.cut_soon(self.dice.below(60));
            self.wait(Duration::from_millis(self.dice.below(3_000))).await;
        }
        self.resume(one);
        self.servers[one].crash(true, &self.net, &self.record).await;
        "power cut"
    }

    async fn cut_power_everywhere(&mut self) -> &'static str {
        for place in 0..self.servers.len() {
            self.resume(place);
            self.servers[place].crash(true, &self.net, &self.record).await;
        }
        "power cut everywhere"
    }

    fn spoil(&mut self, one: usize, what: &'static str, faults: Faults) -> &'static str {
        self.servers[one].disk.set(faults);
        what
    }

    fn part(&mut self, one: usize) -> &'static str {
        let count = self.servers.len();
        let others: Vec<usize> = (0..count).filter(|other| *other != one).collect();
        match self.dice.below(5) {
            0 => {
                for other in others {
                    self.net.block(one, other);
                    self.net.block(other, one);
                }
                "isolation"
            }
            1 => {
                let side: BTreeSet<usize> = (0..count).filter(|_| self.dice.percent(50)).collect();
                for a in 0..count {
                    for b in (0..count).filter(|b| side.contains(&a) != side.contains(b)) {
                        self.net.block(a, b);
                    }
                }
                "partition"
            }
            2 => {
                others.iter().for_each(|other| self.net.block(one, *other));
                "deaf others"
            }
            3 => {
                others.iter().for_each(|other| self.net.block(*other, one));
                "deafness"
            }
            _ => {
                if let Some(other) = self.dice.pick(&others) {
                    self.net.block(one, *other);
                    if self.dice.percent(50) {
                        self.net.block(*other, one);
                    }
                }
                "broken link"
            }
        }
    }

    /// A bit turns over in a snapshot or a checkpoint: never in both.
    async fn rot(&mut self, one: usize) -> &'static str {
        if self.servers[one].has_rotted || !self.servers[one].is_running() {
            return "nothing";
        }
        self.resume(one);
        self.servers[one].crash(false, &self.net, &self.record).await;
        let part = format!("/{one}/store/{}", if self.dice.percent(50) { "snapshots/" } else { "checkpoint" });
        if let Some(path) = self.servers[one].disk.rot(&part) {
            self.record
                .trace
                .note(|| format!("a bit turned over in {}", path.file_name().unwrap_or_default().display()));
            self.servers[one].has_rotted = true;
        }
        "bit rot"
    }

    /// A server is replaced and one loses its state, in turn: so old seeds begin as they did.
    fn is_ruins_turn(&self) -> bool {
        let times = |what| self.befell.get(what).copied().unwrap_or_default();
        (times("replace") + times("lost state")) % 2 == 1
    }

    /// Whether those that are left, of two none, could agree to anything without one.
    fn others_decide(&self) -> bool {
        self.servers.iter().filter(|server| !server.is_removed).count() > 2
    }

    /// Heals everything, and waits until losing any one server is not too much.
    async fn can_lose_one(&mut self) -> bool {
        self.heal(true).await;
        let can = self.is_whole_soon().await;
        if !can {
            self.fault("not everybody knows who belongs to the cluster though nothing is broken any more".to_owned());
        }
        can
    }

    /// One server loses both copies of its state: it is taken out under its old id, and in under its new one.
    async fn ruin(&mut self, one: usize) -> &'static str {
        if !self.others_decide() || self.servers[one].is_removed || !self.can_lose_one().await {
            return "nothing";
        }
        let ruined = self.servers[one].ruin(&self.net, &self.record).await;
        self.tell_ids();
        match ruined {
            Ok(Some(old)) if self.take_out(old).await && self.join(one).await => (),
            Ok(Some(_)) => self.fault(format!("server {one} is not taken in again by a cluster without faults")),
            Ok(None) => return "damage that the log makes good",
            Err(error) => self.fault(format!("server {one} needs a human after it lost its state: {error:?}")),
        }
        "lost state"
    }

    /// One server goes for good and a new one comes.
    async fn replace(&mut self, one: usize) -> &'static str {
        if self.servers.len() == 1 || self.servers.len() > 8 || self.servers[one].is_removed {
            return "nothing";
        }
        if !self.can_lose_one().await {
            return "replace";
        }
        let id = self.servers[one].id;
        if self.dice.percent(50) && self.others_decide() {
            self.servers[one].crash(true, &self.net, &self.record).await;
            tokio::time::sleep(Duration::from_millis(self.dice.below(6_000))).await;
        }
        self.servers[one].is_removed = self.take_out(id).await;
        if !self.servers[one].is_removed {
            self.fault(format!("server {one} cannot be removed from a cluster without faults"));
            return "replace";
        }
        let place = self.add(false).await;
        if !self.join(place).await {
            self.fault(format!("server {place} cannot join a cluster without faults"));
        }
        if self.dice.percent(50) {
            self.servers[one].crash(true, &self.net, &self.record).await; // or it lives on, ignored
        }
        "replace"
    }

    /// Something that should have come to pass did not: also tells what each server thinks.
    fn fault(&self, what: String) {
        for server in &self.servers {
            let Some(store) = server.store() else { continue };
            let (place, id, role, health) = (server.place, server.id, *store.role().borrow(), store.health());
            let (members, revision) = (store.members().borrow().clone(), store.state().revision());
            self.record.trace.note(|| {
                format!("server {place} is {id}: {role:?} at {revision}, {:?}, {members:?}", *health.borrow())
            });
        }
        self.record.fault(what);
    }

    /// Waits until every member knows who the members are: before that fewer losses are too many.
    async fn is_whole_soon(&self) -> bool {
        let deadline = Instant::now() + RECOVERY_MAX;
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Some(leader) = self.leader() else { continue };
            let members = known_to(&leader);
            let mut others = self.servers.iter().filter(|server| leader.members().borrow().contains(server.id));
            if others.all(|server| server.store().is_some_and(|store| known_to(store) == members)) {
                return true;
            }
        }
        false
    }

    /// Makes good what can be; all of it, or some.
    pub async fn heal(&mut self, all: bool) {
        let some = |dice: &Dice| all || dice.percent(75);
        if some(&self.dice) {
            self.net.unblock_all();
        }
        if some(&self.dice) {
            self.net.weather(Weather::default());
        }
        for place in 0..self.servers.len() {
            if some(&self.dice) {
                self.resume(place);
            }
            if some(&self.dice) {
                self.servers[place].disk.set(Faults::default());
                let failed = self.servers[place]
                    .store()
                    .is_some_and(|store| matches!(*store.health().borrow(), Health::LogFailed { .. }));
                if failed {
                    self.resume(place);
                    self.servers[place].stop(false, &self.net, &self.record).await;
                }
            }
            let is_gone = self.servers[place].is_removed;
            if some(&self.dice) && !self.servers[place].is_running() && (!is_gone || self.dice.percent(10)) {
                self.start(place).await;
            }
        }
    }

    async fn start(&mut self, place: usize) {
        let is_spoiled = self.servers[place].disk.faults() != Faults::default();
        match self.servers[place].start(&self.net, &self.record).await {
            Ok(()) => (),
            Err(error) if is_spoiled => {
                let why = format!("{error:?}").replace(&*self.root.to_string_lossy(), "");
                self.record.trace.note(|| format!("server {place} cannot start: {why}"));
                self.servers[place].disk.cut();
            }
            Err(StartError::TooLong) => self.record.fault(format!("server {place} does not open")),
            Err(StartError::Refused(error)) => {
                let chain = crate::base::error::Chain(&error).to_string();
                self.record.fault(format!("server {place} needs a human: {chain}"));
            }
        }
        self.tell_ids();
    }

    /// Everything is healed, users go, and everybody must agree.
    pub async fn settle(&mut self) {
        self.heal(true).await;
        if !self.users.stop(Duration::from_secs(120)).await {
            self.record.fault("a client waits for ever");
        }
        self.heal(true).await;
        let Some(revision) = self.write_something().await else {
            return self.fault("nothing can be written though nothing is broken any more".to_owned());
        };
        for server in self.servers.iter().filter(|server| !server.is_removed) {
            let Some(store) = server.store() else {
                self.record.fault(format!("server {} is not there", server.place));
                continue;
            };
            let reached = store.reached(crate::object::Revision(revision));
            if tokio::time::timeout(RECOVERY_MAX, reached).await.is_err() {
                self.record.fault(format!("server {} never gets to revision {revision}", server.place));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.compare();
    }

    async fn write_something(&self) -> Option<u64> {
        let deadline = Instant::now() + RECOVERY_MAX;
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Some(leader) = self.leader() else { continue };
            let value = self.record.now() + 1;
            let change = Change { key: "pods/end/end".into(), want: Want::Anything, value: Some(value) };
            let invoked = self.record.now();
            let command = client::command(std::slice::from_ref(&change), 0);
            let answer = match tokio::time::timeout(Duration::from_secs(10), leader.propose(command)).await {
                Ok(Ok(Outcome::Committed { revision, .. })) => Answer::Written { revision: revision.0 },
                Ok(Err(crate::store::ProposeError::Unknown)) | Err(_) => Answer::Lost,
                Ok(_) => continue,
            };
            self.record.op(CLIENTS, Call::Write(vec![change]), invoked, answer.clone());
            if let Answer::Written { revision } = answer {
                return Some(revision);
            }
        }
        None
    }

    /// Everything stops.
    pub async fn end(&mut self) {
        for place in 0..self.servers.len() {
            self.resume(place);
            self.servers[place].stop(false, &self.net, &self.record).await;
        }
    }
}
