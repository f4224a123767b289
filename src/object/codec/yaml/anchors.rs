//! What the anchors of a document stand for: each for the JSON of its node.
//!
//! That is a stretch of what was written of the document, which only grows, and is therefore never
//! copied. Exceptions are put aside: what was merged (`<<`), since it is taken back, and keys, which are
//! written as texts whatever they are.

use std::collections::HashMap;
use std::ops::Range;

#[derive(Default)]
pub struct Anchors {
    places: HashMap<String, Place>,
    /// The names, as they came; one may come again and then means something else.
    named: Vec<String>,
    aside: Vec<u8>,
}

/// Where the JSON of an anchored node is.
enum Place {
    Written(Range<usize>),
    Aside(Range<usize>),
}

impl Anchors {
    /// From now on, this name stands for a stretch of what is written.
    pub fn insert(&mut self, name: String, stretch: Range<usize>) {
        self.named.push(name.clone());
        self.places.insert(name, Place::Written(stretch));
    }

    /// From now on, this name stands for this JSON, which is not written anywhere.
    pub fn insert_aside(&mut self, name: String, json: &[u8]) {
        let start = self.aside.len();
        self.aside.extend_from_slice(json);
        self.places.insert(name, Place::Aside(start..self.aside.len()));
    }

    /// The JSON that a name stands for.
    pub fn json<'a>(&'a self, name: &str, written: &'a [u8]) -> Option<&'a [u8]> {
        Some(match self.places.get(name)? {
            Place::Written(stretch) => &written[stretch.clone()],
            Place::Aside(stretch) => &self.aside[stretch.clone()],
        })
    }

    /// How often a name was given: what came behind a node's beginning is inside of it.
    pub fn count(&self) -> usize {
        self.named.len()
    }

    /// Keeps what is written from `start` on, if one of the anchors behind the first `count` is in it.
    pub fn put_aside(&mut self, count: usize, written: &[u8], start: usize) {
        let end = self.aside.len();
        let mut is_needed = false;
        for name in self.named.drain(count..) {
            if let Some(place) = self.places.get_mut(&name)
                && let Place::Written(stretch) = place
                && stretch.start >= start
            {
                *place = Place::Aside(stretch.start - start + end..stretch.end - start + end);
                is_needed = true;
            }
        }
        if is_needed {
            self.aside.extend_from_slice(&written[start..]);
        }
    }

    pub fn bytes_aside(&self) -> usize {
        self.aside.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_what_it_was_given_last() {
        let mut anchors = Anchors::default();
        anchors.insert("a".into(), 0..1);
        anchors.insert("a".into(), 2..3);
        assert_eq!(anchors.json("a", b"1,2"), Some(&b"2"[..]));
        assert_eq!(anchors.json("b", b"1,2"), None);
    }

    #[test]
    fn what_is_put_aside_outlives_what_is_written_and_the_rest_stays() {
        let mut anchors = Anchors::default();
        anchors.insert("before".into(), 0..1);
        let count = anchors.count();
        anchors.insert("inner".into(), 3..4);
        anchors.put_aside(count, b"1,[2]", 2);
        assert_eq!(anchors.json("before", b"1"), Some(&b"1"[..]));
        assert_eq!(anchors.json("inner", b"1"), Some(&b"2"[..]));
        anchors.put_aside(anchors.count(), b"1,[2]", 2);
        assert_eq!(anchors.bytes_aside(), 3);
    }

    #[test]
    fn a_merge_inside_of_a_merge_keeps_its_place() {
        let mut anchors = Anchors::default();
        anchors.insert("inner".into(), 5..6);
        anchors.put_aside(0, b"xxxxx7", 5);
        anchors.insert("outer".into(), 4..5);
        anchors.put_aside(0, b"xxxx8", 4);
        assert_eq!(anchors.json("inner", b""), Some(&b"7"[..]));
        assert_eq!(anchors.json("outer", b""), Some(&b"8"[..]));
    }
}
