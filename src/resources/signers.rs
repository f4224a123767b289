//! Names of certificate signers, and of the trust bundles that belong to them.

use crate::object::field::FieldErrors;

use super::check::At;
use super::names;

/// `domain/path`, such as `kubernetes.io/kube-apiserver-client`.
pub fn check_name(signer: &At, errors: &mut FieldErrors) {
    const FORM: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    let text = signer.str();
    if text.is_empty() {
        return signer.required(errors, "");
    }
    let (Some((domain, path)), true) = (text.split_once('/'), text.matches('/').count() == 1) else {
        return signer.invalid_text(errors, FORM);
    };
    for label in domain.split('.') {
        for complaint in names::is_dns1123_label(label) {
            errors.invalid(&*signer.path, domain, format!("validating label {label:?}: {complaint}"));
        }
    }
    if !domain.contains('.') {
        errors.invalid(&*signer.path, domain, "should be a domain with at least two segments separated by dots");
    }
    for complaint in names::is_dns1123_subdomain(path) {
        signer.invalid_text(errors, format!("validating label {path:?}: {complaint}"));
    }
    let max = 253 + 1 + 63 + 1 + 253;
    if text.len() > max {
        errors.too_long(&*signer.path, max);
    }
}

/// The signer that a bundle's name begins with: `example.com:signer:name`.
pub fn signer_of_bundle(name: &str) -> Option<String> {
    let (prefix, _) = name.rsplit_once(':')?;
    Some(prefix.replace(':', "/"))
}

/// Complaints about the name of a trust bundle that belongs to `signer`, or to none.
pub fn bundle_name(name: &str, signer: Option<String>) -> Vec<String> {
    let Some(signer) = signer else {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".into()];
        }
        return names::is_dns1123_subdomain(name);
    };
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => names::is_dns1123_subdomain(rest),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")],
    }
}
