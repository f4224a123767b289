//! Maps of a tree, in the order of their keys.
//!
//! Nearly all have a handful of entries: those are a sorted array, which is read, copied and dropped
//! in one go. One that grows large becomes a search tree, so that no size makes it slow.

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::{Index, IndexMut};
use std::{slice, vec};

use super::{Name, Tree};

/// More entries than this are kept in a search tree.
const FEW_MAX: usize = 48;
/// More entries than this are not looked through one by one.
const LINE_MAX: usize = 16;

#[derive(Clone)]
pub struct Map(Entries);

#[derive(Clone)]
enum Entries {
    /// Sorted by name, each once.
    Few(Vec<(Name, Tree)>),
    Many(Box<BTreeMap<Name, Tree>>),
}

use Entries::{Few, Many};

impl Map {
    pub const fn new() -> Self {
        Self(Few(Vec::new()))
    }

    pub fn with_capacity(len: usize) -> Self {
        Self(Few(Vec::with_capacity(len.min(FEW_MAX))))
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Few(entries) => entries.len(),
            Many(entries) => entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get<Q: Borrow<str> + ?Sized>(&self, name: &Q) -> Option<&Tree> {
        let name = name.borrow();
        match &self.0 {
            Few(entries) => find(entries, name).map(|at| &entries[at].1),
            Many(entries) => entries.get(name),
        }
    }

    pub fn get_mut<Q: Borrow<str> + ?Sized>(&mut self, name: &Q) -> Option<&mut Tree> {
        let name = name.borrow();
        match &mut self.0 {
            Few(entries) => find(entries, name).map(|at| &mut entries[at].1),
            Many(entries) => entries.get_mut(name),
        }
    }

    pub fn contains_key<Q: Borrow<str> + ?Sized>(&self, name: &Q) -> bool {
        self.get(name).is_some()
    }

    /// Puts a value under a name; returns the one that was there.
    pub fn insert(&mut self, name: Name, value: Tree) -> Option<Tree> {
        match &mut self.0 {
            Few(entries) => match place(entries, &name) {
                Ok(at) => Some(std::mem::replace(&mut entries[at].1, value)),
                Err(at) if entries.len() < FEW_MAX => {
                    entries.insert(at, (name, value));
                    None
                }
                Err(_) => {
                    let mut many: BTreeMap<Name, Tree> = std::mem::take(entries).into_iter().collect();
                    many.insert(name, value);
                    self.0 = Many(Box::new(many));
                    None
                }
            },
            Many(entries) => entries.insert(name, value),
        }
    }

    pub fn remove<Q: Borrow<str> + ?Sized>(&mut self, name: &Q) -> Option<Tree> {
        self.remove_entry(name).map(|(_, value)| value)
    }

    pub fn remove_entry<Q: Borrow<str> + ?Sized>(&mut self, name: &Q) -> Option<(Name, Tree)> {
        let name = name.borrow();
        match &mut self.0 {
            Few(entries) => find(entries, name).map(|at| entries.remove(at)),
            Many(entries) => entries.remove_entry(name),
        }
    }

    /// What is under `name`; made with `default` if nothing is.
    pub fn get_or_insert_with(&mut self, name: Name, default: impl FnOnce() -> Tree) -> &mut Tree {
        if let Few(entries) = &self.0
            && entries.len() >= FEW_MAX
            && place(entries, &name).is_err()
        {
            self.0 = Many(Box::new(std::mem::take(self).into_iter().collect()));
        }
        match &mut self.0 {
            Few(entries) => {
                let at = place(entries, &name).unwrap_or_else(|at| {
                    entries.insert(at, (name, default()));
                    at
                });
                &mut entries[at].1
            }
            Many(entries) => entries.entry(name).or_insert_with(default),
        }
    }

    /// What is to be done about a name, whether or not something is there.
    pub fn entry(&mut self, name: impl Into<Name>) -> Entry<'_> {
        Entry { map: self, name: name.into() }
    }

    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Few(entries) => Iter::Few(entries.iter()),
            Many(entries) => Iter::Many(entries.iter()),
        }
    }

    pub fn iter_mut(&mut self) -> IterMut<'_> {
        match &mut self.0 {
            Few(entries) => IterMut::Few(entries.iter_mut()),
            Many(entries) => IterMut::Many(entries.iter_mut()),
        }
    }

    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Name> + Clone {
        self.iter().map(|(name, _)| name)
    }

    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Tree> + Clone {
        self.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Tree> {
        self.iter_mut().map(|(_, value)| value)
    }

    pub fn into_values(self) -> impl Iterator<Item = Tree> {
        self.into_iter().map(|(_, value)| value)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&Name, &mut Tree) -> bool) {
        match &mut self.0 {
            Few(entries) => entries.retain_mut(|(name, value)| keep(name, value)),
            Many(entries) => entries.retain(keep),
        }
    }

    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

/// Where a name is. Names differ in their lengths more often than not, so looking at each is quickest.
fn find(entries: &[(Name, Tree)], name: &str) -> Option<usize> {
    match entries.len() {
        ..=LINE_MAX => entries.iter().position(|(entry, _)| entry.len() == name.len() && **entry == *name),
        _ => place(entries, name).ok(),
    }
}

/// Where a name is, or belongs. What is put in comes mostly in order, so the end is looked at first.
fn place(entries: &[(Name, Tree)], name: &str) -> Result<usize, usize> {
    match entries.last() {
        Some((last, _)) if last.as_str() >= name => entries.binary_search_by(|(entry, _)| entry.as_str().cmp(name)),
        _ => Err(entries.len()),
    }
}

/// A place in a map: see [`Map::entry`].
pub struct Entry<'m> {
    map: &'m mut Map,
    name: Name,
}

impl<'m> Entry<'m> {
    pub fn or_insert(self, value: Tree) -> &'m mut Tree {
        self.map.get_or_insert_with(self.name, || value)
    }

    pub fn or_insert_with(self, value: impl FnOnce() -> Tree) -> &'m mut Tree {
        self.map.get_or_insert_with(self.name, value)
    }

    pub fn or_default(self) -> &'m mut Tree {
        self.or_insert_with(Tree::default)
    }
}

impl Default for Map {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Map {}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<Q: Borrow<str> + ?Sized> Index<&Q> for Map {
    type Output = Tree;

    fn index(&self, name: &Q) -> &Tree {
        self.get(name).expect("the entry is there")
    }
}

impl<Q: Borrow<str> + ?Sized> IndexMut<&Q> for Map {
    fn index_mut(&mut self, name: &Q) -> &mut Tree {
        self.get_mut(name).expect("the entry is there")
    }
}

impl<N: Into<Name>, T: Into<Tree>> FromIterator<(N, T)> for Map {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<N: Into<Name>, T: Into<Tree>> Extend<(N, T)> for Map {
    fn extend<I: IntoIterator<Item = (N, T)>>(&mut self, entries: I) {
        for (name, value) in entries {
            self.insert(name.into(), value.into());
        }
    }
}

#[derive(Clone)]
pub enum Iter<'m> {
    Few(slice::Iter<'m, (Name, Tree)>),
    Many(btree_map::Iter<'m, Name, Tree>),
}

pub enum IterMut<'m> {
    Few(slice::IterMut<'m, (Name, Tree)>),
    Many(btree_map::IterMut<'m, Name, Tree>),
}

pub enum IntoIter {
    Few(vec::IntoIter<(Name, Tree)>),
    Many(btree_map::IntoIter<Name, Tree>),
}

impl<'m> Iterator for Iter<'m> {
    type Item = (&'m Name, &'m Tree);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(entries) => entries.next().map(|(name, value)| (name, value)),
            Self::Many(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(entries) => entries.size_hint(),
            Self::Many(entries) => entries.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(entries) => entries.next_back().map(|(name, value)| (name, value)),
            Self::Many(entries) => entries.next_back(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'m> Iterator for IterMut<'m> {
    type Item = (&'m Name, &'m mut Tree);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(entries) => entries.next().map(|(name, value)| (&*name, value)),
            Self::Many(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(entries) => entries.size_hint(),
            Self::Many(entries) => entries.size_hint(),
        }
    }
}

impl Iterator for IntoIter {
    type Item = (Name, Tree);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(entries) => entries.next(),
            Self::Many(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(entries) => entries.size_hint(),
            Self::Many(entries) => entries.size_hint(),
        }
    }
}

impl<'m> IntoIterator for &'m Map {
    type Item = (&'m Name, &'m Tree);
    type IntoIter = Iter<'m>;

    fn into_iter(self) -> Iter<'m> {
        self.iter()
    }
}

impl<'m> IntoIterator for &'m mut Map {
    type Item = (&'m Name, &'m mut Tree);
    type IntoIter = IterMut<'m>;

    fn into_iter(self) -> IterMut<'m> {
        self.iter_mut()
    }
}

impl IntoIterator for Map {
    type Item = (Name, Tree);
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        match self.0 {
            Few(entries) => IntoIter::Few(entries.into_iter()),
            Many(entries) => IntoIter::Many(entries.into_iter()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_map_that_outgrows_its_array_goes_on_as_before() {
        let mut map = Map::new();
        for number in (0..200).rev() {
            assert_eq!(map.insert(format!("k{number:03}").into(), number.into()), None);
        }
        assert_eq!(map.len(), 200);
        assert_eq!(map.insert("k007".into(), Tree::Null), Some(7.into()));
        assert!(map.keys().zip(0..).all(|(name, number)| *name == format!("k{number:03}")));
        assert_eq!(map.remove("k100"), Some(100.into()));
        assert_eq!(map.entry("k100").or_insert(1.into()), &Tree::from(1));
        let few: Map = map.iter().take(3).map(|(name, value)| (name.clone(), value.clone())).collect();
        map.retain(|name, _| name.as_str() < "k003");
        assert_eq!(map, few);
    }

    proptest! {
        #[test]
        fn entries_are_as_in_a_search_tree(steps in prop::collection::vec((0u8..80, any::<bool>()), 0..300)) {
            let (mut map, mut model) = (Map::new(), BTreeMap::new());
            for (key, put) in steps {
                let name = Name::from(format!("{key:02}"));
                let (was, expected) = match put {
                    true => (map.insert(name.clone(), key.into()), model.insert(name.clone(), Tree::from(key))),
                    false => (map.remove(&name), model.remove(&name)),
                };
                prop_assert_eq!(was, expected);
                prop_assert_eq!(map.get(&name), model.get(&name));
            }
            prop_assert!(map.iter().eq(model.iter()));
        }
    }
}
