//! Those who read and write, each one thing at a time, and remember what they were told.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot;

use super::check::history::{Answer, Call, Change, Name, Seen, Want};
use super::dice::Dice;
use super::net::{Home, SimNet};
use super::record::{Record, key, payload};
use crate::base::service::Scope;
use crate::object::Revision;
use crate::store::{Action, Command, Expect, KeyRange, Outcome, ProposeError, State, Store, Write};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a client asks another server when one says that it does not lead.
const HOPS_MAX: u32 = 3;

const NAMES: u64 = 5;
pub const VOLATILE: &str = "leases/";

pub struct Client<I> {
    pub number: usize,
    pub net: SimNet,
    /// The servers that it knows of.
    pub ids: I,
    pub dice: Dice,
    pub record: Record,
    /// Pauses between operations, in milliseconds, are shorter than this.
    pub pause_ms: u64,
    /// What it last saw of each object.
    pub known: BTreeMap<Name, Option<Seen>>,
    pub leader: Option<u64>,
    /// It renews leases in memory only.
    pub renews: bool,
}

/// Runs `work` inside the server's process; `None` if the answer does not arrive.
pub async fn ask<T, F>(home: &Home, work: impl FnOnce(Store) -> F + Send + 'static) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let (tell, told) = oneshot::channel();
    let store = home.store.clone();
    home.scope.spawn("request", async move {
        let _ = tell.send(work(store).await); // the client may have given up
    });
    tokio::time::timeout(PATIENCE, told).await.ok()?.ok()
}

impl<I: Fn() -> Vec<u64>> Client<I> {
    /// Goes on until `stop` is told to stop.
    pub async fn run(mut self, stop: Scope) {
        while !stop.is_stopping() {
            tokio::time::sleep(Duration::from_millis(self.dice.within(1..self.pause_ms))).await;
            match self.dice.below(100) {
                0..60 => self.write().await,
                60..80 => self.get().await,
                80..90 => self.list().await,
                _ => self.list_past().await,
            }
        }
    }

    fn home(&self) -> Option<Home> {
        let known = self.leader.filter(|_| !self.dice.percent(30)).and_then(|id| self.net.home(id));
        known.or_else(|| self.dice.pick(&(self.ids)()).and_then(|id| self.net.home(*id)))
    }

    fn name(&self) -> Name {
        let n = self.dice.below(NAMES);
        match self.dice.below(9) {
            0 => format!("{VOLATILE}n/l{}", n % 2),
            1..5 => format!("pods/a/k{n}"),
            _ => format!("pods/b/k{n}"),
        }
        .into()
    }

    fn change(&self, key: Name) -> Change {
        let known = self.known.get(&key).copied().flatten();
        let value = self.record.now() + 1; // no two have the same
        let (want, value) = match (self.dice.below(10), known) {
            (0..5, Some(seen)) => (Want::Revision(seen.revision), Some(value)),
            (5..7, Some(seen)) => (Want::Revision(seen.revision), None),
            (7, _) => (Want::Anything, None),
            (8, _) => (Want::Something, Some(value)),
            (9, _) => (Want::Anything, Some(value)),
            (_, None) => (Want::Nothing, Some(value)),
            _ => (Want::Nothing, None),
        };
        let value = if want == Want::Nothing { value.or(Some(self.record.now() + 1)) } else { value };
        Change { key, want, value }
    }

    async fn write(&mut self) {
        let first = self.name();
        let mut changes = vec![self.change(first)];
        if self.dice.percent(15) {
            let second = self.name();
            if second != changes[0].key {
                changes.push(self.change(second));
            }
        }
        let renews =
            self.renews && changes.len() == 1 && changes[0].key.starts_with(VOLATILE) && changes[0].value.is_some();
        let more = if self.dice.percent(3) { 10_000 } else { self.dice.below(150) as usize };
        let command = command(&changes, more);
        let command = if renews { command.volatile() } else { command };
        let call = Call::Write(changes.clone());
        let invoked = self.record.now();
        let mut home = self.home();
        for _ in 0..HOPS_MAX {
            let Some(at) = home.take() else { return };
            let sent = command.clone();
            match ask(&at, move |store| async move { store.propose(sent).await }).await {
                None | Some(Err(ProposeError::Unknown)) => {
                    self.leader = None;
                    self.known.retain(|key, _| changes.iter().all(|change| change.key != *key));
                    return self.record.op(self.number, call, invoked, Answer::Lost);
                }
                Some(Err(ProposeError::NotLeader { leader })) => {
                    self.leader = leader;
                    home = leader.and_then(|id| self.net.home(id));
                }
                Some(Err(_)) => self.leader = None, // certainly not written
                Some(Ok(outcome)) => {
                    self.leader = Some(at.store.id());
                    let answer = self.understand(&changes, outcome);
                    return self.record.op(self.number, call, invoked, answer);
                }
            }
        }
    }

    fn understand(&mut self, changes: &[Change], outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Committed { revision, objects } => {
                for (change, object) in changes.iter().zip(&objects) {
                    let seen = self.record.seen(object);
                    if change.value.is_some_and(|value| seen.value != value) || seen.revision != revision.0 {
                        self.record.fault(format!("{change:?} was answered with {seen:?}"));
                    }
                    self.known.insert(change.key.clone(), change.value.map(|_| seen));
                }
                Answer::Written { revision: revision.0 }
            }
            Outcome::Failed { index, current } => {
                let current = current.map(|object| self.record.seen(&object));
                self.known.insert(changes[index].key.clone(), current);
                Answer::Failed { index, current }
            }
            Outcome::Deposed { term } => {
                self.record.fault(format!("deposed in term {term}, of which nothing was said"));
                Answer::Lost
            }
        }
    }

    /// The state of a server that knows all that was acknowledged.
    async fn fresh(&self) -> Option<std::sync::Arc<State>> {
        let home = self.home()?;
        let read = |store: Store| async move { store.read_barrier().await.ok().map(|()| store.state()) };
        ask(&home, read).await.flatten()
    }

    async fn get(&mut self) {
        let (name, invoked) = (self.name(), self.record.now());
        let Some(state) = self.fresh().await else { return };
        let object = state.get(&key(&name)).map(|object| self.record.seen(object));
        self.known.insert(name.clone(), object);
        self.record.op(self.number, Call::Get(name), invoked, Answer::Got { at: state.revision().0, object });
    }

    async fn list(&mut self) {
        let invoked = self.record.now();
        let Some(state) = self.fresh().await else { return };
        let answer = self.listed(&state);
        self.record.op(self.number, Call::List { at: None }, invoked, answer);
    }

    async fn list_past(&mut self) {
        let (newest, invoked) = (self.record.newest(), self.record.now());
        let at = newest.saturating_sub(self.dice.below(40));
        let Some(home) = self.home() else { return };
        let Some(Ok(state)) = ask(&home, move |store| async move { store.state_at(Revision(at)) }).await else {
            return;
        };
        let answer = self.listed(&state);
        self.record.op(self.number, Call::List { at: Some(at) }, invoked, answer);
    }

    fn listed(&self, state: &State) -> Answer {
        let all = KeyRange::all();
        let objects = state.range(&all).map(|object| (object.key().as_str().into(), self.record.seen(object)));
        Answer::Listed { at: state.revision().0, objects: objects.collect() }
    }
}

pub fn command(changes: &[Change], more: usize) -> Command {
    let write = |change: &Change| Write {
        key: key(&change.key),
        expect: match change.want {
            Want::Anything => Expect::Any,
            Want::Nothing => Expect::Absent,
            Want::Something => Expect::Present,
            Want::Revision(revision) => Expect::Revision(Revision(revision)),
        },
        action: match change.value {
            Some(value) => Action::Put(payload(value, more)),
            None => Action::Delete,
        },
    };
    Command::new(changes.iter().map(write).collect())
}
