//! Linearizability of one key at a time, by the search of Wing and Gong with Lowe's memory.
//!
//! Looks for an order of all operations in which each takes effect between its call and its answer and
//! every answer is what a plain variable would have given. Operations whose answer was lost may take
//! effect at any time after their call, or never.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::history::{Answer, Call, Changes, Fault, Name, Op, Seen, Want};

/// More steps than this are given up as undecided, which counts as a fault: histories must be easier.
const STEPS_MAX: usize = 20_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Write { want: Want, value: Option<u64>, revision: u64 },
    Refused { want: Want, deletes: bool, current: Option<Seen> },
    Unmet { want: Want, deletes: bool },
    Read(Option<Seen>),
}

#[derive(Clone, Debug)]
struct Step {
    invoked: u64,
    /// `None`: the answer was lost.
    answered: Option<u64>,
    act: Act,
}

impl Act {
    /// What the key holds afterwards, if it could have been so.
    fn apply(self, held: Option<Seen>) -> Option<Option<Seen>> {
        let can = |want: Want, deletes: bool| want.is_met(held) && (held.is_some() || !deletes);
        match self {
            Self::Write { want, value, revision } => {
                let rises = held.is_none_or(|seen| seen.revision < revision);
                let after = value.map(|value| Seen { value, revision });
                (can(want, value.is_none()) && rises).then_some(after)
            }
            Self::Refused { want, deletes, current } => (current == held && !can(want, deletes)).then_some(held),
            Self::Unmet { want, deletes } => (!can(want, deletes)).then_some(held),
            Self::Read(current) => (current == held).then_some(held),
        }
    }
}

/// Checks every key of a history that began with nothing. `skip` says which keys promise less.
pub fn check(ops: &[Op], changes: &Changes, skip: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let mut keys: BTreeMap<Name, Vec<Step>> = BTreeMap::new();
    let names: BTreeSet<Name> = changes.0.values().flat_map(|written| written.keys().cloned()).collect();
    let unclaimed = unclaimed(ops, changes);
    for op in ops {
        for (key, step) in steps(op, &unclaimed, &names) {
            if !skip(&key) {
                keys.entry(key).or_default().push(step);
            }
        }
    }
    for (key, mut steps) in keys {
        steps.sort_by_key(|step| step.invoked);
        search(&steps).map_err(|why| Fault(format!("{key} is not linearizable: {why}")))?;
    }
    Ok(())
}

/// The changes at one revision.
type Written = BTreeMap<Name, Option<u64>>;

/// Changes that nobody was told of who asked for them: writes whose answer was lost made them.
fn unclaimed<'a>(ops: &[Op], changes: &'a Changes) -> BTreeMap<u64, &'a Written> {
    let answered = ops.iter().filter_map(|op| match op.answer {
        Answer::Written { revision } => Some(revision),
        _ => None,
    });
    let answered: BTreeSet<u64> = answered.collect();
    let all = changes.0.iter().map(|(revision, written)| (*revision, written));
    all.filter(|(revision, _)| !answered.contains(revision)).collect()
}

fn steps(op: &Op, unclaimed: &BTreeMap<u64, &Written>, names: &BTreeSet<Name>) -> Vec<(Name, Step)> {
    let step = |act| Step { invoked: op.invoked, answered: Some(op.answered), act };
    match (&op.call, &op.answer) {
        (Call::Write(writes), Answer::Written { revision }) => {
            let act = |want, value| Act::Write { want, value, revision: *revision };
            writes.iter().map(|write| (write.key.clone(), step(act(write.want, write.value)))).collect()
        }
        (Call::Write(writes), Answer::Failed { index, current }) => {
            let write = &writes[*index];
            let act = Act::Refused { want: write.want, deletes: write.value.is_none(), current: *current };
            vec![(write.key.clone(), step(act))]
        }
        (Call::Write(writes), Answer::Refused) => {
            let act = |want, deletes| Act::Unmet { want, deletes };
            writes.iter().map(|write| (write.key.clone(), step(act(write.want, write.value.is_none())))).collect()
        }
        (Call::Write(writes), _) => {
            let lost = |act| Step { answered: None, ..step(act) };
            let made = happened(writes, unclaimed);
            let each = |revision: u64| {
                let act = move |want, value| Act::Write { want, value, revision };
                writes.iter().map(move |write| (write.key.clone(), lost(act(write.want, write.value))))
            };
            made.into_iter().flat_map(each).collect()
        }
        (Call::Get(key), Answer::Got { object, .. } | Answer::Read { object }) => {
            vec![(key.clone(), step(Act::Read(*object)))]
        }
        (Call::List { at: None }, Answer::Listed { objects, .. }) => {
            names.iter().map(|name| (name.clone(), step(Act::Read(objects.get(name).copied())))).collect()
        }
        _ => Vec::new(),
    }
}

/// The revisions at which a command whose answer was lost may have happened. Deletions look the same: of
/// a revision that was wanted it is one behind that.
fn happened(writes: &[super::history::Change], unclaimed: &BTreeMap<u64, &Written>) -> Vec<u64> {
    let matches = |written: &Written| {
        written.len() == writes.len() && writes.iter().all(|write| written.get(&write.key) == Some(&write.value))
    };
    let wanted = writes.iter().filter_map(|write| match write.want {
        Want::Revision(revision) => Some(revision),
        _ => None,
    });
    let after = wanted.max().unwrap_or(0);
    let found = unclaimed.range(after + 1..).filter(|(_, written)| matches(written));
    found.map(|(revision, _)| *revision).collect()
}

/// A place in the list of calls and answers that are not explained yet.
#[derive(Clone, Copy)]
struct Entry {
    step: usize,
    is_call: bool,
    previous: usize,
    next: usize,
}

/// The list, whose first entry is no entry.
struct List {
    entries: Vec<Entry>,
    answer_of: Vec<Option<usize>>,
}

const HEAD: usize = 0;

impl List {
    fn new(steps: &[Step]) -> Self {
        let calls = steps.iter().enumerate().map(|(n, step)| (step.invoked, true, n));
        let answers = steps.iter().enumerate().filter_map(|(n, step)| Some((step.answered?, false, n)));
        let mut all: Vec<(u64, bool, usize)> = calls.chain(answers).collect();
        all.sort_by_key(|(at, is_call, n)| (*at, !is_call, *n));
        let head = Entry { step: usize::MAX, is_call: false, previous: all.len(), next: 1 };
        let mut list = Self { entries: vec![head], answer_of: vec![None; steps.len()] };
        for (n, (_, is_call, step)) in all.iter().enumerate() {
            let next = if n + 1 == all.len() { HEAD } else { n + 2 };
            list.entries.push(Entry { step: *step, is_call: *is_call, previous: n, next });
            if !is_call {
                list.answer_of[*step] = Some(n + 1);
            }
        }
        if all.is_empty() {
            list.entries[HEAD].next = HEAD;
        }
        list
    }

    fn unlink(&mut self, at: usize) {
        let Entry { previous, next, .. } = self.entries[at];
        self.entries[previous].next = next;
        self.entries[next].previous = previous;
    }

    fn link(&mut self, at: usize) {
        let Entry { previous, next, .. } = self.entries[at];
        self.entries[previous].next = at;
        self.entries[next].previous = at;
    }

    /// Takes a call out, with its answer.
    fn lift(&mut self, at: usize) {
        self.unlink(at);
        if let Some(answer) = self.answer_of[self.entries[at].step] {
            self.unlink(answer);
        }
    }

    fn unlift(&mut self, at: usize) {
        if let Some(answer) = self.answer_of[self.entries[at].step] {
            self.link(answer);
        }
        self.link(at);
    }
}

fn search(steps: &[Step]) -> Result<(), String> {
    let mut list = List::new(steps);
    let mut unanswered = steps.iter().filter(|step| step.answered.is_some()).count();
    let (mut held, mut done) = (None, vec![0u64; steps.len().div_ceil(64)]);
    let mut known: HashSet<(Box<[u64]>, Option<Seen>)> = HashSet::new();
    let mut stack: Vec<(usize, Option<Seen>)> = Vec::new();
    let mut at = list.entries[HEAD].next;
    let mut furthest = 0;
    for _ in 0..STEPS_MAX {
        if unanswered == 0 {
            return Ok(());
        }
        let entry = list.entries[at];
        if at != HEAD && entry.is_call {
            let (word, bit) = (entry.step / 64, 1u64 << (entry.step % 64));
            let after = steps[entry.step].act.apply(held);
            if let Some(after) = after {
                done[word] |= bit;
                if known.insert((done.clone().into(), after)) {
                    stack.push((at, held));
                    held = after;
                    unanswered -= usize::from(steps[entry.step].answered.is_some());
                    list.lift(at);
                    at = list.entries[HEAD].next;
                    continue;
                }
                done[word] &= !bit;
            }
            at = entry.next;
            continue;
        }
        furthest = furthest.max(if at == HEAD { 0 } else { entry.step });
        let Some((call, before)) = stack.pop() else {
            return Err(format!("nothing explains the answer of {:?}", steps[furthest]));
        };
        let step = list.entries[call].step;
        done[step / 64] &= !(1 << (step % 64));
        unanswered += usize::from(steps[step].answered.is_some());
        held = before;
        list.unlift(call);
        at = list.entries[call].next;
    }
    Err("too many orders to try".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::history::{Change, Told};
    use super::*;

    /// `CALL-ANSWER what`, one operation a line: `3-5 create 7 @1`, `create 7 lost`, `update@1 8 @2`,
    /// `delete@2 @3`, `get none`, `get 7@1`, `create 9 failed 7@1`.
    fn parse(lines: &str) -> Vec<Op> {
        let seen = |text: &str| {
            let (value, revision) = text.split_once('@').expect("value@revision");
            Seen { value: value.parse().unwrap(), revision: revision.parse().unwrap() }
        };
        let current = |text: &str| if text == "none" { None } else { Some(seen(text)) };
        let parse = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (invoked, answered) = words[0].split_once('-').unwrap();
            let key: Name = "k".into();
            let write = |want, value: Option<&str>| {
                let value = value.map(|value| value.parse().unwrap());
                Call::Write(vec![Change { key: key.clone(), want, value }])
            };
            let (verb, revision) = words[1].split_once('@').unwrap_or((words[1], "0"));
            let want = Want::Revision(revision.parse().unwrap());
            let (call, rest) = match verb {
                "create" => (write(Want::Nothing, Some(words[2])), &words[3..]),
                "update" => (write(want, Some(words[2])), &words[3..]),
                "delete" => (write(want, None), &words[2..]),
                "get" => (Call::Get(key), &words[2..]),
                other => panic!("{other}"),
            };
            let answer = match (&call, rest) {
                (Call::Get(_), [object]) => Answer::Got { at: 0, object: current(object) },
                (_, ["lost"]) => Answer::Lost,
                (_, ["refused"]) => Answer::Refused,
                (_, ["failed", object]) => Answer::Failed { index: 0, current: current(object) },
                (_, [revision]) => Answer::Written { revision: revision[1..].parse().unwrap() },
                other => panic!("{other:?}"),
            };
            let time = |text: &str| text.parse().unwrap();
            Op { client: 0, call, invoked: time(invoked), answer, answered: time(answered) }
        };
        lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// `seen`: what watchers were told, as values and revisions.
    fn checked(lines: &str, seen: &[(u64, u64)]) -> Result<(), Fault> {
        let ops = parse(lines);
        let told = |(value, revision): &(u64, u64)| Told {
            revision: *revision,
            key: "k".into(),
            value: Some(*value),
            before: 0,
        };
        let told_of: Vec<Told> = seen.iter().map(told).collect();
        check(&ops, &Changes::gather(&told_of, &ops)?, |_| false)
    }

    #[test]
    fn plain_histories_are_fine() {
        checked(
            "
            1-2 create 7 @1
            3-4 get 7@1
            5-6 update@1 8 @2
            7-8 create 9 failed 8@2
            9-10 delete@2 @3
            11-12 get none
            ",
            &[],
        )
        .unwrap();
    }

    #[test]
    fn what_overlaps_may_have_happened_in_any_order() {
        checked("1-10 create 7 @1\n2-3 get none\n4-5 get 7@1\n6-9 get 7@1", &[]).unwrap();
        let backwards = checked("1-10 create 7 @1\n2-3 get 7@1\n4-5 get none", &[]);
        assert!(backwards.is_err(), "it was there and then it was not");
    }

    #[test]
    fn a_stale_read_is_refused() {
        let stale = checked("1-2 create 7 @1\n3-4 update@1 8 @2\n5-6 get 7@1", &[]);
        assert!(stale.unwrap_err().0.contains("k is not linearizable"));
    }

    #[test]
    fn a_lost_write_is_refused() {
        assert!(checked("1-2 create 7 @1\n3-4 get none", &[]).is_err());
        assert!(checked("1-2 create 7 @1\n3-4 create 8 @2", &[]).is_err(), "the second found nothing there");
    }

    #[test]
    fn two_swaps_of_the_same_revision_are_refused() {
        assert!(checked("1-2 create 7 @1\n3-6 update@1 8 @2\n4-5 update@1 9 @3", &[]).is_err());
    }

    #[test]
    fn a_refusal_without_reason_is_refused() {
        assert!(checked("1-2 create 7 @1\n3-4 update@1 8 failed 7@1", &[]).is_err());
        assert!(checked("1-2 create 7 @1\n3-4 update@1 8 refused", &[]).is_err());
        assert!(checked("1-2 create 7 @1\n3-4 delete@1 @2\n5-6 create 8 refused", &[]).is_err());
        checked("1-2 create 7 @1\n3-4 create 8 refused\n5-6 update@9 8 refused", &[]).unwrap();
    }

    #[test]
    fn an_unanswered_write_happens_late_or_never_but_not_twice() {
        checked("1-2 create 7 lost\n3-4 get none\n5-6 get 7@1", &[(7, 1)]).unwrap();
        checked("1-2 create 7 lost\n3-4 get none\n5-6 get none", &[]).unwrap();
        let twice = checked("1-2 create 7 lost\n3-4 get 7@1\n5-6 delete@1 @2\n7-8 get 7@3", &[(7, 1), (7, 3)]);
        assert!(twice.unwrap_err().0.contains("again at 3"), "a command is applied once");
    }

    #[test]
    fn a_lost_deletion_is_found_behind_any_number_of_others() {
        let others = (0..20).map(|n| (10 * n, 2 * n)).map(|(at, revision)| {
            let (create, delete) = (revision + 1, revision + 2);
            format!(
                "{}-{} create {n} @{create}\n{}-{} delete@{create} @{delete}\n",
                at + 1,
                at + 2,
                at + 3,
                at + 4,
                n = at + 100
            )
        });
        let before: String = others.collect();
        let lost = format!("{before}301-302 create 7 @41\n303-304 delete@41 lost\n305-306 get none");
        let gone = Told { revision: 42, key: "k".into(), value: None, before: 41 };
        let ops = parse(&lost);
        check(&ops, &Changes::gather([&gone], &ops).unwrap(), |_| false).unwrap();
        let unseen = Changes::gather([], &ops).unwrap();
        assert!(check(&ops, &unseen, |_| false).is_err(), "nobody was told that it is gone");
    }

    #[test]
    fn a_deletion_that_did_not_last_is_refused() {
        assert!(checked("1-2 create 7 @1\n3-4 delete@1 @2\n5-6 get 7@1", &[]).is_err());
    }
}
