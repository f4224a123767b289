//! YAML, in and out, laid out as upstream's library does it.
//!
//! Reading turns documents into JSON text, which then goes the way of all JSON. Aliases are
//! limited by the parser, nesting by the JSON reader. Writing sorts keys.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::schema::DecodeError;
use super::super::tree::Tree;
use super::json::write_string;
use super::reader::DEPTH_MAX;

mod write;

pub use write::to_yaml;

/// One document as JSON text; `null` if there is nothing in it.
pub fn to_json(text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(text.len() * 2);
    let seed = Value { out: &mut out, depth: 0 };
    seed.deserialize(serde_yaml::Deserializer::from_slice(text)).map_err(|error| bad(&error))?;
    Ok(out)
}

/// Every document that is not empty, as JSON text.
pub fn documents(text: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_slice(text) {
        let mut out = Vec::new();
        Value { out: &mut out, depth: 0 }.deserialize(document).map_err(|error| bad(&error))?;
        if out != b"null" {
            documents.push(out);
        }
    }
    Ok(documents)
}

fn bad(error: &serde_yaml::Error) -> DecodeError {
    DecodeError::Syntax(format!("error converting YAML to JSON: yaml: {error}"))
}

/// A value that is written as JSON while it is read.
struct Value<'o> {
    out: &'o mut Vec<u8>,
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.out.extend(value.to_string().bytes());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.out.extend(value.to_string().bytes());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.out.extend(value.to_string().bytes());
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(E::custom(format!("unsupported value: {value}")));
        }
        self.out.extend(super::json::to_json(&value.into(), None));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        write_string(self.out, value);
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.out.extend(b"null");
        Ok(())
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = deeper(self.depth)?;
        self.out.push(b'[');
        let start = self.out.len();
        loop {
            let mark = self.out.len();
            if mark > start {
                self.out.push(b',');
            }
            if items.next_element_seed(Value { out: self.out, depth })?.is_none() {
                self.out.truncate(mark);
                break;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let depth = deeper(self.depth)?;
        self.out.push(b'{');
        let start = self.out.len();
        while let Some(Key(key)) = entries.next_key()? {
            if self.out.len() > start {
                self.out.push(b',');
            }
            write_string(self.out, &key);
            self.out.push(b':');
            entries.next_value_seed(Value { out: self.out, depth })?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn deeper<E: serde::de::Error>(depth: u32) -> Result<u32, E> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(E::custom("exceeded max depth")) }
}

/// A key: text, or a scalar that is turned into text as upstream does.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Tree::deserialize(deserializer)? {
            Tree::String(text) => Ok(Self(text)),
            scalar @ (Tree::Bool(_) | Tree::Number(_)) => Ok(Self(scalar.to_string())),
            other => Err(serde::de::Error::custom(format!("unsupported map key of type {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_json_and_empty_ones_are_left_out() {
        let text = b"# nothing\n---\na: {b: [1, 2.5, x, null, \"true\"], 1: yes}\n---\n---\n- c\n";
        let read = documents(text).unwrap();
        assert_eq!(read, [&br#"{"a":{"b":[1,2.5,"x",null,"true"],"1":"yes"}}"#[..], br#"["c"]"#]);
    }

    #[test]
    fn alias_bombs_and_nonsense_are_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..10 {
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","));
        }
        assert!(to_json(bomb.as_bytes()).is_err());
        assert!(to_json(b"a: [").is_err());
    }

    #[test]
    fn strings_are_quoted_only_where_they_would_mean_something_else() {
        let tree = serde_json::json!({
            "plain": "some text: no", "bool": "yes", "number": "1e3", "empty": "", "date": "2026-01-02", "colon": "a:b",
            "lines": "one\ntwo\n", "chomped": "one\n\ntwo", "hash": "a #b", "star": "*a", "quote": "'", "tab": "a\tb", "space": " a",
            "list": [{"a": 1, "b": [[]]}, {}, [1]], "none": null, "dash": "-", "version": "1.2.3", "key yes": {"on": true},
        });
        expect_test::expect![[r#"
            bool: "yes"
            chomped: |-
              one

              two
            colon: a:b
            dash: '-'
            date: "2026-01-02"
            empty: ""
            hash: 'a #b'
            key yes:
              "on": true
            lines: |
              one
              two
            list:
            - a: 1
              b:
              - []
            - {}
            - - 1
            none: null
            number: "1e3"
            plain: 'some text: no'
            quote: ''''
            space: ' a'
            star: '*a'
            tab: "a\tb"
            version: 1.2.3
        "#]]
        .assert_eq(&to_yaml(&tree));
    }

    #[test]
    fn long_lines_are_folded_at_spaces() {
        let words = vec!["0123456789"; 12].join(" ");
        let text = to_yaml(&serde_json::json!({ "message": words }));
        assert_eq!(text.lines().count(), 2);
        assert_eq!(to_json(text.as_bytes()).unwrap(), format!(r#"{{"message":"{words}"}}"#).as_bytes());
    }
}
