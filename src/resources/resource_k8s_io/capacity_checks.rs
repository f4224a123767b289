//! How much of a device's capacity may be asked for at once, where several may share it.

use std::collections::BTreeSet;

use crate::object::Quantity;
use crate::object::field::FieldErrors;
use crate::resources::check::At;

const VALUES_MAX: usize = 10;

/// `policy` is of a capacity of `capacity` in all.
pub fn check_policy(policy: &At, capacity: &At, errors: &mut FieldErrors) {
    let (values, range) = (policy.child("validValues"), policy.child("validRange"));
    if !values.is_empty() && range.exists() {
        const BOTH: &str =
            "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
        return policy.forbidden(errors, BOTH);
    }
    let field = match (values.is_empty(), range.exists()) {
        (false, _) => "validValues",
        (true, true) => "validRange",
        (true, false) => return,
    };
    let default = policy.child("default");
    if !default.exists() {
        return default.required(errors, &format!("required when {field} is defined"));
    }
    match field {
        "validValues" => check_values(&values, &default, capacity, errors),
        _ => check_range(&range, &default, capacity, errors),
    }
}

fn amount(at: &At) -> Quantity {
    Quantity::parse(at.str()).unwrap_or(Quantity::ZERO)
}

fn check_values(values: &At, default: &At, capacity: &At, errors: &mut FieldErrors) {
    let items: Vec<At> = values.items().collect();
    for pair in items.windows(2).filter(|pair| amount(&pair[0]) > amount(&pair[1])) {
        pair[1].invalid(errors, "values must be sorted in ascending order");
    }
    let mut has_default = false;
    if items.len() > VALUES_MAX {
        errors.too_many(&*values.path, items.len(), VALUES_MAX);
    } else {
        for value in &items {
            if amount(value) > amount(capacity) {
                value.invalid(errors, format!("option is larger than capacity value: {}", capacity.str()));
            }
            has_default |= amount(value) == amount(default);
        }
        let mut seen = BTreeSet::new();
        for value in items.iter().filter(|value| !seen.insert(amount(value).value())) {
            errors.duplicate(&*value.path, amount(value).value().to_string());
        }
    }
    if !has_default {
        errors.invalid(&*values.path, default.str(), "default value is not valid according to the requestPolicy");
    }
}

fn check_range(range: &At, default: &At, capacity: &At, errors: &mut FieldErrors) {
    let (min, max, step) = (range.child("min"), range.child("max"), range.child("step"));
    if !min.exists() {
        return min.required(errors, "required when validRange is defined");
    }
    let (least, whole, usual) = (amount(&min), amount(capacity), amount(default));
    if least > whole {
        min.invalid(errors, format!("min is larger than capacity value: {}", capacity.str()));
    }
    if usual < least {
        errors.invalid(&*min.path, default.str(), format!("default is less than min: {}", min.str()));
    }
    if max.exists() {
        let most = amount(&max);
        if least > most {
            errors.invalid(&*max.path, min.str(), format!("min is larger than max: {}", max.str()));
        }
        if most > whole {
            max.invalid(errors, format!("max is larger than capacity value: {}", capacity.str()));
        }
        if usual > most {
            errors.invalid(&*max.path, default.str(), format!("default is more than max: {}", max.str()));
        }
    }
    if !step.exists() {
        return;
    }
    let next = least + amount(&step);
    if next > whole {
        step.invalid(errors, format!("one step {next} is larger than capacity value: {}", capacity.str()));
    }
    for value in [default, &max].into_iter().filter(|value| value.exists()) {
        // Upstream divides, whatever the step is; a step of nothing leads nowhere.
        let (from, by) = (least.value(), amount(&step).value());
        if amount(value).value().wrapping_sub(from).checked_rem(by) != Some(0) {
            let why = format!("value is not a multiple of a given step ({}) from ({})", step.str(), min.str());
            errors.invalid(&*step.path, value.str(), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::{Tree, json};

    fn told(policy: Tree) -> Vec<String> {
        let mut errors = FieldErrors::default();
        check_policy(&At::new(&policy, "p"), &At::new(&json!("10Gi"), "v"), &mut errors);
        errors.list.into_iter().map(|error| format!("{}: {}", error.field, error.body)).collect()
    }

    #[test]
    fn values_are_sorted_and_one_of_them_is_usual() {
        assert!(told(json!({"default": "1Gi", "validValues": ["1Gi", "2Gi"]})).is_empty());
        assert_eq!(
            told(json!({"default": "3Gi", "validValues": ["2Gi", "1Gi", "20Gi"]})),
            [
                "p.validValues[1]: Invalid value: \"1Gi\": values must be sorted in ascending order",
                "p.validValues[2]: Invalid value: \"20Gi\": option is larger than capacity value: 10Gi",
                "p.validValues: Invalid value: \"3Gi\": default value is not valid according to the requestPolicy",
            ]
        );
        assert_eq!(
            told(json!({"validValues": ["1Gi"]})),
            ["p.default: Required value: required when validValues is defined"]
        );
    }

    #[test]
    fn ranges_have_a_beginning_and_steps_that_fit() {
        assert!(told(json!({"default": "2Gi", "validRange": {"min": "1Gi", "max": "9Gi", "step": "1Gi"}})).is_empty());
        assert_eq!(
            told(json!({"default": "512Mi", "validRange": {"min": "1Gi", "max": "20Gi", "step": "1Gi"}})),
            [
                "p.validRange.min: Invalid value: \"512Mi\": default is less than min: 1Gi",
                "p.validRange.max: Invalid value: \"20Gi\": max is larger than capacity value: 10Gi",
                "p.validRange.step: Invalid value: \"512Mi\": value is not a multiple of a given step (1Gi) from (1Gi)",
            ]
        );
        assert_eq!(told(json!({"default": "1Gi", "validRange": {"min": "1Gi", "step": "0"}})).len(), 1, "no division");
    }
}
