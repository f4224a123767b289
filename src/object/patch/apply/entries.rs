//! `metadata.managedFields`: which manager owns which fields, since when.

use std::collections::BTreeMap;

use crate::object::time::Timestamp;
use crate::object::tree::{Map, Tree, TreePath, json};

use super::set::Set;

/// Update managers beyond this many are merged into one, oldest first.
pub const UPDATE_MANAGERS_MAX: usize = 10;
const OLD_UPDATES: &str = "ancient-changes";
pub const PATH: &str = "metadata.managedFields";

/// What tells managers apart. Appliers keep their entry when they change the version they use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    pub name: String,
    pub is_apply: bool,
    /// Empty for appliers.
    pub api_version: String,
    pub subresource: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub fields: Set,
    pub api_version: String,
    /// As it is written; some entries have none.
    pub time: Option<String>,
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Managed(pub BTreeMap<Manager, Entry>);

impl Manager {
    pub fn new(name: &str, is_apply: bool, api_version: &str, subresource: &str) -> Self {
        Self {
            name: if name.is_empty() { "unknown".into() } else { name.into() },
            is_apply,
            api_version: if is_apply { String::new() } else { api_version.into() },
            subresource: subresource.into(),
        }
    }

    /// As conflicts name it.
    pub fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if !self.is_apply {
            text += &format!(" using {}", self.api_version);
        }
        text
    }
}

impl Managed {
    /// Reads the entries of an object; `None` if any of them is malformed.
    pub fn of(object: &Tree) -> Option<Self> {
        let read = |entry: &Tree| {
            let is_apply = match entry.text("operation") {
                "Apply" => true,
                "Update" => false,
                _ => return None,
            };
            let api_version = entry.text("apiVersion");
            if api_version.is_empty() || entry.text("fieldsType") != "FieldsV1" {
                return None;
            }
            let fields = match entry.get("fieldsV1") {
                None | Some(Tree::Null) => Set::default(),
                Some(fields) => Set::from_fields(fields)?,
            };
            // Unlike in new entries, an empty name stays empty here.
            let manager = Manager {
                name: entry.text("manager").into(),
                ..Manager::new("", is_apply, api_version, entry.text("subresource"))
            };
            let time = entry.get("time").and_then(Tree::as_str).map(str::to_owned);
            Some((manager, Entry { fields, api_version: api_version.into(), time }))
        };
        object.items(PATH).iter().map(read).collect::<Option<_>>().map(Self)
    }

    /// Whether the client asked to forget all entries, by sending an empty list or one empty entry.
    pub fn is_reset(object: &Tree) -> bool {
        match object.at(PATH).and_then(Tree::as_array).map(Vec::as_slice) {
            Some([]) => true,
            Some([one]) => one.as_object().is_some_and(Map::is_empty),
            _ => false,
        }
    }

    /// Writes the entries into an object, appliers first, then by time and name.
    pub fn write(&self, object: &mut Tree) {
        if self.0.is_empty() {
            object.unset(PATH);
            return;
        }
        let mut entries: Vec<(&Manager, &Entry)> = self.0.iter().collect();
        entries.sort_by_key(|(manager, entry)| {
            (!manager.is_apply, entry.secs(), &manager.name, &entry.api_version, &manager.subresource)
        });
        let written: Vec<Tree> = entries.into_iter().map(|(manager, entry)| entry.write(manager)).collect();
        object.set(PATH, written);
    }

    /// Merges the oldest update managers until no more than [`UPDATE_MANAGERS_MAX`] are left; only
    /// those that used the same version can be merged.
    pub fn cap(&mut self) {
        let mut updaters: Vec<Manager> = self.0.keys().filter(|manager| !manager.is_apply).cloned().collect();
        updaters.sort_by_key(|manager| (self.0[manager].secs(), manager.clone()));
        let mut left = updaters.len();
        let mut firsts: BTreeMap<String, Manager> = BTreeMap::new();
        for manager in updaters {
            if left <= UPDATE_MANAGERS_MAX {
                break;
            }
            let version = self.0[&manager].api_version.clone();
            let Some(first) = firsts.get(&version) else {
                firsts.insert(version, manager);
                continue;
            };
            let bucket = Manager::new(OLD_UPDATES, false, &version, "");
            if !self.0.contains_key(&bucket)
                && let Some(entry) = self.0.remove(first)
            {
                self.0.insert(bucket.clone(), entry);
            }
            if let (Some(entry), Some(old)) = (self.0.get(&manager).cloned(), self.0.get(&bucket)) {
                let fields = entry.fields.clone().union(old.fields.clone());
                self.0.remove(&manager);
                self.0.insert(bucket, Entry { fields, ..entry });
            }
            left -= 1;
        }
    }
}

impl Entry {
    fn secs(&self) -> i64 {
        self.time.as_deref().and_then(Timestamp::parse).map_or(0, Timestamp::as_secs)
    }

    fn write(&self, manager: &Manager) -> Tree {
        written(manager, &self.api_version, self.time.as_deref(), self.fields.to_fields())
    }
}

/// An entry as the object has it.
fn written(manager: &Manager, api_version: &str, time: Option<&str>, fields: Tree) -> Tree {
    let mut entry = json!({
        "operation": if manager.is_apply { "Apply" } else { "Update" },
        "apiVersion": api_version,
        "fieldsType": "FieldsV1",
    });
    entry["fieldsV1"] = fields;
    let others =
        [("manager", &*manager.name), ("subresource", &manager.subresource), ("time", time.unwrap_or_default())];
    for (name, value) in others.into_iter().filter(|(_, value)| !value.is_empty()) {
        entry[name] = value.into();
    }
    entry
}

/// Makes one entry the only one of an object that nobody wrote to before.
pub fn write_first(object: &mut Tree, manager: &Manager, api_version: &str, now: Timestamp, fields: Map) {
    let entry = written(manager, api_version, Some(&now.to_string()), Tree::Object(fields));
    object.set(PATH, vec![entry]);
}

/// Takes back new times of entries if nothing else about the object changed, so that a write that
/// says nothing new does not count as a change.
pub fn keep_times(new: &mut Tree, old: &Tree) {
    if new.items(PATH).len() != old.items(PATH).len() || new.items(PATH) == old.items(PATH) {
        return;
    }
    let without_times = |object: &Tree| {
        let mut object = object.clone();
        object.unset("metadata.resourceVersion");
        if let Some(Tree::Array(entries)) = object.at_mut(PATH) {
            entries.iter_mut().for_each(|entry| drop(entry.unset("time")));
        }
        object
    };
    if without_times(new) == without_times(old)
        && let Some(entries) = old.at(PATH)
    {
        new.set(PATH, entries.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_updater_pushes_the_oldest_two_together() {
        let mut managed = Managed::default();
        for number in 0..11 {
            let entry = Entry {
                fields: Set::from_fields(&json!({"f:data": {(format!("f:f{number}")): {}}})).unwrap(),
                api_version: "v1".into(),
                time: Some(format!("2026-01-01T00:00:{number:02}Z")),
            };
            managed.0.insert(Manager::new(&format!("m{number:02}"), false, "v1", ""), entry);
        }
        managed.cap();
        assert_eq!(managed.0.len(), 10);
        let old = &managed.0[&Manager::new("ancient-changes", false, "v1", "")];
        assert_eq!(
            (&old.fields, old.time.as_deref()),
            (&Set::of(&["data.f0", "data.f1"]), Some("2026-01-01T00:00:01Z"))
        );
    }

    #[test]
    fn times_alone_are_no_change() {
        let object = |time: &str, value: &str| json!({"metadata": {"managedFields": [{"manager": "m", "time": time}]}, "data": {"a": value}});
        let mut same = object("2026-01-01T00:00:09Z", "1");
        keep_times(&mut same, &object("2026-01-01T00:00:00Z", "1"));
        assert_eq!(same, object("2026-01-01T00:00:00Z", "1"));
        let mut other = object("2026-01-01T00:00:09Z", "2");
        keep_times(&mut other, &object("2026-01-01T00:00:00Z", "1"));
        assert_eq!(other, object("2026-01-01T00:00:09Z", "2"));
    }
}
