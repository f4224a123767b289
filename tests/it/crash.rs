//! A writing process is killed at random points, again and again: nothing it acknowledged is lost, and
//! revisions never go back.
//!
//! The child is this test program itself, started again. It says on its standard output what the store
//! had when it was opened, and then each write after it was acknowledged; whatever line arrived here
//! was acknowledged. `SKIFF_CRASH_KILLS` says how often to kill, 20 times if it says nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};

use skiff::base::rand::SystemRand;
use skiff::base::service::Scope;
use skiff::object::Key;
use skiff::store::{Action, Write};
use skiff::store::{Command, Expect, KeyRange, LogLimits, Options, Outcome, Payload, RingLimits, Store};

const DIR: &str = "SKIFF_CRASH_DIR";
const WRITERS: u64 = 8;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let kills: u64 = std::env::var("SKIFF_CRASH_KILLS").ok().map_or(20, |text| text.parse().expect("a number"));
    let dir = tempfile::tempdir().expect("a directory");
    let rand = SystemRand::shared();
    let mut seen = Seen::default();
    for _ in 0..kills {
        let mut child = start(&dir.path().join("store"));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // Some die while they open, most while they write.
        let mut left = rand.next_u64() % 400;
        let mut opened = BTreeMap::new();
        for line in lines.map_while(Result::ok) {
            seen.line(&line, &mut opened);
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().expect("a running child"); // what it had said by then still arrives
            }
        }
        child.wait().expect("an ended child");
    }
    println!("{kills} kills, {} writes acknowledged, revision {}", seen.acknowledged, seen.revision);
    assert!(seen.acknowledged > kills, "the child hardly wrote anything");
}

/// What was acknowledged so far.
#[derive(Default)]
struct Seen {
    values: BTreeMap<String, u64>,
    revision: u64,
    acknowledged: u64,
}

impl Seen {
    fn line(&mut self, line: &str, opened: &mut BTreeMap<String, u64>) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        match words[..] {
            ["has", key, _] => drop(opened.insert(key.to_owned(), number(2))),
            ["opened", _] => {
                assert!(number(1) >= self.revision, "opened at revision {}, seen was {}", words[1], self.revision);
                self.revision = number(1);
                for (key, value) in &self.values {
                    let found = opened.get(key).copied();
                    assert!(found >= Some(*value), "{key} was acknowledged as {value}, but is {found:?}");
                }
            }
            ["wrote", key, ..] => {
                self.values.insert(key.to_owned(), number(2));
                self.revision = self.revision.max(number(3));
                self.acknowledged += 1;
            }
            ["renewed", _] => self.revision = self.revision.max(number(1)),
            _ => (), // the test program's own words
        }
    }
}

fn start(dir: &Path) -> Child {
    let mut child = Process::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "crash::child", "--nocapture"]).env(DIR, dir);
    child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("a child")
}

/// Not a test: what the test starts. Without a directory to write to there is nothing to do.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(write_for_ever(dir.as_ref()));
}

async fn write_for_ever(dir: &Path) {
    let options = Options {
        log: LogLimits { bytes: 0, entries: 50 },
        history: RingLimits { events: 100, ..RingLimits::default() },
        ..Options::new(dir)
    };
    let scope = Scope::root("crash");
    let store = Store::open(options, &scope).await.expect("a store");
    let state = store.state();
    let mut had = BTreeMap::new();
    for object in state.range(&KeyRange::all()) {
        let tree: serde_json::Value = serde_json::from_slice(object.bytes()).expect("JSON");
        let value = tree["v"].as_u64().expect("a value");
        say(&format!("has {} {value}", object.key()));
        had.insert(object.key().clone(), value);
    }
    say(&format!("opened {}", state.revision()));
    let writers = (0..WRITERS).map(|writer| write_one(&store, writer, &had));
    futures_util::future::join_all(writers).await;
}

/// Counts a key up, and a disposable one with it.
async fn write_one(store: &Store, writer: u64, had: &BTreeMap<Key, u64>) {
    let key = Key::of("pods", "crash", &format!("writer-{writer}"));
    let first = had.get(&key).map_or(0, |value| value + 1);
    for value in first.. {
        let revision = put(store, put_command(&key, value)).await;
        say(&format!("wrote {key} {value} {revision}"));
        if value % 5 == writer % 5 {
            let lease = Key::of("leases", "crash", &format!("writer-{writer}"));
            let revision = put(store, put_command(&lease, value).volatile()).await;
            say(&format!("renewed {revision}"));
        }
    }
}

fn put_command(key: &Key, value: u64) -> Command {
    let filler = "x".repeat(value as usize % 3_000);
    let json = format!(r#"{{"metadata":{{"resourceVersion":""}},"v":{value},"filler":"{filler}"}}"#);
    let payload = Payload::find(json).expect("a hole");
    Command::new(vec![Write { key: key.clone(), expect: Expect::Any, action: Action::Put(payload) }])
}

async fn put(store: &Store, command: Command) -> u64 {
    match store.propose(command).await.expect("an outcome") {
        Outcome::Committed { revision, .. } => revision.0,
        other => panic!("{other:?}"),
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody listens");
}
