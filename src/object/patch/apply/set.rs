//! Sets of field paths: who owns what, as `managedFields` writes it down.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::object::codec::json::to_json;
use crate::object::quote::Quoted;
use crate::object::schema::{Schema, decode_untyped};
use crate::object::tree::{Map, Tree};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    Field(String),
    /// An element of a list, by the values of its key fields, which are sorted by name.
    Key(Vec<(String, Scalar)>),
    /// An element of a set.
    Value(Scalar),
    Index(i64),
}

/// A value that identifies something. Numbers sort before strings, those before booleans.
#[derive(Clone, Debug)]
pub struct Scalar(pub Tree);

/// Fields that belong together. A path may be a member, have members below it, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    members: BTreeSet<Element>,
    children: BTreeMap<Element, Set>,
}

impl Set {
    /// The set of dotted paths of struct fields, such as `metadata.name`.
    pub fn of(paths: &[&str]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let steps: Vec<Element> = path.split('.').map(|step| Element::Field(step.into())).collect();
            set.insert(&steps);
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    /// Adds a path; the empty one is no member of anything.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => (),
            [last] => drop(self.members.insert(last.clone())),
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|child| child.has(rest)),
        }
    }

    pub fn has_member(&self, element: &Element) -> bool {
        self.members.contains(element)
    }

    /// What is below `element`, if anything is.
    pub fn below(&self, element: &Element) -> Option<&Self> {
        self.children.get(element).filter(|child| !child.is_empty())
    }

    pub fn union(&self, other: &Self) -> Self {
        let mut children = self.children.clone();
        for (element, theirs) in &other.children {
            let both = children.get(element).map_or_else(|| theirs.clone(), |mine| mine.union(theirs));
            children.insert(element.clone(), both);
        }
        Self { members: self.members.union(&other.members).cloned().collect(), children }
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let shared = |(element, mine): (&Element, &Self)| {
            let both = mine.intersection(other.children.get(element)?);
            (!both.is_empty()).then(|| (element.clone(), both))
        };
        Self {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: self.children.iter().filter_map(shared).collect(),
        }
    }

    /// What is only in this set. A member of `other` takes away itself, not what is below it.
    pub fn difference(&self, other: &Self) -> Self {
        let left = |(element, mine): (&Element, &Self)| {
            let left = other.children.get(element).map_or_else(|| mine.clone(), |theirs| mine.difference(theirs));
            (!left.is_empty()).then(|| (element.clone(), left))
        };
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: self.children.iter().filter_map(left).collect(),
        }
    }

    /// As [`Set::difference`], but a member of `other` takes away everything below it too.
    pub fn without(&self, other: &Self) -> Self {
        let left = |(element, mine): (&Element, &Self)| {
            if other.members.contains(element) {
                return None;
            }
            let left = other.children.get(element).map_or_else(|| mine.clone(), |theirs| mine.without(theirs));
            (!left.is_empty()).then(|| (element.clone(), left))
        };
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: self.children.iter().filter_map(left).collect(),
        }
    }

    /// The set with every declared field that has something below it as a member too.
    pub fn with_named_fields(&self, schema: Option<Schema<'_>>) -> Self {
        let mut members = self.members.clone();
        let mut children = BTreeMap::new();
        for (element, below) in &self.children {
            let child = match element {
                Element::Field(name) => {
                    if schema.is_some_and(|schema| schema.field(name).is_some()) {
                        members.insert(element.clone());
                    }
                    schema.and_then(|schema| schema.child(name))
                }
                _ => schema.and_then(Schema::items),
            };
            children.insert(element.clone(), below.with_named_fields(child));
        }
        Self { members, children }
    }

    /// Every path, members of a level before what is below them.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for member in &self.members {
            paths.push([prefix.as_slice(), std::slice::from_ref(member)].concat());
        }
        for (element, child) in &self.children {
            prefix.push(element.clone());
            child.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// Reads `fieldsV1`; `None` if it is malformed.
    pub fn from_fields(fields: &Tree) -> Option<Self> {
        let mut set = Self::default();
        for (key, below) in fields.as_object()? {
            if key == "." {
                continue; // known to the level above
            }
            let element = Element::read(key)?;
            let below_map = below.as_object()?;
            if below_map.is_empty() || below_map.contains_key(".") {
                set.members.insert(element.clone());
            }
            let child = Self::from_fields(below)?;
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        Some(set)
    }

    /// Writes `fieldsV1`.
    pub fn to_fields(&self) -> Tree {
        let mut map = Map::new();
        for (element, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            map.insert(element.write(), child.to_fields());
        }
        for member in &self.members {
            let entry = map.entry(member.write()).or_insert_with(|| Tree::Object(Map::new()));
            if let Tree::Object(below) = entry
                && !below.is_empty()
            {
                below.insert(".".into(), Tree::Object(Map::new()));
            }
        }
        Tree::Object(map)
    }
}

impl Element {
    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(2)?;
        let value = || decode_untyped(rest.as_bytes()).ok().map(|decoded| decoded.tree);
        match kind {
            "f:" => Some(Self::Field(rest.to_owned())),
            "v:" => Some(Self::Value(Scalar(value()?))),
            "i:" => rest.parse().ok().map(Self::Index),
            "k:" => match value()? {
                Tree::Object(fields) => Some(Self::key(fields)),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn key(fields: impl IntoIterator<Item = (String, Tree)>) -> Self {
        let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, Scalar(value))).collect();
        fields.sort();
        Self::Key(fields)
    }

    fn write(&self) -> String {
        let json = |tree: &Tree| String::from_utf8_lossy(&to_json(tree, None)).into_owned();
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(fields) => {
                let map = fields.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
                format!("k:{}", json(&Tree::Object(map)))
            }
            Self::Value(value) => format!("v:{}", json(&value.0)),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

/// A path as messages show it.
pub fn show_path(path: &[Element]) -> String {
    path.iter().map(Element::to_string).collect()
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                let shown: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", shown.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Tree::String(text) => Quoted(text).fmt(f),
            other => write!(f, "{other}"),
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |tree: &Tree| match tree {
            Tree::Number(_) => 0,
            Tree::String(_) => 1,
            Tree::Bool(_) => 2,
            Tree::Array(_) => 3,
            Tree::Object(_) => 4,
            Tree::Null => 5,
        };
        match (&self.0, &other.0) {
            (Tree::Number(one), Tree::Number(two)) => match (one.as_i64(), two.as_i64()) {
                (Some(one), Some(two)) => one.cmp(&two),
                _ => one.as_f64().unwrap_or_default().total_cmp(&two.as_f64().unwrap_or_default()),
            },
            (Tree::String(one), Tree::String(two)) => one.cmp(two),
            (Tree::Bool(one), Tree::Bool(two)) => one.cmp(two),
            (one, two) => rank(one).cmp(&rank(two)).then_with(|| one.to_string().cmp(&two.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_written_as_they_were_read() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"a/b\"": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:ports": {
                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}, "f:paused": {}}});
        let set = Set::from_fields(&fields).unwrap();
        assert_eq!(set.to_fields(), fields);
        assert!(set.has(&[Element::Field("spec".into()), Element::Field("paused".into())]));
        assert_eq!(Set::from_fields(&json!({"x": {}})), None);
    }

    #[test]
    fn a_member_takes_away_itself_or_all_below_it() {
        let mine = Set::of(&["metadata.labels", "metadata.labels.a", "status.x"]);
        assert_eq!(
            mine.difference(&Set::of(&["metadata.labels", "status"])),
            Set::of(&["metadata.labels.a", "status.x"])
        );
        assert_eq!(mine.without(&Set::of(&["metadata.labels", "status"])), Set::default());
        assert_eq!(mine.intersection(&Set::of(&["status.x", "spec"])), Set::of(&["status.x"]));
        let shown: Vec<String> = mine.paths().iter().map(|path| show_path(path)).collect();
        assert_eq!(shown, [".metadata.labels", ".metadata.labels.a", ".status.x"]);
    }
}
