//! What is in etcd, as this server knows it: built from a whole reading, then changed event by event.

use std::collections::BTreeMap;
use std::time::Duration;

use super::layout::{Layout, Place, decode, modified};
use super::proto::{EventType, KeyValue, WatchEvent};
use super::standing::LeaderKey;
use crate::object::Revision;
use crate::store::event::Event;
use crate::store::ring::Record;
use crate::store::state::{Position, State};

/// Everything below `state/` at one revision.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub state: State,
    pub leader: Option<LeaderKey>,
    /// The servers that are there, with their instances and leases.
    pub servers: BTreeMap<u64, (String, i64)>,
}

impl Picture {
    /// Takes in a key as it was read, or as an event says that it is now.
    fn put(&mut self, layout: &Layout, kv: &KeyValue, at: Duration) -> Option<Record> {
        match layout.place(&kv.key)? {
            Place::Leader => self.leader = LeaderKey::read(kv),
            Place::Server(id) => {
                let instance = String::from_utf8_lossy(&kv.value).into_owned();
                self.servers.insert(id, (instance, kv.lease));
            }
            Place::Object(key) => match decode(key, kv) {
                Ok(object) => {
                    let previous = self.state.put(object.clone());
                    return Some(self.record(Event::put(object, previous), modified(kv), at));
                }
                Err(error) => {
                    tracing::warn!(key = %kv.key.escape_ascii(), %error, "left out: nothing that skiff wrote")
                }
            },
        }
        None
    }

    fn delete(&mut self, layout: &Layout, kv: &KeyValue, at: Duration) -> Option<Record> {
        match layout.place(&kv.key)? {
            Place::Leader => self.leader = None,
            Place::Server(id) => drop(self.servers.remove(&id)),
            Place::Object(key) => {
                let previous = self.state.remove(&key)?;
                return Some(self.record(Event::delete(modified(kv), previous), modified(kv), at));
            }
        }
        None
    }

    fn record(&self, event: crate::store::event::EventRef, revision: Revision, at: Duration) -> Record {
        Record { event, position: self.position(revision), at }
    }

    /// The events of a revision stay together in history, as those of a log entry do.
    fn position(&self, revision: Revision) -> Position {
        Position { index: revision.0, term: 0 }
    }

    /// The picture is of `revision` now.
    pub fn reach(&mut self, revision: Revision) {
        self.state.revision = revision;
        self.state.position = self.position(revision);
    }

    /// Takes in what was read; all of it is of one revision.
    pub fn read(&mut self, layout: &Layout, kvs: &[KeyValue]) {
        kvs.iter().for_each(|kv| drop(self.put(layout, kv, Duration::ZERO)));
    }

    /// Takes in events, in their order; what is known already changes nothing.
    pub fn apply(&mut self, layout: &Layout, events: &[WatchEvent], at: Duration) -> Vec<Record> {
        let mut records = Vec::new();
        for event in events {
            let Some(kv) = &event.kv else { continue };
            // All events of a revision come together, so whoever reached it has them all.
            if modified(kv) <= self.state.revision {
                continue;
            }
            records.extend(match event.r#type == i32::from(EventType::Delete) {
                true => self.delete(layout, kv, at),
                false => self.put(layout, kv, at),
            });
        }
        if let Some(last) = events.iter().rev().find_map(|event| event.kv.as_ref())
            && modified(last) > self.state.revision
        {
            self.reach(modified(last));
        }
        records
    }

    /// Whether both hold the same objects, which then shares memory with `other`.
    pub fn is_same_as(&mut self, other: &Self) -> bool {
        let same = self.state.len() == other.state.len()
            && self
                .state
                .objects
                .iter()
                .zip(other.state.objects.iter())
                .all(|((one, object), (two, old))| one == two && object.revision() == old.revision());
        if same {
            self.state.objects = other.state.objects.clone();
        }
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Key;
    use crate::store::KeyRange;
    use crate::store::command::Payload;

    fn layout() -> Layout {
        Layout::new("/t")
    }

    fn kv(name: &str, value: u32, revision: i64) -> KeyValue {
        let text = format!(r#"{{"metadata":{{"resourceVersion":""}},"v":{value}}}"#);
        let value = super::super::layout::encode(&Payload::find(text).unwrap());
        let key = layout().object(&Key::of("pods", "a", name));
        KeyValue { key, value, mod_revision: revision, ..KeyValue::default() }
    }

    fn event(r#type: EventType, kv: KeyValue) -> WatchEvent {
        WatchEvent { r#type: r#type.into(), kv: Some(kv) }
    }

    fn shown(picture: &Picture) -> String {
        let all = KeyRange::all();
        let objects: Vec<String> =
            picture.state.range(&all).map(|it| format!("{}@{}", it.key().name(), it.revision())).collect();
        format!("{}: {}", picture.state.revision(), objects.join(" "))
    }

    #[test]
    fn events_that_come_twice_change_nothing() {
        let mut picture = Picture::default();
        picture.read(&layout(), &[kv("x", 1, 3), kv("y", 1, 4)]);
        picture.reach(Revision(5));
        let events = [event(EventType::Put, kv("x", 2, 6)), event(EventType::Delete, kv("y", 0, 7))];
        assert_eq!(picture.apply(&layout(), &events, Duration::ZERO).len(), 2);
        assert_eq!(shown(&picture), "7: x@6");
        assert!(picture.apply(&layout(), &events, Duration::ZERO).is_empty());
        assert_eq!(shown(&picture), "7: x@6");
    }

    #[test]
    fn what_strangers_put_there_is_left_out_and_passes_the_time() {
        let mut picture = Picture::default();
        let strange = |name: &str, revision| KeyValue { value: "?".into(), ..kv(name, 0, revision) };
        let events = [event(EventType::Put, strange("x", 1)), event(EventType::Delete, strange("y", 2))];
        assert!(picture.apply(&layout(), &events, Duration::ZERO).is_empty());
        assert_eq!(shown(&picture), "2: ");
    }

    #[test]
    fn two_readings_are_the_same_if_nothing_was_written_between() {
        let read = |kvs: &[KeyValue]| {
            let mut picture = Picture::default();
            picture.read(&layout(), kvs);
            picture
        };
        let old = read(&[kv("x", 1, 3), kv("y", 1, 4)]);
        assert!(read(&[kv("x", 1, 3), kv("y", 1, 4)]).is_same_as(&old));
        assert!(!read(&[kv("x", 1, 3), kv("y", 1, 5)]).is_same_as(&old));
        assert!(!read(&[kv("x", 1, 3)]).is_same_as(&old));
    }
}
