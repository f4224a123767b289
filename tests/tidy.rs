//! The rules of the house, checked from the sources: who may use whom, what stays pure, that every
//! file says what it is for and is part of the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use of the others; a module may always use itself.
///
/// Siblings that are not listed meet only through API objects, which is why any of them can run on
/// another machine.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("object", &["base"]),
    ("resources", &["base", "object"]),
    ("store", &["base", "object"]),
    ("security", &["base"]),
    ("backup", &["base", "object", "store", "security"]),
    ("api", &["base", "object", "resources", "store", "security"]),
    ("client", &["base", "object"]),
    ("controllers", &["base", "object", "client"]),
    ("scheduler", &["base", "object", "client", "controllers"]),
    ("proxy", &["base", "object", "client"]),
    ("network", &["base", "object", "client", "security"]),
    ("kubelet", &["base", "object", "client", "security"]),
];

/// Modules that may use everything.
const COMPOSITION: &[&str] = &["cmd", "sim", "bin", "main.rs", "lib.rs"];

/// Where crates may be named, besides in tests. Another engine, consensus or client library should
/// be one folder away.
const FENCED_CRATES: &[(&str, &[&str])] = &[
    ("tonic", &["src/store/etcd/", "src/kubelet/", "src/security/encryption/kms.rs"]),
    ("prost", &["src/store/etcd/", "src/kubelet/", "src/security/encryption/kms.rs"]),
    ("tonic_prost", &["src/store/etcd/", "src/kubelet/", "src/security/encryption/kms.rs"]),
    ("raft", &["src/store/raft/"]),
    ("raft_engine", &["src/store/raft/"]),
    ("rtnetlink", &["src/network/netlink.rs", "src/proxy/conntrack/wire.rs"]),
    ("containerd_client", &["src/kubelet/containerd/", "src/kubelet/cri.rs"]),
    ("k8s_cri", &["src/kubelet/"]),
    ("hickory_proto", &["src/network/dns/message.rs"]),
];

/// Calls that belong to one place.
const FENCED_CALLS: &[(&str, &[&str])] = &[
    ("tokio::spawn", &["src/base/service.rs"]),
    ("spawn_blocking", &["src/base/service.rs"]),
    ("SystemTime::now", &["src/base/clock.rs"]),
    ("Timestamp::now", &["src/base/clock.rs"]),
    ("thread_rng", &[]),
    ("from_os_rng", &["src/base/rand.rs"]),
    ("unsafe {", &[]),
    ("std::process::exit", &["src/main.rs", "src/cmd/"]),
];

/// Files and folders without async, clock, IO or randomness.
const PURE: &[&str] = &[
    "src/base/backoff.rs",
    "src/base/queue.rs",
    "src/object/",
    "src/resources/",
    "src/backup/name.rs",
    "src/security/encryption/rules.rs",
    "src/store/command.rs",
    "src/store/mvcc.rs",
    "src/store/state.rs",
    "src/store/range.rs",
    "src/store/entry.rs",
    "src/store/wire.rs",
    "src/store/base.rs",
    "src/store/timeline.rs",
    "src/store/ring.rs",
    "src/store/etcd/layout.rs",
    "src/store/etcd/txn.rs",
    "src/store/etcd/picture.rs",
    "src/api/request.rs",
    "src/api/negotiate.rs",
    "src/api/authz/",
    "src/api/flow/bootstrap.rs",
    "src/api/flow/config.rs",
    "src/api/flow/demand.rs",
    "src/api/flow/dropped.rs",
    "src/api/flow/matching.rs",
    "src/api/flow/queues.rs",
    "src/api/flow/shares.rs",
    "src/api/flow/shuffle.rs",
    "src/api/flow/tally.rs",
    "src/api/flow/width.rs",
    "src/client/snapshot.rs",
    "src/controllers/deployment/",
    "src/controllers/shared/",
    "src/scheduler/plugins/",
    "src/scheduler/cycle.rs",
    "src/proxy/model.rs",
    "src/proxy/build.rs",
    "src/proxy/ruleset.rs",
    "src/network/dns/zone.rs",
    "src/network/cni/config.rs",
];

/// What a pure file does not say.
const IMPURE: &[&str] = &[
    "tokio::",
    "async fn",
    ".await",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::env",
    "std::process",
    "Instant::now",
    "std::thread",
];

/// Files of a few lines more than this are two things.
const LINES_MAX: usize = 800;

struct Source {
    /// From the root of the package, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Lines of code outside comments and in-file tests, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod ").map_or(self.text.len(), |at| at);
        let lines = self.text[..tests].lines().enumerate();
        lines.map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
    }

    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name == "tests.rs" || name.ends_with("_tests.rs") || name == "testing.rs" || self.path.contains("/tests/")
    }

    fn is_at(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    fn module(&self) -> &str {
        self.path.trim_start_matches("src/").split('/').next().unwrap_or_default()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn report(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn modules_use_only_what_is_below_them() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| !COMPOSITION.contains(&source.module()) && !source.is_test()) {
        let Some((_, allowed)) = LAYERS.iter().find(|(module, _)| *module == source.module()) else {
            problems.push(format!("{}: module {} is in no layer", source.path, source.module()));
            continue;
        };
        for (n, line) in source.code() {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = LAYERS.iter().any(|(module, _)| *module == used) || COMPOSITION.contains(&used.as_str());
                if known && used != source.module() && !allowed.contains(&used.as_str()) {
                    problems.push(format!("{}:{n}: {} may not use {used}", source.path, source.module()));
                }
            }
        }
    }
    report(problems);
}

#[test]
fn crates_and_calls_stay_behind_their_fences() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (n, line) in source.code() {
            for (name, places) in FENCED_CRATES.iter().filter(|(_, places)| !source.is_at(places)) {
                let uses = [
                    format!("use {name}::"),
                    format!(" {name}::"),
                    format!("({name}::"),
                    format!("<{name}::"),
                    format!("&{name}::"),
                ];
                if uses.iter().any(|used| line.contains(used.as_str())) {
                    problems.push(format!("{}:{n}: the crate {name} belongs in {places:?}", source.path));
                }
            }
            for (call, places) in FENCED_CALLS.iter().filter(|(_, places)| !source.is_at(places)) {
                if line.contains(call) {
                    problems.push(format!("{}:{n}: {call} belongs in {places:?}", source.path));
                }
            }
        }
    }
    report(problems);
}

#[test]
fn pure_files_stay_pure() {
    let sources = sources();
    let mut problems = Vec::new();
    for place in PURE {
        if !sources.iter().any(|source| source.is_at(&[place])) {
            problems.push(format!("{place} is listed as pure and does not exist"));
        }
    }
    for source in sources.iter().filter(|source| source.is_at(PURE) && !source.is_test()) {
        for (n, line) in source.code() {
            if let Some(word) = IMPURE.iter().find(|word| line.contains(**word)) {
                problems.push(format!("{}:{n}: a pure file says {word}", source.path));
            }
        }
    }
    report(problems);
}

#[test]
fn every_file_says_what_it_is_for_and_is_not_two_things() {
    let mut problems = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") {
            problems.push(format!("{}: does not open with //!", source.path));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            problems.push(format!("{}: {lines} lines; look for the two things in it", source.path));
        }
    }
    report(problems);
}

#[test]
fn every_file_is_part_of_the_program() {
    let mut reached: BTreeSet<PathBuf> = BTreeSet::new();
    let mut waiting = ["src/main.rs", "src/lib.rs", "src/bin/skiff-sim.rs"].map(|path| root().join(path)).to_vec();
    while let Some(file) = waiting.pop() {
        let text = fs::read_to_string(&file).unwrap();
        let (folder, stem) = (file.parent().unwrap(), file.file_stem().unwrap().to_string_lossy().into_owned());
        let inside =
            if ["main", "lib", "mod"].contains(&stem.as_str()) { folder.to_owned() } else { folder.join(&stem) };
        let mut path = None;
        for line in text.lines().map(str::trim) {
            if let Some(named) = line.strip_prefix("#[path = \"") {
                path = Some(folder.join(named.trim_end_matches("\"]")));
            }
            let declared =
                line.strip_suffix(';').and_then(|line| line.split("mod ").nth(1).filter(|_| !line.starts_with("//")));
            let Some(name) = declared else { continue };
            let candidates = match path.take() {
                Some(path) => vec![path],
                None => vec![inside.join(format!("{name}.rs")), inside.join(name).join("mod.rs")],
            };
            waiting.extend(candidates.into_iter().filter(|file| file.exists()));
        }
        reached.insert(file);
    }
    let dead = sources().into_iter().filter(|source| !reached.contains(&root().join(&source.path)));
    report(dead.map(|source| format!("{}: no module declares it", source.path)).collect());
}

#[test]
fn nothing_is_left_half_done() {
    let mut problems = Vec::new();
    for source in sources() {
        for (n, line) in source.text.lines().enumerate() {
            for word in ["todo!(", "unimplemented!(", "allow(dead_code", "#[ignore", "dbg!("] {
                if line.contains(word) {
                    problems.push(format!("{}:{}: {word}", source.path, n + 1));
                }
            }
        }
    }
    report(problems);
}
