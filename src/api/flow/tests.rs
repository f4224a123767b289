//! The parts together, with a real store behind them: who is let in, who waits, who is sent away.

use super::*;
use crate::api::tests::{World, world};
use crate::object::tree::json;
use crate::object::{Target, Tree, TreePath, User};

const BASE: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";

fn level(name: &str, response: Tree) -> Tree {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": response}},
    })
}

fn schema(name: &str, level: &str, user: &str) -> Tree {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name},
        "spec": {
            "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": 50,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": user}}],
                "resourceRules": [{
                    "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true,
                }],
            }],
        },
    })
}

async fn put(world: &World, resource: &str, object: Tree) -> Tree {
    let (code, answer) = world.send(&format!("POST {BASE}/{resource}"), object).await;
    assert_eq!(code, 201, "{answer}");
    answer
}

struct Asker {
    user: Arc<User>,
    target: Target,
}

impl Asker {
    fn named(name: &str) -> Self {
        let target = Target { resource: "pods".into(), namespace: "default".into(), ..Target::default() };
        Self { user: User::named(name, &["system:authenticated"]), target }
    }

    fn digest(&self) -> Digest<'_> {
        Digest { user: &self.user, verb: "get", target: Some(&self.target), path: "/" }
    }

    /// Asks for one seat; `limit` is how long the whole request may take.
    async fn enter(&self, flow: &Flow, limit: Duration) -> Result<Seat, Refused> {
        let class = flow.class(&self.digest());
        flow.enter(&class, &self.digest(), Load::Read, Width::ONE, flow.clock.elapsed(), limit).await
    }

    fn class(&self, flow: &Flow) -> String {
        let class = flow.class(&self.digest());
        let (schema, level) = Flow::names(&class);
        format!("{schema} {level}")
    }
}

/// A store with a level for `busy`, whose queue has one place, and its only seat.
async fn busy_world() -> World {
    let world = world().await;
    let queuing = json!({"type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 1}});
    put(&world, "prioritylevelconfigurations", level("narrow", queuing)).await;
    put(&world, "flowschemas", schema("busy", "narrow", "busy")).await;
    keeper::use_stored(&world.api);
    let flow = &world.api.flow;
    flow.adjust_if_due(flow.clock.elapsed());
    let active = flow.active.load();
    let narrow = active.levels.iter().find(|level| &*level.name == "narrow").unwrap();
    narrow.set_limit(flow.clock.elapsed(), 1);
    world
}

#[tokio::test]
async fn stored_schemas_are_used_as_they_change() {
    let world = world().await;
    let flow = &world.api.flow;
    let busy = Asker::named("busy");
    assert_eq!(busy.class(flow), "catch-all catch-all");
    put(&world, "prioritylevelconfigurations", level("narrow", json!({"type": "Reject"}))).await;
    put(&world, "flowschemas", schema("busy", "narrow", "busy")).await;
    put(&world, "flowschemas", schema("lost", "nowhere", "other")).await;
    keeper::use_stored(&world.api);
    assert_eq!(busy.class(flow), "busy narrow");
    assert_eq!(busy.class(flow), "busy narrow", "from the table");
    assert_eq!(Asker::named("other").class(flow), "catch-all catch-all");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_turn_or_is_sent_away() {
    let world = busy_world().await;
    let (flow, busy, minute) = (&world.api.flow, Asker::named("busy"), Duration::from_secs(60));
    let first = busy.enter(flow, minute).await.unwrap();
    let mut second = Box::pin(busy.enter(flow, minute));
    assert!(futures_util::poll!(&mut second).is_pending());
    assert_eq!(busy.enter(flow, minute).await.err(), Some(Refused { retry_secs: 1 }), "the queue is full");
    drop(first);
    let second = second.await.unwrap();
    // Nobody waits longer than a quarter of the time that the request has.
    let before = tokio::time::Instant::now();
    assert!(busy.enter(flow, minute).await.is_err());
    assert_eq!(before.elapsed().as_secs(), 15);
    drop(second);
    assert!(busy.enter(flow, minute).await.is_ok());
    let page = world.api.flow.dump("dump_priority_levels").unwrap();
    assert!(page.contains("narrow,\t0,\ttrue,\tfalse,\t0,\t0,\t3,\t2,\t1,\t0\n"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_leaves_no_seat_behind() {
    let world = busy_world().await;
    let (flow, busy, minute) = (&world.api.flow, Asker::named("busy"), Duration::from_secs(60));
    let first = busy.enter(flow, minute).await.unwrap();
    let mut left = Box::pin(busy.enter(flow, minute));
    assert!(futures_util::poll!(&mut left).is_pending());
    drop(left);
    let mut ready = Box::pin(busy.enter(flow, minute));
    assert!(futures_util::poll!(&mut ready).is_pending());
    drop(first); // the turn of `ready`,
    drop(ready); // who goes without having looked
    assert!(busy.enter(flow, minute).await.is_ok());
}

#[tokio::test]
async fn answers_say_where_the_request_belongs_and_schemas_whether_they_dangle() {
    let world = world().await;
    put(&world, "flowschemas", schema("lost", "nowhere", "other")).await;
    let scope = crate::base::service::Scope::root("test");
    start(&world.api, &scope);
    let condition = async || {
        let (_, answer) = world.send(&format!("GET {BASE}/flowschemas/lost"), Tree::Null).await;
        answer.items("status.conditions").first().map(|condition| condition.text("status").to_owned())
    };
    let until = async |wanted: &str| {
        for _ in 0..1_000 {
            if condition().await.as_deref() == Some(wanted) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    };
    assert!(until("True").await);
    put(&world, "prioritylevelconfigurations", level("nowhere", json!({"type": "Reject"}))).await;
    assert!(until("False").await);
    scope.cancel();
}

#[tokio::test]
async fn long_requests_have_a_limit_of_their_own() {
    let world = world().await;
    let flow = &world.api.flow;
    let held: Vec<Seat> = (0..LONG_RUNNING_MAX).map(|_| flow.last(None, false).unwrap()).collect();
    assert!(flow.last(None, false).is_err());
    assert!(flow.last(None, true).is_ok());
    drop(held);
    assert!(flow.last(None, false).is_ok());
}
