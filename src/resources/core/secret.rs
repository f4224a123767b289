//! Secret: data that only some may read.

use super::config_map::{DATA_BYTES_MAX, check_immutable, check_key, decoded_len};
use crate::object::field::FieldErrors;
use crate::object::tree::Map;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, immutable};
use crate::resources::{Column, ResourceDef, Rules, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub static DEF: ResourceDef = ResourceDef {
    selectable: &["type"],
    columns: &[Column::NAME, Column::path("Type", "type"), Column::count("Data", "data"), Column::AGE],
    rules: &Secret,
    ..ResourceDef::namespaced("", "Secret", "secrets", "secret", &[Version::on("v1", "io.k8s.api.core.v1.Secret")])
};

pub struct Secret;

impl Rules for Secret {
    fn default(&self, new: &mut Tree) {
        if new.text("type").is_empty() {
            new.set("type", "Opaque");
        }
        let Some(Tree::Object(plain)) = new.unset("stringData") else { return };
        new.set_default("data", Map::new());
        if let Some(data) = new.at_mut("data").and_then(Tree::as_object_mut) {
            data.extend(plain.into_iter().map(|(key, value)| {
                let encoded = BASE64_STANDARD.encode(value.as_str().unwrap_or_default());
                (key, Tree::from(encoded))
            }));
        }
    }

    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        if let Some(old) = old {
            immutable(errors, new, old, "type");
            check_immutable(new, old, &["data"], errors);
        }
        let data = At::root(new).child("data");
        let mut bytes = 0;
        for (key, value) in data.entries() {
            check_key(key, &value, errors);
            bytes += decoded_len(value.str());
        }
        if bytes > DATA_BYTES_MAX {
            errors.too_long(&*data.path, DATA_BYTES_MAX);
        }
        check_type(new, &data, errors);
    }
}

/// What each known type of secret has to hold.
fn check_type(secret: &Tree, data: &At, errors: &mut FieldErrors) {
    let missing = |key: &str, errors: &mut FieldErrors| {
        let missing = !data.key(key).exists();
        if missing {
            data.key(key).required(errors, "");
        }
        missing
    };
    match secret.text("type") {
        "kubernetes.io/service-account-token" => {
            let name = At::root(secret).child("metadata.annotations").key("kubernetes.io/service-account.name");
            if name.is_empty() {
                errors.required("metadata.annotations[kubernetes.io/service-account.name]", "");
            }
        }
        "kubernetes.io/dockercfg" if !missing(".dockercfg", errors) => check_json(&data.key(".dockercfg"), errors),
        "kubernetes.io/dockerconfigjson" if !missing(".dockerconfigjson", errors) => {
            check_json(&data.key(".dockerconfigjson"), errors);
        }
        "kubernetes.io/basic-auth" if !data.key("username").exists() && !data.key("password").exists() => {
            missing("username", errors);
            missing("password", errors);
        }
        "kubernetes.io/ssh-auth" if data.key("ssh-privatekey").is_empty() => {
            data.key("ssh-privatekey").required(errors, "");
        }
        "kubernetes.io/tls" => {
            missing("tls.crt", errors);
            missing("tls.key", errors);
        }
        _ => (),
    }
}

/// A value that has to be a JSON object; it is not shown.
fn check_json(value: &At, errors: &mut FieldErrors) {
    const REDACTED: &str = "<secret contents redacted>";
    let bytes = BASE64_STANDARD.decode(value.str()).unwrap_or_default();
    let complaint = match serde_json::from_slice::<Tree>(&bytes) {
        Ok(Tree::Object(_) | Tree::Null) => return,
        Ok(other) => {
            let kind = match other {
                Tree::Array(_) => "array",
                Tree::String(_) => "string",
                Tree::Bool(_) => "bool",
                _ => "number",
            };
            format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
        }
        Err(error) if error.is_eof() => "unexpected end of JSON input".into(),
        Err(_) => "invalid character in JSON".into(),
    };
    errors.invalid(&*value.path, REDACTED, complaint);
}
