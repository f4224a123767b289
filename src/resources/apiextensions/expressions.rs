//! Rules in CEL that stand at one place of a schema: they compile, and do not cost too much.

use super::costs::{Around, Total};
use crate::object::cel::{Decl, Program, Scope, Type, unescape};
use crate::object::field::Complaint;
use crate::object::schema::custom::{Props, Rule};
use crate::object::tree::Tree;
use crate::resources::check::At;

/// Checks the rules of a schema of which nothing else is wrong.
pub fn check(schema: &At, around: &Around, is_root: bool, total: &mut Total) {
    if schema.child("x-kubernetes-validations").is_empty() {
        return;
    }
    let Some(props) = Props::read(schema.value) else { return };
    let is_resource = is_root || props.embedded;
    let Some(decl) = Decl::of(&props, is_resource) else { return };
    for (at, rule) in props.validations.iter().enumerate().filter(|(_, rule)| !rule.rule.trim().is_empty()) {
        let place = |field: &str| format!("{}.x-kubernetes-validations[{at}].{field}", schema.path);
        let wrong = |total: &mut Total, field: &str, why: String| {
            total.errors.push(Complaint::Invalid, place(field), format!("{}: {why}", shown(rule)), None);
        };
        let program = match compiled(rule, &props, is_root) {
            Ok(program) => program,
            Err(why) => {
                wrong(total, "rule", format!("compilation failed: {why}"));
                continue;
            }
        };
        if !comes_to(program, &rule.rule, &scope(rule, &props, is_resource), "bool") {
            wrong(total, "rule", "cel expression must evaluate to a bool".into());
            continue;
        }
        let cost = program.cost_max(&decl).saturating_mul(around.count_max(&decl));
        total.add("estimated rule cost", place("rule"), cost);
        if !rule.message_expression.is_empty() {
            match Program::compile(&rule.message_expression, &["self", "oldSelf"]) {
                Ok(message)
                    if !comes_to(&message, &rule.message_expression, &scope(rule, &props, is_resource), "string") =>
                {
                    wrong(total, "messageExpression", "messageExpression must evaluate to a string".into());
                }
                Ok(message) => {
                    total.add("estimated messageExpression cost", place("messageExpression"), message.cost_max(&decl));
                }
                Err(why) => {
                    wrong(total, "messageExpression", format!("messageExpression compilation failed: {why}"));
                }
            }
        }
        if program.refers_to("oldSelf") {
            if let Some(where_not) = &around.uncorrelated {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {where_not}");
                total.errors.invalid(place("rule"), rule.rule.as_str(), detail);
            }
        } else if let Some(flag) = rule.optional_old_self {
            let detail = "may not be set if oldSelf is not used in rule";
            total.errors.invalid(place("optionalOldSelf"), flag, detail);
        }
    }
}

/// What a rule may name.
fn scope(rule: &Rule, props: &Props, is_resource: bool) -> Scope<'static> {
    let mut own = Type::declared(props);
    if let (Type::Names(fields), true) = (&mut own, is_resource) {
        let absent = ["apiVersion", "kind"].into_iter().filter(|name| !props.properties.contains_key(*name));
        fields.extend(absent.map(|name| (name.to_owned(), Type::String)));
    }
    let before = if rule.optional_old_self == Some(true) { Type::Optional(Box::new(own.clone())) } else { own.clone() };
    Scope { names: vec![("self".into(), own), ("oldSelf".into(), before)] }
}

/// Whether an expression is of a type, as far as can be told.
fn comes_to(program: &Program, source: &str, scope: &Scope<'static>, wanted: &str) -> bool {
    let (of, _) = program.check(source, scope);
    of.is_unknown() || of.result_name() == wanted
}

fn compiled<'r>(rule: &'r Rule, props: &Props, is_root: bool) -> Result<&'r Program, String> {
    let program = rule.compiled().rule.as_ref().map_err(Clone::clone)?;
    program.check_fields(&rule.rule, "self", &|path| is_field(props, path, is_root))?;
    program.check_fields(&rule.rule, "oldSelf", &|path| {
        rule.optional_old_self == Some(true) || is_field(props, path, is_root)
    })?;
    Ok(program)
}

/// Whether a path such as `.spec['a.b'].c` leads to a field of the schema.
pub fn is_field_path(schema: &At, path: &str) -> bool {
    leads(schema.value, path)
}

fn leads(schema: &Tree, path: &str) -> bool {
    let (name, rest) = match path.split_at_checked(1) {
        None => return true,
        Some((".", rest)) => {
            let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        }
        Some(("[", rest)) => {
            let Some((name, rest)) = quoted(rest) else { return false };
            let Some(rest) = rest.strip_prefix(']') else { return false };
            (name, rest)
        }
        Some(_) => return false,
    };
    let child = match schema.get("properties").and_then(Tree::as_object).filter(|fields| !fields.is_empty()) {
        Some(fields) => fields.get(&name),
        None => schema.get("additionalProperties").filter(|values| values.is_object()),
    };
    !name.is_empty() && child.is_some_and(|child| leads(child, rest))
}

/// A name in single quotes, unescaped, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('\'')?;
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((name, &text[at + 1..])),
            '\\' => name.push(chars.next()?.1),
            c => name.push(c),
        }
    }
    None
}

/// A rule as upstream shows it: its Go type as JSON, fields in their order.
fn shown(rule: &Rule) -> String {
    let text = |text: &str| Tree::from(text).to_string();
    let quoted = format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text(&rule.rule),
        text(&rule.message),
        text(&rule.message_expression),
        rule.reason.as_deref().map_or("null".into(), text),
        text(&rule.field_path),
        rule.optional_old_self.map_or("null".into(), |flag| flag.to_string()),
    );
    quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Whether values of a schema may have what is at `path`; what the schema leaves open may be there.
fn is_field(schema: &Props, path: &[&str], is_root: bool) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let name = unescape(first);
    if is_root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
        return !matches!(rest, [field, ..] if name == "metadata" && !matches!(*field, "name" | "generateName"));
    }
    if schema.r#type != "object" || schema.embedded {
        return schema.r#type.is_empty() || schema.embedded;
    }
    match schema.properties.get(name.as_str()).or_else(|| schema.properties.get(*first)).or_else(|| schema.values()) {
        Some(child) => is_field(child, rest, false),
        None => schema.additional_properties.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn paths_of_fields_lead_through_properties_and_maps() {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"a.b": {"type": "string"}}},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        }});
        for path in [".spec", ".spec['a.b']", ".map.any", ".map['x']"] {
            assert!(leads(&schema, path), "{path}");
        }
        for path in ["spec", ".spec.", ".spec.c", ".spec['a.b'", ".spec[a.b]", ".map.any.more", ".spec]"] {
            assert!(!leads(&schema, path), "{path}");
        }
    }
}
