//! Watches: every change once, in order, none left out, whoever is asked and however often a watch is
//! taken up again.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Changes, Fault, Item, Name, Session, Told};

/// Checks each watcher's sessions, which come in the order they happened.
pub fn check(sessions: &[Session], changes: &Changes, skip: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let mut last: BTreeMap<usize, &Session> = BTreeMap::new();
    for session in sessions {
        if let Some(before) = last.insert(session.watcher, session).filter(|_| session.resumes)
            && before.end() != session.from
        {
            let (end, from) = (before.end(), session.from);
            return Err(Fault(format!("watcher {} had all up to {end} and went on from {from}", session.watcher)));
        }
        one(session, changes, &skip).map_err(|why| {
            Fault(format!("watcher {} of {}* at server {}: {why}", session.watcher, session.prefix, session.server))
        })?;
    }
    Ok(())
}

fn one(session: &Session, changes: &Changes, skip: &impl Fn(&str) -> bool) -> Result<(), String> {
    let mut newest = session.from;
    let mut bookmark = session.from;
    let mut got: BTreeSet<(u64, Name)> = BTreeSet::new();
    for (_, item) in &session.items {
        match item {
            Item::Event(told) => {
                if told.revision < newest || told.revision <= bookmark {
                    return Err(format!("{told:?} came after {newest}, with all up to {bookmark} told"));
                }
                newest = told.revision;
                if !told.key.starts_with(&*session.prefix) {
                    return Err(format!("{told:?} was not asked for"));
                }
                if !got.insert((told.revision, told.key.clone())) {
                    return Err(format!("{told:?} came twice"));
                }
            }
            Item::Bookmark(at) => {
                if *at < newest {
                    return Err(format!("a bookmark of {at} came after {newest}"));
                }
                (newest, bookmark) = (*at, *at);
            }
        }
    }
    complete(session, changes, &got, bookmark, skip)?;
    chained(session, skip)
}

/// Everything up to the last bookmark was told.
fn complete(
    session: &Session,
    changes: &Changes,
    got: &BTreeSet<(u64, Name)>,
    upto: u64,
    skip: &impl Fn(&str) -> bool,
) -> Result<(), String> {
    for (revision, written) in changes.0.range(session.from + 1..).take_while(|(revision, _)| **revision <= upto) {
        let wanted = written.keys().filter(|key| key.starts_with(&*session.prefix) && !skip(key));
        for key in wanted {
            if !got.contains(&(*revision, key.clone())) {
                return Err(format!("{key} at {revision} was left out between {} and {upto}", session.from));
            }
        }
    }
    Ok(())
}

/// Each event of a key begins where the one before it ended.
fn chained(session: &Session, skip: &impl Fn(&str) -> bool) -> Result<(), String> {
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, item) in &session.items {
        let Item::Event(told) = item else { continue };
        let Told { revision, key, value, before } = told;
        if skip(key) {
            continue;
        }
        let now = if value.is_some() { *revision } else { 0 };
        match held.insert(key, now) {
            Some(known) if known != *before => return Err(format!("{told:?} follows {known}")),
            None if *before > session.from => return Err(format!("{told:?} is the first after {}", session.from)),
            _ => (),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items as `key=value@revision<before`, `-key@revision<before` or `|bookmark`.
    fn session(from: u64, resumes: bool, items: &str) -> Session {
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let parse = |text: &str| {
            if let Some(at) = text.strip_prefix('|') {
                return Item::Bookmark(number(at));
            }
            let (what, place) = text.split_once('@').expect("a revision");
            let (revision, before) = place.split_once('<').expect("what was before");
            let (key, value) = match what.strip_prefix('-') {
                Some(key) => (key, None),
                None => what.split_once('=').map(|(key, value)| (key, Some(number(value)))).expect("a value"),
            };
            Item::Event(Told { revision: number(revision), key: key.into(), value, before: number(before) })
        };
        let items = items.split_whitespace().map(|text| (0, parse(text))).collect();
        Session { watcher: 0, server: 0, prefix: "".into(), from, resumes, items }
    }

    /// What really happened: a=1@1, b=2@2, a=3@3, b gone at 4.
    fn truth() -> Changes {
        let mut changes = Changes::default();
        for (revision, key, value) in [(1, "a", Some(1)), (2, "b", Some(2)), (3, "a", Some(3)), (4, "b", None)] {
            changes.0.entry(revision).or_default().insert(key.into(), value);
        }
        changes
    }

    fn checked(sessions: &[Session]) -> Result<(), Fault> {
        check(sessions, &truth(), |_| false)
    }

    #[test]
    fn a_watch_that_tells_everything_is_fine() {
        checked(&[session(0, false, "a=1@1<0 b=2@2<0 |2 a=3@3<1 -b@4<2 |4")]).unwrap();
        checked(&[session(0, false, "a=1@1<0 b=2@2<0 |2"), session(2, true, "a=3@3<1 -b@4<2 |4")]).unwrap();
    }

    #[test]
    fn an_event_left_out_is_refused() {
        assert!(checked(&[session(0, false, "a=1@1<0 a=3@3<1 |3")]).unwrap_err().0.contains("left out"));
        assert!(checked(&[session(0, false, "a=1@1<0 |2")]).unwrap_err().0.contains("left out"), "a hasty bookmark");
        assert!(checked(&[session(0, false, "b=2@2<0 a=3@3<1")]).is_err(), "the first of a is not its first");
    }

    #[test]
    fn an_event_told_twice_is_refused() {
        assert!(checked(&[session(0, false, "a=1@1<0 a=1@1<0")]).unwrap_err().0.contains("twice"));
        assert!(checked(&[session(0, false, "a=1@1<0 b=2@2<0 |2 b=2@2<0")]).is_err());
        assert!(checked(&[session(2, false, "b=2@2<0 a=3@3<1")]).is_err(), "what it had before it began");
    }

    #[test]
    fn events_out_of_order_are_refused() {
        assert!(checked(&[session(0, false, "b=2@2<0 a=1@1<0")]).unwrap_err().0.contains("came after"));
    }

    #[test]
    fn a_bookmark_that_goes_back_is_refused() {
        assert!(checked(&[session(0, false, "a=1@1<0 b=2@2<0 |1")]).is_err());
    }

    #[test]
    fn taking_up_a_watch_elsewhere_than_it_ended_is_refused() {
        let sessions = [session(0, false, "a=1@1<0 |1"), session(2, true, "a=3@3<1 |3")];
        assert!(checked(&sessions).unwrap_err().0.contains("went on from"));
    }

    #[test]
    fn an_event_that_does_not_follow_the_last_one_is_refused() {
        assert!(checked(&[session(0, false, "a=1@1<0 b=2@2<0 a=3@3<2 |3")]).unwrap_err().0.contains("follows"));
    }
}
