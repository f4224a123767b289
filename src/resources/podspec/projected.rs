//! Projected volumes: several sources under one directory.

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::resources::check::At;
use crate::resources::{labels, names, signers};

use super::paths::{check_file, check_mode};
use super::volumes::{check_downward_file, check_key_to_path};

const KEY_TYPES: &[&str] = &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];

/// Paths that sources write, to find two with the same.
#[derive(Default)]
struct Paths<'t>(BTreeSet<&'t str>);

impl<'t> Paths<'t> {
    /// `shown` is what the complaint names as the culprit.
    fn take(&mut self, path: &'t str, shown: &str, volume: &At, errors: &mut FieldErrors) {
        if !self.0.insert(path) {
            errors.invalid(&*volume.path, shown, "conflicting duplicate paths");
        }
    }
}

pub fn check(volume: &At, errors: &mut FieldErrors) {
    check_mode(&volume.child("defaultMode"), errors);
    let mut paths = Paths::default();
    for source in volume.child("sources").items() {
        let mut kinds = 0;
        let mut kind = |name: &str| {
            let place = source.child(name);
            kinds += usize::from(place.exists());
            place.exists().then_some(place)
        };
        let (secret, config, downward) = (kind("secret"), kind("configMap"), kind("downwardAPI"));
        let (token, bundle, certificate) =
            (kind("serviceAccountToken"), kind("clusterTrustBundle"), kind("podCertificate"));
        for keyed in [secret, config].into_iter().flatten() {
            check_keyed(&keyed, volume, &mut paths, errors);
        }
        if let Some(downward) = downward {
            for file in downward.child("items").items() {
                check_downward_file(&file, &downward, errors);
                if !file.text("path").is_empty() {
                    paths.take(file.text("path"), file.text("path"), volume, errors);
                }
            }
        }
        if let Some(token) = token {
            check_token(&token, volume, errors);
        }
        if let Some(bundle) = bundle {
            check_bundle(&bundle, errors);
            paths.take(bundle.text("path"), bundle.text("path"), volume, errors);
        }
        if let Some(certificate) = certificate {
            check_certificate(&certificate, volume, &mut paths, errors);
        }
        if kinds > 1 {
            source.forbidden(errors, "may not specify more than 1 volume type per source");
        }
    }
}

/// A secret or a config map.
fn check_keyed<'t>(source: &At<'t>, volume: &At, paths: &mut Paths<'t>, errors: &mut FieldErrors) {
    if source.text("name").is_empty() {
        source.child("name").required(errors, "");
    }
    for item in source.child("items").items() {
        check_key_to_path(&item, errors);
        if !item.text("path").is_empty() {
            paths.take(item.text("path"), source.text("name"), volume, errors);
        }
    }
}

fn check_token(token: &At, volume: &At, errors: &mut FieldErrors) {
    let expiration = token.child("expirationSeconds");
    let seconds = expiration.int().unwrap_or(0);
    if seconds < 600 {
        expiration.invalid(errors, "may not specify a duration less than 10 minutes");
    }
    if seconds > 1 << 32 {
        expiration.invalid(errors, "may not specify a duration larger than 2^32 seconds");
    }
    // Upstream names the volume's path, which it does not have.
    let path = At::new(token.child("path").value, volume.path_to("path"));
    if path.is_empty() {
        path.required(errors, "");
    } else {
        check_file(&path, errors);
    }
}

fn check_bundle(bundle: &At, errors: &mut FieldErrors) {
    let (name, signer, selector) = (bundle.child("name"), bundle.child("signerName"), bundle.child("labelSelector"));
    match (name.exists(), signer.exists()) {
        (true, true) => bundle.invalid(errors, "only one of name and signerName may be used"),
        (true, false) => {
            if name.is_empty() {
                name.required(errors, "must be a valid object name");
            }
            for complaint in signers::bundle_name(name.str(), signers::signer_of_bundle(name.str())) {
                name.invalid_text(errors, format!("not a valid clustertrustbundlename: {complaint}"));
            }
            if selector.exists() {
                selector.invalid(errors, "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.is_empty() {
                signer.required(errors, "must be a valid signer name");
            }
            signers::check_name(&signer, errors);
            labels::check_selector(&selector, errors);
        }
        (false, false) => bundle.required(errors, "either name or signerName must be specified"),
    }
    let path = bundle.child("path");
    if path.is_empty() {
        path.required(errors, "");
    }
    check_file(&path, errors);
}

fn check_certificate<'t>(source: &At<'t>, volume: &At, paths: &mut Paths<'t>, errors: &mut FieldErrors) {
    signers::check_name(&source.child("signerName"), errors);
    let annotations = source.child("userAnnotations");
    for (key, _) in annotations.entries() {
        let key = key.to_lowercase();
        let complaints = names::is_qualified_name(&key);
        let ill_formed = !complaints.is_empty();
        complaints.into_iter().for_each(|complaint| errors.invalid(&*annotations.path, &*key, complaint));
        if !ill_formed && !key.contains('/') {
            errors.invalid(&*annotations.path, &*key, "must be a domain-prefixed key (such as \"acme.io/foo\")");
        }
    }
    if !KEY_TYPES.contains(&source.text("keyType")) {
        source.child("keyType").not_supported(errors, KEY_TYPES);
    }
    let expiration = source.child("maxExpirationSeconds");
    if let Some(seconds) = expiration.int() {
        let max = if source.text("signerName").starts_with("kubernetes.io/") { 86_400 } else { 7_862_400 };
        if seconds < 3600 {
            expiration.invalid(errors, "if provided, maxExpirationSeconds must be >= 3600");
        }
        if seconds > max {
            expiration.invalid(errors, format!("if provided, maxExpirationSeconds must be <= {max}"));
        }
    }
    let mut written = 0;
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = source.child(field);
        if !path.is_empty() {
            written += 1;
            check_file(&path, errors);
            paths.take(path.str(), path.str(), volume, errors);
        }
    }
    if written == 0 {
        source.required(errors, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}
