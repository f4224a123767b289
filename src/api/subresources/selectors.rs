//! Selectors in access reviews: whether somebody may list just these objects.

use crate::api::selector::{LabelQuery, field_terms};
use crate::object::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::names::{is_label_value, is_qualified_name};

const PATH: &str = "spec.resourceAttributes";

/// What a review's selectors come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selecting {
    /// As a list's field selector has it; requirements that are not understood are left out, which only
    /// asks for more.
    pub fields: String,
    pub labels: String,
    /// What was left out.
    pub complaints: Vec<String>,
}

/// Checks both selectors of `spec.resourceAttributes`.
pub fn validate(attributes: &Tree, errors: &mut FieldErrors) {
    for (name, is_label) in [("fieldSelector", false), ("labelSelector", true)] {
        let Some(selector) = attributes.get(name).filter(|selector| selector.is_object()) else { continue };
        let path = format!("{PATH}.{name}");
        let (raw, requirements) = (selector.text("rawSelector"), selector.items("requirements"));
        match (raw.is_empty(), requirements.is_empty()) {
            (false, false) => {
                let why = "may not specified at the same time as requirements";
                errors.invalid(format!("{path}.rawSelector"), raw, why);
            }
            (true, true) => errors.required(
                format!("{path}.requirements"),
                format!("when {path} is specified, requirements or rawSelector is required"),
            ),
            _ => (),
        }
        for (at, requirement) in requirements.iter().enumerate() {
            check(requirement, &format!("{path}.requirements[{at}]"), is_label, errors);
        }
    }
}

fn check(requirement: &Tree, path: &str, is_label: bool, errors: &mut FieldErrors) {
    let (key, values) = (requirement.text("key"), requirement.items("values"));
    if !is_label && key.is_empty() {
        errors.required(format!("{path}.key"), "must be specified");
    }
    match requirement.text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(format!("{path}.values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            );
        }
        // Clients may be newer than we are.
        _ => (),
    }
    if is_label {
        is_qualified_name(key).iter().for_each(|why| errors.invalid(format!("{path}.key"), key, why));
        for (at, value) in values.iter().filter_map(Tree::as_str).enumerate() {
            is_label_value(value).iter().for_each(|why| errors.invalid(format!("{path}.values[{at}]"), value, why));
        }
    }
}

/// Reads both selectors.
pub fn read(attributes: &Tree) -> Selecting {
    let mut found = Selecting::default();
    let (fields, labels) = (attributes.get("fieldSelector"), attributes.get("labelSelector"));
    let told = |name: &str, kept: bool| {
        let much = if kept { "partially ignored" } else { "ignored" };
        format!("{PATH}.{name} {much} due to parse error")
    };
    if let Some(selector) = fields {
        let raw = selector.text("rawSelector");
        let terms: Vec<Option<String>> = selector.items("requirements").iter().map(field_term).collect();
        let is_bad = field_terms(raw).is_err() || terms.iter().any(Option::is_none);
        let good: Vec<String> = terms.into_iter().flatten().collect();
        found.fields = match good.is_empty() {
            true if field_terms(raw).is_ok() => raw.to_owned(),
            _ => good.join(","),
        };
        if is_bad {
            found.complaints.push(told("fieldSelector", !found.fields.is_empty()));
        }
    }
    if let Some(selector) = labels {
        let raw = selector.text("rawSelector");
        let terms: Vec<Option<String>> = selector.items("requirements").iter().map(label_term).collect();
        let is_bad = LabelQuery::parse(raw).is_err() || terms.iter().any(Option::is_none);
        let good: Vec<String> = terms.into_iter().flatten().collect();
        found.labels = match good.is_empty() {
            true if LabelQuery::parse(raw).is_ok() => raw.to_owned(),
            _ => good.join(","),
        };
        if is_bad {
            found.complaints.push(told("labelSelector", !good.is_empty()));
        }
    }
    found
}

fn label_term(requirement: &Tree) -> Option<String> {
    let key = requirement.text("key");
    let values = || requirement.items("values").iter().filter_map(Tree::as_str).collect::<Vec<_>>().join(",");
    Some(match requirement.text("operator") {
        "In" => format!("{key} in ({})", values()),
        "NotIn" => format!("{key} notin ({})", values()),
        "Exists" => key.to_owned(),
        "DoesNotExist" => format!("!{key}"),
        _ => return None,
    })
}

fn field_term(requirement: &Tree) -> Option<String> {
    let operator = match requirement.text("operator") {
        "In" => "=",
        "NotIn" => "!=",
        _ => return None,
    };
    let [value] = requirement.items("values") else { return None };
    let escaped = value.as_str()?.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
    Some(format!("{}{operator}{escaped}", requirement.text("key")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn requirements_become_a_selector_and_the_rest_is_told() {
        let of = |requirements: Tree| read(&json!({"fieldSelector": {"requirements": requirements}}));
        let node = json!({"key": "spec.nodeName", "operator": "In", "values": ["n1"]});
        assert_eq!(of(json!([node])), Selecting { fields: "spec.nodeName=n1".into(), ..Selecting::default() });
        let two = of(json!([node, {"key": "a", "operator": "Exists"}]));
        assert_eq!(two.fields, "spec.nodeName=n1");
        assert_eq!(two.complaints, ["spec.resourceAttributes.fieldSelector partially ignored due to parse error"]);
        let raw = read(&json!({"fieldSelector": {"rawSelector": "a in b"}, "labelSelector": {"rawSelector": "a in"}}));
        assert_eq!(raw.fields, "");
        assert_eq!(raw.complaints.len(), 2);
        let labels =
            json!([{"key": "a", "operator": "In", "values": ["1", "2"]}, {"key": "b", "operator": "DoesNotExist"}]);
        assert_eq!(read(&json!({"labelSelector": {"requirements": labels}})).labels, "a in (1,2),!b");
    }

    #[test]
    fn a_selector_is_given_in_one_way() {
        let told = |attributes: Tree| {
            let mut errors = FieldErrors::default();
            validate(&attributes, &mut errors);
            errors.message()
        };
        assert_eq!(
            told(json!({"labelSelector": {}})),
            "spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required"
        );
        let both = json!({"fieldSelector": {"rawSelector": "a=b", "requirements": [{"key": "", "operator": "In"}]}});
        let told = told(both);
        assert!(told.contains("may not specified at the same time") && told.contains("requirements[0].key: Required"));
    }
}
