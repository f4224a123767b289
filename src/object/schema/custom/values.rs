//! Values against their schema, with the complaints of upstream's validator, in its order.
//!
//! On updates, what was invalid before and has not changed is let pass ("ratcheting").

use super::change::{correlated, is_unchanged};
use super::format;
use super::go_number;
use super::props::{Additional, Props};
use crate::object::field::{Complaint, FieldErrors};
use crate::object::tree::{Map, Tree};

/// Complains of everything in `value` that `schema` does not allow.
///
/// With `old`, unchanged parts of the object may stay as wrong as they were.
pub fn validate(value: &Tree, old: Option<&Tree>, schema: &Props, errors: &mut FieldErrors) {
    let found = check(value, old, schema, "");
    errors.list.extend(found.errors.list);
}

/// What checking one value found.
#[derive(Default)]
struct Found {
    errors: FieldErrors,
    /// Checks that were made: upstream tells of the alternative that went furthest.
    checks: usize,
}

impl Found {
    fn merge(&mut self, other: Self) {
        self.errors.list.extend(other.errors.list);
        self.checks += other.checks;
    }

    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// A complaint about the value as a whole, which upstream reports without a place.
    fn whole(&mut self, message: String) {
        self.errors.invalid("<nil>", "", message);
    }

    fn wrong_type(&mut self, path: &str, wanted: &str, got: &str) {
        let message = format!("{path} in body must be of type {wanted}: {got:?}");
        self.errors.push(Complaint::TypeInvalid, place(path), message, Some(got.into()));
    }

    fn invalid(&mut self, path: &str, value: impl Into<Tree>, message: impl std::fmt::Display) {
        self.errors.invalid(place(path), value, format!("{path} in body {message}"));
    }
}

fn place(path: &str) -> String {
    match path.strip_prefix('.').unwrap_or(path) {
        "" => "<nil>".into(),
        path => path.into(),
    }
}

fn check(value: &Tree, old: Option<&Tree>, schema: &Props, path: &str) -> Found {
    let mut found = Found::default();
    check_type(value, schema, path, &mut found);
    if value.is_null() {
        check_enum(value, schema, path, &mut found);
        return found;
    }
    check_combinations(value, schema, path, &mut found);
    match value {
        Tree::String(text) => {
            check_string(text, schema, path, &mut found);
            check_format(text, schema, path, &mut found);
        }
        Tree::Number(_) => check_number(value, schema, path, &mut found),
        Tree::Array(list) => check_list(list, old, schema, path, &mut found),
        _ => (),
    }
    check_enum(value, schema, path, &mut found);
    if let Tree::Object(map) = value {
        check_map(map, old, schema, path, &mut found);
    }
    found.checks += 2;
    if !found.is_valid() && old.is_some_and(|old| is_unchanged(value, old, schema)) {
        found.errors = FieldErrors::default();
    }
    found
}

fn type_name(value: &Tree) -> &'static str {
    match value {
        Tree::Null => "null",
        Tree::Bool(_) => "boolean",
        Tree::Number(number) if number.is_f64() => "number",
        Tree::Number(_) => "integer",
        Tree::String(_) => "string",
        Tree::Array(_) => "array",
        Tree::Object(_) => "object",
    }
}

fn check_type(value: &Tree, schema: &Props, path: &str, found: &mut Found) {
    found.checks += 1;
    let wanted = schema.types();
    let got = type_name(value);
    if wanted.is_empty() || wanted.contains(&got) || (value.is_null() && schema.nullable) {
        return;
    }
    let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    if (got == "integer" && wanted.contains(&"number")) || (is_whole && wanted.contains(&"integer")) {
        return;
    }
    let format = format::of(schema);
    let is_numeric = wanted.contains(&"number") || wanted.contains(&"integer");
    match got {
        "null" => found.wrong_type(path, &wanted.join(","), got),
        "string" | "array" if !format.is_empty() && !is_numeric => (),
        "string" | "array" => found.wrong_type(path, &wanted.join(","), got),
        _ if !format.is_empty() => {
            let shown = match got {
                "integer" => "int64",
                "number" => "float64",
                _ => "",
            };
            found.wrong_type(path, format, shown);
        }
        _ => found.wrong_type(path, &wanted.join(","), got),
    }
}

fn check_combinations(value: &Tree, schema: &Props, path: &str, found: &mut Found) {
    let quoted = || format!("{path:?}");
    if !schema.any_of.is_empty() {
        let tried = try_each(value, &schema.any_of, path);
        match tried.into_iter().reduce(better) {
            Some(best) if best.is_valid() => found.merge(best),
            Some(best) => {
                found.whole(format!("{} must validate at least one schema (anyOf)", quoted()));
                found.merge(best);
            }
            None => (),
        }
    }
    if !schema.one_of.is_empty() {
        let tried = try_each(value, &schema.one_of, path);
        let valid = tried.iter().filter(|one| one.is_valid()).count();
        let best = tried.into_iter().reduce(better);
        let told = match valid {
            0 => "Found none valid".to_owned(),
            count => format!("Found {count} valid alternatives"),
        };
        if valid != 1 {
            found.whole(format!("{} must validate one and only one schema (oneOf). {told}", quoted()));
        }
        found.merge(best.unwrap_or_default());
    }
    if !schema.all_of.is_empty() {
        let tried = try_each(value, &schema.all_of, path);
        let valid = tried.iter().filter(|one| one.is_valid()).count();
        let all = tried.len();
        tried.into_iter().for_each(|one| found.merge(one));
        if valid != all {
            let none = if valid == 0 { ". None validated" } else { "" };
            found.whole(format!("{} must validate all the schemas (allOf){none}", quoted()));
        }
    }
    if let Some(not) = &schema.not
        && check(value, None, not, path).is_valid()
    {
        found.whole(format!("{} must not validate the schema (not)", quoted()));
    }
    found.checks += 1;
}

fn try_each(value: &Tree, schemas: &[Props], path: &str) -> Vec<Found> {
    schemas.iter().map(|schema| check(value, None, schema, path)).collect()
}

/// The alternative to tell of: a valid one, else the one that went furthest, else the first.
fn better(best: Found, next: Found) -> Found {
    match (best.is_valid(), next.is_valid()) {
        (true, _) => best,
        (false, true) => next,
        _ if next.checks > best.checks => next,
        _ => best,
    }
}

fn check_string(text: &str, schema: &Props, path: &str, found: &mut Found) {
    found.checks += 1;
    let len = text.chars().count() as u64;
    if let Some(max) = schema.max_length.filter(|max| len > *max) {
        found.errors.too_long(place(path), max as usize);
    } else if let Some(min) = schema.min_length.filter(|min| len < *min) {
        found.invalid(path, text, format!("should be at least {min} chars long"));
    } else if !schema.pattern.is_empty() && !schema.regex().is_some_and(|regex| regex.is_match(text)) {
        found.invalid(path, text, format!("should match '{}'", schema.pattern));
    }
}

fn check_format(text: &str, schema: &Props, path: &str, found: &mut Found) {
    let format = format::of(schema);
    if !format.is_empty() && !format::fits(format, text) {
        found.wrong_type(path, &schema.format, text);
    }
}

fn check_number(value: &Tree, schema: &Props, path: &str, found: &mut Found) {
    found.checks += 1;
    let number = value.as_f64().unwrap_or_default();
    if let Some(complaint) = out_of_range(value, schema) {
        found.whole(format!("Checked value must be of type {complaint} in {path}"));
    }
    if let Some(factor) = schema.multiple_of {
        if factor <= 0.0 {
            found.invalid(
                path,
                "",
                format!("factor MultipleOf declared for {path} must be positive: {}", go_number(factor)),
            );
        } else if !is_multiple(value, factor) {
            found.invalid(path, value.clone(), format!("should be a multiple of {}", go_number(factor)));
        }
    }
    let minimum = schema.minimum.map(|limit| (limit, schema.exclusive_minimum, number < limit));
    match minimum {
        Some((limit, true, below)) if below || number == limit => {
            found.invalid(path, value.clone(), format!("should be greater than {}", go_number(limit)));
        }
        Some((limit, false, true)) => {
            found.invalid(path, value.clone(), format!("should be greater than or equal to {}", go_number(limit)));
        }
        _ => (),
    }
    let maximum = schema.maximum.map(|limit| (limit, schema.exclusive_maximum, number > limit));
    match maximum {
        Some((limit, true, above)) if above || number == limit => {
            found.invalid(path, value.clone(), format!("should be less than {}", go_number(limit)));
        }
        Some((limit, false, true)) => {
            found.invalid(path, value.clone(), format!("should be less than or equal to {}", go_number(limit)));
        }
        _ => (),
    }
}

/// What a number had to be, where it is not in the range of its type and format.
fn out_of_range(value: &Tree, schema: &Props) -> Option<&'static str> {
    let types = schema.types();
    let whole = value.as_i64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64));
    match (types, schema.format.as_str()) {
        (["integer"], "int32") if whole.is_none_or(|n| i32::try_from(n).is_err()) => Some("integer with format int32"),
        (["integer"], "int64") if whole.is_none() => Some("integer with format int64"),
        (["integer"], format) if !matches!(format, "int32" | "int64") && whole.is_none() => {
            Some("integer (default format)")
        }
        (["number"], "float") if value.as_f64().is_some_and(|n| n.abs() > f64::from(f32::MAX)) => {
            Some("number with format float")
        }
        _ => None,
    }
}

fn is_multiple(value: &Tree, factor: f64) -> bool {
    match value.as_i64() {
        Some(number) if factor.fract() == 0.0 => number % factor as i64 == 0,
        _ => {
            let number = value.as_f64().unwrap_or_default();
            let times = if factor < 1.0 { 1.0 / factor * number } else { number / factor };
            (times - times.round()).abs() < 1e-9
        }
    }
}

fn check_list(list: &[Tree], old: Option<&Tree>, schema: &Props, path: &str, found: &mut Found) {
    let size = list.len() as u64;
    if let Some(items) = &schema.items {
        for (at, item) in list.iter().enumerate() {
            let before = old.and_then(|old| correlated(item, old, schema));
            found.merge(check(item, before, items, &format!("{path}[{at}]")));
        }
    }
    if let Some(min) = schema.min_items.filter(|min| size < *min) {
        found.invalid(path, size, format!("should have at least {min} items"));
    }
    if let Some(max) = schema.max_items.filter(|max| size > *max) {
        found.errors.too_many(place(path), list.len(), max as usize);
    }
    if schema.unique_items && (1..list.len()).any(|at| list[..at].contains(&list[at])) {
        found.invalid(path, "", "shouldn't contain duplicates");
    }
    found.checks += 2;
}

fn check_enum(value: &Tree, schema: &Props, path: &str, found: &mut Found) {
    let is_listed = |allowed: &Tree| allowed == value || (value.is_number() && allowed.as_f64() == value.as_f64());
    if schema.r#enum.is_empty() || schema.r#enum.iter().any(is_listed) {
        return;
    }
    let shown = |allowed: &Tree| allowed.as_str().map_or_else(|| allowed.to_string(), str::to_owned);
    let allowed: Vec<String> = schema.r#enum.iter().map(shown).collect();
    let names: Vec<&str> = allowed.iter().map(String::as_str).collect();
    found.errors.not_supported(place(path), value.clone(), &names);
}

fn check_map(map: &Map, old: Option<&Tree>, schema: &Props, path: &str, found: &mut Found) {
    let size = map.len() as u64;
    if let Some(min) = schema.min_properties.filter(|min| size < *min) {
        found.invalid(path, size, format!("should have at least {min} properties"));
    }
    if let Some(max) = schema.max_properties.filter(|max| size > *max) {
        found.errors.too_many(place(path), map.len(), max as usize);
    }
    let before = |key: &str| {
        // The type of the object itself has to be right always.
        let is_type = path.is_empty() && matches!(key, "kind" | "apiVersion");
        old.filter(|_| !is_type).and_then(|old| old.get(key))
    };
    for (key, inner) in map.iter().filter(|(key, _)| !schema.properties.contains_key(key.as_str())) {
        match schema.additional_properties.as_deref() {
            Some(Additional::Allowed(false)) => {
                let message = format!("{path}.{key} in body is a forbidden property");
                found.errors.invalid(place(path), key.as_str(), message);
            }
            Some(Additional::Schema(values)) => {
                found.merge(check(inner, before(key), values, &format!("{path}.{key}")));
            }
            _ => (),
        }
    }
    for (key, child) in &schema.properties {
        let Some(inner) = map.get(key) else { continue };
        let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.merge(check(inner, before(key), child, &here));
    }
    for key in schema.required.iter().filter(|key| !map.contains_key(*key)) {
        found.errors.required(place(&format!("{path}.{key}")), "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    fn told(schema: Tree, value: Tree, old: Option<Tree>) -> Vec<String> {
        let mut errors = FieldErrors::default();
        validate(&value, old.as_ref(), &Props::read(&schema).unwrap(), &mut errors);
        errors.list.into_iter().map(|error| format!("{}: {}", error.field, error.body)).collect()
    }

    fn spec(properties: Tree) -> Tree {
        json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["n"], "properties": properties}}})
    }

    #[test]
    fn each_limit_has_upstreams_words() {
        let schema = spec(json!({
            "n": {"type": "integer", "minimum": 1, "multipleOf": 2}, "s": {"type": "string", "maxLength": 4, "pattern": "^[a-z]+$"},
            "e": {"type": "string", "enum": ["A", "B"]}, "l": {"type": "array", "maxItems": 1, "items": {"type": "string"}},
            "f": {"type": "number", "exclusiveMinimum": true, "minimum": 0}, "d": {"type": "string", "format": "date-time"},
            "x": {"x-kubernetes-int-or-string": true},
        }));
        for (value, message) in [
            (json!({}), "spec.n: Required value"),
            (json!({"n": "x"}), r#"spec.n: Invalid value: "string": spec.n in body must be of type integer: "string""#),
            (json!({"n": 0}), "spec.n: Invalid value: 0: spec.n in body should be greater than or equal to 1"),
            (json!({"n": 3}), "spec.n: Invalid value: 3: spec.n in body should be a multiple of 2"),
            (json!({"n": 2, "s": "abcde"}), "spec.s: Too long: may not be more than 4 bytes"),
            (json!({"n": 2, "s": "A"}), r#"spec.s: Invalid value: "A": spec.s in body should match '^[a-z]+$'"#),
            (json!({"n": 2, "e": "C"}), r#"spec.e: Unsupported value: "C": supported values: "A", "B""#),
            (json!({"n": 2, "f": 0}), "spec.f: Invalid value: 0: spec.f in body should be greater than 0"),
            (json!({"n": 2, "d": "x"}), r#"spec.d: Invalid value: "x": spec.d in body must be of type date-time: "x""#),
            (
                json!({"n": 2, "x": true}),
                r#"spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean""#,
            ),
        ] {
            assert_eq!(told(schema.clone(), json!({ "spec": value }), None), [message]);
        }
    }

    #[test]
    fn what_was_wrong_before_and_did_not_change_may_stay() {
        let schema = spec(json!({"n": {"type": "integer", "minimum": 5}, "m": {"type": "integer"}}));
        let old = json!({"spec": {"n": 1, "m": 1}});
        assert!(told(schema.clone(), json!({"spec": {"n": 1, "m": 2}}), Some(old.clone())).is_empty());
        assert_eq!(told(schema, json!({"spec": {"n": 2, "m": 2}}), Some(old)).len(), 1);
    }

    #[test]
    fn alternatives_are_told_with_the_nearest_one() {
        let schema = json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        let both = json!({"a": 1, "b": 1});
        assert_eq!(
            told(schema, both, None),
            [
                r#"<nil>: Invalid value: "": "" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
            ]
        );
    }
}
