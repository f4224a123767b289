//! Trees to and from typed values, through serde.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Map, Name, Tree};

/// Reads a tree as `T`, as `T` would be read from the tree's JSON.
pub fn from_tree<T: DeserializeOwned>(tree: &Tree) -> Result<T, Mismatch> {
    T::deserialize(tree)
}

/// Writes a value as a tree; `null` if it has no form in JSON.
pub fn to_tree<T: Serialize>(value: &T) -> Tree {
    serde_json::to_value(value).map(Tree::from).unwrap_or_default()
}

/// Why a tree does not fit a type.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(String);

impl serde::de::Error for Mismatch {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        match found {
            Unexpected::Unit => Self(format!("invalid type: null, expected {expected}")),
            found => Self(format!("invalid type: {found}, expected {expected}")),
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => items.serialize(serializer),
            Self::Object(map) => map.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self {
            written.serialize_entry(name, value)?;
        }
        written.end()
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyTree)
    }
}

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Tree::deserialize(deserializer)? {
            Tree::Object(map) => Ok(map),
            Tree::Null => Err(D::Error::invalid_type(Unexpected::Unit, &"a map")),
            _ => Err(D::Error::invalid_type(Unexpected::Other("something else"), &"a map")),
        }
    }
}

struct AnyTree;

impl<'de> Visitor<'de> for AnyTree {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Tree::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<Name, Tree>()? {
            map.insert(name, value);
        }
        Ok(Tree::Object(map))
    }
}

impl<'de> Deserializer<'de> for &'de Tree {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(flag) => visitor.visit_bool(*flag),
            Tree::Number(number) => number.deserialize_any(visitor).map_err(Mismatch::custom),
            Tree::String(text) => visitor.visit_borrowed_str(text),
            Tree::Array(items) => {
                let mut access = SeqDeserializer::new(items.iter());
                let read = visitor.visit_seq(&mut access)?;
                access.end()?;
                Ok(read)
            }
            Tree::Object(map) => {
                let mut access = MapDeserializer::new(map.iter());
                let read = visitor.visit_map(&mut access)?;
                access.end()?;
                Ok(read)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Tree::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let (name, content) = match self {
            Tree::String(text) => (text.as_str(), None),
            Tree::Object(map) if map.len() == 1 => {
                let (name, content) = map.iter().next().ok_or_else(|| Mismatch::custom("an empty map"))?;
                (name.as_str(), Some(content))
            }
            _ => return Err(Mismatch::custom("a text, or a map of one entry, is expected")),
        };
        visitor.visit_enum(Variant { name, content })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Mismatch> for &'de Tree {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> IntoDeserializer<'de, Mismatch> for &'de Name {
    type Deserializer = serde::de::value::BorrowedStrDeserializer<'de, Mismatch>;

    fn into_deserializer(self) -> Self::Deserializer {
        serde::de::value::BorrowedStrDeserializer::new(self)
    }
}

struct Variant<'de> {
    name: &'de str,
    content: Option<&'de Tree>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Mismatch;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'de>), Mismatch> {
        let name = serde::de::value::BorrowedStrDeserializer::<Mismatch>::new(self.name);
        Ok((seed.deserialize(name)?, Content(self.content)))
    }
}

struct Content<'de>(Option<&'de Tree>);

impl<'de> Content<'de> {
    fn here(self) -> Result<&'de Tree, Mismatch> {
        self.0.ok_or_else(|| Mismatch::custom("a variant lacks its content"))
    }
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        match self.0 {
            None | Some(Tree::Null) => Ok(()),
            Some(_) => Err(Mismatch::custom("a variant has content that it should not have")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mismatch> {
        seed.deserialize(self.here()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.here()?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Mismatch> {
        self.here()?.deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    enum Shape {
        Dot,
        Circle(f64),
        Named { name: String },
    }

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Drawing {
        shapes: Vec<Shape>,
        note: Option<String>,
        size: (i32, u8),
        rest: Tree,
    }

    #[test]
    fn typed_values_are_read_and_written_as_from_json() {
        let tree = json!({"shapes": ["Dot", {"Circle": 2.5}, {"Named": {"name": "x"}}], "note": null, "size": [-1, 2],
            "rest": {"a": [1, {"b": true}]}});
        let drawing: Drawing = from_tree(&tree).unwrap();
        assert_eq!(drawing.shapes[2], Shape::Named { name: "x".into() });
        assert_eq!((drawing.size, &drawing.rest["a"][1]["b"]), ((-1, 2), &Tree::Bool(true)));
        assert_eq!(to_tree(&drawing), tree);
        let text = serde_json::to_string(&tree).unwrap();
        assert_eq!(serde_json::from_str::<Tree>(&text).unwrap(), tree);
        let wrong = from_tree::<Drawing>(&json!({"shapes": 1})).unwrap_err();
        assert_eq!(wrong.to_string(), "invalid type: integer `1`, expected a sequence");
    }
}
