//! Requests for devices.

use std::collections::BTreeSet;

use crate::object::cel::{Program, Scope, Type};
use crate::object::field::FieldErrors;
use crate::resources::check::At;
use crate::resources::names;

const MAX_REQUESTS: usize = 32;
const MAX_SELECTORS: usize = 32;
const MAX_EXPRESSION_BYTES: usize = 10 * 1024;

pub fn check(devices: &At, errors: &mut FieldErrors) {
    let mut known = BTreeSet::new();
    let requests = devices.child("requests");
    if requests.len() > MAX_REQUESTS {
        errors.too_many(&*requests.path, requests.len(), MAX_REQUESTS);
    }
    for request in requests.items() {
        check_request(&request, &mut known, errors);
    }
    for (list, is_constraint) in [("constraints", true), ("config", false)] {
        for entry in devices.child(list).items() {
            for name in entry.child("requests").items() {
                if !known.contains(name.str()) {
                    let detail = "must be the name of a request in the claim or the name of a request and a subrequest \
                                  separated by '/'";
                    name.invalid(errors, detail);
                }
            }
            if is_constraint && entry.has("matchAttribute") == entry.has("distinctAttribute") {
                let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple \
                              fields are set";
                entry.required(errors, detail);
            }
        }
    }
}

fn check_request(request: &At, known: &mut BTreeSet<String>, errors: &mut FieldErrors) {
    let name = request.child("name");
    check_name(&name, errors);
    if !name.is_empty() && !known.insert(name.str().to_owned()) {
        name.duplicate(errors);
    }
    let (exactly, first) = (request.child("exactly"), request.child("firstAvailable"));
    match (exactly.exists(), first.is_empty()) {
        (true, true) => check_device(&exactly, errors),
        (false, false) => {
            for option in first.items() {
                let own = option.child("name");
                check_name(&own, errors);
                if !known.insert(format!("{}/{}", name.str(), own.str())) {
                    own.duplicate(errors);
                }
                check_device(&option, errors);
            }
        }
        (true, false) => request
            .invalid(errors, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"),
        (false, true) => request.required(errors, "exactly one of `exactly` or `firstAvailable` is required"),
    }
}

fn check_name(name: &At, errors: &mut FieldErrors) {
    if name.is_empty() {
        name.required(errors, "");
    } else {
        name.format(errors, names::is_dns1123_label(name.str()));
    }
}

fn check_device(device: &At, errors: &mut FieldErrors) {
    let class = device.child("deviceClassName");
    if class.is_empty() {
        class.required(errors, "");
    } else {
        class.format(errors, names::is_dns1123_subdomain(class.str()));
    }
    check_selectors(&device.child("selectors"), errors);
    let count = device.child("count");
    let number = count.int().unwrap_or_default();
    match device.text("allocationMode") {
        "ExactCount" if number <= 0 => errors.invalid(&*count.path, number, "must be greater than zero"),
        "All" if number != 0 => count.invalid(errors, "must not be specified when allocationMode is \"All\""),
        "ExactCount" | "All" => {}
        _ => device.child("allocationMode").not_supported(errors, &["All", "ExactCount"]),
    }
}

pub fn check_selectors(selectors: &At, errors: &mut FieldErrors) {
    if selectors.len() > MAX_SELECTORS {
        errors.too_many(&*selectors.path, selectors.len(), MAX_SELECTORS);
    }
    for selector in selectors.items() {
        let expression = selector.child("cel.expression");
        if !selector.has("cel") {
            errors.required(selector.path_to("cel"), "");
        } else if expression.is_empty() {
            expression.required(errors, "");
        } else {
            check_selector(&expression, errors);
        }
    }
}

/// An expression about a device has to compile and come to a truth value.
fn check_selector(expression: &At, errors: &mut FieldErrors) {
    if expression.str().len() > MAX_EXPRESSION_BYTES {
        return errors.too_long(&*expression.path, MAX_EXPRESSION_BYTES);
    }
    let by_domain = |of: Type<'static>| Type::Map(Box::new(Type::String), Box::new(of));
    let device = [
        ("driver", Type::String),
        ("attributes", by_domain(by_domain(Type::Dyn))),
        ("capacity", by_domain(by_domain(Type::Dyn))),
        ("allowMultipleAllocations", Type::Bool),
    ];
    let device = Type::Names(device.into_iter().map(|(name, of)| (name.to_owned(), of)).collect());
    let scope = Scope { names: vec![("device".to_owned(), device)] };
    match Program::compile_typed(expression.str(), &scope) {
        Ok((_, of)) if of.is_unknown() || matches!(of, Type::Bool | Type::Dyn) => (),
        Ok((_, of)) => {
            let why = format!("must evaluate to bool or the unknown type, not {}", of.result_name());
            expression.invalid_text(errors, why);
        }
        Err(why) => expression.invalid_text(errors, format!("compilation failed: {why}")),
    }
}
