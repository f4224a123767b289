//! Walks over typed objects: which fields one has, how two differ, merging, taking fields away.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::object::tree::{Map, Name, Tree};

use super::set::{Element, Set, show_path};
use super::typed::{Kind, Place, filled_list, filled_map};

/// How the second of two objects differs from the first.
#[derive(Debug, Default)]
pub struct Comparison {
    pub removed: Set,
    pub modified: Set,
    pub added: Set,
}

impl Comparison {
    /// Leaves out fields that the endpoint does not write anyway.
    pub fn without(self, fields: &Set) -> Self {
        Self {
            removed: self.removed.without(fields),
            modified: self.modified.without(fields),
            added: self.added.without(fields),
        }
    }
}

/// Every field of an object, as an applier owns them.
pub fn fields_of(value: &Tree, place: Place<'_>) -> Set {
    let mut set = Set::default();
    collect(value, place, &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Tree, place: Place<'_>, path: &mut Vec<Element>, set: &mut Set) {
    match place.kind(Some(value)) {
        Kind::Scalar | Kind::Atomic => set.insert(path),
        Kind::Map => {
            for (name, value) in value.as_object().into_iter().flatten() {
                path.push(Element::Field(name.into()));
                collect(value, place.child(name), path, set);
                let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if is_empty || !place.declares(name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Kind::List => {
            let items = value.as_array().map_or(&[][..], Vec::as_slice);
            let elements: Vec<Option<Element>> = items.iter().map(|item| place.element(item).ok()).collect();
            for (element, item) in elements.iter().zip(items) {
                let Some(element) = element else { continue };
                path.push(element.clone());
                let is_duplicate = elements.iter().flatten().filter(|other| *other == element).count() > 1;
                if !is_duplicate {
                    collect(item, place.items(), path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// Adds the paths of the maps and lists in `value` that are owned as a whole.
pub fn find_atomics(value: &Tree, place: Place<'_>, path: &mut Vec<Element>, found: &mut Vec<String>) {
    let kind = place.kind(Some(value));
    match value {
        Tree::Object(_) | Tree::Array(_) if kind == Kind::Atomic => found.push(show_path(path)),
        Tree::Object(map) => {
            for (name, value) in map {
                path.push(Element::Field(name.into()));
                find_atomics(value, place.child(name), path, found);
                path.pop();
            }
        }
        Tree::Array(items) => {
            for (item, element) in items.iter().filter_map(|item| Some((item, place.element(item).ok()?))) {
                path.push(element);
                find_atomics(item, place.items(), path, found);
                path.pop();
            }
        }
        _ => (),
    }
}

pub fn compare(old: &Tree, new: &Tree, place: Place<'_>) -> Comparison {
    differ(Some(old), Some(new), place).below
}

/// How one value differs: as a whole, and below it.
#[derive(Default)]
struct Difference {
    removed: bool,
    modified: bool,
    added: bool,
    below: Comparison,
}

impl Comparison {
    fn push(&mut self, element: &Element, inner: Difference) {
        let Difference { removed, modified, added, below } = inner;
        for (set, is_member, below) in [
            (&mut self.removed, removed, below.removed),
            (&mut self.modified, modified, below.modified),
            (&mut self.added, added, below.added),
        ] {
            if is_member || !below.is_empty() {
                set.push(element.clone(), is_member, below);
            }
        }
    }
}

fn differ(old: Option<&Tree>, new: Option<&Tree>, place: Place<'_>) -> Difference {
    if let (None, Some(new)) = (old, new) {
        let below = Comparison { added: all_below(new, place), ..Comparison::default() };
        return Difference { added: true, below, ..Difference::default() };
    }
    let (old_kind, new_kind) = (place.kind(old), place.kind(new));
    let kind = if new.is_none() { old_kind } else { new_kind };
    let is_leaf = match kind {
        Kind::Scalar | Kind::Atomic => true,
        _ if old.is_some() && new.is_some() && old_kind != new_kind => true,
        Kind::Map => filled_map(old).is_none() && filled_map(new).is_none(),
        Kind::List => filled_list(old).is_none() && filled_list(new).is_none(),
    };
    let mut found = Difference {
        added: old.is_none(),
        removed: old.is_some() && new.is_none(),
        modified: is_leaf && old.is_some() && new.is_some() && old != new,
        ..Difference::default()
    };
    match kind {
        _ if is_leaf => (),
        Kind::List => found.below = differ_items(filled_list(old), filled_list(new), place),
        _ => {
            for (name, old, new) in side_by_side(filled_map(old), filled_map(new)) {
                found.below.push(&Element::Field(name.into()), differ(old, new, place.child(name)));
            }
        }
    }
    found
}

/// Everything below a value that is new as a whole.
fn all_below(new: &Tree, place: Place<'_>) -> Set {
    match place.kind(Some(new)) {
        Kind::Scalar | Kind::Atomic => Set::default(),
        Kind::Map => {
            let Some(map) = filled_map(Some(new)) else { return Set::default() };
            let mut all = Set::with_capacity(map.len());
            for (name, value) in map {
                all.push(Element::Field(name.into()), true, all_below(value, place.child(name)));
            }
            all
        }
        Kind::List => {
            let elements = by_element(filled_list(Some(new)), place);
            let mut all = Set::with_capacity(elements.len());
            for (element, items) in elements {
                // What stands there twice has no fields of its own.
                let one = if let [one] = items.as_slice() { Some(*one) } else { None };
                all.push(element, true, one.map(|one| all_below(one, place.items())).unwrap_or_default());
            }
            all
        }
    }
}

/// A name with what two maps have under it.
type Both<'v> = (&'v Name, Option<&'v Tree>, Option<&'v Tree>);

/// The names of two maps in their order.
fn side_by_side<'v>(old: Option<&'v Map>, new: Option<&'v Map>) -> impl Iterator<Item = Both<'v>> {
    let (mut old, mut new) = (old.into_iter().flatten().peekable(), new.into_iter().flatten().peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((ours, _)), Some((theirs, _))) => ours.cmp(theirs),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let ours = if order.is_le() { old.next() } else { None };
        let theirs = if order.is_ge() { new.next() } else { None };
        let (name, _) = ours.or(theirs)?;
        Some((name, ours.map(|(_, value)| value), theirs.map(|(_, value)| value)))
    })
}

fn differ_items(old: Option<&[Tree]>, new: Option<&[Tree]>, place: Place<'_>) -> Comparison {
    let (old, new) = (by_element(old, place), by_element(new, place));
    let elements: BTreeSet<&Element> = old.keys().chain(new.keys()).collect();
    let mut found = Comparison::default();
    for element in elements {
        let none = Vec::new();
        let (ours, theirs) = (old.get(element).unwrap_or(&none), new.get(element).unwrap_or(&none));
        let inner = match (ours.as_slice(), theirs.as_slice()) {
            (many_old @ [_, _, ..], many_new @ [_, _, ..]) => {
                Difference { modified: many_old != many_new, ..Difference::default() }
            }
            ([_, _, ..], one) => {
                let inner = one.first().map(|new| differ(None, Some(new), place.items()));
                Difference { removed: true, ..inner.unwrap_or_default() }
            }
            (one, [_, _, ..]) => {
                let inner = one.first().map(|old| differ(Some(old), None, place.items()));
                Difference { added: true, ..inner.unwrap_or_default() }
            }
            (old, new) => differ(old.first().copied(), new.first().copied(), place.items()),
        };
        found.push(element, inner);
    }
    found
}

fn by_element<'v>(list: Option<&'v [Tree]>, place: Place<'_>) -> BTreeMap<Element, Vec<&'v Tree>> {
    let mut found: BTreeMap<Element, Vec<&Tree>> = BTreeMap::new();
    for item in list.into_iter().flatten() {
        if let Ok(element) = place.element(item) {
            found.entry(element).or_default().push(item);
        }
    }
    found
}

/// Puts what `config` says over `live`.
pub fn merge(live: &Tree, config: &Tree, place: Place<'_>) -> Tree {
    overlay(Some(live), Some(config), place).unwrap_or_else(|| Tree::Object(Map::new()))
}

fn overlay(live: Option<&Tree>, config: Option<&Tree>, place: Place<'_>) -> Option<Tree> {
    let kind = place.kind(config.or(live));
    match kind {
        Kind::Map if filled_map(live).is_some() || filled_map(config).is_some() => {
            let merged: Map = side_by_side(filled_map(live), filled_map(config))
                .filter_map(|(name, live, config)| Some((name, overlay(live, config, place.child(name))?)))
                .collect();
            (!merged.is_empty()).then_some(Tree::Object(merged))
        }
        Kind::List if filled_list(live).is_some() || filled_list(config).is_some() => {
            let merged =
                overlay_items(filled_list(live).unwrap_or_default(), filled_list(config).unwrap_or_default(), place);
            (!merged.is_empty()).then_some(Tree::Array(merged))
        }
        _ => config.or(live).cloned(),
    }
}

/// Merges lists of elements with an identity. The config's order wins; elements that only the live
/// list has stay behind the neighbour they had.
fn overlay_items(live: &[Tree], config: &[Tree], place: Place<'_>) -> Vec<Tree> {
    let element = |item: &Tree| place.element(item).ok();
    let ours: Vec<(Element, &Tree)> = live.iter().filter_map(|item| Some((element(item)?, item))).collect();
    let theirs: Vec<(Element, &Tree)> = config.iter().filter_map(|item| Some((element(item)?, item))).collect();
    // An element that the live list has twice merges with nothing.
    let in_live = |wanted: &Element| {
        let mut same = ours.iter().filter(|(element, _)| element == wanted);
        let first = same.next();
        (first, same.next().is_some())
    };
    let in_config = |wanted: &Element| theirs.iter().any(|(element, _)| element == wanted);
    let merged = |wanted: &Element, config: &Tree| {
        let live = match in_live(wanted) {
            (Some((_, live)), false) => Some(*live),
            _ => None,
        };
        overlay(live, Some(config), place.items())
    };

    let mut shared = theirs.iter().map(|(element, _)| element).filter(|element| in_live(element).0.is_some());
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let mut out = Vec::with_capacity(ours.len().max(theirs.len()));
    let (mut l, mut r) = (0, 0);
    while l < ours.len() || r < theirs.len() {
        if l < ours.len() && r < theirs.len() {
            let (element, _) = &ours[l];
            if *element == theirs[r].0 {
                done.insert(&theirs[r].0);
                out.extend(merged(element, theirs[r].1));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if in_config(element) && next_shared.is_some_and(|next| next != element) {
                l += 1;
                continue;
            }
        }
        if l < ours.len() {
            let (element, item) = &ours[l];
            if !in_config(element) {
                out.extend(overlay(Some(item), None, place.items()));
                l += 1;
                continue;
            }
            if done.contains(element) {
                l += 1;
            }
        }
        if r < theirs.len() {
            let (element, item) = &theirs[r];
            done.insert(element);
            out.extend(merged(element, item));
            r += 1;
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
        }
    }
    out
}

/// The object without the fields of `set`.
pub fn remove(value: &Tree, set: &Set, place: Place<'_>) -> Tree {
    take_away(value, set, place).unwrap_or(Tree::Null)
}

fn take_away(value: &Tree, set: &Set, place: Place<'_>) -> Option<Tree> {
    match place.kind(Some(value)) {
        Kind::Scalar => Some(value.clone()),
        Kind::Atomic => None,
        Kind::Map => {
            let mut kept = Map::new();
            let mut had_matches = false;
            for (name, value) in filled_map(Some(value))? {
                let element = Element::Field(name.into());
                if set.has_member(&element) {
                    continue;
                }
                let below = set.below(&element);
                had_matches |= below.is_some();
                kept.insert(
                    name.clone(),
                    below.map_or_else(|| value.clone(), |below| emptied(value, below, place.child(name))),
                );
            }
            (!kept.is_empty() || had_matches).then_some(Tree::Object(kept))
        }
        Kind::List => {
            let mut kept = Vec::new();
            let mut had_matches = false;
            for item in filled_list(Some(value))? {
                let Ok(element) = place.element(item) else { continue };
                if set.has_member(&element) {
                    continue;
                }
                let below = set.below(&element);
                had_matches |= below.is_some();
                kept.push(below.map_or_else(|| item.clone(), |below| emptied(item, below, place.items())));
            }
            (!kept.is_empty() || had_matches).then_some(Tree::Array(kept))
        }
    }
}

/// What is left of `value`; if that is nothing, an empty one of its kind.
fn emptied(value: &Tree, set: &Set, place: Place<'_>) -> Tree {
    take_away(value, set, place).unwrap_or_else(|| match value {
        Tree::Object(_) => Tree::Object(Map::new()),
        Tree::Array(_) => Tree::Array(Vec::new()),
        _ => Tree::Null,
    })
}
