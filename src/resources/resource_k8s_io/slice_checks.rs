//! What a driver may say of its devices in a ResourceSlice.

use std::collections::BTreeSet;

use super::capacity_checks;
use crate::object::field::FieldErrors;
use crate::object::tree::Tree;
use crate::resources::check::At;
use crate::resources::names;
use crate::resources::podspec::{affinity, volumes};

const DEVICES_MAX: usize = 128;
/// Of devices with taints, counters or lists of attributes a slice has fewer.
const RICH_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
const CONSUMPTIONS_MAX: usize = 2;
const TAINTS_MAX: usize = 16;
const CONDITIONS_MAX: usize = 4;
const PROPERTIES_MAX: usize = 32;
const VALUES_MAX: usize = 48;
const POOL_NAME_BYTES_MAX: usize = 253;
const ID_BYTES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 64;
pub const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];

pub fn check(spec: &At, errors: &mut FieldErrors) {
    volumes::check_driver_name(&spec.child("driver"), errors);
    check_pool(&spec.child("pool"), errors);
}

/// Where the devices are, and what they are.
pub fn check_contents(spec: &At, errors: &mut FieldErrors) {
    let places = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    let given = check_place(spec, &places, "must be either unset or set to a non-empty string", errors);
    let terms = spec.child("nodeSelector.nodeSelectorTerms");
    if spec.has("nodeSelector") && terms.len() != 1 {
        terms.invalid(errors, "must have exactly one node selector term");
    }
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match given.as_slice() {
        [] => spec.required(errors, ONE),
        [_] => (),
        many => errors.invalid(&*spec.path, shown(many), format!("{ONE}, but multiple fields are set")),
    }
    let (devices, counters) = (spec.child("devices"), spec.child("sharedCounters"));
    if devices.exists() && counters.exists() {
        errors.invalid(&*spec.path, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    let most = if devices.items().any(|device| is_rich(&device)) { RICH_DEVICES_MAX } else { DEVICES_MAX };
    let by_device = spec.child("perDeviceNodeSelection").flag();
    each_once(&devices, most, "name", errors, &mut |device, errors| check_device(device, by_device, errors));
    each_once(&counters, COUNTER_SETS_MAX, "name", errors, &mut |set, errors| check_counters(set, "name", errors));
}

fn check_pool(pool: &At, errors: &mut FieldErrors) {
    let name = pool.child("name");
    if name.is_empty() {
        name.required(errors, "");
    } else {
        if name.len() > POOL_NAME_BYTES_MAX {
            errors.too_long(&*name.path, POOL_NAME_BYTES_MAX);
        }
        for part in name.str().split('/') {
            for complaint in names::is_dns1123_subdomain(part) {
                errors.invalid(&*name.path, part, complaint);
            }
        }
    }
    let count = pool.child("resourceSliceCount").int().unwrap_or_default();
    if count <= 0 {
        errors.invalid(pool.path_to("resourceSliceCount"), count, "must be greater than zero");
    }
    let generation = pool.child("generation");
    if generation.int().is_some_and(|number| number < 0) {
        generation.invalid(errors, "must be greater than or equal to zero");
    }
}

/// Checks the ways to say where something is, and gives those that are used.
fn check_place<'w>(of: &At, ways: &[&'w str], empty: &str, errors: &mut FieldErrors) -> Vec<&'w str> {
    let mut given = Vec::new();
    for way in ways {
        let place = of.child(way);
        if !place.exists() {
            continue;
        }
        match *way {
            "nodeName" if place.is_empty() => place.invalid_text(errors, empty),
            "nodeName" => {
                place.format(errors, names::is_dns1123_subdomain(place.str()));
                given.push(*way);
            }
            "nodeSelector" => {
                affinity::check_node_selector(&place, errors);
                given.push(*way);
            }
            _ if place.flag() => given.push(*way),
            _ => place.invalid(errors, "must be either unset or set to true"),
        }
    }
    given
}

fn shown(fields: &[&str]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
    format!("{{{}}}", quoted.join(", "))
}

/// Checks each item of a list that is not too long, and that none comes twice.
fn each_once(
    list: &At,
    most: usize,
    key: &str,
    errors: &mut FieldErrors,
    check: &mut dyn FnMut(&At, &mut FieldErrors),
) {
    if list.len() > most {
        return errors.too_many(&*list.path, list.len(), most);
    }
    list.items().for_each(|item| check(&item, errors));
    let mut seen = BTreeSet::new();
    for item in list.items().filter(|item| !seen.insert(item.text(key))) {
        errors.duplicate(&*item.path, item.text(key));
    }
}

fn is_rich(device: &At) -> bool {
    let lists = |(_, attribute): (&str, At)| LISTS.iter().any(|list| !attribute.child(list).is_empty());
    !device.child("taints").is_empty()
        || !device.child("consumesCounters").is_empty()
        || device.child("attributes").entries().any(lists)
}

fn check_device(device: &At, by_device: bool, errors: &mut FieldErrors) {
    let name = device.child("name");
    match name.is_empty() {
        true => name.required(errors, ""),
        false => name.format(errors, names::is_dns1123_label(name.str())),
    }
    check_properties(device, errors);
    let taints = device.child("taints");
    if taints.len() > TAINTS_MAX {
        errors.too_many(&*taints.path, taints.len(), TAINTS_MAX);
    } else {
        taints.items().for_each(|taint| check_taint(&taint, errors));
    }
    let consumed = device.child("consumesCounters");
    let mut counters = |set: &At, errors: &mut FieldErrors| check_counters(set, "counterSet", errors);
    each_once(&consumed, CONSUMPTIONS_MAX, "counterSet", errors, &mut counters);
    check_device_place(device, by_device, errors);
    check_conditions(device, errors);
}

fn check_device_place(device: &At, by_device: bool, errors: &mut FieldErrors) {
    const WAYS: [&str; 3] = ["nodeName", "nodeSelector", "allNodes"];
    if !by_device {
        if WAYS.iter().any(|way| device.has(way)) {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to \
                       true in the ResourceSlice spec";
            errors.invalid(&*device.path, Tree::Null, why);
        }
        return;
    }
    let given = check_place(device, &WAYS, "must not be empty", errors);
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                       `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    match given.as_slice() {
        [] => device.required(errors, ONE),
        [_] => (),
        many => errors.invalid(&*device.path, shown(many), ONE),
    }
}

fn check_properties(device: &At, errors: &mut FieldErrors) {
    let (attributes, capacity) = (device.child("attributes"), device.child("capacity"));
    let count = attributes.len() + capacity.len();
    if count > PROPERTIES_MAX {
        let why = format!("the total number of attributes and capacities must not exceed {PROPERTIES_MAX}");
        errors.invalid(&*device.path, count, why);
    }
    let listed = |attribute: &At| LISTS.iter().map(|list| attribute.child(list).len()).sum::<usize>();
    let values: usize = attributes.entries().map(|(_, attribute)| listed(&attribute).max(1)).sum();
    if values > VALUES_MAX {
        let why = format!("the total number of attribute values must not exceed {VALUES_MAX}");
        errors.invalid(&*device.path, values, why);
    }
    for (name, attribute) in attributes.entries() {
        check_property_name(name, &attributes, errors);
        check_attribute(&attribute, errors);
    }
    for (name, amount) in capacity.entries() {
        check_property_name(name, &capacity, errors);
        let policy = amount.child("requestPolicy");
        match device.child("allowMultipleAllocations").flag() {
            _ if !policy.exists() => (),
            true => capacity_checks::check_policy(&policy, &amount.child("value"), errors),
            false => policy.forbidden(errors, "allowMultipleAllocations must be true"),
        }
    }
}

/// The name of an attribute or capacity: an identifier, of which a domain may stand before a slash.
fn check_property_name(name: &str, map: &At, errors: &mut FieldErrors) {
    let mut identifier = |id: &str| {
        if id.len() > ID_BYTES_MAX {
            errors.too_long(&*map.path, ID_BYTES_MAX);
        }
        for complaint in names::is_c_identifier(id) {
            errors.invalid(&*map.path, id, complaint);
        }
    };
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [id] => identifier(id),
        [domain, id] => {
            match domain.is_empty() {
                true => errors.invalid(&*map.path, "", "the domain must not be empty"),
                false => volumes::check_driver_name(&At::new(&Tree::from(*domain), &*map.path), errors),
            }
            match id.is_empty() {
                true => errors.invalid(&*map.path, "", "the name must not be empty"),
                false => check_property_name(id, map, errors),
            }
        }
        _ => (),
    }
}

fn check_attribute(attribute: &At, errors: &mut FieldErrors) {
    const KINDS: [&str; 8] = ["bool", "int", "string", "version", "bools", "ints", "strings", "versions"];
    let mut given = 0;
    for kind in KINDS {
        let value = attribute.child(kind);
        if !value.exists() {
            continue;
        }
        given += 1;
        if LISTS.contains(&kind) && value.is_empty() {
            value.invalid(errors, "must not be empty if specified");
        }
        let one = (!LISTS.contains(&kind)).then(|| value.clone());
        for item in one.into_iter().chain(value.items()) {
            if kind.starts_with("version") && !is_version(item.str()) {
                item.invalid_text(errors, "must be a string compatible with semver.org spec 2.0.0");
            }
            if item.value.is_string() && item.len() > VALUE_BYTES_MAX {
                errors.too_long(&*item.path, VALUE_BYTES_MAX);
            }
        }
    }
    match given {
        0 => errors.invalid(&*attribute.path, "", "exactly one value must be specified"),
        1 => (),
        _ => attribute.invalid(errors, "exactly one value must be specified"),
    }
}

/// Whether a text is a version of semver.org's form 2.0.0.
fn is_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let is_number = |part: &str| is_digits(part) && (part == "0" || !part.starts_with('0'));
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|part| is_number(part))
        && pre.is_none_or(|pre| pre.split('.').all(|part| is_word(part) && (!is_digits(part) || is_number(part))))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

fn check_taint(taint: &At, errors: &mut FieldErrors) {
    let (key, value, effect) = (taint.child("key"), taint.child("value"), taint.child("effect"));
    key.format(errors, names::is_qualified_name(key.str()));
    if !value.is_empty() {
        value.format(errors, names::is_label_value(value.str()));
    }
    match effect.str() {
        "" => effect.required(errors, ""),
        "NoExecute" | "NoSchedule" | "None" => (),
        _ => effect.not_supported(errors, &["NoExecute", "NoSchedule", "None"]),
    }
}

/// A named set of counters.
fn check_counters(set: &At, name: &str, errors: &mut FieldErrors) {
    let (name, counters) = (set.child(name), set.child("counters"));
    match name.is_empty() {
        true => name.required(errors, ""),
        false => name.format(errors, names::is_dns1123_label(name.str())),
    }
    if counters.is_empty() {
        counters.required(errors, "");
    } else if counters.len() > COUNTERS_MAX {
        errors.too_many(&*counters.path, counters.len(), COUNTERS_MAX);
    } else {
        for (counter, _) in counters.entries() {
            for complaint in names::is_dns1123_label(counter) {
                errors.invalid(&*counters.path, counter, complaint);
            }
        }
    }
}

fn check_conditions(device: &At, errors: &mut FieldErrors) {
    let (binding, failure) = (device.child("bindingConditions"), device.child("bindingFailureConditions"));
    for list in [&binding, &failure] {
        if list.len() > CONDITIONS_MAX {
            errors.too_many(&*list.path, list.len(), CONDITIONS_MAX);
        } else {
            list.items().for_each(|condition| condition.format(errors, names::is_qualified_name(condition.str())));
        }
    }
    let (mut bound, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for condition in binding.items().filter(|condition| !bound.insert(condition.str())) {
        condition.duplicate(errors);
    }
    for condition in failure.items() {
        if !failed.insert(condition.str()) {
            condition.duplicate(errors);
        }
        if bound.contains(condition.str()) {
            condition.invalid(errors, "bindingFailureConditions must not overlap with bindingConditions");
        }
    }
    if bound.is_empty() && !failed.is_empty() {
        binding.invalid(errors, "bindingConditions are required to use bindingFailureConditions");
    }
    if failed.is_empty() && !bound.is_empty() {
        failure.invalid(errors, "bindingFailureConditions are required to use bindingConditions");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::{TreePath, json};

    fn told(spec: Tree) -> Vec<String> {
        let mut errors = FieldErrors::default();
        let spec = At::new(&spec, "spec");
        check(&spec, &mut errors);
        check_contents(&spec, &mut errors);
        errors.list.into_iter().map(|error| format!("{}: {}", error.field, error.body)).collect()
    }

    fn slice(devices: Tree) -> Tree {
        json!({
            "driver": "d.example.com", "nodeName": "n", "devices": devices,
            "pool": {"name": "a/b", "generation": 1, "resourceSliceCount": 1},
        })
    }

    #[test]
    fn a_slice_is_in_one_place_and_of_a_pool() {
        assert!(told(slice(json!([{"name": "gpu-0"}]))).is_empty());
        let mut nowhere = slice(json!([]));
        nowhere.unset("nodeName");
        nowhere.set("pool.resourceSliceCount", 0);
        assert_eq!(
            told(nowhere),
            [
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` \
                 is required",
            ]
        );
    }

    #[test]
    fn devices_have_names_and_attributes_of_one_kind() {
        let attributes = json!({
            "model": {"string": "x"}, "d.example.com/driver": {"version": "1.2.3-rc.1"},
            "both": {"int": 1, "bool": true}, "old": {"version": "v1"},
        });
        let why = "must be a string compatible with semver.org spec 2.0.0";
        assert_eq!(
            told(slice(json!([{"name": "a", "attributes": attributes}, {"name": "a"}]))),
            [
                "spec.devices[0].attributes[both]: Invalid value: {\"bool\":true,\"int\":1}: exactly one value must be \
                 specified"
                    .to_owned(),
                format!("spec.devices[0].attributes[old].version: Invalid value: \"v1\": {why}"),
                "spec.devices[1]: Duplicate value: \"a\"".to_owned(),
            ]
        );
    }
}
