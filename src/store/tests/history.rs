//! What watchers and readers of the past see.

use super::super::hub::Hub;
use super::super::mvcc::apply;
use super::super::ring::{Kept, Record};
use super::*;
use crate::base::clock::Clock as _;

/// A hub that applies lines, without a log.
struct Past {
    hub: Arc<Hub>,
    state: State,
    now: Duration,
    kept: Kept,
}

impl Past {
    fn new(limits: RingLimits) -> Self {
        let kept = Kept { events: 0, bytes: 0, span: Duration::ZERO, oldest: Revision(0), expires: None };
        Self { hub: Hub::new(State::default(), limits), state: State::default(), now: Duration::ZERO, kept }
    }

    fn run(&mut self, lines: &[&str]) {
        let mut records = Vec::new();
        for line in lines {
            let position = Position { index: self.state.position().index + 1, term: 1 };
            let effects = apply(&mut self.state, position, command(line));
            records.extend(effects.events.into_iter().map(|event| Record { event, position, at: self.now }));
        }
        self.kept = self.hub.publish(self.state.clone(), records, self.now);
    }

    fn watch(&self, range: KeyRange, from: u64) -> Watch {
        self.hub.watch(range, Revision(from)).expect("a watch")
    }
}

fn read(watch: &mut Watch) -> Vec<String> {
    std::iter::from_fn(|| watch.try_next().expect("open")).map(|event| show_event(&event)).collect()
}

#[test]
fn a_watch_delivers_what_it_missed_and_then_what_happens() {
    let mut past = Past::new(RingLimits::default());
    past.run(&["create a/x 1", "create a/y 1", "update a/x@1 2"]);
    let mut watch = past.watch(KeyRange::all(), 1);
    past.run(&["delete a/y@2"]);
    assert_eq!(read(&mut watch), ["+pods/a/y@2=1", "pods/a/x@1=1 -> pods/a/x@3=2", "pods/a/y@2=1 -> -pods/a/y@4=1"]);
    past.run(&["create a/z 1"]);
    assert_eq!(read(&mut watch), ["+pods/a/z@5=1"]);
}

#[test]
fn a_watch_sees_only_its_range() {
    let mut past = Past::new(RingLimits::default());
    let mut one = past.watch(KeyRange::key(&key("a/x")), 0);
    let mut namespace = past.watch(KeyRange::namespace(&crate::object::GroupResource::new("", "pods"), "a"), 0);
    past.run(&["create a/x 1", "create a/xx 1", "create nodes//a 1", "create b/x 1"]);
    assert_eq!(read(&mut one), ["+pods/a/x@1=1"]);
    assert_eq!(read(&mut namespace), ["+pods/a/x@1=1", "+pods/a/xx@2=1"]);
}

#[test]
fn progress_tells_how_far_everything_is_read() {
    let mut past = Past::new(RingLimits::default());
    let mut watch = past.watch(KeyRange::key(&key("a/x")), 0);
    past.run(&["create a/y 1", "create a/x 1", "create a/z 1"]);
    assert_eq!(watch.progress(), None);
    assert_eq!(read(&mut watch).len(), 1);
    assert_eq!(watch.progress(), Some(Revision(3)));
}

#[test]
fn who_is_slower_than_history_is_cut_off_and_others_are_not() {
    let mut past = Past::new(RingLimits { events: 3, ..RingLimits::default() });
    let (mut slow, mut quick) = (past.watch(KeyRange::all(), 0), past.watch(KeyRange::all(), 0));
    past.run(&["create a/1 1", "create a/2 1"]);
    assert_eq!(read(&mut quick).len(), 2);
    past.run(&["create a/3 1", "create a/4 1"]);
    assert_eq!(read(&mut quick).len(), 2);
    assert_eq!(slow.try_next().unwrap_err(), WatchEnd::TooSlow);
}

#[test]
fn nobody_watches_from_before_history_or_from_the_future() {
    let mut past = Past::new(RingLimits { events: 2, ..RingLimits::default() });
    past.run(&["create a/1 1", "create a/2 1", "create a/3 1"]);
    let refused = |from| past.hub.watch(KeyRange::all(), Revision(from)).err();
    assert_eq!(refused(0), Some(WatchError::Compacted { oldest: Revision(1) }));
    assert_eq!(refused(1), None);
    assert_eq!(refused(4), Some(WatchError::Future { asked: Revision(4), current: Revision(3) }));
}

#[tokio::test(start_paused = true)]
async fn history_grows_old_also_while_nobody_writes() {
    let mut past = Past::new(RingLimits { age: Duration::from_secs(300), ..RingLimits::default() });
    let (metrics, clock) = (Arc::<Metrics>::default(), Arc::new(cluster::TestClock(tokio::time::Instant::now())));
    tokio::spawn(aging::run(past.hub.clone(), metrics.clone(), clock.clone()));
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    past.now = clock.elapsed();
    past.run(&["create a/x 1", "create a/y 1"]);
    tokio::time::sleep(Duration::from_secs(290)).await;
    assert_eq!((metrics.history_events.get(), metrics.history_oldest.get()), (2, 0));
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!((metrics.history_events.get(), metrics.history_oldest.get()), (0, 2));
    assert_eq!(past.hub.watch(KeyRange::all(), Revision(1)).err(), Some(WatchError::Compacted { oldest: Revision(2) }));
}

#[test]
fn the_past_is_found_again_until_history_forgets_it() {
    let mut past = Past::new(RingLimits { age: Duration::from_secs(60), ..RingLimits::default() });
    past.run(&["create a/x 1", "create a/y 1"]);
    past.run(&["update a/x@1 2 & delete a/y@2", "create a/y 3"]);
    let at = |past: &Past, revision| past.hub.state_at(Revision(revision)).map(|state| show_state(&state));
    assert_eq!(at(&past, 1).unwrap(), "1: pods/a/x@1=1");
    assert_eq!(at(&past, 2).unwrap(), "2: pods/a/x@1=1 pods/a/y@2=1");
    assert_eq!(at(&past, 3).unwrap(), "3: pods/a/x@3=2");
    assert_eq!(at(&past, 4).unwrap(), "4: pods/a/x@3=2 pods/a/y@4=3");
    past.now = Duration::from_secs(61);
    past.run(&["create a/z 1"]);
    assert_eq!(at(&past, 3), Err(WatchError::Compacted { oldest: Revision(4) }));
    assert_eq!(show_state(&past.hub.base()), at(&past, 4).unwrap());
}

#[test]
fn history_is_bounded_by_the_memory_it_holds() {
    let mut past = Past::new(RingLimits { bytes: 100_000, ..RingLimits::default() });
    past.run(&["create a/x 0"]);
    (0..1_000).for_each(|n| past.run(&[&format!("put a/x {}{n}", "v".repeat(1_000))]));
    let oldest = past.hub.base().revision().0;
    assert!((900..1_000).contains(&oldest), "{oldest}");
}

#[test]
fn the_events_of_one_log_entry_leave_history_together() {
    let mut past = Past::new(RingLimits { events: 2, ..RingLimits::default() });
    past.run(&["create a/1 1 & create a/2 1", "create a/3 1"]);
    assert_eq!(past.hub.base().position().index, 1);
    assert_eq!(show_state(&past.hub.base()), "1: pods/a/1@1=1 pods/a/2@1=1");
}

#[tokio::test]
async fn a_waiting_watcher_is_woken_and_a_closed_store_ends_it() {
    let mut past = Past::new(RingLimits::default());
    let mut watch = past.watch(KeyRange::all(), 0);
    let (event, ()) = tokio::join!(watch.next(), async { past.run(&["create a/x 1"]) });
    assert_eq!(show_event(&event.unwrap()), "+pods/a/x@1=1");
    past.run(&["create a/y 1"]);
    past.hub.close();
    assert_eq!(show_event(&watch.next().await.unwrap()), "+pods/a/y@2=1");
    assert_eq!(watch.next().await.unwrap_err(), WatchEnd::Closed);
}

/// Two of the same history, of which one packs whatever it can.
fn packed_and_not() -> (Past, Past) {
    let limits = RingLimits { fresh: 0, ..RingLimits::default() };
    (Past::new(limits), Past::new(RingLimits { fresh: usize::MAX, ..limits }))
}

#[test]
fn packed_history_reads_as_if_it_were_not() {
    let (mut packed, mut plain) = packed_and_not();
    let mut slow = [packed.watch(KeyRange::all(), 0), packed.watch(KeyRange::key(&key("a/2")), 0)];
    for n in 0..300 {
        let line = match n % 7 {
            0 => format!("put a/{} {n} & put b/{n} {n}", n % 5),
            6 => format!("remove b/{} & put a/{} {n}", n - 6, n % 5),
            _ => format!("put a/{} {n}", n % 5),
        };
        [&mut packed, &mut plain].into_iter().for_each(|past| past.run(&[&line]));
    }
    assert!(packed.kept.bytes * 2 < plain.kept.bytes, "{:?}, {:?}", packed.kept, plain.kept);
    for from in (0..=300).step_by(23) {
        for range in [KeyRange::all(), KeyRange::key(&key("a/2")), KeyRange::key(&key("b/7"))] {
            let seen = [&packed, &plain].map(|past| read(&mut past.watch(range.clone(), from)));
            assert_eq!(seen[0], seen[1], "{range:?} from {from}");
        }
        let states = [&packed, &plain].map(|past| show_state(&past.hub.state_at(Revision(from)).unwrap()));
        assert_eq!(states[0], states[1]);
    }
    assert_eq!(
        slow.each_mut().map(read),
        [KeyRange::all(), KeyRange::key(&key("a/2"))].map(|range| read(&mut plain.watch(range, 0)))
    );
    [&mut packed, &mut plain].into_iter().for_each(|past| past.run(&["put a/2 last"]));
    assert_eq!(slow.each_mut().map(|watch| read(watch).len()), [1, 1]);
}

#[test]
fn who_fell_behind_reads_on_in_packed_history() {
    let mut past = packed_and_not().0;
    past.run(&["create a/x 0"]);
    let mut watch = past.watch(KeyRange::all(), 1);
    for n in 0..1_000 {
        past.run(&[&format!("put a/x {n} & put a/y {n}")]);
        if n % 100 == 99 {
            assert!(watch.try_next().unwrap().is_some());
        }
    }
    assert_eq!(read(&mut watch).len(), 2_000 - 10);
    assert_eq!(watch.progress(), Some(Revision(1_001)));
}

#[test]
fn packed_history_is_forgotten_by_age_too() {
    let mut past = packed_and_not().0;
    past.run(&["create a/x 0", "put a/x 1"]);
    let mut slow = past.watch(KeyRange::all(), 0);
    past.now = Duration::from_secs(301);
    past.run(&["put a/x 2"]);
    assert_eq!(past.hub.watch(KeyRange::all(), Revision(1)).err(), Some(WatchError::Compacted { oldest: Revision(2) }));
    assert_eq!(show_state(&past.hub.base()), "2: pods/a/x@2=1");
    assert_eq!(slow.try_next().unwrap_err(), WatchEnd::TooSlow);
}
