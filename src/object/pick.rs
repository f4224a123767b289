//! One value out of JSON text, without reading the rest into anything.
//!
//! Selectors look at one field of every object and of every event of a watch: most of an object is
//! skipped over at the speed of reading it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::tree::Tree;

/// The value at the dotted `path`; `None` where there is nothing, or no JSON.
pub fn pick(json: &[u8], path: &str) -> Option<Tree> {
    let steps: Vec<&str> = path.split('.').collect();
    Walk(&steps).deserialize(&mut serde_json::Deserializer::from_slice(json)).ok().flatten()
}

/// What is left of the way.
struct Walk<'p>(&'p [&'p str]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<Tree>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => <Tree as serde::Deserialize>::deserialize(deserializer).map(Some),
            _ => deserializer.deserialize_any(self),
        }
    }
}

/// What is not a map leads nowhere.
macro_rules! dead_ends {
    ($($name:ident($($of:ty)?),)*) => {$(
        fn $name<E>(self $(, _: $of)?) -> Result<Self::Value, E> {
            Ok(None)
        }
    )*};
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<Tree>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if self.0.first() == Some(&&*key) {
                found = map.next_value_seed(Walk(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    dead_ends! {
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_f64(f64),
        visit_str(&str),
        visit_unit(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_through_maps_alone() {
        let json = br#"{"kind":"Pod","spec":{"list":[{"nodeName":"x"}],"nodeName":"n1","n":null},"status":{"phase":"Running"}}"#;
        assert_eq!(pick(json, "spec.nodeName"), Some("n1".into()));
        assert_eq!(pick(json, "status.phase"), Some("Running".into()));
        assert_eq!(pick(json, "spec.list.nodeName"), None);
        assert_eq!(pick(json, "kind.spec"), None);
        assert_eq!(pick(json, "spec.n"), Some(Tree::Null));
        assert_eq!(pick(b"{", "spec"), None);
    }
}
