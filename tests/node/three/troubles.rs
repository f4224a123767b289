//! What befalls the servers, and what must hold meanwhile and afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use skiff::base::clock::SystemClock;
use skiff::object::Timestamp;
use skiff::object::tree::json;

use super::history::Record;
use super::lan::Lan;
use super::machine::{Machine, until};
use super::workload::{Came, Servers, ask};

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
    LeadersClockJumps,
    FollowersClockJumps,
    ClocksDisagree,
    ClocksYearsOff,
    StartedYearsOff,
}

impl Trouble {
    pub fn sets_clocks(self) -> bool {
        use Trouble::{ClocksDisagree, ClocksYearsOff, FollowersClockJumps, LeadersClockJumps, StartedYearsOff};
        let all = [ClocksDisagree, ClocksYearsOff, FollowersClockJumps, LeadersClockJumps, StartedYearsOff];
        all.contains(&self)
    }
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
    Trouble::LeadersClockJumps,
    Trouble::FollowersClockJumps,
    Trouble::ClocksDisagree,
    Trouble::ClocksYearsOff,
    Trouble::StartedYearsOff,
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

const MINUTE_SECS: i32 = 60;
const DAY_SECS: i32 = 24 * 60 * MINUTE_SECS;
const YEAR_SECS: i32 = 365 * DAY_SECS;
/// So far off that every certificate is good: those of servers are for a year, and from an hour before.
const CLOCK_JUMPS: [i32; 5] = [3 * DAY_SECS, -50 * MINUTE_SECS, 200 * DAY_SECS, -20 * MINUTE_SECS, 0];
/// So far that none is: some servers', then those of the authorities too, and before there were any.
const CLOCK_YEARS: [i32; 3] = [2 * YEAR_SECS, 12 * YEAR_SECS, -30 * YEAR_SECS];
/// By so much the clocks of the test and of a server may seem to differ besides.
const LATE_SECS_MAX: i64 = 30;

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
            Trouble::LeadersClockJumps => self.clock_jumps(leader).await,
            Trouble::FollowersClockJumps => self.clock_jumps(follower).await,
            Trouble::ClocksDisagree => self.clocks_disagree(leader).await,
            Trouble::ClocksYearsOff => self.clocks_years_off(leader, follower).await,
            Trouble::StartedYearsOff => self.started_years_off(follower).await,
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
        // What was begun meanwhile ends before something else befalls it.
        until("all that must not fail is answered", async || !self.record.awaits_strict()).await;
    }

    /// Its clock is set, and set again: it goes on writing, as do the others.
    async fn clock_jumps(&self, victim: usize) {
        for secs in CLOCK_JUMPS {
            self.machines[victim].set_clock_off(secs);
            self.serves(victim, secs).await;
            tokio::time::sleep(LASTS / 4).await;
            self.written_on(&format!("with a clock that is {secs} s off")).await;
        }
    }

    /// All are off, each by something else, and find each other again.
    async fn clocks_disagree(&mut self, leader: usize) {
        for (machine, secs) in self.machines.iter().zip(CLOCK_JUMPS) {
            machine.set_clock_off(secs);
        }
        self.machines[leader].kill();
        self.written_on("while clocks disagree").await;
        self.machines[leader].start_off(CLOCK_JUMPS[2]).await;
        for (place, machine) in self.machines.iter().enumerate() {
            machine.ready().await;
            self.serves(place, if place == leader { CLOCK_JUMPS[2] } else { CLOCK_JUMPS[place] }).await;
        }
        self.clocks_right();
    }

    /// Two of three are, while they have to find each other: whether anybody serves is not asked, only that all is
    /// as before when they are right again.
    async fn clocks_years_off(&mut self, leader: usize, follower: usize) {
        for years in CLOCK_YEARS {
            self.machines[follower].kill();
            self.machines[leader].set_clock_off(years);
            self.machines[follower].start_off(-years).await;
            tokio::time::sleep(LASTS).await;
        }
        self.clocks_right();
    }

    /// It starts as machines do that lost the time with their power, and hears later what time it is.
    async fn started_years_off(&mut self, victim: usize) {
        for secs in CLOCK_YEARS {
            self.machines[victim].kill();
            self.machines[victim].start_off(secs).await;
            tokio::time::sleep(LASTS).await;
            self.written_on(&format!("while one started {secs} s off")).await;
            self.machines[victim].set_clock_off(0);
            self.machines[victim].ready().await;
            self.serves(victim, 0).await;
        }
    }

    fn clocks_right(&self) {
        self.machines.iter().for_each(|machine| machine.set_clock_off(0));
    }

    /// The server acknowledges writes, and says that it is so many seconds from now.
    async fn serves(&self, place: usize, secs: i32) {
        let remote = self.servers.read().expect("the servers")[place].clone();
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "timely-", "namespace": "default"},
        });
        until(&format!("server {place} serves with a clock {secs} s off"), async || {
            let now = Timestamp::from_nanos(SystemClock::shared().wall_nanos());
            let Some(told) = self.machines[place].wall_clock().await else { return false };
            let is_set = (told.secs_since(now) - i64::from(secs)).abs() < LATE_SECS_MAX;
            is_set && matches!(ask(&remote, "POST", LARGE_PATH, Some(object.clone())).await, Came::Answer(201, _))
        })
        .await;
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
