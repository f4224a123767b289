//! One server: its disk, and the process on it while there is one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clock::SimClock;
use super::dice::{Dice, Named};
use super::disk::SimDisk;
use super::net::{Home, SimNet};
use super::record::Record;
use super::watcher;
use crate::base::gate::Gate;
use crate::base::service::Scope;
use crate::store::{LogLimits, OpenError, Options, RingLimits, Store};

/// How long a server may take to open its store, in simulated time.
const OPEN_MAX: Duration = Duration::from_secs(120);
/// Until tasks that were ended are gone.
const MOMENT: Duration = Duration::from_millis(2);

pub struct Server {
    pub place: usize,
    /// Its name in the cluster.
    pub id: u64,
    pub disk: SimDisk,
    pub clock: Arc<SimClock>,
    pub dir: PathBuf,
    dice: Dice,
    founds: bool,
    limits: (LogLimits, RingLimits),
    process: Option<Process>,
    /// It was taken out of the cluster, and is not started again.
    pub is_removed: bool,
    /// One of its files was damaged: no other one may be.
    pub has_rotted: bool,
    /// It knows that there are others, who have what it loses.
    pub knows_others: bool,
}

struct Process {
    gate: Gate,
    scope: Scope,
    store: Store,
    tap: watcher::Tap,
}

/// Why a server could not be started.
#[derive(Debug)]
pub enum StartError {
    Refused(OpenError),
    TooLong,
}

impl Server {
    pub fn new(
        place: usize,
        root: &std::path::Path,
        founds: bool,
        limits: (LogLimits, RingLimits),
        dice: Dice,
        record: &Record,
    ) -> Self {
        let dir = root.join(format!("{place}")).join("store");
        let disk = SimDisk::new(root.to_owned(), dice.fork(), record.trace.clone());
        let id = dice.number() | 1;
        let clock = SimClock::shared();
        Self {
            place,
            id,
            disk,
            clock,
            dir,
            dice,
            founds,
            limits,
            process: None,
            is_removed: false,
            has_rotted: false,
            knows_others: false,
        }
    }

    pub fn store(&self) -> Option<&Store> {
        self.process.as_ref().map(|process| &process.store)
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub async fn start(&mut self, net: &SimNet, record: &Record) -> Result<(), StartError> {
        let options = Options {
            clock: self.clock.clone(),
            rand: Named::shared(self.id, &self.dice),
            disk: self.disk.boot(),
            network: net.port(self.place),
            joins: !self.founds,
            rejoins: self.knows_others,
            log: self.limits.0,
            history: self.limits.1,
            ..Options::new(&self.dir)
        };
        let gate = Gate::default();
        let scope = Scope::behind("server", gate.clone());
        let opened = tokio::time::timeout(OPEN_MAX, Store::open(options, &scope)).await;
        let store = match opened {
            Ok(Ok(store)) => store,
            failed => {
                gate.end();
                self.disk.unplug();
                tokio::time::sleep(MOMENT).await;
                return Err(match failed {
                    Ok(Err(error)) => StartError::Refused(error),
                    _ => StartError::TooLong,
                });
            }
        };
        self.id = store.id();
        record.trace.note(|| format!("server {} is up at {}", self.place, store.state().revision()));
        let tap = watcher::Tap::new(self.place, &store, record);
        net.settle(self.id, Home { place: self.place, store: store.clone(), scope: scope.clone() });
        self.process = Some(Process { gate, scope, store, tap });
        Ok(())
    }

    /// Both copies of its state are damaged. If the log does not hold everything by itself this server comes
    /// back under a new id; tells the old one then.
    pub async fn ruin(&mut self, net: &SimNet, record: &Record) -> Result<Option<u64>, StartError> {
        let id = self.id;
        self.crash(false, net, record).await;
        for part in ["snapshots/", "checkpoint"] {
            self.disk.ruin(&format!("/{}/store/{part}", self.place));
        }
        (self.has_rotted, self.knows_others) = (true, true);
        self.id = self.dice.number() | 1; // the one it takes, if it takes a new one
        self.start(net, record).await?;
        Ok(Some(id).filter(|id| *id != self.id))
    }

    /// The process ends where it is; with `power`, so does the disk.
    pub async fn crash(&mut self, power: bool, net: &SimNet, record: &Record) {
        let Some(process) = self.process.take() else { return };
        record.trace.note(|| format!("server {} {}", self.place, if power { "loses power" } else { "is killed" }));
        process.gate.end();
        net.leave(self.place);
        if power {
            self.disk.cut()
        } else {
            self.disk.unplug()
        }
        process.tap.end();
        tokio::time::sleep(MOMENT).await;
    }

    /// The process is asked to stop, and does.
    pub async fn stop(&mut self, politely: bool, net: &SimNet, record: &Record) {
        let Some(process) = self.process.take() else { return };
        record.trace.note(|| format!("server {} stops", self.place));
        if politely {
            process.store.resign().await;
        }
        if !process.scope.stop(Duration::from_secs(60)).await {
            record.fault(format!("server {} does not stop", self.place));
        }
        net.leave(self.place);
        self.disk.unplug();
        process.tap.end();
        process.gate.end();
        tokio::time::sleep(MOMENT).await;
    }

    pub fn pause(&self) {
        self.process.iter().for_each(|process| process.gate.shut());
    }

    pub fn resume(&self) {
        self.process.iter().for_each(|process| process.gate.open());
    }
}
