//! What a leader says that was held still, and does not know that it leads no more.

use std::time::Duration;

use super::rig::Rig;
use crate::api::elsewhere::is_not_leader;
use crate::api::tests::world_on;
use crate::object::tree::{Tree, json};
use crate::object::{Body, Call, Key, Options, Reason, Target, User, Verb};
use crate::store::{Command, Outcome, Payload, Store};

fn map(name: &str, verb: Verb, body: Body) -> Call {
    let target = Target {
        version: "v1".into(),
        resource: "configmaps".into(),
        namespace: "default".into(),
        name: name.into(),
        ..Target::default()
    };
    let user = User::named("admin", &["system:masters"]);
    Call { user, verb, target, options: Options::default(), body, user_agent: "test/1".into() }
}

fn object(name: &str) -> Tree {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}})
}

fn create(name: &str) -> Call {
    map("", Verb::Create, Body::Tree(object(name)))
}

fn delete(name: &str) -> Call {
    map(name, Verb::Delete, Body::None)
}

fn payload(name: &str) -> Payload {
    let mut object = object(name);
    object["metadata"]["resourceVersion"] = json!("");
    Payload::find(object.to_string()).expect("a hole")
}

async fn commit(store: &Store, command: Command) {
    assert!(matches!(store.propose(command).await, Ok(Outcome::Committed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_held_still_says_nothing_that_is_so_no_more() {
    let rig = Rig::of(3, 7).await;
    let old = rig.leader().await;
    let place = (0..3).find(|place| rig.store(*place).id() == old.id()).unwrap();
    let world = world_on(old.clone()).await;
    let mut going = object("going");
    going["metadata"]["finalizers"] = json!(["example.com/wait"]);
    for call in [create("taken"), map("", Verb::Create, Body::Tree(going)), delete("going")] {
        world.api.handle(call).await.unwrap();
    }

    rig.servers[place].pause();
    let others: Vec<Store> = (0..3).filter(|other| *other != place).map(|other| rig.store(other)).collect();
    let new = loop {
        match others.iter().find(|store| store.leads()) {
            Some(new) => break new.clone(),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let key = |name: &str| Key::of("configmaps", "default", name);
    new.read_barrier().await.unwrap();
    for name in ["taken", "going"] {
        let revision = new.state().get(&key(name)).unwrap().revision();
        commit(&new, Command::delete(key(name), revision)).await;
    }
    for name in ["missing", "free"] {
        let payload = payload(name);
        commit(&new, Command::create(key(name), payload)).await;
    }

    rig.servers[place].resume();
    assert!(old.leads(), "it has not heard of anything yet");
    let mut dry = create("free");
    dry.options.dry_run = true;
    let api = &world.api;
    let (taken, missing, going, free) = tokio::join!(
        api.handle(create("taken")),
        api.handle(delete("missing")),
        api.handle(delete("going")),
        api.handle(dry),
    );
    for (answer, truth) in
        [(taken, None), (missing, None), (going, Some(Reason::NotFound)), (free, Some(Reason::AlreadyExists))]
    {
        let status = answer.expect_err("it cannot have been done here");
        let is_true = truth.is_some_and(|reason| status.is(reason));
        assert!(is_not_leader(&status) || is_true, "{status:?}");
    }
}
