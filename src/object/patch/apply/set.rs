//! Sets of field paths: who owns what, as `managedFields` writes it down.

use std::cmp::Ordering;
use std::fmt;

use crate::object::codec::json::{to_json, write_string};
use crate::object::quote::Quoted;
use crate::object::schema::{Schema, decode_untyped};
use crate::object::tree::{Map, Name, Tree};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    Field(Name),
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
pub struct Set(Vec<Node>);

/// What a set has at and below one step. There is none for a step of which it has nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    element: Element,
    is_member: bool,
    below: Set,
}

impl Set {
    /// The set of dotted paths of struct fields, such as `metadata.name`.
    pub fn of(paths: &[&'static str]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let steps: Vec<Element> = path.split('.').map(|step| Element::Field(step.into())).collect();
            set.insert(&steps);
        }
        set
    }

    pub fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a path; the empty one is no member of anything.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = self.place(first).unwrap_or_else(|at| {
            self.0.insert(at, Node { element: first.clone(), is_member: false, below: Self::default() });
            at
        });
        match rest {
            [] => self.0[at].is_member = true,
            rest => self.0[at].below.insert(rest),
        }
    }

    /// Adds what comes after all that is here: `element` itself, if it is a member, and what is below it.
    pub fn push(&mut self, element: Element, is_member: bool, below: Self) {
        debug_assert!(self.0.last().is_none_or(|last| last.element < element), "elements are added in order");
        if is_member || !below.is_empty() {
            self.0.push(Node { element, is_member, below });
        }
    }

    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.has_member(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.has(rest)),
        }
    }

    pub fn has_member(&self, element: &Element) -> bool {
        self.place(element).is_ok_and(|at| self.0[at].is_member)
    }

    /// What is below `element`, if anything is.
    pub fn below(&self, element: &Element) -> Option<&Self> {
        let at = self.place(element).ok()?;
        Some(&self.0[at].below).filter(|below| !below.is_empty())
    }

    /// What is below the field `name`, and whether that is a member itself.
    pub fn field(&self, name: &str) -> (Option<&Self>, bool) {
        let found = self.0.iter().find(|node| matches!(&node.element, Element::Field(field) if field == name));
        found.map_or((None, false), |node| (Some(&node.below).filter(|below| !below.is_empty()), node.is_member))
    }

    fn place(&self, element: &Element) -> Result<usize, usize> {
        self.0.binary_search_by(|node| node.element.cmp(element))
    }

    pub fn union(self, other: Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return if self.is_empty() { other } else { self };
        }
        let mut all = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut ours, mut theirs) = (self.0.into_iter().peekable(), other.0.into_iter().peekable());
        loop {
            let order = match (ours.peek(), theirs.peek()) {
                (Some(mine), Some(their)) => mine.element.cmp(&their.element),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self(all),
            };
            match order {
                Ordering::Less => all.extend(ours.next()),
                Ordering::Greater => all.extend(theirs.next()),
                Ordering::Equal => all.extend(ours.next().zip(theirs.next()).map(|(mine, their)| Node {
                    is_member: mine.is_member || their.is_member,
                    below: mine.below.union(their.below),
                    ..mine
                })),
            }
        }
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let shared = self.0.iter().filter_map(|mine| {
            let their = &other.0[other.place(&mine.element).ok()?];
            let (is_member, below) = (mine.is_member && their.is_member, mine.below.intersection(&their.below));
            (is_member || !below.is_empty()).then(|| Node { element: mine.element.clone(), is_member, below })
        });
        Self(shared.collect())
    }

    /// What is only in this set. A member of `other` takes away itself, not what is below it.
    pub fn difference(self, other: &Self) -> Self {
        self.reduced(other, false)
    }

    /// As [`Set::difference`], but a member of `other` takes away everything below it too.
    pub fn without(self, other: &Self) -> Self {
        self.reduced(other, true)
    }

    fn reduced(mut self, other: &Self, with_below: bool) -> Self {
        if other.is_empty() {
            return self;
        }
        self.0.retain_mut(|node| {
            let Ok(at) = other.place(&node.element) else { return true };
            let Node { is_member, below, .. } = &other.0[at];
            if *is_member && with_below {
                return false;
            }
            node.is_member &= !is_member;
            node.below = std::mem::take(&mut node.below).reduced(below, with_below);
            node.is_member || !node.below.is_empty()
        });
        self
    }

    /// The set with every declared field that has something below it as a member too.
    pub fn with_named_fields(&self, schema: Option<Schema<'_>>) -> Self {
        let named = self.0.iter().map(|node| {
            let (child, is_named) = match &node.element {
                Element::Field(name) => {
                    let is_declared = schema.is_some_and(|schema| schema.field(name).is_some());
                    (schema.and_then(|schema| schema.child(name)), is_declared && !node.below.is_empty())
                }
                _ => (schema.and_then(Schema::items), false),
            };
            let below = node.below.with_named_fields(child);
            Node { element: node.element.clone(), is_member: node.is_member || is_named, below }
        });
        Self(named.collect())
    }

    /// Every path, members of a level before what is below them.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for node in self.0.iter().filter(|node| node.is_member) {
            paths.push([prefix.as_slice(), std::slice::from_ref(&node.element)].concat());
        }
        for node in &self.0 {
            prefix.push(node.element.clone());
            node.below.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// Reads `fieldsV1`; `None` if it is malformed.
    pub fn from_fields(fields: &Tree) -> Option<Self> {
        let fields = fields.as_object()?;
        let mut nodes = Vec::with_capacity(fields.len());
        for (key, below) in fields {
            if key.as_str() == "." {
                continue; // known to the level above
            }
            let element = Element::read(key)?;
            let map = below.as_object()?;
            let is_member = map.is_empty() || map.contains_key(".");
            let below = Self::from_fields(below)?;
            if is_member || !below.is_empty() {
                nodes.push(Node { element, is_member, below });
            }
        }
        // As texts they may have been in another order.
        nodes.sort_by(|one, two| one.element.cmp(&two.element));
        nodes.dedup_by(|later, first| {
            let is_same = later.element == first.element;
            if is_same {
                first.is_member |= later.is_member;
                first.below = std::mem::take(&mut first.below).union(std::mem::take(&mut later.below));
            }
            is_same
        });
        Some(Self(nodes))
    }

    /// Writes `fieldsV1`.
    pub fn to_fields(&self) -> Tree {
        Tree::Object(self.to_map(false))
    }

    /// What is here, with a `.` for what it belongs to if that is a member too.
    fn to_map(&self, of_member: bool) -> Map {
        if self.is_empty() {
            return Map::new();
        }
        let mut map = Map::with_capacity(self.0.len() + usize::from(of_member));
        if of_member {
            map.insert(".".into(), Tree::Object(Map::new()));
        }
        for Node { element, is_member, below } in &self.0 {
            map.insert(element.write().into(), Tree::Object(below.to_map(*is_member)));
        }
        map
    }
}

impl Element {
    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(2)?;
        let value = || decode_untyped(rest.as_bytes()).ok().map(|decoded| decoded.tree);
        match kind {
            "f:" => Some(Self::Field(rest.to_owned().into())),
            "v:" => Some(Self::Value(Scalar(value()?))),
            "i:" => rest.parse().ok().map(Self::Index),
            "k:" => match value()? {
                Tree::Object(fields) => Some(Self::key(fields)),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn key(fields: impl IntoIterator<Item = (impl Into<String>, Tree)>) -> Self {
        let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.into(), Scalar(value))).collect();
        fields.sort();
        Self::Key(fields)
    }

    /// As `fieldsV1` names it.
    pub fn write(&self) -> String {
        match self {
            Self::Field(name) => ["f:", name].concat(),
            Self::Key(fields) => {
                let mut out = Vec::with_capacity(64);
                out.extend_from_slice(b"k:");
                for (at, (name, value)) in fields.iter().enumerate() {
                    out.push(if at == 0 { b'{' } else { b',' });
                    write_string(&mut out, name);
                    out.push(b':');
                    value.write(&mut out);
                }
                out.push(b'}');
                text(out)
            }
            Self::Value(value) => {
                let mut out = b"v:".to_vec();
                value.write(&mut out);
                text(out)
            }
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

impl Scalar {
    fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Tree::String(text) => write_string(out, text),
            other => out.extend_from_slice(&to_json(other, None)),
        }
    }
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
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
    use crate::object::tree::json;

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
            mine.clone().difference(&Set::of(&["metadata.labels", "status"])),
            Set::of(&["metadata.labels.a", "status.x"])
        );
        assert_eq!(mine.clone().without(&Set::of(&["metadata.labels", "status"])), Set::default());
        assert_eq!(mine.intersection(&Set::of(&["status.x", "spec"])), Set::of(&["status.x"]));
        let shown: Vec<String> = mine.paths().iter().map(|path| show_path(path)).collect();
        assert_eq!(shown, [".metadata.labels", ".metadata.labels.a", ".status.x"]);
    }
}
