//! Disks that fail under a store, and what they leave to the process after.

use std::time::Duration;

use super::check::history::{Change, Want};
use super::client;
use super::disk::Faults;
use super::record::key;
use super::rig::{Rig, shown};
use crate::store::{Change as Move, Health};

const BROKEN: Faults = Faults { full: false, fails_to_sync: true, fails_to_read: false, slow: 0 };
const FULL: Faults = Faults { full: true, fails_to_sync: false, fails_to_read: false, slow: 0 };
const UNREADABLE: Faults = Faults { full: false, fails_to_sync: false, fails_to_read: true, slow: 0 };

#[tokio::test(start_paused = true)]
async fn what_a_failed_fsync_left_in_memory_is_durable_before_more_is_built_on_it() {
    for seed in 0..40 {
        let mut rig = Rig::of(1, seed).await;
        for n in 0..seed % 9 {
            rig.run(&format!("put a{n}")).await.unwrap(); // the log is cut at every place
        }
        rig.servers[0].disk.set(BROKEN);
        rig.run("put b").await.expect_err("nothing is acknowledged that may not be on the disk");
        rig.servers[0].disk.set(Faults::default());
        rig.servers[0].crash(false, &rig.net, &rig.record).await; // the machine goes on
        rig.servers[0].start(&rig.net, &rig.record).await.expect("what can be read can be written again");
        rig.run("put c").await.unwrap();
        let before = shown(&rig.store(0).state());
        rig.power_cut(0).await;
        assert_eq!(shown(&rig.store(0).state()), before, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_still_fails_is_not_built_on() {
    let mut rig = Rig::of(1, 1).await;
    rig.run("put a").await.unwrap();
    let before = shown(&rig.store(0).state());
    rig.servers[0].crash(false, &rig.net, &rig.record).await;
    for faults in [BROKEN, UNREADABLE] {
        rig.servers[0].disk.set(faults);
        rig.servers[0].start(&rig.net, &rig.record).await.expect_err("nobody knows what is on the disk");
    }
    rig.servers[0].disk.set(Faults::default());
    rig.servers[0].start(&rig.net, &rig.record).await.expect("nothing was thrown away");
    assert_eq!(shown(&rig.store(0).state()), before);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_read_its_log_is_replaced_and_goes_on_serving_reads() {
    let mut rig = Rig::of(3, 7).await;
    rig.run("put a").await.unwrap();
    let first = rig.leader().await.id();
    let leader = rig.servers.iter().position(|server| server.id == first).unwrap();
    let absent = (leader + 1) % 3;
    rig.servers[absent].crash(false, &rig.net, &rig.record).await;
    rig.run("put b").await.unwrap();
    rig.servers[leader].disk.set(UNREADABLE);
    rig.servers[absent].start(&rig.net, &rig.record).await.unwrap(); // lacks what only the log has by now

    let store = rig.store(leader);
    let mut health = store.health();
    let told = health.wait_for(|health| *health != Health::Good).await.unwrap().clone();
    assert!(matches!(&told, Health::LogFailed { reason } if reason.contains("cannot be read")), "{told:?}");
    assert!(!store.leads() && !store.state().is_empty(), "it leads no more, reads go on");
    assert!(rig.leader().await.id() != first);
    rig.run("put c").await.unwrap();

    rig.servers[leader].disk.set(Faults::default());
    rig.servers[leader].crash(false, &rig.net, &rig.record).await;
    rig.servers[leader].start(&rig.net, &rig.record).await.unwrap();
    let states = rig.agreed().await;
    assert!(states.iter().all(|state| shown(state) == shown(&states[0]) && shown(state).len() == 3));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_was_just_given_is_kept_twice_as_any_other() {
    for part in ["snapshots/", "checkpoint"] {
        let mut rig = Rig::of(1, 3).await;
        for n in 0..20 {
            rig.run(&format!("put x{}", n % 3)).await.unwrap();
        }
        rig.join(1, 3).await;
        tokio::time::sleep(Duration::from_secs(1)).await; // nothing is written that would make a checkpoint due
        for again in 0..2 {
            rig.servers[1].crash(false, &rig.net, &rig.record).await;
            rig.servers[1].disk.rot(&format!("/1/store/{part}")).expect("it is there");
            let started = rig.servers[1].start(&rig.net, &rig.record).await;
            started.unwrap_or_else(|error| panic!("damage {again} of {part} needs a human: {error:?}"));
            let states = rig.agreed().await;
            assert_eq!(shown(&states[1]), shown(&states[0]));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_lost_both_copies_of_its_state_is_given_everything_under_a_new_id() {
    let mut rig = Rig::of(3, 6).await;
    for n in 0..40 {
        rig.run(&format!("put x{}", n % 7)).await.unwrap();
    }
    let ruined = rig.servers[2].ruin(&rig.net, &rig.record).await;
    let old = ruined.expect("no human is needed").expect("the log was cut");
    let id = rig.servers[2].id;
    for change in [Move::Remove(old), Move::Add(id)] {
        while rig.leader().await.change_members(change).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let mut members = rig.store(2).members();
    members.wait_for(|members| members.voters.contains(&id)).await.unwrap();
    for _ in 0..2 {
        let states = rig.agreed().await;
        assert_eq!(shown(&states[2]), shown(&states[0]));
        rig.power_cut(2).await; // what was moved aside does not come back
    }
    assert_eq!(rig.store(2).replaces(), None);
}

#[tokio::test(start_paused = true)]
async fn servers_remember_through_a_loss_of_power_that_others_came() {
    let mut rig = Rig::of(3, 5).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // all have heard that the third may vote
    for place in 0..3 {
        rig.servers[place].crash(true, &rig.net, &rig.record).await;
    }
    for place in 1..3 {
        rig.servers[place].start(&rig.net, &rig.record).await.unwrap();
    }
    let led = tokio::time::timeout(Duration::from_secs(30), rig.leader()).await;
    assert!(led.is_ok(), "two of three are enough, whoever founded the cluster");
}

#[tokio::test(start_paused = true)]
async fn a_lone_server_whose_disk_is_full_comes_back_with_all_it_acknowledged() {
    for count in 1..6 {
        let mut rig = Rig::of(1, count).await;
        rig.run("put lease").await.unwrap();
        rig.run("renew lease").await.unwrap(); // revisions are reserved from here on
        let mut newest = None;
        for n in 0..count {
            newest = rig.run(&format!("create x{n}")).await.unwrap();
        }
        let before = shown(&rig.store(0).state());
        rig.servers[0].crash(false, &rig.net, &rig.record).await;
        rig.servers[0].disk.set(FULL);
        rig.servers[0].start(&rig.net, &rig.record).await.expect("reads need no space");
        let state = rig.store(0).state();
        let held = state.get(&key(&format!("pods/a/x{}", count - 1))).map(|object| object.revision().0);
        assert_eq!(held, newest, "{count} created, and reads go on");

        rig.servers[0].disk.set(Faults::default());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let new = [Change { key: "pods/a/new".into(), want: Want::Anything, value: Some(99) }];
        rig.store(0).propose(client::command(&new, 0)).await.expect("there is space again");
        let after = shown(&rig.store(0).state());
        assert!(before.iter().all(|object| after.contains(object)), "what was told keeps its revisions: {after:?}");
        rig.power_cut(0).await;
        assert_eq!(shown(&rig.store(0).state()), after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_disk_was_full_numbers_as_the_others_do() {
    let mut rig = Rig::of(3, 11).await;
    rig.run("put lease").await.unwrap();
    rig.run("renew lease").await.unwrap(); // revisions are reserved, and not used up
    let leader = rig.leader().await.id();
    let follower = rig.servers.iter().position(|server| server.id != leader).unwrap();
    rig.servers[follower].disk.set(FULL);
    let mut filled = 0..5_000;
    while *rig.store(follower).health().borrow() != Health::DiskFull {
        let n = filled.next().expect("what was reserved for the log is used up some time");
        rig.run(&format!("put x{}", n % 4)).await.unwrap();
    }
    rig.servers[follower].disk.set(Faults::default());
    for n in 0..4 {
        rig.run(&format!("put x{n}")).await.unwrap();
    }
    let states = rig.agreed().await;
    assert!(states.iter().all(|state| shown(state) == shown(&states[0])), "{states:#?}");
}
