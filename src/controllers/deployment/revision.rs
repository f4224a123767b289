//! The annotations by which replica sets remember which revision they are, and for which scale.

use crate::object::StringMap;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";

const HISTORY_BYTES_MAX: usize = 2000;

/// Annotations of a deployment that its replica sets do not inherit.
const OWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// The revision in a set's annotations: 0 where there is none.
pub fn of(annotations: &StringMap) -> i64 {
    annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Gives the newest set what it inherits and its revision. One that becomes the newest again
/// (a rollback) keeps its former revisions in its history.
pub fn inherit(set: &mut StringMap, deployment: &StringMap, revision: i64) {
    for (key, value) in deployment {
        if !OWN.contains(&key) {
            set.insert(key, value);
        }
    }
    let former = set.get(REVISION).map(str::to_owned);
    let number: i64 = match former.as_deref().unwrap_or("").parse() {
        Ok(number) => number,
        Err(_) if former.as_deref().unwrap_or("").is_empty() => 0,
        Err(_) => return,
    };
    if number >= revision {
        return;
    }
    set.insert(REVISION, revision.to_string());
    if let Some(former) = former {
        remember(set, &former);
    }
}

fn remember(set: &mut StringMap, former: &str) {
    let history = set.get(HISTORY).unwrap_or_default();
    let mut revisions: Vec<&str> = history.split(',').filter(|revision| !revision.is_empty()).collect();
    revisions.push(former);
    let mut joined = revisions.join(",");
    while joined.len() > HISTORY_BYTES_MAX && revisions.len() > 1 {
        revisions.remove(0);
        joined = revisions.join(",");
    }
    set.insert(HISTORY, joined);
}

/// Notes the scale that a set's size was chosen for.
pub fn note_scale(set: &mut StringMap, desired: i64, max: i64) {
    set.insert(DESIRED, desired.to_string());
    set.insert(MAX, max.to_string());
}

/// A non-negative number in an annotation.
pub fn number(annotations: &StringMap, name: &str) -> Option<i64> {
    annotations.get(name).and_then(|text| text.parse::<u32>().ok()).map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_is_newest_again_remembers_what_it_was() {
        let mut set = StringMap::from([(REVISION, "1"), (HISTORY, "")]);
        inherit(&mut set, &StringMap::from([("team", "a"), (REVISION, "7")]), 3);
        assert_eq!((&set[REVISION], &set[HISTORY], &set["team"]), ("3", "1", "a"));
        inherit(&mut set, &StringMap::new(), 5);
        assert_eq!((&set[REVISION], &set[HISTORY]), ("5", "1,3"));
        inherit(&mut set, &StringMap::new(), 4);
        assert_eq!(&set[REVISION], "5", "revisions only rise");
    }
}
