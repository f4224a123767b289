//! Rules in CEL on custom objects (`x-kubernetes-validations`).
//!
//! Each schema's rules are about the value at its place, `self`, and what was there before, `oldSelf`.
//! A rule that speaks of `oldSelf` is only tried where there is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::Quoted;
use crate::object::cel::{Budget, Env, OVER_BUDGET, OVER_LIMIT, Program, Value};
use crate::object::field::{Complaint, FieldErrors};
use crate::object::schema::custom::{Props, Rule};
use crate::object::tree::{Map, Tree, TreePath};

const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// Tries every rule of `schema` on `value`.
pub fn check(value: &Tree, old: Option<&Tree>, schema: &Props, errors: &mut FieldErrors) {
    let mut checking = Checking { budget: Budget::new(Budget::PER_OBJECT), errors, exhausted: false };
    checking.walk(value, old, schema, "", true);
}

struct Checking<'e> {
    budget: Budget,
    errors: &'e mut FieldErrors,
    exhausted: bool,
}

impl Checking<'_> {
    fn walk(&mut self, value: &Tree, old: Option<&Tree>, schema: &Props, path: &str, is_root: bool) {
        if value.is_null() || self.exhausted {
            return;
        }
        if !schema.validations.is_empty() {
            self.rules(value, old, schema, path, is_root);
        }
        match value {
            Tree::Object(map) => {
                for (key, inner) in map {
                    let Some(child) = schema.child(key).filter(|child| child.any(&has_rules)) else { continue };
                    let here = match (schema.properties.contains_key(key.as_str()), path) {
                        (true, "") => key.to_string(),
                        (true, path) => format!("{path}.{key}"),
                        (false, path) => format!("{path}[{key}]"),
                    };
                    self.walk(inner, old.and_then(|old| old.get(key)), child, &here, false);
                }
            }
            Tree::Array(list) => {
                let Some(items) = schema.items.as_deref().filter(|items| items.any(&has_rules)) else { return };
                for (at, item) in list.iter().enumerate() {
                    let before = old.and_then(|old| correlated(item, old, schema));
                    self.walk(item, before, items, &format!("{path}[{at}]"), false);
                }
            }
            _ => (),
        }
    }

    fn rules(&mut self, value: &Tree, old: Option<&Tree>, schema: &Props, path: &str, is_root: bool) {
        let typed = |tree: &Tree| Value::typed(&if is_root { visible(tree, schema) } else { tree.clone() }, schema);
        let (own, before) = (typed(value), old.map(typed));
        for rule in &schema.validations {
            if self.exhausted {
                return;
            }
            self.rule(rule, value, old, (&own, before.as_ref()), schema, path);
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        value: &Tree,
        old: Option<&Tree>,
        (own, before): (&Value, Option<&Value>),
        schema: &Props,
        path: &str,
    ) {
        let place = if path.is_empty() { "<nil>".to_owned() } else { path.to_owned() };
        let kind = schema.r#type.as_str();
        let compiled = rule.compiled();
        let program = match &compiled.rule {
            Ok(program) => program,
            Err(error) => return self.errors.invalid(place, kind, format!("rule compile error: {error}")),
        };
        let is_optional = rule.optional_old_self == Some(true);
        let uses_old = program.refers_to("oldSelf");
        if uses_old && before.is_none() && !is_optional {
            return;
        }
        let mut vars = BTreeMap::from([("self".to_owned(), own.clone())]);
        match (before, is_optional) {
            (before, true) => drop(vars.insert("oldSelf".into(), Value::Optional(before.cloned().map(Arc::new)))),
            (Some(before), false) => drop(vars.insert("oldSelf".into(), before.clone())),
            (None, false) => (),
        }
        let env = Env { vars, ..Env::default() };
        match program.run(&env, &self.budget) {
            Ok(Value::Bool(true)) => return,
            Ok(_) => (),
            Err(error) => return self.failed(&error, rule, place, kind),
        }
        // What is as wrong as it was before may stay.
        if !uses_old && old == Some(value) {
            return;
        }
        let told = match compiled.message.as_ref().map(|message| self.message(message, rule, &env)) {
            None => Ok(None),
            Some(told) => told,
        };
        let place = match (path, rule.field_path.as_str()) {
            (_, "") => place,
            ("", below) => below.trim_start_matches('.').to_owned(),
            (path, below) => format!("{path}.{}", below.trim_start_matches('.')),
        };
        let detail = match told {
            Ok(told) => told.unwrap_or_else(|| match rule.message.trim() {
                "" => format!("failed rule: {}", rule.rule.trim()),
                message => message.to_owned(),
            }),
            Err(why) => {
                self.exhausted = true;
                return self.errors.invalid(place, kind, why);
            }
        };
        let shown = (!matches!(kind, "object" | "array")).then(|| value.clone());
        match rule.reason.as_deref() {
            Some("FieldValueForbidden") => self.errors.forbidden(place, detail),
            Some("FieldValueRequired") => self.errors.required(place, detail),
            Some("FieldValueDuplicate") => self.errors.push(Complaint::Duplicate, place, "", shown),
            _ => self.errors.push(Complaint::Invalid, place, detail, shown),
        }
    }

    fn failed(&mut self, error: &str, rule: &Rule, place: String, kind: &str) {
        let told = if rule.message.is_empty() { rule.rule.trim() } else { rule.message.trim() };
        self.exhausted = error == OVER_BUDGET || error == OVER_LIMIT;
        let detail = match error {
            OVER_BUDGET => OVER_BUDGET.to_owned(),
            OVER_LIMIT => format!(
                "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {told}"
            ),
            _ if error.starts_with("no such overload") => format!(
                "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {told}"
            ),
            _ => format!("{error} evaluating rule: {told}"),
        };
        self.errors.invalid(place, kind, detail);
    }

    /// What a message expression says, if it says something fit to be told. One that costs too much is an error.
    fn message(&self, program: &Program, rule: &Rule, env: &Env<'_>) -> Result<Option<String>, String> {
        let value = match program.run(env, &self.budget) {
            Ok(value) => value,
            Err(why) if why == OVER_BUDGET => {
                return Err(OVER_BUDGET.replacen("validation", "messageExpression evaluation", 1));
            }
            Err(why) if why == OVER_LIMIT => {
                return Err(format!(
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                    Quoted(&rule.message_expression)
                ));
            }
            Err(_) => return Ok(None),
        };
        let text = value.str().unwrap_or_default().trim();
        let is_fit = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
        Ok(is_fit.then(|| text.to_owned()))
    }
}

fn has_rules(schema: &Props) -> bool {
    !schema.validations.is_empty()
}

/// Of an object's metadata, rules see only the names.
fn visible(tree: &Tree, schema: &Props) -> Tree {
    let mut seen = tree.clone();
    if !schema.properties.contains_key("metadata") || tree.has("metadata") {
        let mut meta = Map::new();
        for name in ["name", "generateName"] {
            if let Some(value) = tree.at(&format!("metadata.{name}")) {
                meta.insert(name.into(), value.clone());
            }
        }
        seen.set("metadata", Tree::Object(meta));
    }
    seen
}

fn correlated<'t>(item: &Tree, old: &'t Tree, schema: &Props) -> Option<&'t Tree> {
    if schema.list_type != "map" {
        return None;
    }
    let same = |other: &&Tree| schema.list_map_keys.iter().all(|key| item.get(key) == other.get(key));
    old.as_array()?.iter().find(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    fn told(schema: Tree, value: Tree, old: Option<Tree>) -> Vec<String> {
        let mut errors = FieldErrors::default();
        check(&value, old.as_ref(), &Props::read(&schema).unwrap(), &mut errors);
        errors.0.into_iter().map(|error| format!("{}: {}", error.field, error.body)).collect()
    }

    fn schema() -> Tree {
        json!({"type": "object", "properties": {"spec": {
            "type": "object",
            "properties": {
                "min": {"type": "integer"}, "max": {"type": "integer"},
                "once": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "cannot change"}]},
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-validations": [
                    {"rule": "self.all(t, t.startsWith('t-'))", "messageExpression": "'bad tags: ' + self.join(',')"}]},
            },
            "x-kubernetes-validations": [
                {"rule": "!has(self.min) || !has(self.max) || self.min <= self.max", "message": "too small", "fieldPath": ".min"}],
        }}})
    }

    #[test]
    fn broken_rules_are_told_where_and_as_the_author_wished() {
        assert_eq!(told(schema(), json!({"spec": {"min": 5, "max": 3}}), None), ["spec.min: Invalid value: too small"]);
        assert_eq!(
            told(schema(), json!({"spec": {"tags": ["t-1", "q"]}}), None),
            ["spec.tags: Invalid value: bad tags: t-1,q"]
        );
    }

    #[test]
    fn rules_about_change_are_only_tried_on_changes() {
        let (a, b) = (json!({"spec": {"once": "a"}}), json!({"spec": {"once": "b"}}));
        assert!(told(schema(), a.clone(), None).is_empty());
        assert_eq!(told(schema(), b, Some(a)), [r#"spec.once: Invalid value: "b": cannot change"#]);
    }
    /// A schema of numbers with rules, and how many numbers make a rule over pairs of them too much.
    fn costly(rules: &[(&str, &str)]) -> Vec<String> {
        let rules: Vec<Tree> =
            rules.iter().map(|(rule, message)| json!({"rule": rule, "messageExpression": message})).collect();
        let list = json!({"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": rules});
        let schema = json!({"type": "object", "properties": {"l": list}});
        told(schema, json!({"l": (0..500).collect::<Vec<i64>>()}), None)
    }

    #[test]
    fn a_rule_that_costs_too_much_is_the_last_that_is_tried() {
        const PAIRS: &str = "self.all(a, self.all(b, a + b >= 0))";
        let limit = "no further validation rules will be run due to call cost exceeds limit for";
        assert_eq!(
            costly(&[(PAIRS, ""), ("false", "")]),
            [format!(
                "l: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': {limit} rule: {PAIRS}"
            )]
        );
        let message = format!("{PAIRS} ? 'a' : 'b'");
        assert_eq!(
            costly(&[("false", &message), ("false", "")]),
            [format!("l: Invalid value: \"array\": {limit} messageExpression: \"{message}\"")]
        );
    }

    #[test]
    fn rules_that_cost_too_much_together_are_told_so() {
        let fails = |rule: &str, message: &str| {
            let rules =
                json!([{"rule": "true || self > 0"}, {"rule": rule, "messageExpression": message}, {"rule": "false"}]);
            let schema = json!({"type": "integer", "x-kubernetes-validations": rules});
            let mut errors = FieldErrors::default();
            let mut checking = Checking { budget: Budget::new(20), errors: &mut errors, exhausted: false };
            checking.walk(&json!(1), None, &Props::read(&schema).unwrap(), "n", true);
            errors.0.into_iter().map(|error| error.body.to_string()).collect::<Vec<_>>()
        };
        let why = "due to running out of cost budget, no further validation rules will be run";
        assert_eq!(
            fails("[1, 2].all(a, [3].all(b, a < b))", ""),
            [format!("Invalid value: \"integer\": validation failed {why}")]
        );
        assert_eq!(
            fails("false", "[self, self, self].size() + [1].size() > 1 ? 'a' : 'b'"),
            [format!("Invalid value: \"integer\": messageExpression evaluation failed {why}")]
        );
    }
}
