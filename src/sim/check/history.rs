//! What clients and watchers saw. Times are places in one sequence of everything that happened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub type Name = Arc<str>;

/// An object as a client sees it. Every write has a value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    pub value: u64,
    pub revision: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Anything,
    Nothing,
    Something,
    Revision(u64),
}

impl Want {
    pub fn is_met(self, by: Option<Seen>) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => by.is_none(),
            Self::Something => by.is_some(),
            Self::Revision(revision) => by.is_some_and(|seen| seen.revision == revision),
        }
    }
}

/// One write of a command; `None` deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Name,
    pub want: Want,
    pub value: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Call {
    /// Happens as a whole or not at all.
    Write(Vec<Change>),
    Get(Name),
    /// Everything, at the newest revision or at one of the past.
    List {
        at: Option<u64>,
    },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Written {
        revision: u64,
    },
    /// The write at `index` found what it did not want.
    Failed {
        index: usize,
        current: Option<Seen>,
    },
    /// A single write found what it did not want, and was not told what.
    Refused,
    /// A get that was not told at which revision.
    Read {
        object: Option<Seen>,
    },
    Got {
        at: u64,
        object: Option<Seen>,
    },
    Listed {
        at: u64,
        objects: BTreeMap<Name, Seen>,
    },
    /// Nobody knows what happened, if anything.
    Lost,
}

#[derive(Clone, Debug)]
pub struct Op {
    pub client: usize,
    pub call: Call,
    pub invoked: u64,
    pub answer: Answer,
    pub answered: u64,
}

/// A change as a watcher is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub revision: u64,
    pub key: Name,
    /// `None`: it was deleted.
    pub value: Option<u64>,
    /// The revision that the object had before; 0 if there was none.
    pub before: u64,
}

#[derive(Clone, Debug)]
pub enum Item {
    Event(Told),
    /// Everything up to here was delivered.
    Bookmark(u64),
}

/// One watch from its beginning to its end, of the keys that begin with `prefix`.
#[derive(Clone, Debug)]
pub struct Session {
    pub watcher: usize,
    pub server: usize,
    pub prefix: Name,
    pub from: u64,
    /// The watcher goes on from the last one's end: nothing may be missing in between.
    pub resumes: bool,
    pub items: Vec<(u64, Item)>,
}

impl Session {
    /// Up to where the watcher can say that it has everything.
    pub fn end(&self) -> u64 {
        let bookmarks = self.items.iter().filter_map(|(_, item)| match item {
            Item::Bookmark(at) => Some(*at),
            Item::Event(_) => None,
        });
        bookmarks.max().unwrap_or(self.from)
    }
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All changes that anybody was told of or acknowledged, by revision and key.
#[derive(Debug, Default)]
pub struct Changes(pub BTreeMap<u64, BTreeMap<Name, Option<u64>>>);

impl Changes {
    /// Puts together what watchers were told and writers were answered; they must not contradict.
    pub fn gather<'a>(told: impl IntoIterator<Item = &'a Told>, ops: &[Op]) -> Result<Self, Fault> {
        let mut changes = Self::default();
        for told in told {
            changes.add(told.revision, &told.key, told.value)?;
        }
        for op in ops {
            let (Call::Write(writes), Answer::Written { revision }) = (&op.call, &op.answer) else { continue };
            for write in writes {
                changes.add(*revision, &write.key, write.value)?;
            }
            let known = changes.0[revision].len();
            if known != writes.len() {
                return Err(Fault(format!(
                    "{known} keys changed at {revision}, and not the {} of {op:?}",
                    writes.len()
                )));
            }
        }
        changes.once()?;
        Ok(changes)
    }

    /// Every value was written once.
    fn once(&self) -> Result<(), Fault> {
        let mut known = BTreeMap::new();
        for (revision, written) in &self.0 {
            for (key, value) in written.iter().filter_map(|(key, value)| Some((key, (*value)?))) {
                if let Some((other, before)) = known.insert((key, value), *revision).map(|before| (key, before)) {
                    return Err(Fault(format!("{other}={value} was written at {before} and again at {revision}")));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, revision: u64, key: &Name, value: Option<u64>) -> Result<(), Fault> {
        match self.0.entry(revision).or_default().insert(key.clone(), value) {
            Some(other) if other != value => {
                Err(Fault(format!("{key} became both {other:?} and {value:?} at {revision}")))
            }
            _ => Ok(()),
        }
    }

    /// Each state between changes, oldest first: what `visit` is given with every revision that it asks for.
    pub fn replay(&self, mut revisions: Vec<u64>, mut visit: impl FnMut(u64, &BTreeMap<Name, Seen>)) {
        revisions.sort_unstable();
        revisions.dedup();
        let mut state = BTreeMap::new();
        let mut changes = self.0.iter().peekable();
        for at in revisions {
            while let Some((revision, written)) = changes.next_if(|(revision, _)| **revision <= at) {
                for (key, value) in written {
                    match value {
                        Some(value) => drop(state.insert(key.clone(), Seen { value: *value, revision: *revision })),
                        None => drop(state.remove(key)),
                    }
                }
            }
            visit(at, &state);
        }
    }
}
