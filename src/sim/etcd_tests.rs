//! etcd's correctness bugs since 3.5 that became public, each as a situation for this store.
//!
//! Each test is named by the number of the issue in which the bug was described.

use super::rig::{Rig, shown};

use super::check::history::{Change, Item, Session, Told, Want};
use super::check::replicas::Replicas;
use super::dice::Dice;
use super::record::key;
use super::server::Server;
use super::{check, client};
use crate::object::Revision;
use crate::store::{Change as Move, KeyRange, LogLimits, RingLimits, State, WatchEnd, WatchError};

/// How many places a loss of power is tried at.
const CUTS: u64 = 60;

fn sum(state: &State) -> u64 {
    let all = KeyRange::all();
    check::replicas::sum(state.range(&all).map(|object| &object.bytes()[..]))
}

/// 3.5.0 to 3.5.2: the index of the last applied entry was saved apart from what it had written, so that a
/// crash in between applied entries twice or never.
#[tokio::test(start_paused = true)]
async fn etcd_13766_a_state_and_its_place_in_the_log_survive_together() {
    for cut in 0..CUTS {
        let mut rig = Rig::of(1, cut).await;
        let mut replicas = Replicas::default();
        let mut known = rig.run("create x").await.unwrap().unwrap();
        rig.servers[0].disk.cut_soon(cut * 2);
        for n in 0..40 {
            match rig.run(&format!("swap x@{known}")).await {
                Ok(revision) => known = revision.expect("nobody else writes"),
                Err(_) => break,
            }
            let state = rig.store(0).state();
            replicas.seen(n, state.position().index, state.revision().0, sum(&state)).unwrap();
        }
        rig.power_cut(0).await;
        let state = rig.store(0).state();
        let held = state.get(&key("pods/a/x")).expect("it was created").revision().0;
        assert!(held == known || held == known + 1, "cut {cut}: {known} was acknowledged, {held} is there");
        rig.run(&format!("swap x@{held}")).await.unwrap().expect("it can be written on from what it shows");
    }
}

/// Until 3.5.4: a lone member answered before its log was written.
#[tokio::test(start_paused = true)]
async fn etcd_14370_a_lone_server_acknowledges_what_is_on_its_disk() {
    for seed in 0..CUTS {
        let mut rig = Rig::of(1, seed).await;
        for n in 0..=seed % 7 {
            rig.run(&format!("create x{n}")).await.unwrap().unwrap();
        }
        rig.power_cut(0).await; // at once: nothing had time to be written after the answer
        assert_eq!(rig.store(0).state().len() as u64, seed % 7 + 1);
    }
}

/// Until 3.5.5: a crash while space was given back left a member at a higher revision than the others.
#[tokio::test(start_paused = true)]
async fn etcd_14685_a_cut_while_space_is_given_back_leaves_no_member_ahead() {
    for cut in 0..CUTS / 6 {
        let mut rig = Rig::of(3, cut).await;
        for n in 0..30 {
            if n == 10 {
                rig.servers[2].disk.cut_soon(cut * 7);
            }
            if n == 25 {
                rig.power_cut(2).await;
            }
            while rig.run(&format!("put x{}", n % 3)).await.is_err() {}
        }
        let states = rig.agreed().await;
        assert!(states.iter().all(|state| state.revision() == states[0].revision()));
        assert!(states.iter().all(|state| shown(state) == shown(&states[0])));
    }
}

/// Until 3.5.13: after compaction the newest revisions, all of deletions, were forgotten by a restart and
/// given again.
#[tokio::test(start_paused = true)]
async fn etcd_17780_revisions_of_deletions_are_not_given_again() {
    for cut in 0..CUTS {
        let mut rig = Rig::of(1, cut).await;
        let mut last = 0;
        for n in 0..10 {
            last = rig.run(&format!("create x{n}")).await.unwrap().unwrap();
        }
        rig.servers[0].disk.cut_soon(cut);
        for n in 0..10 {
            match rig.run(&format!("delete x{n}")).await {
                Ok(revision) => last = revision.unwrap(),
                Err(_) => break,
            }
        }
        rig.power_cut(0).await;
        rig.power_cut(0).await;
        assert!(rig.store(0).state().revision().0 >= last);
        let next = rig.run("put y").await.unwrap().unwrap();
        assert!(next > last, "cut {cut}: {next} after {last}");
    }
}

/// Watches at every revision either say that history is gone or tell all that came after it.
async fn every_watch_is_complete(rig: &Rig, told: &[Told]) {
    let store = rig.store(0);
    let newest = store.state().revision().0;
    let mut accepted = 0;
    for from in 0..=newest {
        let mut watch = match store.watch(KeyRange::all(), Revision(from)) {
            Ok(watch) => watch,
            Err(WatchError::Compacted { oldest }) => {
                assert!(oldest.0 > from);
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        accepted += 1;
        let mut items = Vec::new();
        while let Some(event) = watch.try_next().unwrap() {
            items.push((0, Item::Event(rig.record.told(&event))));
        }
        items.push((0, Item::Bookmark(watch.progress().expect("all is read").0)));
        let session = Session { watcher: 0, server: 0, prefix: "".into(), from, resumes: false, items };
        let changes = check::history::Changes::gather(told, &[]).unwrap();
        check::watches::check(&[session], &changes, |_| false).unwrap();
    }
    assert!(accepted > 0);
}

/// Until 3.5.15: a watch from the very revision that was compacted missed the deletion there.
#[tokio::test(start_paused = true)]
async fn etcd_18089_a_watch_at_the_edge_of_history_misses_no_deletion() {
    let mut rig = Rig::of(1, 1).await;
    let mut told = Vec::new();
    for n in 1..20 {
        let name = format!("x{}", n / 2);
        let deletes = n % 2 == 1 && n > 1;
        if deletes {
            let revision = rig.run(&format!("delete {name}")).await.unwrap().unwrap();
            told.push(Told { revision, key: format!("pods/a/{name}").into(), value: None, before: revision - 1 });
        } else {
            let revision = rig.run(&format!("create {name}")).await.unwrap().unwrap();
            let value = Some(rig.last_value);
            told.push(Told { revision, key: format!("pods/a/{name}").into(), value, before: 0 });
        }
        every_watch_is_complete(&rig, &told).await;
    }
}

/// Until 3.5.18: the same after a restart that came in the middle of compaction.
#[tokio::test(start_paused = true)]
async fn etcd_19179_a_watch_after_a_cut_in_compaction_misses_no_deletion() {
    for cut in 0..CUTS / 2 {
        let mut rig = Rig::of(1, cut).await;
        rig.run("create x").await.unwrap().unwrap();
        rig.servers[0].disk.cut_soon(cut * 3);
        for n in 0..12 {
            let line = if n % 2 == 0 { "delete x" } else { "create x" };
            if rig.run(line).await.is_err() {
                break;
            }
        }
        rig.power_cut(0).await;
        let store = rig.store(0);
        let state = store.state();
        let oldest = match store.watch(KeyRange::all(), Revision::ZERO) {
            Err(WatchError::Compacted { oldest }) => oldest,
            _ => Revision::ZERO,
        };
        let mut watch = store.watch(KeyRange::all(), oldest).unwrap();
        let mut held = store.state_at(oldest).unwrap().get(&key("pods/a/x")).map(|object| object.revision().0);
        while let Some(event) = watch.try_next().unwrap() {
            let told = rig.record.told(&event);
            assert_eq!(told.before, held.unwrap_or(0), "cut {cut}: one was left out before {told:?}");
            held = told.value.map(|_| told.revision);
        }
        assert_eq!(held, state.get(&key("pods/a/x")).map(|object| object.revision().0));
    }
}

/// 3.5 and 3.6: a progress notification could overtake events that it spoke for.
#[tokio::test(start_paused = true)]
async fn etcd_15220_progress_is_told_behind_the_events_it_speaks_for() {
    let mut rig = Rig::of(1, 1).await;
    let mut watch = rig.store(0).watch(KeyRange::all(), Revision::ZERO).unwrap();
    for n in 0..4 {
        rig.run(&format!("put x{n}")).await.unwrap();
        assert_eq!(watch.progress(), None, "an event waits to be read");
        let event = watch.next().await.unwrap();
        assert_eq!(watch.progress(), Some(event.revision()));
        assert_eq!(watch.progress(), Some(event.revision()), "nor does it go back");
    }
}

/// 3.4 to 3.6: a watch from a revision that a member had not reached was told of older events.
#[tokio::test(start_paused = true)]
async fn etcd_20221_a_watch_from_the_future_is_told_so() {
    let mut rig = Rig::of(1, 1).await;
    let last = rig.run("put x").await.unwrap().unwrap();
    let refused = rig.store(0).watch(KeyRange::all(), Revision(last + 1)).err().unwrap();
    assert_eq!(refused, WatchError::Future { asked: Revision(last + 1), current: Revision(last) });
    assert!(matches!(rig.store(0).state_at(Revision(last + 1)), Err(WatchError::Future { .. })));
}

/// 3.3 to 3.5: whether a member applied an entry hung on what it alone knew (authorization), and members
/// drifted apart. Here the term is all that an entry's fate hangs on besides the state.
#[tokio::test(start_paused = true)]
async fn etcd_13937_servers_refuse_the_same_commands() {
    let mut rig = Rig::of(3, 5).await;
    for n in 0..30u64 {
        let leader = rig.leader().await;
        let term = leader.role().borrow().term();
        let change = Change { key: format!("pods/a/x{}", n % 4).into(), want: Want::Anything, value: Some(1_000 + n) };
        let command = client::command(&[change], 0).in_term(term - n % 2);
        drop(leader.propose(command).await);
        if n % 10 == 9 {
            leader.resign().await;
        }
        while rig.run(&format!("put y{}", n % 3)).await.is_err() {}
    }
    let states = rig.agreed().await;
    let places: Vec<_> = states.iter().map(|state| (state.revision(), shown(state))).collect();
    assert!(places.iter().all(|place| *place == places[0]));
}

/// Described for 3.3: an entry was applied before it was on the disk; after a crash the founder showed what
/// a member that joined later never got.
#[tokio::test(start_paused = true)]
async fn etcd_10508_who_joins_after_a_crash_gets_all_that_the_founder_shows() {
    for cut in 0..CUTS / 3 {
        let mut rig = Rig::of(1, cut).await;
        rig.servers[0].disk.cut_soon(cut);
        for n in 0..10 {
            if rig.run(&format!("put x{n}")).await.is_err() {
                break;
            }
        }
        rig.power_cut(0).await;
        let root = rig.folder.path().to_owned();
        let limits = (LogLimits::default(), RingLimits::default());
        let mut second = Server::new(1, &root, false, limits, Dice::of(cut + 1), &rig.record);
        second.start(&rig.net, &rig.record).await.unwrap();
        let id = second.id;
        rig.servers.push(second);
        rig.leader().await.change_members(Move::Add(id)).await.unwrap();
        let mut members = rig.store(1).members();
        members.wait_for(|members| members.voters.contains(&id)).await.unwrap();
        let states = rig.agreed().await;
        assert_eq!(shown(&states[0]), shown(&states[1]));
        assert_eq!(states[0].revision(), states[1].revision());
    }
}

/// A reader that cannot be told everything is closed, not left with a hole (the watch cache's and etcd's
/// slow watchers).
#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_closed_and_not_left_with_a_hole() {
    let mut rig = Rig::of(1, 1).await;
    let mut watch = rig.store(0).watch(KeyRange::all(), Revision::ZERO).unwrap();
    for n in 0..20 {
        rig.run(&format!("put x{n}")).await.unwrap();
    }
    assert_eq!(watch.try_next().err(), Some(WatchEnd::TooSlow));
    assert_eq!(watch.progress(), None);
}
