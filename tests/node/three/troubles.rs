//! What befalls the servers, and what must hold meanwhile and afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use skiff::object::tree::json;

use super::history::Record;
use super::lan::Lan;
use super::machine::{Machine, until};
use super::workload::{Came, PATIENCE, Servers, ask};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    LeaderKilled,
    FollowerKilled,
    LeaderHeldStill,
    FollowerHeldStill,
    LeaderAlone,
    LeaderHearsNobody,
    NobodyHearsLeader,
    TwoCannotMeet,
    AllApart,
    SlowAndLossy,
    LeadersDiskFull,
    FollowersDiskFull,
    Replaced,
    LongAway,
    RestartedInTurn,
}

pub const TROUBLES: &[Trouble] = &[
    Trouble::LeaderKilled,
    Trouble::FollowerKilled,
    Trouble::LeaderHeldStill,
    Trouble::FollowerHeldStill,
    Trouble::LeaderAlone,
    Trouble::LeaderHearsNobody,
    Trouble::NobodyHearsLeader,
    Trouble::TwoCannotMeet,
    Trouble::AllApart,
    Trouble::LeadersDiskFull,
    Trouble::FollowersDiskFull,
    Trouble::Replaced,
    Trouble::RestartedInTurn,
    Trouble::LongAway,
    Trouble::SlowAndLossy,
];

/// More than a log keeps: 32 MiB of history, and a quarter of that until it is cut again.
const MISSED_BYTES: usize = 48 << 20;
const LARGE_BYTES: usize = 350_000;
/// How many different objects those are in.
const LARGE: usize = 8;
/// Away from the others, whose lists they would make long.
const LARGE_PATH: &str = "/api/v1/namespaces/default/configmaps";
/// What a server says that did not go on from its own log.
const TOOK_OVER: &str = "took over the leader's state";

/// How long a trouble lasts.
const LASTS: Duration = Duration::from_millis(2_500);
const DELAY: Duration = Duration::from_millis(200);
const LOSS_PERCENT: u64 = 5;

pub struct Trial<'a> {
    pub root: &'a Path,
    pub lan: &'a Lan,
    pub machines: &'a mut Vec<Machine>,
    pub servers: &'a Servers,
    pub record: &'a Record,
}

impl Trial<'_> {
    /// Lets it happen, and waits until all is well again.
    pub async fn suffer(&mut self, trouble: Trouble) {
        use Trouble::{FollowerHeldStill, FollowerKilled, LeaderHeldStill, LeaderKilled};
        let leader = self.leader().await;
        let follower = (leader + 1) % self.machines.len();
        match trouble {
            LeaderKilled => self.killed(leader).await,
            FollowerKilled => self.killed(follower).await,
            LeaderHeldStill => self.held_still(leader).await,
            FollowerHeldStill => self.held_still(follower).await,
            Trouble::LeadersDiskFull => self.disk_full(leader).await,
            Trouble::FollowersDiskFull => self.disk_full(follower).await,
            Trouble::Replaced => self.replaced(follower).await,
            Trouble::LongAway => self.long_away(follower).await,
            Trouble::RestartedInTurn => self.restarted_in_turn().await,
            _ => self.bad_weather(trouble, leader, follower).await,
        }
        self.written_on(&format!("after {trouble:?}")).await;
        let mut names: Vec<String> = self.machines.iter().map(Machine::name).collect();
        names.sort();
        for machine in self.machines.iter() {
            machine.ready().await;
            let all = async || machine.members().await.is_some_and(|(_, voters)| is_same(voters, &names));
            until(&format!("all vote after {trouble:?}"), all).await;
        }
    }

    /// The place of the leader, as any server knows it.
    async fn leader(&self) -> usize {
        let mut leader = None;
        until("a leader is known", async || {
            for machine in self.machines.iter() {
                if let Some((number, _)) = machine.members().await {
                    leader = self.machines.iter().position(|it| it.number == number);
                }
            }
            leader.is_some()
        })
        .await;
        leader.expect("a server of ours")
    }

    /// Writes are acknowledged.
    async fn written_on(&self, when: &str) {
        let before = self.record.written();
        until(&format!("writes go on {when}"), async || self.record.written() > before + 10).await;
    }

    async fn killed(&mut self, victim: usize) {
        self.machines[victim].kill();
        self.written_on("without the killed one").await;
        self.machines[victim].start();
    }

    async fn held_still(&mut self, victim: usize) {
        self.machines[victim].signal(Signal::SIGSTOP);
        tokio::time::sleep(LASTS).await;
        self.written_on("without the one held still").await;
        self.machines[victim].signal(Signal::SIGCONT);
    }

    async fn bad_weather(&mut self, trouble: Trouble, leader: usize, follower: usize) {
        let number = |place: usize| self.machines[place].number;
        let numbers: Vec<usize> = self.machines.iter().map(|machine| machine.number).collect();
        let (leader, follower) = (number(leader), number(follower));
        let others: Vec<usize> = numbers.iter().copied().filter(|number| *number != leader).collect();
        match trouble {
            Trouble::LeaderAlone => self.lan.isolate(leader, &others),
            Trouble::LeaderHearsNobody => others.iter().for_each(|other| self.lan.cut(*other, leader)),
            Trouble::NobodyHearsLeader => others.iter().for_each(|other| self.lan.cut(leader, *other)),
            Trouble::TwoCannotMeet => self.lan.isolate(leader, &[follower]),
            Trouble::AllApart => numbers.iter().for_each(|number| self.lan.isolate(*number, &numbers)),
            _ => self.lan.worsen(DELAY, LOSS_PERCENT),
        }
        tokio::time::sleep(LASTS).await;
        if trouble != Trouble::AllApart {
            self.written_on(&format!("during {trouble:?}")).await;
        }
        self.lan.heal();
    }

    async fn disk_full(&mut self, victim: usize) {
        self.machines[victim].fill_disk();
        tokio::time::sleep(LASTS).await;
        self.machines[victim].free_disk();
    }

    /// Another machine takes its place for good, and the leader's state over while others write.
    async fn replaced(&mut self, victim: usize) {
        let mut gone = self.machines.remove(victim);
        gone.kill();
        let helper = &self.machines[0];
        helper.administer(&["member", "remove", &gone.name()]);
        let newest = self.machines.iter().map(|machine| machine.number).max().unwrap_or(0).max(gone.number);
        let mut machine = Machine::new(self.root, self.lan, newest + 1).joining(helper);
        drop(gone);
        machine.start();
        machine.ready().await;
        assert!(machine.log().contains(TOOK_OVER), "{}", machine.log());
        let remote = Arc::new(machine.remote().expect("a kubeconfig"));
        self.machines.insert(victim, machine);
        self.servers.write().expect("the servers")[victim] = remote;
    }

    /// It misses more than others keep in their logs, and takes a state over while they write on.
    async fn long_away(&mut self, victim: usize) {
        self.machines[victim].kill();
        let there = (victim + 1) % self.machines.len();
        let remote = self.servers.read().expect("the servers")[there].clone();
        let mut written = 0;
        for number in 0.. {
            let name = format!("large-{}", number % LARGE);
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": &*name, "namespace": "default"},
                "data": {"number": number.to_string(), "filling": "x".repeat(LARGE_BYTES)},
            });
            let (method, path) = match number < LARGE {
                true => ("POST", LARGE_PATH.to_owned()),
                false => ("PUT", format!("{LARGE_PATH}/{name}")),
            };
            // It may be late on a busy machine: then the next one makes up for it.
            if let Came::Answer(200 | 201, _) = ask(&remote, method, &path, Some(object)).await {
                written += LARGE_BYTES;
            }
            if written > MISSED_BYTES {
                break;
            }
        }
        let taken = |machine: &Machine| machine.log().matches(TOOK_OVER).count();
        let before = taken(&self.machines[victim]);
        self.machines[victim].start();
        self.machines[victim].ready().await;
        let is_taken = async || taken(&self.machines[victim]) > before;
        until("the state is taken over", is_taken).await;
    }

    /// One after the other, as an upgrade does: no request that a server took may fail.
    async fn restarted_in_turn(&mut self) {
        self.record.forbid_failures(true);
        for place in 0..self.machines.len() {
            self.machines[place].stop().await;
            self.written_on("while one is restarted").await;
            self.machines[place].start();
            self.machines[place].ready().await;
        }
        self.record.forbid_failures(false);
        tokio::time::sleep(PATIENCE).await; // what was begun meanwhile ends before something else befalls it
    }

    /// The end of every server's log.
    pub fn logs(&self) -> String {
        let end = |machine: &Machine| {
            let log = machine.log();
            let lines: Vec<&str> = log.lines().collect();
            format!("--- {}\n{}\n", machine.name(), lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        self.machines.iter().map(end).collect()
    }
}

fn is_same(mut names: Vec<String>, wanted: &[String]) -> bool {
    names.sort();
    names == wanted
}
