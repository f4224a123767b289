//! Rules in CEL on custom objects (`x-kubernetes-validations`).
//!
//! Each schema's rules are about the value at its place, `self`, and what was there before, `oldSelf`.
//! A rule that speaks of `oldSelf` is only tried where there is one. What breaks another and was there before is only
//! warned of.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::Quoted;
use crate::object::cel::{Budget, Env, OVER_BUDGET, OVER_LIMIT, Program, Value};
use crate::object::field::{Complaint, FieldErrors};
use crate::object::schema::custom::{Props, Rule, correlated, is_unchanged};
use crate::object::tree::{Map, Tree, TreePath};

const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// Tries every rule of `schema` on `value`.
pub fn check(value: &Tree, old: Option<&Tree>, schema: &Props, errors: &mut FieldErrors) {
    let mut checking = Checking { budget: Budget::new(Budget::PER_OBJECT), errors, exhausted: false };
    let nearest = old.map(|old| (old, value, schema));
    checking.walk(Spot { value, old, nearest }, schema, "", true);
}

/// A value, and what was there before.
#[derive(Clone, Copy)]
struct Spot<'t> {
    value: &'t Tree,
    old: Option<&'t Tree>,
    /// The same of the innermost value around it that was there before, which is itself if it was.
    nearest: Option<(&'t Tree, &'t Tree, &'t Props)>,
}

impl<'t> Spot<'t> {
    fn inner(self, value: &'t Tree, old: Option<&'t Tree>, schema: &'t Props) -> Self {
        Self { value, old, nearest: old.map(|old| (old, value, schema)).or(self.nearest) }
    }

    /// Whether nothing here is new.
    fn is_unchanged(self) -> bool {
        self.nearest.is_some_and(|(old, value, schema)| is_unchanged(value, old, schema))
    }
}

struct Checking<'e> {
    budget: Budget,
    errors: &'e mut FieldErrors,
    exhausted: bool,
}

impl Checking<'_> {
    fn walk<'t>(&mut self, spot: Spot<'t>, schema: &'t Props, path: &str, is_root: bool) {
        let Spot { value, old, .. } = spot;
        if value.is_null() || self.exhausted {
            return;
        }
        if !schema.validations.is_empty() {
            self.rules(spot, schema, path, is_root);
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
                    let mut below = spot.inner(inner, old.and_then(|old| old.get(key)), child);
                    if is_root && matches!(key.as_str(), "apiVersion" | "kind") {
                        below.nearest = None; // both states are shown in one version
                    }
                    self.walk(below, child, &here, false);
                }
            }
            Tree::Array(list) => {
                let Some(items) = schema.items.as_deref().filter(|items| items.any(&has_rules)) else { return };
                for (at, item) in list.iter().enumerate() {
                    let before = old.and_then(|old| correlated(item, old, schema));
                    self.walk(spot.inner(item, before, items), items, &format!("{path}[{at}]"), false);
                }
            }
            _ => (),
        }
    }

    fn rules(&mut self, spot: Spot<'_>, schema: &Props, path: &str, is_root: bool) {
        let typed = |tree: &Tree| Value::typed(&if is_root { visible(tree, schema) } else { tree.clone() }, schema);
        let (own, before) = (typed(spot.value), spot.old.map(typed));
        for rule in &schema.validations {
            if self.exhausted {
                return;
            }
            self.rule(rule, spot, (&own, before.as_ref()), schema, path);
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        spot: Spot<'_>,
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
        let broken = self.broken(rule, compiled.message.as_ref(), &env, spot.value, schema, path);
        if !uses_old && spot.is_unchanged() {
            self.errors.tolerate(broken);
        } else {
            self.errors.list.extend(broken.list);
        }
    }

    /// How a rule is told to be broken, as its author wished.
    fn broken(
        &mut self,
        rule: &Rule,
        message: Option<&Program>,
        env: &Env<'_>,
        value: &Tree,
        schema: &Props,
        path: &str,
    ) -> FieldErrors {
        let mut broken = FieldErrors::default();
        let kind = schema.r#type.as_str();
        let told = match message.map(|message| self.message(message, rule, env)) {
            None => Ok(None),
            Some(told) => told,
        };
        let place = match (path, rule.field_path.as_str()) {
            ("", "") => "<nil>".to_owned(),
            (path, "") => path.to_owned(),
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
                broken.invalid(place, kind, why);
                return broken;
            }
        };
        let shown = (!matches!(kind, "object" | "array")).then(|| value.clone());
        match rule.reason.as_deref() {
            Some("FieldValueForbidden") => broken.forbidden(place, detail),
            Some("FieldValueRequired") => broken.required(place, detail),
            Some("FieldValueDuplicate") => broken.push(Complaint::Duplicate, place, "", shown),
            _ => broken.push(Complaint::Invalid, place, detail, shown),
        }
        broken
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

#[cfg(test)]
#[path = "expressions_tests.rs"]
mod tests;
