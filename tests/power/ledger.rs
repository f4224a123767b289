//! What was acknowledged, and whether it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skiff::base::service::Scope;
use skiff::client::{Client, DeleteOptions};
use skiff::object::kind::CONFIG_MAP;
use skiff::object::tree::json;
use skiff::object::{Key, Options, Reason, Tree};

use super::READY_MAX;

const PATIENCE: Duration = Duration::from_secs(8);
/// After an answer that was none, before the next question.
const PAUSE: Duration = Duration::from_millis(20);
const BARRIER: &str = "barrier";
/// More objects than this are deleted again, so that each look at all of them stays a short one.
const OBJECTS_MAX: usize = 300;

/// What became of one object: the number that was acknowledged last, and the last one tried.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: Option<u64>,
    tried: Option<u64>,
    is_deleted: Deleted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Deleted {
    #[default]
    No,
    Perhaps,
    Yes,
}

#[derive(Default)]
struct Book {
    known: BTreeMap<String, Known>,
    acknowledged: u64,
    checks: u64,
}

/// Clones are the same ledger.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    pub fn checks(&self) -> u64 {
        self.lock().checks
    }

    /// Everything acknowledged is there as it was written, or as it was tried to be written later; what was
    /// deleted is not. Nobody may write meanwhile.
    pub async fn check(&self, client: &Client) {
        let list = client.list(&CONFIG_MAP, "default", Options::default()).await.expect("a list");
        let number = |tree: Tree| tree["data"]["v"].as_str()?.parse::<u64>().ok();
        let items = list.items.iter();
        let there: BTreeMap<String, u64> =
            items.filter_map(|it| Some((it.key().name().to_owned(), number(it.tree())?))).collect();
        let mut book = self.lock();
        book.checks += 1;
        let unknown: BTreeSet<&String> =
            there.keys().filter(|name| *name != BARRIER && !book.known.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "these came back: {unknown:?}");
        book.known.retain(|name, known| {
            let found = there.get(name).copied();
            let is_right = match known.is_deleted {
                Deleted::Yes => found.is_none(),
                Deleted::Perhaps if found.is_none() => true,
                Deleted::Perhaps | Deleted::No => found >= known.acknowledged && found <= known.tried,
            };
            assert!(is_right, "{name} is {found:?} after {known:?}");
            *known = Known { acknowledged: found, tried: found, is_deleted: Deleted::No }; // what was seen stays
            found.is_some()
        });
    }

    fn told<T, E>(&self, name: &str, answer: &Answer<T, E>, note: impl Fn(&mut Known)) -> bool {
        let Ok(Ok(_)) = answer else { return false };
        let mut book = self.lock();
        book.acknowledged += 1;
        book.known.get_mut(name).is_some_and(|known| {
            note(known);
            true
        })
    }

    /// Creates an object, overwrites it some times, and goes on to the next; it asks one server after the
    /// other until it is stopped.
    pub async fn write(self, clients: Vec<Client>, writer: usize, round: u64, stop: Scope) {
        for n in 0.. {
            let name = format!("w{writer}-{round}-{n}");
            let client = &clients[(writer + n) % clients.len()];
            for number in 0..4u64 {
                if stop.is_stopping() {
                    return;
                }
                self.lock().known.entry(name.clone()).or_default().tried = Some(number);
                let object = config_map(&name, number, (n * 131 + writer * 977) % 6_000);
                let writing = async {
                    match number {
                        0 => client.create(&CONFIG_MAP, object).await,
                        _ => client.update(&CONFIG_MAP, object).await,
                    }
                };
                let answer = tokio::time::timeout(PATIENCE, writing).await;
                if !self.told(&name, &answer, |known| known.acknowledged = Some(number)) {
                    tokio::time::sleep(PAUSE).await;
                    break;
                }
            }
        }
    }

    /// Returns when nothing that was asked of any server before can still happen.
    pub async fn barrier(&self, clients: &[Client]) {
        for client in clients {
            let deadline = tokio::time::Instant::now() + READY_MAX;
            let object = || config_map(BARRIER, 0, 0);
            while let Err(error) = client.update(&CONFIG_MAP, object()).await {
                assert!(tokio::time::Instant::now() < deadline, "nothing can be written: {error}");
                if error.reason == Reason::NotFound {
                    let _ = client.create(&CONFIG_MAP, object()).await; // another try follows
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Deletes the oldest of what earlier rounds left, while there is too much of it.
    pub async fn tidy(self, client: Client, round: u64, stop: Scope) {
        let is_older =
            |name: &str| name.split('-').nth(1).and_then(|it| it.parse().ok()).is_some_and(|it: u64| it < round);
        let mut names: Vec<String> = self.lock().known.keys().filter(|name| is_older(name)).cloned().collect();
        names.sort_by_key(|name| name.split('-').nth(1).and_then(|round| round.parse::<u64>().ok()));
        let superfluous = names.len().saturating_sub(OBJECTS_MAX);
        for name in names.into_iter().take(superfluous) {
            if stop.is_stopping() {
                return;
            }
            self.lock().known.entry(name.clone()).or_default().is_deleted = Deleted::Perhaps;
            let key = Key::new(&CONFIG_MAP.resource(), "default", &name);
            let answer =
                tokio::time::timeout(PATIENCE, client.delete(&CONFIG_MAP, &key, &DeleteOptions::default())).await;
            if !self.told(&name, &answer, |known| known.is_deleted = Deleted::Yes) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

type Answer<T, E> = Result<Result<T, E>, tokio::time::error::Elapsed>;

fn config_map(name: &str, number: u64, filling: usize) -> Tree {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"v": number.to_string(), "filling": "x".repeat(filling)},
    })
}
