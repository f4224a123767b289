//! Random commands and crashes against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u16),
    Create(u8, u16),
    Update(u8, bool, u16),
    Remove(u8),
    Pair(u8, u8, u16),
    Renew(u16),
    Crash,
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12u8, any::<u16>()).prop_map(|(key, value)| Step::Put(key, value)),
        6 => (0..12u8, any::<u16>()).prop_map(|(key, value)| Step::Create(key, value)),
        6 => (0..12u8, any::<bool>(), any::<u16>()).prop_map(|(key, stale, value)| Step::Update(key, stale, value)),
        6 => (0..12u8).prop_map(Step::Remove),
        4 => (0..12u8, 0..12u8, any::<u16>()).prop_map(|(a, b, value)| Step::Pair(a, b, value)),
        8 => any::<u16>().prop_map(Step::Renew),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// What must be there: value and revision by key.
#[derive(Default)]
struct Model {
    objects: BTreeMap<String, (String, u64)>,
    /// Of the disposable key: values that may be seen after a crash, with their revisions.
    renewed: Option<(String, u64)>,
    revision: u64,
}

const LEASE: &str = "leases/n/a";

impl Model {
    fn line(&self, step: &Step) -> String {
        let name = |key: &u8| format!("pods/a/{key}");
        match step {
            Step::Put(key, value) => format!("put {} {value}", name(key)),
            Step::Create(key, value) => format!("create {} {value}", name(key)),
            Step::Update(key, stale, value) => {
                let revision = self.objects.get(&name(key)).map_or(0, |(_, revision)| *revision);
                format!("update {}@{} {value}", name(key), revision + u64::from(*stale))
            }
            Step::Remove(key) => format!("remove {}", name(key)),
            Step::Pair(a, b, value) => format!("create {} {value} & put {} {value}", name(a), name(b)),
            Step::Renew(value) => format!("put {LEASE} {value}"),
            Step::Crash | Step::Restart => String::new(),
        }
    }

    /// Whether the step has to succeed.
    fn expects(&self, step: &Step) -> bool {
        let has = |key: &u8| self.objects.contains_key(&format!("pods/a/{key}"));
        match step {
            Step::Put(..) | Step::Renew(_) => true,
            Step::Create(key, _) => !has(key),
            Step::Update(key, stale, _) => has(key) && !stale,
            Step::Remove(key) => has(key),
            Step::Pair(a, b, _) => !has(a) && a != b,
            Step::Crash | Step::Restart => false,
        }
    }

    fn committed(&mut self, outcome: &Outcome, removes: bool) {
        let Outcome::Committed { revision, objects } = outcome else { panic!("not committed") };
        assert!(revision.0 > self.revision, "revisions rise");
        self.revision = revision.0;
        for object in objects {
            let key = object.key().to_string();
            let value = show(object).split_once('=').expect("a value").1.to_owned();
            match removes {
                true => drop(self.objects.remove(&key)),
                false => drop(self.objects.insert(key, (value, revision.0))),
            }
        }
    }

    fn compare(&mut self, state: &State, crashed: bool) {
        assert!(state.revision().0 >= self.revision, "revisions never go back");
        self.revision = state.revision().0;
        let all = KeyRange::all();
        let mut seen: BTreeMap<String, (String, u64)> = state
            .range(&all)
            .map(|object| {
                let value = show(object).split_once('=').expect("a value").1.to_owned();
                (object.key().to_string(), (value, object.revision().0))
            })
            .collect();
        let lease = seen.remove(LEASE);
        let expected = self.objects.remove(LEASE);
        assert_eq!(seen, self.objects);
        match crashed {
            true => assert_eq!(lease.is_some(), expected.is_some(), "a renewed object is never lost as a whole"),
            false => assert_eq!(lease, expected),
        }
        self.objects.extend(lease.map(|lease| (LEASE.to_owned(), lease)));
        self.renewed = None;
    }
}

async fn run(steps: Vec<Step>) {
    let mut rig = Rig::with(|options| {
        options.log = LogLimits { bytes: 0, entries: 10 };
        options.history.events = 12;
    })
    .await;
    let mut model = Model::default();
    let first = rig.store.propose(command(&format!("create {LEASE} 0"))).await.expect("an outcome");
    model.committed(&first, false);
    for step in steps {
        match step {
            Step::Crash => {
                rig = rig.crash().await;
                model.compare(&rig.store.state(), true);
            }
            Step::Restart => {
                rig = rig.restart().await;
                model.compare(&rig.store.state(), true);
            }
            step => {
                let command = Command { volatile: matches!(step, Step::Renew(_)), ..command(&model.line(&step)) };
                let outcome = rig.store.propose(command).await.expect("an outcome");
                match model.expects(&step) {
                    true => model.committed(&outcome, matches!(step, Step::Remove(_))),
                    false => assert!(matches!(outcome, Outcome::Failed { .. }), "{step:?} {outcome:?}"),
                }
            }
        }
        model.compare(&rig.store.state(), false);
    }
    rig.scope.stop(Duration::from_secs(30)).await;
}

/// Few cases, unless more are asked for: each opens real files again and again.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(12);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn nothing_acknowledged_is_ever_lost(steps in prop::collection::vec(any_step(), 1..120)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(run(steps));
    }
}
