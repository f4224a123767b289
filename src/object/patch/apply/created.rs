//! What the creator of an object owns, written down at once.
//!
//! Most writes of a busy cluster are creates, and all that one of them has to know is what the object
//! has and its kind does not begin with. So no sets are made and compared; what comes out is what
//! comparing with an empty object gives.

use crate::object::tree::{Map, Name, Tree};

use super::set::{Element, Set};
use super::typed::{Kind, Place, filled_list, filled_map};

/// Fields that nobody comes to own by a create.
#[derive(Clone, Copy)]
pub struct Hidden<'s> {
    /// With everything below them.
    pub whole: Option<&'s Set>,
    /// Themselves; what is below them may be owned.
    pub alone: Option<&'s Set>,
}

/// The `fieldsV1` of whoever creates `new`, where an object of the kind begins as `empty`.
pub fn fields_of_created(new: &Tree, empty: &Tree, place: Place<'_>, hidden: Hidden<'_>) -> Map {
    below(Some(empty), new, place, hidden, false)
}

fn below(old: Option<&Tree>, new: &Tree, place: Place<'_>, hidden: Hidden<'_>, of_member: bool) -> Map {
    let kind = place.kind(Some(new));
    let mut fields = match kind {
        Kind::Scalar | Kind::Atomic => return Map::new(),
        _ if is_leaf(kind, old, new, place) => return Map::new(),
        Kind::Map => of_map(filled_map(old), filled_map(Some(new)), place, hidden),
        Kind::List => of_list(filled_list(Some(new)), place, hidden),
    };
    if of_member && !fields.is_empty() {
        fields.insert(".".into(), Tree::Object(Map::new()));
    }
    fields
}

/// Whether a value that is there from the beginning can only change as a whole.
fn is_leaf(kind: Kind, old: Option<&Tree>, new: &Tree, place: Place<'_>) -> bool {
    let Some(old) = old else { return false };
    match kind {
        Kind::Scalar | Kind::Atomic => true,
        _ if place.kind(Some(old)) != kind => true,
        Kind::Map => filled_map(Some(old)).is_none() && filled_map(Some(new)).is_none(),
        Kind::List => filled_list(Some(old)).is_none() && filled_list(Some(new)).is_none(),
    }
}

fn of_map(old: Option<&Map>, new: Option<&Map>, place: Place<'_>, hidden: Hidden<'_>) -> Map {
    let mut all = Map::with_capacity(new.map_or(0, |new| new.len() + 1));
    for (name, value) in new.into_iter().flatten() {
        let (hidden, is_whole, is_alone) = hidden.step(name);
        if is_whole {
            continue;
        }
        let (old, place) = (old.and_then(|old| old.get(name)), place.child(name));
        let is_new = old.is_none_or(|old| is_leaf(place.kind(Some(value)), Some(old), value, place) && old != value);
        let is_member = is_new && !is_alone;
        let fields = below(old, value, place, hidden, is_member);
        if is_member || !fields.is_empty() {
            all.insert(["f:", name].concat().into(), Tree::Object(fields));
        }
    }
    all
}

/// The elements of a list, of which an empty object has none. What stands there twice has no fields of its own.
fn of_list(new: Option<&[Tree]>, place: Place<'_>, hidden: Hidden<'_>) -> Map {
    debug_assert!(hidden.is_empty(), "fields of elements are never hidden");
    let items = new.into_iter().flatten();
    let mut items: Vec<(Element, &Tree)> = items.filter_map(|item| Some((place.element(item).ok()?, item))).collect();
    items.sort_by(|one, two| one.0.cmp(&two.0));
    let same = items.chunk_by(|one, two| one.0 == two.0);
    same.filter_map(|same| {
        let fields = match same {
            [(_, item)] => below(None, item, place.items(), hidden, true),
            _ => Map::new(),
        };
        Some((Name::from(same.first()?.0.write()), Tree::Object(fields)))
    })
    .collect()
}

impl Hidden<'_> {
    fn is_empty(self) -> bool {
        self.whole.or(self.alone).is_none()
    }

    /// What is hidden below a field, and whether it is itself: with all below it, or alone.
    fn step(self, name: &str) -> (Self, bool, bool) {
        let (whole, is_whole) = self.whole.map_or((None, false), |set| set.field(name));
        let (alone, is_alone) = self.alone.map_or((None, false), |set| set.field(name));
        (Self { whole, alone }, is_whole, is_alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::patch::apply::{Comparison, NOT_OWNED_SET, compare};
    use crate::object::schema::{Schema, Shape, builtin, zeroes};
    use crate::object::tree::{Number, json};

    /// A value with every field, lists of three of which the last stands there twice, and so on down.
    fn sample(schema: Schema<'_>, number: i64, depth: usize) -> Tree {
        let items = |schema: Schema<'_>| [1, 2, 2].map(|number| sample(schema, number, depth - 1)).to_vec();
        match schema.shape() {
            Shape::Struct { .. } | Shape::Map { .. } | Shape::List { .. } if depth == 0 => Tree::Null,
            Shape::Struct { fields, .. } => fields
                .iter()
                .map(|field| (field.name.clone(), sample(schema.to(field.node), number, depth - 1)))
                .collect::<Map>()
                .into(),
            Shape::Map { values, .. } => {
                json!({"a.b/c": sample(schema.to(*values), number, depth - 1), "d": Tree::Null})
            }
            Shape::List { items: item, .. } => items(schema.to(*item)).into(),
            Shape::Int32 | Shape::Int64 | Shape::Number | Shape::IntOrString => Tree::Number(Number::from(number)),
            Shape::Bool => Tree::Bool(number > 1),
            Shape::Any(_) => json!({"f:any": {"x": number}, "list": [number]}),
            _ => format!("text {number}").into(),
        }
    }

    #[test]
    fn every_kind_has_what_a_comparison_with_an_empty_object_finds() {
        let resets = [Set::default(), Set::of(&["status", "metadata.labels"])];
        let (mut kinds, mut fields) = (0, 0);
        for (kind, id) in &builtin().kinds {
            let schema = Schema { types: builtin(), id: *id };
            let (place, empty) = (Place(Some(schema)), zeroes(schema));
            let full = sample(schema, 1, 7);
            let halves = [true, false].map(|keeps| {
                let entries = full.as_object().into_iter().flatten();
                entries
                    .filter(|(name, _)| (name.len() % 2 == 0) == keeps)
                    .map(|(n, v)| (n.clone(), v.clone()))
                    .collect()
            });
            for object in [full.clone(), empty.clone()].into_iter().chain(halves.map(|half: Map| half.into())) {
                for reset in &resets {
                    let Comparison { modified, added, .. } = compare(&empty, &object, place).without(reset);
                    let wanted = modified.union(added).difference(&NOT_OWNED_SET).to_fields();
                    let hidden = Hidden { whole: Some(reset), alone: Some(&NOT_OWNED_SET) };
                    let found = Tree::Object(fields_of_created(&object, &empty, place, hidden));
                    assert_eq!(found, wanted, "{kind}");
                    fields += found.to_string().matches(':').count();
                }
            }
            kinds += 1;
        }
        assert!(kinds > 60 && fields > 10_000, "{kinds} kinds, {fields} fields");
    }
}
