//! Tests of the store, and the language they are written in.
//!
//! A command is a line of writes joined with `&`: `create KEY VALUE`, `update KEY@REVISION VALUE`,
//! `put KEY VALUE`, `replace KEY VALUE`, `delete KEY@REVISION`, `remove KEY`. Keys are short for
//! `pods/KEY` where they have one slash.

mod behaviour;
mod chaos;
mod cluster;
mod damage;
mod durable;
mod etcd;
mod etcd_server;
mod faults;
mod history;
mod model;
mod mvcc;
mod sealed;
mod space;

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::object::{Key, Object};

fn key(text: &str) -> Key {
    Key::parse(text).unwrap_or_else(|| Key::parse(&format!("pods/{text}")).expect("a key"))
}

fn payload(value: &str) -> Payload {
    Payload::find(format!(r#"{{"metadata":{{"resourceVersion":""}},"v":"{value}"}}"#)).expect("a hole")
}

fn command(line: &str) -> Command {
    Command::new(line.split('&').map(|write| parse_write(write.trim())).collect())
}

fn parse_write(text: &str) -> Write {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (name, revision) = words[1].split_once('@').unwrap_or((words[1], "0"));
    let revision = Expect::Revision(Revision(revision.parse().expect("a revision")));
    let put = || Action::Put(payload(words[2]));
    let (expect, action) = match words[0] {
        "create" => (Expect::Absent, put()),
        "update" => (revision, put()),
        "put" => (Expect::Any, put()),
        "replace" => (Expect::Present, put()),
        "delete" => (revision, Action::Delete),
        "remove" => (Expect::Any, Action::Delete),
        other => panic!("no such write: {other}"),
    };
    Write { key: key(name), expect, action }
}

/// An object as `KEY@REVISION=VALUE`, after checking that its bytes say the same revision.
fn show(object: &Object) -> String {
    let tree: serde_json::Value = serde_json::from_slice(object.bytes()).expect("JSON");
    assert_eq!(tree["metadata"]["resourceVersion"], object.revision().to_string());
    format!("{object:?}={}", tree["v"].as_str().expect("a value"))
}

fn show_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed { revision, objects } => {
            let objects: Vec<String> = objects.iter().map(|object| show(object)).collect();
            format!("{revision}: {}", objects.join(" "))
        }
        Outcome::Failed { index, current } => {
            format!("failed at {index}, found {}", current.as_ref().map_or("nothing".into(), |object| show(object)))
        }
        Outcome::Deposed { term } => format!("deposed in term {term}"),
    }
}

fn show_event(event: &Event) -> String {
    match event.kind() {
        EventKind::Put { object, previous: None } => format!("+{}", show(object)),
        EventKind::Put { object, previous: Some(previous) } => format!("{} -> {}", show(previous), show(object)),
        EventKind::Delete { object, previous } => format!("{} -> -{}", show(previous), show(object)),
    }
}

fn show_state(state: &State) -> String {
    let all = KeyRange::all();
    let objects: Vec<String> = state.range(&all).map(|object| show(object)).collect();
    format!("{}: {}", state.revision(), objects.join(" "))
}

/// A store in a directory of its own.
struct Rig {
    dir: TempDir,
    options: Options,
    scope: Scope,
    store: Store,
}

impl Rig {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut options = Options::new(dir.path().join("store"));
        change(&mut options);
        let scope = Scope::root("test");
        let store = Store::open(options.clone(), &scope).await.expect("a store");
        Self { dir, options, scope, store }
    }

    /// Stops the store as a service manager would, and opens it again.
    async fn restart(self) -> Self {
        assert!(self.scope.stop(Duration::from_secs(30)).await);
        self.reopen().await
    }

    /// Opens what a crashed store left behind. The crash is a copy of the directory, taken while the
    /// store is running: what it had not written by then never gets there.
    async fn crash(self) -> Self {
        let left = tempfile::tempdir().expect("a directory");
        copy(self.dir.path(), left.path());
        assert!(self.scope.stop(Duration::from_secs(30)).await);
        let options = Options { dir: left.path().join("store"), ..self.options };
        let scope = Scope::root("test");
        let store = Store::open(options.clone(), &scope).await.expect("a store");
        Self { dir: left, options, scope, store }
    }

    async fn reopen(self) -> Self {
        let scope = Scope::root("test");
        let store = Store::open(self.options.clone(), &scope).await.expect("a store");
        Self { dir: self.dir, options: self.options, scope, store }
    }

    async fn run(&self, line: &str) -> String {
        self.try_run(line).await.expect("an outcome")
    }

    async fn try_run(&self, line: &str) -> Result<String, ProposeError> {
        self.store.propose(command(line)).await.map(|outcome| show_outcome(&outcome))
    }

    async fn renew(&self, line: &str) -> String {
        show_outcome(&self.store.propose(command(line).volatile()).await.expect("an outcome"))
    }

    fn shown(&self) -> String {
        show_state(&self.store.state())
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(to).expect("a directory");
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).expect("permissions");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            drop(std::fs::copy(entry.path(), target)); // a temporary file may be gone by now
        }
    }
}
