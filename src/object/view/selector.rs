//! Label selectors as objects carry them.

use crate::object::StringMap;

fields! {
    /// `metav1.LabelSelector`: all requirements must hold; an empty one selects everything.
    LabelSelector {
        match_labels: StringMap,
        match_expressions: Vec<Requirement>,
    }

    Requirement {
        key: String,
        operator: String,
        values: Vec<String>,
    }
}

impl LabelSelector {
    pub fn of(labels: StringMap) -> Self {
        Self { match_labels: labels, match_expressions: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    pub fn matches(&self, labels: &StringMap) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }

    /// In the syntax of a `labelSelector` query, as a scale's `status.selector` shows it.
    pub fn to_query(&self) -> String {
        let equal = self.match_labels.iter().map(|(key, value)| (key, format!("{key}={value}")));
        let others = self.match_expressions.iter().map(|r| (r.key.as_str(), r.to_query()));
        let mut parts: Vec<_> = equal.chain(others).collect();
        parts.sort();
        parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(",")
    }
}

impl Requirement {
    pub fn matches(&self, labels: &StringMap) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.has(value)),
            "NotIn" => value.is_none_or(|value| !self.has(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => self.compare(value, |have, want| have > want),
            "Lt" => self.compare(value, |have, want| have < want),
            _ => false,
        }
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|known| known == value)
    }

    fn compare(&self, value: Option<&str>, holds: impl Fn(i64, i64) -> bool) -> bool {
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
        match (number(value), number(self.values.first().map(String::as_str))) {
            (Some(have), Some(want)) => holds(have, want),
            _ => false,
        }
    }

    fn to_query(&self) -> String {
        let mut values = self.values.clone();
        values.sort();
        match self.operator.as_str() {
            "In" => format!("{} in ({})", self.key, values.join(",")),
            "NotIn" => format!("{} notin ({})", self.key, values.join(",")),
            "DoesNotExist" => format!("!{}", self.key),
            _ => self.key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_must_hold() {
        let selector: LabelSelector = serde_json::from_str(
            r#"{"matchLabels":{"app":"web"},"matchExpressions":[
                {"key":"tier","operator":"NotIn","values":["b","a"]},{"key":"old","operator":"DoesNotExist"}]}"#,
        )
        .unwrap();
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert!(selector.matches(&labels(&[("app", "web"), ("tier", "c")])));
        assert!(!selector.matches(&labels(&[("app", "web"), ("tier", "a")])));
        assert!(!selector.matches(&labels(&[("app", "web"), ("old", "")])));
        assert_eq!(selector.to_query(), "app=web,!old,tier notin (a,b)");
    }
}
