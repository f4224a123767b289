//! Those who read and write through the API of any server, each one thing at a time, and write down what
//! they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use skiff::base::rand::RandRef;
use skiff::base::service::Scope;
use skiff::client::remote::{Remote, read};
use skiff::object::tree::json;
use skiff::object::{Tree, TreePath};
use skiff::sim::check::history::{Answer, Call, Change, Name, Seen, Want};

use super::history::Record;
use crate::admin::ADMIN;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// And while none may fail, though a server that starts takes the whole of a small machine.
const GREAT_PATIENCE: Duration = Duration::from_secs(20);
/// How long a server is asked less that did not answer.
const SHUNNED: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);
const NAMES: u64 = 6;
pub const NAMESPACE: &str = "trial";
/// Where the objects are.
pub const PATH: &str = "/api/v1/namespaces/trial/configmaps";
/// Page of a list.
const LIMIT: usize = 3;

/// The servers' clients, by number; those that are replaced change.
pub type Servers = Arc<std::sync::RwLock<Vec<Arc<Remote>>>>;

/// What came of a request.
#[derive(Debug)]
pub enum Came {
    Answer(u16, Tree),
    /// It certainly never arrived.
    Unsent,
    /// It may have happened.
    Lost,
}

pub async fn ask(remote: &Remote, method: &str, path: &str, body: Option<Tree>) -> Came {
    ask_within(PATIENCE, remote, method, path, body).await
}

async fn ask_within(patience: Duration, remote: &Remote, method: &str, path: &str, body: Option<Tree>) -> Came {
    let body = body.map_or_else(Bytes::new, |tree| tree.to_string().into());
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.header("accept", "application/json").body(body.into()).expect("a request");
    let asking = async {
        match remote.deliver(ADMIN, request).await {
            Err(failure) if !failure.was_sent => Came::Unsent,
            Err(_) => Came::Lost,
            Ok(response) => {
                let code = response.status().as_u16();
                match read(response.into_body()).await {
                    Ok(body) => Came::Answer(code, serde_json::from_slice(&body).unwrap_or_default()),
                    Err(_) => Came::Lost,
                }
            }
        }
    };
    tokio::time::timeout(patience, asking).await.unwrap_or(Came::Lost)
}

pub struct Worker {
    pub number: usize,
    pub servers: Servers,
    pub rand: RandRef,
    pub record: Record,
    /// What it last saw of each object.
    pub known: BTreeMap<Name, Option<Seen>>,
    pub shunned: Option<(usize, Instant)>,
}

impl Worker {
    pub async fn run(mut self, stop: Scope) {
        while !stop.is_stopping() {
            tokio::time::sleep(PAUSE).await;
            match self.below(100) {
                0..50 => self.write().await,
                50..65 => self.delete().await,
                65..80 => self.get().await,
                80..88 => self.list().await,
                88..94 => self.list_past().await,
                _ => self.list_in_pages().await,
            }
        }
    }

    fn below(&self, sides: u64) -> u64 {
        self.rand.next_u64() % sides
    }

    /// Asks any server.
    async fn ask(&mut self, method: &str, path: &str, body: Option<Tree>) -> Came {
        let place = self.pick();
        let remote = self.servers.read().expect("the servers")[place].clone();
        let forbidden = self.record.strict_begins();
        let patience = if forbidden { GREAT_PATIENCE } else { PATIENCE };
        let came = ask_within(patience, &remote, method, path, body).await;
        if forbidden {
            self.record.strict_ended();
        }
        if let (true, Came::Lost | Came::Answer(500.., _)) = (forbidden, &came) {
            self.record.failed(format!("{method} {path} at server {place}: {came:?}"));
        }
        if !matches!(came, Came::Answer(..500, _)) {
            self.shunned = Some((place, Instant::now()));
        }
        came
    }

    /// Any server, though seldom one that did not answer a moment ago.
    fn pick(&self) -> usize {
        let any = self.below(self.servers.read().expect("the servers").len() as u64) as usize;
        match self.shunned {
            Some((place, when)) if place == any && when.elapsed() < SHUNNED && self.below(8) != 0 => self.pick(),
            _ => any,
        }
    }

    fn name(&self) -> Name {
        format!("k{}", self.below(NAMES)).into()
    }

    async fn write(&mut self) {
        let (key, value) = (self.name(), self.record.now());
        let known = self.known.get(&key).copied().flatten();
        let filling = if self.below(30) == 0 { 20_000 } else { self.below(200) as usize };
        let mut object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": &*key, "namespace": NAMESPACE},
            "data": {"v": value.to_string(), "filling": "x".repeat(filling)},
        });
        let (want, method, path) = match known {
            None => (Want::Nothing, "POST", PATH.to_owned()),
            Some(seen) => {
                object.set("metadata.resourceVersion", seen.revision.to_string());
                (Want::Revision(seen.revision), "PUT", format!("{PATH}/{key}"))
            }
        };
        let call = Call::Write(vec![Change { key: key.clone(), want, value: Some(value) }]);
        let invoked = self.record.now();
        let came = self.ask(method, &path, Some(object)).await;
        self.known.remove(&key);
        let answer = match came {
            Came::Unsent => return,
            Came::Answer(200 | 201, tree) => {
                let seen = seen(&tree);
                if seen.value != value {
                    self.record.fault(format!("{call:?} was answered with {seen:?}"));
                }
                self.known.insert(key, Some(seen));
                Answer::Written { revision: seen.revision }
            }
            Came::Answer(404, _) => {
                self.known.insert(key, None);
                Answer::Failed { index: 0, current: None }
            }
            Came::Answer(409, _) => {
                self.refresh(key).await;
                Answer::Refused
            }
            Came::Answer(..) | Came::Lost => Answer::Lost,
        };
        self.record.op(self.number, call, invoked, answer);
    }

    async fn delete(&mut self) {
        let key = self.name();
        let known = self.known.get(&key).copied().flatten().filter(|_| self.below(4) != 0);
        let want = known.map_or(Want::Anything, |seen| Want::Revision(seen.revision));
        let body = known.map(|seen| {
            let version = seen.revision.to_string();
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": version}})
        });
        let call = Call::Write(vec![Change { key: key.clone(), want, value: None }]);
        let invoked = self.record.now();
        let came = self.ask("DELETE", &format!("{PATH}/{key}"), body).await;
        self.known.remove(&key);
        let answer = match came {
            Came::Unsent => return,
            Came::Answer(200, tree) => {
                let uid = tree.text("details.uid").to_owned();
                return self.record.deleted(self.number, call, invoked, uid);
            }
            Came::Answer(404, _) => Answer::Failed { index: 0, current: None },
            Came::Answer(409, _) => Answer::Refused,
            Came::Answer(..) | Came::Lost => Answer::Lost,
        };
        self.record.op(self.number, call, invoked, answer);
    }

    async fn get(&mut self) {
        let key = self.name();
        self.refresh(key).await;
    }

    async fn refresh(&mut self, key: Name) {
        let invoked = self.record.now();
        let object = match self.ask("GET", &format!("{PATH}/{key}"), None).await {
            Came::Answer(200, tree) => Some(seen(&tree)),
            Came::Answer(404, _) => None,
            _ => return,
        };
        self.known.insert(key.clone(), object);
        self.record.op(self.number, Call::Get(key), invoked, Answer::Read { object });
    }

    async fn list(&mut self) {
        let invoked = self.record.now();
        let Came::Answer(200, list) = self.ask("GET", PATH, None).await else { return };
        let answer = self.listed(&[list]);
        self.record.op(self.number, Call::List { at: None }, invoked, answer);
    }

    async fn list_past(&mut self) {
        let at = self.record.newest().saturating_sub(self.below(40));
        let path = format!("{PATH}?resourceVersion={at}&resourceVersionMatch=Exact");
        let invoked = self.record.now();
        // Too long ago, or not there yet.
        let Came::Answer(200, list) = self.ask("GET", &path, None).await else { return };
        let answer = self.listed(&[list]);
        self.record.op(self.number, Call::List { at: Some(at) }, invoked, answer);
    }

    /// Each page from another server, while others write: all are of the first one's revision.
    async fn list_in_pages(&mut self) {
        let (invoked, mut pages) = (self.record.now(), Vec::new());
        let mut next = String::new();
        loop {
            let path = format!("{PATH}?limit={LIMIT}&continue={next}");
            let Came::Answer(200, page) = self.ask("GET", &path, None).await else { return };
            next = page.text("metadata.continue").to_owned();
            pages.push(page);
            if next.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE * 3).await;
        }
        let answer = self.listed(&pages);
        let Answer::Listed { at, .. } = answer else { return };
        self.record.op(self.number, Call::List { at: Some(at) }, invoked, answer);
    }

    fn listed(&self, pages: &[Tree]) -> Answer {
        let mut objects = BTreeMap::new();
        for item in pages.iter().flat_map(|page| page["items"].as_array().into_iter().flatten()) {
            let name = item.text("metadata.name");
            if is_ours(name) && objects.insert(Name::from(name), seen(item)).is_some() {
                self.record.fault(format!("{name} is twice in a list"));
            }
        }
        let revisions: Vec<u64> = pages.iter().map(|page| number(page, "metadata.resourceVersion")).collect();
        if revisions.iter().any(|other| *other != revisions[0]) {
            self.record.fault(format!("pages of one list are of {revisions:?}"));
        }
        Answer::Listed { at: revisions[0], objects }
    }
}

pub fn seen(tree: &Tree) -> Seen {
    Seen { value: number(tree, "data.v"), revision: number(tree, "metadata.resourceVersion") }
}

/// The namespace has an object of somebody else too.
pub fn is_ours(name: &str) -> bool {
    name.starts_with('k') && name != "kube-root-ca.crt"
}

pub fn number(tree: &Tree, path: &str) -> u64 {
    tree.text(path).parse().unwrap_or_else(|_| panic!("no {path} in {tree:?}"))
}
