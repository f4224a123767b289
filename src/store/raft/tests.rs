//! Three servers in one process: the driver, log and state that a lone server uses, over a network
//! that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raft::eraftpb::Message;
use tokio::sync::{mpsc, oneshot};

use super::membership::Members;
use super::node::Node;
use super::recover::{Recovered, recover};
use super::transport::{Inbox, Link, Transport};
use super::{Driver, Input};
use crate::base::clock::SystemClock;
use crate::base::rand::SystemRand;
use crate::base::service::Scope;
use crate::object::{Key, Revision};
use crate::store::base::Base;
use crate::store::datadir::DataDir;
use crate::store::files::SystemDisk;
use crate::store::{Command, KeyRange, Payload, ProposeError, RingLimits, Role, Store};

#[derive(Clone, Default)]
struct Net(Arc<Mutex<NetState>>);

#[derive(Default)]
struct NetState {
    inboxes: BTreeMap<u64, Inbox>,
    cut_off: BTreeSet<u64>,
}

struct Wire(Net);

impl Transport for Wire {
    fn send(&mut self, messages: Vec<Message>) {
        let net = self.0.0.lock().unwrap();
        for message in messages {
            if net.cut_off.contains(&message.from) || net.cut_off.contains(&message.to) {
                continue;
            }
            if let Some(inbox) = net.inboxes.get(&message.to) {
                drop(inbox.try_send(message)); // a full inbox loses it, as a network would
            }
        }
    }
}

/// Servers 1 to 3.
struct Cluster {
    net: Net,
    stores: BTreeMap<u64, Store>,
    _dir: tempfile::TempDir,
}

impl Cluster {
    async fn new() -> Self {
        let (net, dir) = (Net::default(), tempfile::tempdir().unwrap());
        let mut stores = BTreeMap::new();
        for id in 1..=3 {
            stores.insert(id, start(&net, &dir.path().join(id.to_string()), id));
        }
        Self { net, stores, _dir: dir }
    }

    fn cut_off(&self, ids: impl IntoIterator<Item = u64>) {
        self.net.0.lock().unwrap().cut_off = ids.into_iter().collect();
    }

    /// Waits until one of `among` leads.
    async fn leader(&self, among: &[u64]) -> u64 {
        loop {
            let leads = |id: &&u64| matches!(*self.stores[*id].role().borrow(), Role::Leader { .. });
            if let Some(id) = among.iter().find(leads) {
                return *id;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn agree(&self, revision: Revision) -> String {
        let mut shown = BTreeSet::new();
        for store in self.stores.values() {
            store.reached(revision).await.unwrap();
            let state = store.state();
            let all = KeyRange::all();
            let objects: Vec<String> = state.range(&all).map(|object| format!("{object:?}")).collect();
            shown.insert(format!("{}: {}", state.revision(), objects.join(" ")));
        }
        assert_eq!(shown.len(), 1, "servers differ: {shown:?}");
        shown.pop_first().unwrap()
    }
}

fn start(net: &Net, path: &std::path::Path, id: u64) -> Store {
    let disk = SystemDisk::shared();
    let members = Members { voters: vec![1, 2, 3], ..Members::default() };
    let mut dir = DataDir::open(path, &*SystemRand::seeded(id)).unwrap();
    dir.member = id;
    let alone = recover(&dir, &disk).unwrap();
    let position = alone.base.state.position();
    let node = Node::new(id, alone.node.log().clone(), &members, position.index).unwrap();
    let recovered = Recovered { base: Base { members, ..alone.base }, node };

    let (inputs, received) = mpsc::channel::<Input>(64);
    let (shared, store) = Store::over(&recovered.base.state, RingLimits::default(), inputs);
    let (opened, _) = oneshot::channel();
    let limits = crate::store::LogLimits::default();
    let link = Link::new(|inbox| {
        net.0.lock().unwrap().inboxes.insert(id, inbox);
        Wire(net.clone())
    });
    let driver = Driver::new(dir, disk, SystemClock::shared(), limits, recovered, shared, opened).unwrap();
    let scope = Scope::root("server");
    scope.spawn("store", driver.over(link).run(received, scope.clone()));
    store
}

fn create(name: &str) -> Command {
    let payload = Payload::find(r#"{"metadata":{"resourceVersion":""}}"#).unwrap();
    Command::create(Key::of("pods", "a", name), payload)
}

#[tokio::test(start_paused = true)]
async fn three_servers_agree_and_survive_the_loss_of_their_leader() {
    let cluster = Cluster::new().await;
    let first = cluster.leader(&[1, 2, 3]).await;
    cluster.stores[&first].propose(create("x")).await.unwrap();
    assert_eq!(cluster.agree(Revision(1)).await, "1: pods/a/x@1");

    let others: Vec<u64> = (1..=3).filter(|id| *id != first).collect();
    let refused = cluster.stores[&others[0]].propose(create("y")).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { leader: Some(first) });
    cluster.stores[&others[0]].read_barrier().await.unwrap();

    cluster.cut_off([first]);
    let lost = cluster.stores[&first].propose(create("lost"));
    let (second, lost) = tokio::join!(cluster.leader(&others), lost);
    assert_ne!(second, first);
    cluster.stores[&second].propose(create("z")).await.unwrap();

    cluster.cut_off([]);
    assert_eq!(cluster.agree(Revision(2)).await, "2: pods/a/x@1 pods/a/z@2");
    assert_eq!(lost.unwrap_err(), ProposeError::Unknown, "it might have been written");
    let term = cluster.stores[&second].role().borrow().term();
    let stale = cluster.stores[&second].propose(create("w").in_term(term - 1)).await.unwrap();
    assert!(matches!(stale, crate::store::Outcome::Deposed { .. }));
}
