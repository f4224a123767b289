//! Values in upstream's inner form, as some of its complaints show them: names as in Go, every field
//! in the order of its type, absent ones as `null` or zero.
//!
//! `inner.txt` lists the types: a line with a type's name, then one a field with its name in Go, its
//! kind, and its JSON name where that is not just the name with a small first letter. Kinds: `s` text,
//! `i` number, `b` flag, `q` quantity, `bytes`, a type; before them `?` may be absent, `~` left out when
//! empty, `[` list of, `{` map of. `^` before a JSON name: the field is beside the struct, not in it.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::object::diff;
use crate::object::tree::{Tree, TreePath};

struct Field {
    name: &'static str,
    kind: &'static str,
    json: String,
}

static TYPES: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let mut types: HashMap<&str, Vec<Field>> = HashMap::new();
    let mut current = "";
    for line in include_str!("inner.txt").lines() {
        let Some(field) = line.strip_prefix(' ') else {
            current = line;
            continue;
        };
        let mut parts = field.split(' ');
        let (Some(name), Some(kind)) = (parts.next(), parts.next()) else { continue };
        let json = parts.next().map_or_else(|| format!("{}{}", name[..1].to_lowercase(), &name[1..]), str::to_owned);
        types.entry(current).or_default().push(Field { name, kind, json });
    }
    types
});

/// On one line.
pub fn compact(kind: &str, value: &Tree) -> String {
    let mut writer = Writer { out: String::new(), depth: None };
    writer.value(kind, Some(value), value);
    writer.out
}

/// What changed between two values of a type, as hunks of their indented forms.
pub fn difference(kind: &str, old: &Tree, new: &Tree) -> String {
    let pretty = |value: &Tree| {
        let mut writer = Writer { out: String::new(), depth: Some(0) };
        writer.value(kind, Some(value), value);
        writer.out
    };
    diff::unified(&pretty(old), &pretty(new))
}

struct Writer {
    out: String,
    /// How deep the lines are indented; `None` if everything goes on one.
    depth: Option<usize>,
}

impl Writer {
    fn value(&mut self, kind: &str, value: Option<&Tree>, around: &Tree) {
        let value = value.filter(|value| !value.is_null());
        if let Some(kind) = kind.strip_prefix('?') {
            return match value {
                Some(value) => self.value(kind, Some(value), around),
                None => self.out.push_str("null"),
            };
        }
        match (kind.as_bytes().first(), value) {
            (Some(b'~'), _) => self.value(&kind[1..], value, around),
            (Some(b'['), value) => match value.and_then(Tree::as_array).filter(|items| !items.is_empty()) {
                Some(items) => {
                    let items = items.iter().map(|item| (None, item));
                    self.block('[', ']', items, |writer, item| writer.value(&kind[1..], Some(item), item));
                }
                None => self.out.push_str("null"),
            },
            (Some(b'{'), value) => match value.and_then(Tree::as_object).filter(|map| !map.is_empty()) {
                Some(map) => {
                    let entries = map.iter().map(|(key, value)| (Some(key.as_str()), value));
                    self.block('{', '}', entries, |writer, value| writer.value(&kind[1..], Some(value), value));
                }
                None => self.out.push_str("null"),
            },
            _ => match (TYPES.get(kind), kind) {
                (Some(fields), _) => self.fields(fields, value.unwrap_or(&Tree::Null), around),
                (None, "i") => self.scalar(value, "0"),
                (None, "b") => self.scalar(value, "false"),
                (None, "q") => self.scalar(value, "\"0\""),
                (None, "bytes") => self.scalar(value, "null"),
                (None, _) => self.scalar(value, "\"\""),
            },
        }
    }

    fn fields(&mut self, fields: &[Field], value: &Tree, around: &Tree) {
        let mut entries: Vec<(Option<&str>, (&str, Option<&Tree>))> = Vec::new();
        for field in fields {
            let found = match field.json.strip_prefix('^') {
                Some(beside) => around.get(beside),
                None => value.get(&field.json),
            };
            match field.kind {
                "meta" => {
                    let inlined = found.and_then(Tree::as_object).into_iter().flatten();
                    entries.extend(inlined.map(|(key, value)| (Some(key.as_str()), ("s", Some(value)))));
                }
                kind if kind.starts_with('~') && found.is_none_or(is_nothing) => (),
                kind => entries.push((Some(field.name), (kind, found))),
            }
        }
        // Only a pod's security context has fields beside it, in the spec that it is in.
        self.block('{', '}', entries.into_iter(), |writer, (kind, found)| writer.value(kind, found, value));
    }

    fn block<'k, T>(
        &mut self,
        open: char,
        close: char,
        entries: impl Iterator<Item = (Option<&'k str>, T)>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.out.push(open);
        self.depth = self.depth.map(|depth| depth + 1);
        let mut any = false;
        for (key, entry) in entries {
            if any {
                self.out.push(',');
            }
            any = true;
            self.line();
            if let Some(key) = key {
                self.out.push_str(&quoted(key));
                self.out.push_str(if self.depth.is_some() { ": " } else { ":" });
            }
            write(self, entry);
        }
        self.depth = self.depth.map(|depth| depth - 1);
        if any {
            self.line();
        }
        self.out.push(close);
    }

    fn line(&mut self) {
        if let Some(depth) = self.depth {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', depth));
        }
    }

    fn scalar(&mut self, value: Option<&Tree>, zero: &str) {
        match value {
            Some(Tree::String(text)) => self.out.push_str(&quoted(text)),
            Some(other) => self.out.push_str(&other.to_string()),
            None => self.out.push_str(zero),
        }
    }
}

fn is_nothing(value: &Tree) -> bool {
    match value {
        Tree::Array(items) => items.is_empty(),
        Tree::Object(map) => map.is_empty(),
        other => other.is_null(),
    }
}

/// A JSON string as Go writes it, safe in HTML.
fn quoted(text: &str) -> String {
    let plain = Tree::from(text).to_string();
    plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// What a pod's spec changed in, in the inner form.
pub fn pod_difference(old: &Tree, new: &Tree) -> String {
    let shown = |spec: &Tree| {
        let mut spec = spec.clone();
        // The inner spec always has a security context.
        spec.set_default("securityContext", Tree::Object(Default::default()));
        spec
    };
    difference("PodSpec", &shown(old), &shown(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn every_field_is_shown_in_order_and_absent_ones_too() {
        let spec = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 30}});
        assert_eq!(
            compact("PriorityLevelConfigurationSpec", &spec),
            r#"{"Type":"Limited","Limited":{"NominalConcurrencyShares":30,"LimitResponse":{"Type":"","Queuing":null},"LendablePercent":null,"BorrowingLimitPercent":null},"Exempt":null}"#
        );
    }

    #[test]
    fn a_selector_keeps_its_own_names_and_leaves_out_what_is_empty() {
        let selector = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}], "matchLabels": {"b": "c"}});
        let shown = r#"{"matchLabels":{"b":"c"},"matchExpressions":[{"key":"a","operator":"Exists"}]}"#;
        assert_eq!(compact("selector", &selector), shown);
    }

    #[test]
    fn a_changed_path_shows_with_its_neighbours() {
        let volume = |path: &str| json!({"hostPath": {"path": path, "type": ""}});
        assert_eq!(
            difference("PersistentVolumeSource", &volume("/x"), &volume("/y")),
            "@@ -2,7 +2,7 @@\n  \"GCEPersistentDisk\": null,\n  \"AWSElasticBlockStore\": null,\n  \"HostPath\": {\n\
             -  \"Path\": \"/x\",\n+  \"Path\": \"/y\",\n   \"Type\": \"\"\n  },\n  \"Glusterfs\": null,\n"
        );
    }
}
