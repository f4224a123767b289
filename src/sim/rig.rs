//! Some servers for tests that say themselves what befalls them.

use tempfile::TempDir;

use super::check::history::{Change, Want};
use super::client;
use super::dice::Dice;
use super::disk;
use super::net::SimNet;
use super::record::Record;
use super::server::Server;
use super::trace::Trace;
use crate::base::service::Scope;
use crate::store::{Change as Move, KeyRange, LogLimits, Outcome, ProposeError, RingLimits, State, Store};

/// Servers whose log is cut all the time.
pub struct Rig {
    pub folder: TempDir,
    pub servers: Vec<Server>,
    pub net: SimNet,
    pub record: Record,
    pub last_value: u64,
}

impl Rig {
    pub async fn of(count: usize, seed: u64) -> Self {
        let dice = Dice::of(seed);
        disk::simulate_time(dice.fork());
        let record = Record::new(Trace::new(false));
        let net = SimNet::new(dice.fork(), record.trace.clone(), Scope::root("sky"));
        let folder = tempfile::tempdir().unwrap();
        let mut rig = Self { servers: Vec::new(), net, record, last_value: 0, folder };
        for place in 0..count {
            rig.add(place, &dice).await;
        }
        rig
    }

    /// One more server, with dice of its own.
    pub async fn join(&mut self, place: usize, seed: u64) {
        self.add(place, &Dice::of(seed ^ 0xadd)).await;
    }

    async fn add(&mut self, place: usize, dice: &Dice) {
        let limits = (LogLimits { bytes: 0, entries: 6 }, RingLimits { events: 5, ..RingLimits::default() });
        let root = self.folder.path().to_owned();
        let mut server = Server::new(place, &root, place == 0, limits, dice.fork(), &self.record);
        server.start(&self.net, &self.record).await.unwrap();
        let id = server.id;
        self.servers.push(server);
        if place > 0 {
            self.leader().await.change_members(Move::Add(id)).await.unwrap();
            let mut members = self.store(place).members();
            members.wait_for(|members| members.voters.contains(&id)).await.unwrap();
        }
    }

    pub fn store(&self, place: usize) -> Store {
        self.servers[place].store().expect("it runs").clone()
    }

    pub async fn leader(&self) -> Store {
        loop {
            let leads = self.servers.iter().filter_map(Server::store).find(|store| store.leads());
            if let Some(leader) = leads {
                return leader.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// `put NAME`, `renew NAME` (in memory where that is possible), `create NAME`, `swap NAME@REVISION`, `delete NAME`; tells the revision.
    pub async fn run(&mut self, line: &str) -> Result<Option<u64>, ProposeError> {
        let (verb, rest) = line.split_once(' ').unwrap();
        let (name, revision) = rest.split_once('@').unwrap_or((rest, "0"));
        self.last_value += 1;
        let value = Some(self.last_value);
        let (want, value) = match verb {
            "put" | "renew" => (Want::Anything, value),
            "create" => (Want::Nothing, value),
            "swap" => (Want::Revision(revision.parse().unwrap()), value),
            "delete" => (Want::Anything, None),
            other => panic!("{other}"),
        };
        let change = Change { key: format!("pods/a/{name}").into(), want, value };
        let command = client::command(&[change], 0);
        let command = if verb == "renew" { command.volatile() } else { command };
        match self.leader().await.propose(command).await? {
            Outcome::Committed { revision, .. } => Ok(Some(revision.0)),
            _ => Ok(None),
        }
    }

    pub async fn power_cut(&mut self, place: usize) {
        self.servers[place].crash(true, &self.net, &self.record).await;
        self.servers[place].start(&self.net, &self.record).await.expect("a restart needs no human");
    }

    /// All servers when they have everything.
    pub async fn agreed(&self) -> Vec<State> {
        let leader = self.leader().await;
        leader.read_barrier().await.unwrap();
        let revision = leader.state().revision();
        for place in 0..self.servers.len() {
            self.store(place).reached(revision).await.unwrap();
        }
        (0..self.servers.len()).map(|place| State::clone(&self.store(place).state())).collect()
    }
}

pub fn shown(state: &State) -> Vec<String> {
    state.range(&KeyRange::all()).map(|object| format!("{object:?}")).collect()
}
