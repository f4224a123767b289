//! Revisions: each is given once, they rise with time for everybody, and a list is the state at its
//! revision.

use std::collections::BTreeMap;

use super::history::{Answer, Call, Changes, Fault, Name, Op, Seen};

/// Checks what all clients were answered against all `changes`. Where `reads_rise` not, a server may read or
/// renew at an older revision than another showed of keys that are skipped: it may not have heard of that.
pub fn check(ops: &[Op], changes: &Changes, skip: impl Fn(&str) -> bool, reads_rise: bool) -> Result<(), Fault> {
    unique(ops)?;
    rising(ops, &skip, reads_rise)?;
    lists(ops, changes, skip)
}

fn unique(ops: &[Op]) -> Result<(), Fault> {
    let mut given: BTreeMap<u64, &Op> = BTreeMap::new();
    for op in ops {
        let Answer::Written { revision } = op.answer else { continue };
        if let Some(other) = given.insert(revision, op) {
            return Err(Fault(format!("revision {revision} was given to both {other:?} and {op:?}")));
        }
    }
    Ok(())
}

/// The revision that an answer speaks of.
fn shown(op: &Op) -> Option<u64> {
    match (&op.call, &op.answer) {
        (_, Answer::Written { revision }) => Some(*revision),
        (_, Answer::Got { at, .. }) | (Call::List { at: None }, Answer::Listed { at, .. }) => Some(*at),
        (_, Answer::Failed { current, .. } | Answer::Read { object: current }) => current.map(|seen| seen.revision),
        _ => None,
    }
}

/// Whatever begins after an answer knows at least what the answer knew; a write, more.
fn rising(ops: &[Op], skip: &impl Fn(&str) -> bool, reads_rise: bool) -> Result<(), Fault> {
    let mut by_call: Vec<&Op> = ops.iter().collect();
    by_call.sort_by_key(|op| op.invoked);
    let mut by_answer: Vec<&Op> = ops.iter().filter(|op| shown(op).is_some()).collect();
    by_answer.sort_by_key(|op| op.answered);
    let mut earlier = by_answer.into_iter().peekable();
    let mut newest: (u64, Option<&Op>) = (0, None);
    for op in by_call {
        while let Some(done) = earlier.next_if(|done| done.answered < op.invoked) {
            let at = shown(done).unwrap_or(0);
            if at > newest.0 {
                newest = (at, Some(done));
            }
        }
        let behind = match (&op.call, &op.answer) {
            (Call::Write(writes), Answer::Written { revision }) => {
                let promised = reads_rise || writes.iter().any(|write| !skip(&write.key));
                promised && *revision <= newest.0
            }
            (_, Answer::Got { at, .. }) | (Call::List { at: None }, Answer::Listed { at, .. }) => {
                reads_rise && *at < newest.0
            }
            _ => false,
        };
        if behind {
            return Err(Fault(format!("time went back: {op:?} came after {:?}", newest.1)));
        }
    }
    Ok(())
}

fn lists(ops: &[Op], changes: &Changes, skip: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let mut asked: BTreeMap<u64, Vec<&Op>> = BTreeMap::new();
    for op in ops {
        match (&op.call, &op.answer) {
            (Call::List { at: Some(wanted) }, Answer::Listed { at, .. }) if wanted != at => {
                return Err(Fault(format!("asked for {wanted}, got the list at {at}")));
            }
            (_, Answer::Listed { at, .. } | Answer::Got { at, .. }) => asked.entry(*at).or_default().push(op),
            _ => (),
        }
    }
    let mut fault = None;
    changes.replay(asked.keys().copied().collect(), |at, state| {
        for op in &asked[&at] {
            let wrong = match (&op.call, &op.answer) {
                (_, Answer::Listed { objects, .. }) => difference(state, objects, &skip),
                (Call::Get(key), Answer::Got { object, .. }) if !skip(key) => {
                    (state.get(key) != object.as_ref()).then(|| format!("{key} is {object:?}"))
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                fault.get_or_insert(Fault(format!("not the state at {at}, where {wrong}: {op:?}")));
            }
        }
    });
    fault.map_or(Ok(()), Err)
}

fn difference(
    state: &BTreeMap<Name, Seen>,
    objects: &BTreeMap<Name, Seen>,
    skip: impl Fn(&str) -> bool,
) -> Option<String> {
    let names = state.keys().chain(objects.keys()).filter(|name| !skip(name));
    let mut wrong = names.filter(|name| state.get(*name) != objects.get(*name));
    wrong.next().map(|name| format!("{name} is {:?}, listed as {:?}", state.get(name), objects.get(name)))
}

#[cfg(test)]
mod tests {
    use super::super::history::{Change, Want};
    use super::*;

    fn wrote(invoked: u64, answered: u64, key: &str, value: u64, revision: u64) -> Op {
        let write = Change { key: key.into(), want: Want::Anything, value: Some(value) };
        Op { client: 0, call: Call::Write(vec![write]), invoked, answer: Answer::Written { revision }, answered }
    }

    fn listed(invoked: u64, wanted: Option<u64>, at: u64, objects: &[(&str, u64, u64)]) -> Op {
        let seen = |(name, value, revision): &(&str, u64, u64)| {
            (Name::from(*name), Seen { value: *value, revision: *revision })
        };
        let answer = Answer::Listed { at, objects: objects.iter().map(seen).collect() };
        Op { client: 0, call: Call::List { at: wanted }, invoked, answer, answered: invoked + 1 }
    }

    fn checked(ops: &[Op]) -> Result<(), Fault> {
        check(ops, &Changes::gather([], ops)?, |_| false, true)
    }

    #[test]
    fn a_list_is_the_state_at_its_revision() {
        let mut ops = vec![wrote(1, 2, "a", 1, 1), wrote(3, 4, "b", 2, 2)];
        ops.push(listed(5, None, 2, &[("a", 1, 1), ("b", 2, 2)]));
        ops.push(listed(7, Some(1), 1, &[("a", 1, 1)]));
        checked(&ops).unwrap();
        ops.push(listed(9, Some(1), 1, &[("a", 1, 1), ("b", 2, 2)]));
        assert!(checked(&ops).unwrap_err().0.contains("not the state at 1"));
    }

    #[test]
    fn a_list_that_lacks_what_was_acknowledged_is_refused() {
        let ops = [wrote(1, 2, "a", 1, 1), wrote(3, 4, "b", 2, 2), listed(5, None, 1, &[("a", 1, 1)])];
        assert!(checked(&ops).unwrap_err().0.contains("time went back"));
    }

    #[test]
    fn a_revision_that_is_lower_than_an_earlier_one_is_refused() {
        assert!(checked(&[wrote(1, 2, "a", 1, 5), wrote(3, 4, "b", 2, 4)]).is_err());
        checked(&[wrote(1, 9, "a", 1, 5), wrote(3, 4, "b", 2, 4)]).unwrap();
    }

    #[test]
    fn a_revision_given_twice_is_refused() {
        assert!(checked(&[wrote(1, 9, "a", 1, 5), wrote(3, 4, "b", 2, 5)]).is_err());
    }

    #[test]
    fn an_answer_for_another_revision_is_refused() {
        assert!(checked(&[wrote(1, 2, "a", 1, 1), listed(5, Some(1), 2, &[("a", 1, 1)])]).is_err());
    }
}
