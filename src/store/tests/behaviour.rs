//! What every backend must do: the same as `mvcc::apply` does to a plain state, write by write.
//!
//! Backends number differently, so revisions are compared by their order: what the plain state calls 3
//! is what the backend gave to the third command that was committed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::mvcc::apply;
use super::*;
use crate::object::ObjectRef;

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Any,
    Absent,
    Present,
    /// The revision of the key's object, or one that was given to another.
    Current,
    Stale,
    Zero,
}

#[derive(Clone, Debug)]
struct Planned {
    key: u8,
    wanted: Wanted,
    /// Nothing is a deletion.
    value: Option<u16>,
}

fn any_write() -> impl Strategy<Value = Planned> {
    let wanted = prop_oneof![
        4 => Just(Wanted::Any),
        3 => Just(Wanted::Absent),
        2 => Just(Wanted::Present),
        4 => Just(Wanted::Current),
        1 => Just(Wanted::Stale),
        1 => Just(Wanted::Zero),
    ];
    let value = prop_oneof![3 => any::<u16>().prop_map(Some), 1 => Just(None)];
    (0..6u8, wanted, value).prop_map(|(key, wanted, value)| Planned { key, wanted, value })
}

fn any_command() -> impl Strategy<Value = Vec<Planned>> {
    prop_oneof![4 => prop::collection::vec(any_write(), 1), 1 => prop::collection::vec(any_write(), 2..5)]
}

/// A plain state beside a store, and what each calls the same moments.
struct Twin {
    model: State,
    index: u64,
    /// From the model's revisions to the store's, and back.
    real: BTreeMap<u64, u64>,
    modelled: BTreeMap<u64, u64>,
}

impl Twin {
    fn command(&self, planned: &[Planned], revision: impl Fn(u64) -> u64) -> Command {
        let write = |planned: &Planned| {
            let key = key(&format!("a/{}", planned.key));
            let current = self.model.get(&key).map_or(0, |object| object.revision().0);
            let expect = match planned.wanted {
                Wanted::Any => Expect::Any,
                Wanted::Absent => Expect::Absent,
                Wanted::Present => Expect::Present,
                Wanted::Current => Expect::Revision(Revision(revision(current))),
                Wanted::Stale => Expect::Revision(Revision(revision(current.saturating_sub(1)))),
                Wanted::Zero => Expect::Revision(Revision::ZERO),
            };
            let action = match planned.value {
                Some(value) => Action::Put(payload(&value.to_string())),
                None => Action::Delete,
            };
            Write { key, expect, action }
        };
        Command::new(planned.iter().map(write).collect())
    }

    /// An object of the store, as the model would show it.
    fn show(&self, object: &ObjectRef) -> String {
        let shown = show(object);
        let (name, value) = shown.split_once('=').expect("a value");
        let name = name.split('@').next().unwrap_or_default();
        format!("{name}@{}={value}", self.modelled[&object.revision().0])
    }

    fn show_state(&self, state: &State) -> Vec<String> {
        let all = KeyRange::all();
        state.range(&all).map(|object| self.show(object)).collect()
    }

    async fn run(&mut self, store: &Store, watch: &mut Watch, planned: &[Planned]) {
        self.index += 1;
        let position = Position { index: self.index, term: 1 };
        let in_store = self.command(planned, |revision| self.real.get(&revision).copied().unwrap_or(0));
        let in_model = self.command(planned, |revision| revision);
        let effects = apply(&mut self.model, position, in_model);
        let outcome = store.propose(in_store).await.expect("an outcome");
        match (&effects.outcome, &outcome) {
            (Outcome::Committed { revision: model, objects: wanted }, Outcome::Committed { revision, objects }) => {
                assert!(self.modelled.keys().all(|earlier| *earlier < revision.0), "revisions rise");
                self.real.insert(model.0, revision.0);
                self.modelled.insert(revision.0, model.0);
                let (wanted, got): (Vec<String>, Vec<String>) =
                    (wanted.iter().map(|it| show(it)).collect(), objects.iter().map(|it| self.show(it)).collect());
                assert_eq!(wanted, got);
            }
            (Outcome::Failed { index: wanted, current: model }, Outcome::Failed { index, current }) => {
                assert_eq!(wanted, index, "{planned:?}");
                assert_eq!(model.as_ref().map(|it| show(it)), current.as_ref().map(|it| self.show(it)));
            }
            (wanted, got) => panic!("{planned:?}: {wanted:?} and not {got:?}"),
        }
        for wanted in &effects.events {
            let event = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
            let event = event.expect("an event in time").expect("an open watch");
            assert_eq!(event.is_delete(), wanted.is_delete());
            assert_eq!(self.show(event.object()), show(wanted.object()));
            assert_eq!(event.previous().map(|it| self.show(it)), wanted.previous().map(|it| show(it)));
        }
        assert_eq!(self.show_state(&store.state()), plain(&self.model));
    }
}

fn plain(state: &State) -> Vec<String> {
    let all = KeyRange::all();
    state.range(&all).map(|object| show(object)).collect()
}

/// Runs the commands against an empty store and a plain state, and compares everything that can be seen.
async fn check(store: &Store, commands: &[Vec<Planned>]) {
    let mut twin = Twin { model: State::default(), index: 0, real: BTreeMap::new(), modelled: BTreeMap::new() };
    let from = store.state().revision();
    let mut watch = store.watch(KeyRange::all(), from).expect("a watch");
    let mut past = Vec::new();
    for planned in commands {
        twin.run(store, &mut watch, planned).await;
        past.push((store.state().revision(), plain(&twin.model)));
    }
    for (revision, wanted) in past {
        assert_eq!(twin.show_state(&store.state_at(revision).expect("history")), wanted);
    }
    assert!(watch.try_next().expect("an open watch").is_none(), "nothing else happened");
    let mut again = store.watch(KeyRange::all(), from).expect("history");
    let mut last = from;
    while let Some(event) = again.try_next().expect("an open watch") {
        assert!(event.revision() >= last);
        last = event.revision();
    }
    store.read_barrier().await.expect("an answer");
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(8);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future);
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn the_built_in_log_does_as_apply_does(commands in prop::collection::vec(any_command(), 1..80)) {
        block_on(async {
            let rig = Rig::new().await;
            check(&rig.store, &commands).await;
            rig.scope.stop(Duration::from_secs(30)).await;
        });
    }
}

#[test]
fn etcd_does_as_apply_does() {
    let server = super::etcd_server::EtcdServer::start();
    let clusters = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(cases());
    let done = runner.run(&prop::collection::vec(any_command(), 1..80), |commands| {
        let prefix = format!("/test/{}", clusters.replace(clusters.get() + 1));
        block_on(async {
            let (store, scope) = super::etcd::store_below(server.port, &prefix, "one").await;
            check(&store, &commands).await;
            scope.stop(Duration::from_secs(30)).await;
        });
        Ok(())
    });
    done.expect("the same as apply");
}

#[tokio::test]
async fn writes_of_the_log_add_up_however_short_they_are() {
    let rig = Rig::new().await;
    rig.run("create a/x 1").await;
    let page = rig.store.metrics_page();
    let sum = page.lines().find_map(|line| line.strip_prefix("skiff_store_log_write_duration_seconds_sum "));
    assert!(sum.unwrap().parse::<f64>().unwrap() > 0.0, "{page}");
}
