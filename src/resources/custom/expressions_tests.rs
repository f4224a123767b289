//! Rules on values, on what was there before, and what they may cost.

use super::*;
use crate::object::tree::json;

fn told(schema: Tree, value: Tree, old: Option<Tree>) -> Vec<String> {
    let mut errors = FieldErrors::default();
    check(&value, old.as_ref(), &Props::read(&schema).unwrap(), &mut errors);
    errors.list.into_iter().map(|error| format!("{}: {}", error.field, error.body)).collect()
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

/// What is warned of in an update, and what is complained of.
fn updated(schema: Tree, value: Tree, old: Tree) -> (Vec<String>, Vec<String>) {
    let mut errors = FieldErrors::default();
    check(&value, Some(&old), &Props::read(&schema).unwrap(), &mut errors);
    let warnings = errors.take_tolerated();
    (warnings, errors.list.into_iter().map(|error| format!("{}: {}", error.field, error.body)).collect())
}

#[test]
fn what_was_as_wrong_before_is_warned_of() {
    let (min, tags) = ("spec.min: Invalid value: too small", "spec.tags: Invalid value: bad tags: q");
    let wrong = json!({"spec": {"min": 5, "max": 3, "tags": ["q"]}, "other": 1});
    assert_eq!(updated(schema(), wrong.clone(), wrong.clone()), (vec![min.into(), tags.into()], vec![]));
    let changed = json!({"spec": {"min": 5, "max": 2, "tags": ["q"]}, "other": 1});
    assert_eq!(updated(schema(), changed, wrong), (vec![tags.into()], vec![min.into()]));
}

#[test]
fn items_of_a_list_that_is_one_value_are_as_new_as_the_list() {
    let item = json!({"type": "string", "x-kubernetes-validations": [{"rule": "self != 'bad'", "message": "no"}]});
    let schema = json!({"type": "object", "properties": {"list": {"type": "array", "items": item}}});
    let told = vec![r#"list[0]: Invalid value: "bad": no"#.to_owned()];
    let old = json!({"list": ["bad", "good"]});
    assert_eq!(updated(schema.clone(), old.clone(), old.clone()), (told.clone(), vec![]));
    assert_eq!(updated(schema, json!({"list": ["bad"]}), old), (vec![], told));
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
        let one = json!(1);
        let spot = Spot { value: &one, old: None, nearest: None };
        checking.walk(spot, &Props::read(&schema).unwrap(), "n", true);
        errors.list.into_iter().map(|error| error.body.to_string()).collect::<Vec<_>>()
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
