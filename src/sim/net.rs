//! The network between servers: late, lossy, in any order, twice, and in one direction only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::dice::Dice;
use super::trace::Trace;
use crate::base::service::Scope;
use crate::store::{Ask, Network, NetworkError, Store};

/// How long an asker waits for an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(3);

/// Clones are the same network.
#[derive(Clone)]
pub struct SimNet(Arc<Mutex<Inner>>);

struct Inner {
    homes: BTreeMap<u64, Home>,
    /// Nothing gets from the first to the second.
    blocked: BTreeSet<(usize, usize)>,
    weather: Weather,
    dice: Dice,
    trace: Trace,
    /// Where copies of messages fly.
    sky: Scope,
}

/// A process that can be asked.
#[derive(Clone)]
pub struct Home {
    pub place: usize,
    pub store: Store,
    pub scope: Scope,
}

/// How the network is for everybody.
#[derive(Clone, Debug)]
pub struct Weather {
    pub delay_micros: Range<u64>,
    pub lost_percent: u64,
    pub twice_percent: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self { delay_micros: 100..1_500, lost_percent: 0, twice_percent: 0 }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimNet {
    pub fn new(dice: Dice, trace: Trace, sky: Scope) -> Self {
        let (homes, blocked) = (BTreeMap::new(), BTreeSet::new());
        Self(Arc::new(Mutex::new(Inner { homes, blocked, weather: Weather::default(), dice, trace, sky })))
    }

    /// The network as the server at `place` has it.
    pub fn port(&self, place: usize) -> Arc<dyn Network> {
        Arc::new(Port { place, net: self.clone() })
    }

    pub fn settle(&self, id: u64, home: Home) {
        lock(&self.0).homes.insert(id, home);
    }

    /// The process at `place` is gone.
    pub fn leave(&self, place: usize) {
        lock(&self.0).homes.retain(|_, home| home.place != place);
    }

    pub fn home(&self, id: u64) -> Option<Home> {
        lock(&self.0).homes.get(&id).cloned()
    }

    pub fn weather(&self, weather: Weather) {
        lock(&self.0).weather = weather;
    }

    pub fn block(&self, from: usize, to: usize) {
        lock(&self.0).blocked.insert((from, to));
    }

    pub fn unblock_all(&self) {
        lock(&self.0).blocked.clear();
    }

    fn delay(&self) -> Duration {
        let inner = lock(&self.0);
        Duration::from_micros(inner.dice.within(inner.weather.delay_micros.clone()))
    }

    /// Whether something gets from the first to the second now.
    fn passes(&self, from: usize, to: usize) -> bool {
        let inner = lock(&self.0);
        !inner.dice.percent(inner.weather.lost_percent) && !inner.blocked.contains(&(from, to))
    }

    fn twice(&self) -> bool {
        let inner = lock(&self.0);
        inner.dice.percent(inner.weather.twice_percent)
    }

    /// Asks what is at `id` by now; waits for as long as it takes to answer.
    async fn deliver(&self, from: usize, to: u64, ask: Ask, body: &Bytes) -> Option<Result<Bytes, NetworkError>> {
        let home = self.home(to)?;
        let sum = body.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        lock(&self.0).trace.numbers([3, from as u64, home.place as u64, sum]);
        let (answer, answered) = oneshot::channel();
        let (store, body) = (home.store, body.clone());
        home.scope.spawn("answer", async move {
            let told = store.answer(ask, &body);
            let refused = |error: crate::store::BadQuestion| NetworkError::Refused { id: to, why: error.to_string() };
            let _ = answer.send(told.map_err(refused)); // the asker may have given up
        });
        answered.await.ok()
    }

    fn place_of(&self, id: u64) -> Option<usize> {
        lock(&self.0).homes.get(&id).map(|home| home.place)
    }
}

struct Port {
    place: usize,
    net: SimNet,
}

impl Port {
    async fn ask(place: usize, net: SimNet, to: u64, ask: Ask, body: Bytes) -> Result<Bytes, NetworkError> {
        let lost = |why: &str| NetworkError::Unreachable { id: to, why: why.to_owned() };
        let late = || async {
            tokio::time::sleep(PATIENCE).await;
            Err(lost("no answer"))
        };
        if net.twice() {
            let (again, body, sky) = (net.clone(), body.clone(), lock(&net.0).sky.clone());
            sky.spawn("copy", async move {
                tokio::time::sleep(again.delay() * 3).await;
                if again.place_of(to).is_some_and(|there| again.passes(place, there)) {
                    again.deliver(place, to, ask, &body).await;
                }
            });
        }
        tokio::time::sleep(net.delay()).await;
        let Some(there) = net.place_of(to) else { return Err(lost("connection refused")) };
        if !net.passes(place, there) {
            return late().await;
        }
        let Ok(answer) = tokio::time::timeout(PATIENCE, net.deliver(place, to, ask, &body)).await else {
            return Err(lost("no answer"));
        };
        let Some(answer) = answer else { return Err(lost("connection reset")) };
        tokio::time::sleep(net.delay()).await;
        if !net.passes(there, place) {
            return late().await;
        }
        answer
    }
}

impl Network for Port {
    fn ask(&self, to: u64, ask: Ask, body: Bytes) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
        Box::pin(Self::ask(self.place, self.net.clone(), to, ask, body))
    }
}
