//! Resource names (`cpu`, `memory`, `example.com/gpu`) and the amounts that may be asked of them.

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::quantity::Quantity;
use crate::object::tree::Tree;

use super::check::At;
use super::names;

pub const HUGE_PAGES: &str = "hugepages-";

const CONTAINER: &[&str] = &["cpu", "memory", "ephemeral-storage"];
const QUOTA: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// Resources that are counted.
const WHOLE: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// The amount of a validated or decoded quantity; zero for anything else.
pub fn amount(value: &Tree) -> Quantity {
    value.as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO)
}

pub fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Kubernetes' own: without a prefix, or with one of its domain.
pub fn is_native(name: &str) -> bool {
    name.split_once('/').is_none_or(|(prefix, _)| prefix.contains("kubernetes.io"))
}

pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::is_qualified_name(&format!("requests.{name}")).is_empty()
}

pub fn is_whole(name: &str) -> bool {
    WHOLE.contains(&name) || is_extended(name)
}

/// Whether requests may be smaller than limits.
pub fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

fn is_standard(name: &str) -> bool {
    QUOTA.contains(&name) || name == "storage" || is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// The name of any resource.
pub fn check_name(name: &str, path: &str, errors: &mut FieldErrors) -> bool {
    let complaints = names::is_qualified_name(name);
    let well_formed = complaints.is_empty();
    for complaint in complaints {
        errors.invalid(path, name, complaint);
    }
    if well_formed && !name.contains('/') && !is_standard(name) {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
        return false;
    }
    well_formed
}

/// The name of a resource that containers have.
pub fn check_container_name(name: &str, path: &str, errors: &mut FieldErrors) {
    check_name(name, path, errors);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !is_huge_page(name) {
            errors.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

/// The name of a resource that a pod as a whole has.
pub fn check_pod_name(name: &str, path: &str, errors: &mut FieldErrors) {
    if check_name(name, path, errors) && !matches!(name, "cpu" | "memory") && !is_huge_page(name) {
        errors.not_supported(path, name, &["cpu", HUGE_PAGES, "memory"]);
    }
}

/// The name of a resource that quotas limit.
pub fn check_quota_name(name: &str, path: &str, errors: &mut FieldErrors) {
    check_name(name, path, errors);
    let huge = is_huge_page(name) || name.starts_with("requests.hugepages-");
    if !name.contains('/') && !QUOTA.contains(&name) && !huge {
        errors.invalid(path, name, "must be a standard resource for quota");
    }
}

/// An amount of the resource `name`: not negative, and whole where it is counted.
pub fn check_amount(name: &str, place: &At, errors: &mut FieldErrors) {
    let quantity = amount(place.value);
    check_not_negative(place, errors);
    if is_whole(name) && !quantity.is_whole() {
        errors.invalid(&*place.path, place.str(), "must be an integer");
    }
}

pub fn check_not_negative(place: &At, errors: &mut FieldErrors) {
    if amount(place.value).is_negative() {
        errors.invalid(&*place.path, place.str(), "must be greater than or equal to 0");
    }
}

pub fn check_positive(place: &At, errors: &mut FieldErrors) {
    let quantity = amount(place.value);
    if quantity.is_negative() || quantity.is_zero() {
        errors.invalid(&*place.path, place.str(), "must be greater than zero");
    }
}

fn check_huge_page(name: &str, place: &At, errors: &mut FieldErrors) {
    let page = name.strip_prefix(HUGE_PAGES).and_then(|size| Quantity::parse(size).ok()).map_or(0, |q| q.value());
    let quantity = amount(place.value);
    if page <= 0 || quantity.is_negative() || quantity.value() % page != 0 {
        errors.invalid(
            &*place.path,
            place.str(),
            format!("{} is not positive integer multiple of {name}", place.str()),
        );
    }
}

/// Limits, requests and claims of a container, or of a pod as a whole.
pub fn check_requirements(
    place: &At,
    check_name: fn(&str, &str, &mut FieldErrors),
    claims: &BTreeSet<&str>,
    errors: &mut FieldErrors,
) {
    let (limits, requests) = (place.child("limits"), place.child("requests"));
    for (name, limit) in limits.entries() {
        check_name(name, &limit.path, errors);
        check_amount(name, &limit, errors);
        if is_huge_page(name) {
            check_huge_page(name, &limit, errors);
        }
    }
    for (name, request) in requests.entries() {
        check_name(name, &request.path, errors);
        check_amount(name, &request, errors);
        check_against_limit(name, &request, &limits, &requests, errors);
        if is_huge_page(name) {
            check_huge_page(name, &request, errors);
        }
    }
    let any = |wanted: fn(&str) -> bool| limits.entries().chain(requests.entries()).any(|(name, _)| wanted(name));
    if any(is_huge_page) && !any(|name| matches!(name, "cpu" | "memory")) {
        place.forbidden(errors, "HugePages require cpu or memory");
    }
    check_claims(&place.child("claims"), claims, errors);
}

fn check_against_limit(name: &str, request: &At, limits: &At, requests: &At, errors: &mut FieldErrors) {
    let limit = limits.key(name);
    let (wanted, allowed) = (amount(request.value), amount(limit.value));
    let complaint = match (limit.exists(), may_overcommit(name)) {
        (true, false) if wanted != allowed => "equal to",
        (true, _) if wanted > allowed => "less than or equal to",
        (false, false) => return limits.required(errors, "Limit must be set for non overcommitable resources"),
        _ => return,
    };
    errors.invalid(&*requests.path, request.str(), format!("must be {complaint} {name} limit of {}", limit.str()));
}

fn check_claims(claims: &At, known: &BTreeSet<&str>, errors: &mut FieldErrors) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for claim in claims.items() {
        let (name, request) = (claim.text("name"), claim.text("request"));
        if name.is_empty() {
            claim.required(errors, "");
            continue;
        }
        if used.contains(name) {
            errors.duplicate(&*claim.path, name);
        } else {
            let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{request}") };
            if !request.is_empty() {
                claim.child("request").format(errors, names::is_dns1123_label(request));
            }
            let taken = request.is_empty() && used.iter().any(|key| key.starts_with(&format!("{name}/")));
            if used.contains(&key) || taken {
                errors.duplicate(&*claim.path, &*key);
            }
            used.insert(key);
        }
        if !known.contains(name) {
            let list: Vec<&str> = known.iter().copied().collect();
            let tail = if list.is_empty() { " which is empty".into() } else { format!(": {}", list.join(", ")) };
            errors.push(
                crate::object::field::Complaint::NotFound,
                &*claim.path,
                format!("must be one of the names in pod.spec.resourceClaims{tail}"),
                Some(name.into()),
            );
        }
    }
}
