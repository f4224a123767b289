//! Flows against a level, as a world played without a clock.

use super::*;
use std::collections::BTreeMap;

const QUEUED: Policy = Policy::Queue { queues: 64, hand: 6, length_max: 50 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn wide(initial: u32) -> Width {
    Width { initial, ..Width::ONE }
}

/// Flows that keep so many requests there at once, each taking so long with so many seats.
struct Flow {
    hash: u64,
    at_once: u32,
    takes: Duration,
    width: Width,
}

impl Flow {
    fn of(name: u64, at_once: u32, takes: Duration) -> Self {
        Self { hash: name.wrapping_mul(0x9e37_79b9_7f4a_7c15), at_once, takes, width: Width::ONE }
    }
}

/// Runs flows against a level for a while; tells how many seat-milliseconds each got. The world is
/// played in steps of a millisecond.
fn served(policy: Policy, limit: u32, flows: &[Flow], time: u64) -> Vec<u64> {
    let mut set = QueueSet::<usize>::new(ms(0), policy, limit);
    let mut running: Vec<(Duration, usize, Ticket)> = Vec::new();
    let mut waiting = vec![0_u32; flows.len()];
    let mut got = vec![0; flows.len()];
    for now in 0..time {
        let (over, still): (Vec<_>, Vec<_>) = running.into_iter().partition(|(end, ..)| *end <= ms(now));
        running = still;
        for (_, flow, ticket) in over {
            got[flow] += u64::from(ticket.seats()) * flows[flow].takes.as_millis() as u64;
            set.finish(ms(now), ticket);
        }
        set.tick(ms(now));
        for (who, flow) in flows.iter().enumerate() {
            let mine = running.iter().filter(|(_, runs, _)| *runs == who).count() as u32 + waiting[who];
            for _ in mine..flow.at_once {
                match set.start(ms(now), Arrival { hash: flow.hash, width: flow.width }, || who) {
                    Start::Runs(ticket) => running.push((ms(now) + flow.takes, who, ticket)),
                    Start::Waits(_) => waiting[who] += 1,
                    Start::Refused => break,
                }
            }
        }
        for (who, ticket) in set.take_dispatched() {
            waiting[who] -= 1;
            running.push((ms(now) + flows[who].takes, who, ticket));
        }
        let totals = set.totals();
        assert!(totals.seats <= limit || totals.running == 1, "{totals:?}");
        assert_eq!(totals.running as usize, running.len());
        assert_eq!(set.active as usize, set.queues.iter().filter(|queue| !queue.is_idle()).count());
    }
    got
}

#[test]
fn a_level_that_rejects_has_no_queue() {
    let mut set = QueueSet::<()>::new(ms(0), Policy::Reject, 1);
    let arrival = Arrival { hash: 1, width: Width::ONE };
    let Start::Runs(ticket) = set.start(ms(0), arrival, || ()) else { panic!("there is room") };
    assert_eq!(set.start(ms(1), arrival, || ()), Start::Refused);
    set.finish(ms(2), ticket);
    assert!(matches!(set.start(ms(3), arrival, || ()), Start::Runs(_)));
    assert_eq!(set.totals().refused, 1);
}

#[test]
fn an_exempt_level_serves_everything() {
    let mut set = QueueSet::<()>::new(ms(0), Policy::Exempt, 0);
    for _ in 0..1_000 {
        assert!(matches!(set.start(ms(0), Arrival { hash: 1, width: wide(9) }, || ()), Start::Runs(_)));
    }
    assert_eq!(set.take_demand(ms(1)).max, 9_000.0);
}

#[test]
fn a_flow_that_floods_does_not_drown_others() {
    let flows = [Flow::of(1, 500, ms(10)), Flow::of(2, 10, ms(10)), Flow::of(3, 10, ms(10))];
    let got = served(QUEUED, 20, &flows, 2_000);
    let total: u64 = got.iter().sum();
    assert!(total > 20 * 2_000 * 9 / 10, "seats stay in use: {got:?}");
    // Each of three flows that want at least a third gets a third, or nearly: the flood has several
    // queues of its own, the others have as many requests as their share.
    assert!(got[1] > total / 5 && got[2] > total / 5, "{got:?}");
}

#[test]
fn shares_are_of_seats_not_of_requests() {
    let slow = Flow::of(1, 100, ms(40));
    let quick = Flow::of(2, 100, ms(4));
    let mut wide_one = Flow::of(3, 100, ms(10));
    wide_one.width = wide(4);
    let one_queue = Policy::Queue { queues: 64, hand: 1, length_max: 100 };
    let got = served(one_queue, 12, &[slow, quick, wide_one], 4_000);
    let total: u64 = got.iter().sum();
    for (flow, got) in got.iter().enumerate() {
        let share = *got as f64 / total as f64;
        assert!((0.25..0.42).contains(&share), "flow {flow} has {share:.2}");
    }
}

#[test]
fn a_full_queue_refuses_and_a_long_wait_can_be_given_up() {
    let one = Policy::Queue { queues: 1, hand: 1, length_max: 2 };
    let mut set = QueueSet::<u32>::new(ms(0), one, 1);
    let arrival = Arrival { hash: 0, width: Width::ONE };
    let Start::Runs(ticket) = set.start(ms(0), arrival, || 0) else { panic!("there is room") };
    let Start::Waits(first) = set.start(ms(0), arrival, || 1) else { panic!("there is a queue") };
    assert!(matches!(set.start(ms(0), arrival, || 2), Start::Waits(_)));
    assert_eq!(set.start(ms(0), arrival, || 3), Start::Refused);
    assert!(set.cancel(ms(5), first, true));
    assert!(!set.cancel(ms(5), first, true));
    set.finish(ms(6), ticket);
    let turn: Vec<u32> = set.take_dispatched().into_iter().map(|(who, _)| who).collect();
    assert_eq!(turn, [2]);
    assert_eq!((set.totals().timed_out, set.totals().refused, set.totals().waiting), (1, 2, 0));
}

#[test]
fn a_wide_request_is_not_overtaken_for_ever() {
    let one = Policy::Queue { queues: 8, hand: 1, length_max: 50 };
    let mut set = QueueSet::<&str>::new(ms(0), one, 4);
    let mut tickets: Vec<Ticket> = Vec::new();
    for _ in 0..4 {
        let Start::Runs(ticket) = set.start(ms(0), Arrival { hash: 0, width: wide(1) }, || "") else { panic!("room") };
        tickets.push(ticket);
    }
    assert!(matches!(set.start(ms(0), Arrival { hash: 1, width: wide(4) }, || "wide"), Start::Waits(_)));
    let narrow = set.start(ms(0), Arrival { hash: 0, width: wide(1) }, || "narrow");
    assert!(matches!(narrow, Start::Waits(_)));
    let mut order = Vec::new();
    for (after, ticket) in (1..).zip(tickets) {
        set.finish(ms(after), ticket);
        let turn = set.take_dispatched();
        order.extend(turn.iter().map(|(who, _)| *who));
        turn.into_iter().for_each(|(_, ticket)| set.finish(ms(after), ticket));
    }
    order.extend(set.take_dispatched().iter().map(|(who, _)| *who));
    assert_eq!(order, ["wide", "narrow"]);
    // Wider than the level: alone, but it runs.
    let mut small = QueueSet::<()>::new(ms(0), one, 2);
    assert!(matches!(small.start(ms(0), Arrival { hash: 0, width: wide(9) }, || ()), Start::Runs(_)));
}

#[test]
fn seats_are_kept_while_watchers_are_told() {
    let mut set = QueueSet::<()>::new(ms(0), QUEUED, 5);
    let width = Width { initial: 1, last: 5, lasting: ms(20) };
    let Start::Runs(ticket) = set.start(ms(0), Arrival { hash: 0, width }, || ()) else { panic!("there is room") };
    set.finish(ms(1), ticket);
    assert_eq!((set.totals().running, set.totals().seats), (0, 5));
    assert_eq!(set.next_tick(), None, "nobody waits");
    assert!(matches!(set.start(ms(2), Arrival { hash: 0, width: Width::ONE }, || ()), Start::Waits(_)));
    assert_eq!(set.next_tick(), Some(ms(21)));
    set.tick(ms(20));
    assert!(set.take_dispatched().is_empty());
    set.tick(ms(21));
    assert_eq!(set.take_dispatched().len(), 1);
}

#[test]
fn a_change_of_policy_loses_nobody() {
    let mut set = QueueSet::<u32>::new(ms(0), QUEUED, 1);
    let mut tickets = BTreeMap::new();
    for who in 0..20 {
        let arrival = Arrival { hash: u64::from(who) * 7_919, width: Width::ONE };
        if let Start::Runs(ticket) = set.start(ms(0), arrival, || who) {
            tickets.insert(who, ticket);
        }
    }
    set.set_policy(ms(1), Policy::Queue { queues: 2, hand: 1, length_max: 1 });
    set.set_policy(ms(2), Policy::Reject);
    set.set_limit(ms(3), 3);
    let mut seen: Vec<u32> = tickets.keys().copied().collect();
    for now in 4..100 {
        for (who, ticket) in set.take_dispatched() {
            seen.push(who);
            tickets.insert(who, ticket);
        }
        std::mem::take(&mut tickets).into_values().for_each(|ticket| set.finish(ms(now), ticket));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    assert_eq!((set.totals().seats, set.totals().waiting, set.active), (0, 0, 0));
    set.set_policy(ms(200), Policy::Queue { queues: 2, hand: 1, length_max: 1 });
    assert_eq!(set.queues.len(), 2);
}
