//! Small ordered maps from text to text: labels, annotations, selectors, amounts.
//!
//! Every object has some, and they hardly ever change, so they are held as they are read: all texts in
//! one piece and where each of them ends. A tree of strings takes four times as much. Changing one makes
//! it anew.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Labels or annotations, ordered by key.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct StringMap {
    /// Keys and values in turn.
    text: Box<str>,
    /// Where each of them ends.
    ends: Box<[u32]>,
}

impl StringMap {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key).ok().map(|at| self.part(2 * at + 1))
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter { map: self, next: 0 }
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// Copies of all, for what wants strings.
    pub fn to_pairs(&self) -> impl Iterator<Item = (String, String)> {
        self.iter().map(|(key, value)| (key.to_owned(), value.to_owned()))
    }

    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(_, value)| value)
    }

    /// Sets one; gives back what was there.
    pub fn insert(&mut self, key: impl AsRef<str>, value: impl AsRef<str>) -> Option<String> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let before = self.get(key).map(str::to_owned);
        let mut pairs: BTreeMap<&str, &str> = self.iter().collect();
        pairs.insert(key, value);
        *self = Self::packed(pairs);
        before
    }

    /// Takes one out; gives back what it was.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let before = self.get(key)?.to_owned();
        *self = Self::packed(self.iter().filter(|(other, _)| *other != key));
        Some(before)
    }

    /// Keeps only those for which `keeps` says so.
    pub fn retain(&mut self, keeps: impl Fn(&str, &str) -> bool) {
        *self = Self::packed(self.iter().filter(|(key, value)| keeps(key, value)));
    }

    /// Of pairs in order, no two of which have the same key.
    fn packed<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for part in pairs.into_iter().flat_map(|(key, value)| [key, value]) {
            text.push_str(part);
            // An object that could hold more is refused long before.
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self { text: text.into(), ends: ends.into() }
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.part(2 * middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    fn part(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[at] as usize]
    }
}

pub struct Iter<'a> {
    map: &'a StringMap,
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next;
        (at < self.map.len()).then(|| {
            self.next += 1;
            (self.map.part(2 * at), self.map.part(2 * at + 1))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.map.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a StringMap {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Panics where the key is absent, as maps do.
impl Index<&str> for StringMap {
    type Output = str;

    fn index(&self, key: &str) -> &str {
        self.get(key).expect("the key is there")
    }
}

/// Of two with the same key the later one counts.
impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for StringMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs: Vec<(K, V)> = pairs.into_iter().collect();
        let sorted: BTreeMap<&str, &str> = pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
        Self::packed(sorted)
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> From<[(K, V); N]> for StringMap {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extend<(K, V)> for StringMap {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        let pairs: Vec<(K, V)> = pairs.into_iter().collect();
        let new = pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref()));
        *self = self.iter().chain(new).collect::<Vec<_>>().into_iter().collect();
    }
}

impl fmt::Debug for StringMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl Serialize for StringMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        self.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for StringMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

struct Pairs;

/// Text out of JSON: borrowed where nothing in it was escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

impl<'de> Visitor<'de> for Pairs {
    type Value = StringMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StringMap, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry::<Text<'de>, Text<'de>>()? {
            pairs.push(pair);
        }
        let sorted = pairs.is_sorted_by(|(left, _), (right, _)| left.0 < right.0);
        let texts = pairs.iter().map(|(key, value)| (key.0.borrow(), value.0.borrow()));
        Ok(if sorted { StringMap::packed(texts) } else { texts.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A tree of strings is what it has to agree with.
        #[test]
        fn it_is_a_map(
            pairs in prop::collection::vec(("[a-c\u{e4}]{0,2}", ".{0,4}"), 0..8),
            more in prop::collection::vec(("[a-c\u{e4}]{0,2}", ".{0,4}"), 0..4),
            key in "[a-c\u{e4}]{0,2}",
        ) {
            let mut tree: BTreeMap<_, _> = pairs.iter().cloned().collect();
            let mut map: StringMap = pairs.iter().cloned().collect();
            let agree = |map: &StringMap, tree: &BTreeMap<String, String>| {
                assert!(map.iter().eq(tree.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
                assert_eq!(serde_json::to_string(map).unwrap(), serde_json::to_string(tree).unwrap());
            };
            agree(&map, &tree);
            for (key, value) in more {
                prop_assert_eq!(map.insert(&key, &value), tree.insert(key.clone(), value));
                prop_assert_eq!(map.get(&key), tree.get(&key).map(String::as_str));
            }
            prop_assert_eq!(map.contains_key(&key), tree.contains_key(&key));
            for key in pairs.iter().map(|(key, _)| key).chain([&key]) {
                prop_assert_eq!(map.remove(key), tree.remove(key));
            }
            agree(&map, &tree);
            let json = serde_json::to_string(&tree).unwrap();
            prop_assert_eq!(serde_json::from_str::<StringMap>(&json).unwrap(), map);
        }
    }

    #[test]
    fn json_in_any_order_with_escapes_is_read() {
        let map: StringMap = serde_json::from_str(r#"{"b":"2","a":"\u0041\n","b":"3"}"#).unwrap();
        assert_eq!(map, StringMap::from([("a", "A\n"), ("b", "3")]));
        assert!(serde_json::from_str::<StringMap>(r#"{"a":1}"#).is_err());
        assert!(serde_json::from_str::<StringMap>("{}").unwrap().is_empty());
    }
}
