//! Where a webhook is: at a URL, or at a Service of the cluster.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::At;
use crate::resources::names;

/// A Service's port that is left out is 443.
pub fn default_client(config: &mut Tree) {
    if config.has("service") {
        config.set_default("service.port", 443);
    }
}

/// Exactly one of `url` and `service`.
pub fn check_client(config: &At, errors: &mut FieldErrors) {
    match (config.has("url"), config.has("service")) {
        (true, false) => check_url(&config.child("url"), errors),
        (false, true) => check_service(&config.child("service"), errors),
        _ => config.required(errors, "exactly one of url or service is required"),
    }
}

fn check_url(url: &At, errors: &mut FieldErrors) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (rest, fragment) = url.str().split_once('#').unwrap_or((url.str(), ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c)) => {
            (scheme, rest)
        }
        _ => ("", rest),
    };
    let authority = rest.strip_prefix("//").unwrap_or("").split('/').next().unwrap_or("");
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let path = &*url.path;
    if !scheme.eq_ignore_ascii_case("https") {
        errors.invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        errors.invalid(path, "", format!("host must be specified{FORM}"));
    }
    if authority.contains('@') {
        errors.invalid(path, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        errors.invalid(path, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        errors.invalid(path, query, "query parameters are not permitted in the URL");
    }
}

pub fn check_service(service: &At, errors: &mut FieldErrors) {
    for field in ["name", "namespace"] {
        if service.text(field).is_empty() {
            errors.required(service.path_to(field), "");
        }
    }
    check_port(&service.child("port"), errors);
    let path = service.child("path");
    match path.str() {
        "" | "/" => {}
        "//" => path.invalid(errors, "segment[0] may not be empty"),
        text => {
            if !text.starts_with('/') {
                path.invalid(errors, "must start with a '/'");
            }
            let inner: String = text.chars().skip(1).collect();
            for (i, step) in inner.strip_suffix('/').unwrap_or(&inner).split('/').enumerate() {
                if step.is_empty() {
                    path.invalid(errors, format!("segment[{i}] may not be empty"));
                    continue;
                }
                for complaint in names::is_dns1123_subdomain(step) {
                    path.invalid(errors, format!("segment[{i}]: {complaint}"));
                }
            }
        }
    }
}

pub fn check_port(port: &At, errors: &mut FieldErrors) {
    let number = port.int().unwrap_or_default();
    let complaints = names::is_port_number(number);
    if !complaints.is_empty() {
        errors.invalid(&*port.path, number, format!("port is not valid: {}", complaints.join(", ")));
    }
}
