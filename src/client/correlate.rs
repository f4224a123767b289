//! Folding of events that say the same again, so that a failing loop fills no store.
//!
//! The same words about the same object raise a count; more than ten different messages of one
//! reason in ten minutes become one "combined" event; and one source may say only so much about one
//! object (a burst of 25, then one every five minutes).

use std::collections::HashMap;
use std::time::Duration;

use super::events::Note;
use crate::object::Timestamp;

const SIMILAR_MAX: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
const BURST_MAX: f64 = 25.0;
const REFILL_PER_SEC: f64 = 1.0 / 300.0;
/// Objects and texts remembered; the oldest are forgotten beyond it.
const REMEMBERED_MAX: usize = 4096;

/// What to do with a note.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Say it for the first time, in these words.
    New {
        id: Id,
        message: String,
    },
    /// Raise the count of an event that exists.
    Again {
        id: Id,
        event_name: String,
        count: u64,
        message: String,
    },
    Drop,
}

/// By what an event is recognised.
pub(super) type Id = String;

#[derive(Default)]
pub(super) struct Correlator {
    said: HashMap<Id, Said>,
    similar: HashMap<String, Similar>,
    allowance: HashMap<String, Allowance>,
}

struct Said {
    event_name: String,
    count: u64,
    at: Timestamp,
}

struct Similar {
    messages: Vec<String>,
    since: Timestamp,
}

struct Allowance {
    tokens: f64,
    at: Timestamp,
}

impl Correlator {
    /// `source` is who says it: others may say the same.
    pub fn judge(&mut self, source: &str, note: &Note, now: Timestamp) -> Verdict {
        self.forget(now);
        let object = &note.regarding;
        let whose =
            format!("{source}|{:?}|{}|{}|{}|{}", note.kind, object.kind, object.namespace, object.name, object.uid);
        if !self.spend(&whose, now) {
            return Verdict::Drop;
        }
        let family = format!("{whose}|{}", note.reason);
        let combined = self.is_one_of_many(&family, &note.message, now);
        let (id, message) = match combined {
            true => (family, format!("(combined from similar events): {}", note.message)),
            false => (format!("{family}|{}|{}", object.field_path, note.message), note.message.clone()),
        };
        match self.said.get_mut(&id) {
            Some(said) => {
                said.count += 1;
                said.at = now;
                Verdict::Again { event_name: said.event_name.clone(), count: said.count, message, id }
            }
            None => Verdict::New { id, message },
        }
    }

    /// Notes under which name an event was written.
    pub fn written(&mut self, id: Id, event_name: &str, now: Timestamp) {
        self.said.insert(id, Said { event_name: event_name.into(), count: 1, at: now });
    }

    /// The event is gone; the next note makes a new one.
    pub fn lost(&mut self, id: &Id) {
        self.said.remove(id);
    }

    fn spend(&mut self, about: &str, now: Timestamp) -> bool {
        let allowance = self.allowance.entry(about.into()).or_insert(Allowance { tokens: BURST_MAX, at: now });
        let refill = now.since(allowance.at).as_secs_f64() * REFILL_PER_SEC;
        allowance.tokens = (allowance.tokens + refill).min(BURST_MAX);
        allowance.at = now;
        let may = allowance.tokens >= 1.0;
        if may {
            allowance.tokens -= 1.0;
        }
        may
    }

    fn is_one_of_many(&mut self, family: &str, message: &str, now: Timestamp) -> bool {
        let fresh = || Similar { messages: Vec::new(), since: now };
        let similar = self.similar.entry(family.into()).or_insert_with(fresh);
        if now.since(similar.since) > SIMILAR_WITHIN {
            *similar = fresh();
        }
        if !similar.messages.iter().any(|known| known == message) && similar.messages.len() <= SIMILAR_MAX {
            similar.messages.push(message.into());
        }
        similar.since = now;
        similar.messages.len() > SIMILAR_MAX
    }

    fn forget(&mut self, now: Timestamp) {
        let old = |at: Timestamp| now.since(at) > SIMILAR_WITHIN;
        if self.said.len() > REMEMBERED_MAX {
            self.said.retain(|_, said| !old(said.at));
        }
        if self.similar.len() > REMEMBERED_MAX {
            self.similar.retain(|_, similar| !old(similar.since));
        }
        if self.allowance.len() > REMEMBERED_MAX {
            self.allowance.retain(|_, allowance| !old(allowance.at));
        }
        if self.said.len().max(self.similar.len()).max(self.allowance.len()) > 4 * REMEMBERED_MAX {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::NoteKind;
    use crate::object::view::Reference;

    fn note(message: &str) -> Note {
        let regarding = Reference { kind: "Pod".into(), name: "web".into(), ..Reference::default() };
        Note::new(regarding, NoteKind::Warning, "BackOff", message)
    }

    #[test]
    fn the_same_words_raise_a_count() {
        let mut correlator = Correlator::default();
        let now = Timestamp::from_secs(1000);
        let Verdict::New { id, .. } = correlator.judge("kubelet", &note("a"), now) else { panic!("said before?") };
        correlator.written(id, "web.1", now);
        let Verdict::Again { event_name, count, .. } = correlator.judge("kubelet", &note("a"), now) else {
            panic!("new?")
        };
        assert_eq!((event_name.as_str(), count), ("web.1", 2));
        assert!(matches!(correlator.judge("scheduler", &note("a"), now), Verdict::New { .. }), "somebody else's");
    }

    #[test]
    fn many_different_messages_are_combined_and_then_cut_off() {
        let mut correlator = Correlator::default();
        let now = Timestamp::from_secs(1000);
        let verdicts: Vec<_> = (0..30).map(|n| correlator.judge("kubelet", &note(&format!("m{n}")), now)).collect();
        assert!(matches!(&verdicts[9], Verdict::New { message, .. } if message == "m9"));
        assert!(matches!(&verdicts[10], Verdict::New { message, .. } if message.starts_with("(combined")));
        assert_eq!(verdicts[25], Verdict::Drop);
    }
}
