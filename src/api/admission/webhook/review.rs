//! The conversation with a hook: `AdmissionReview` of `admission.k8s.io/v1`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::rules::Seen;
use crate::api::admission::{Attributes, Operation};
use crate::object::tree::{Name, Tree, TreePath, from_tree, json};
use crate::object::{Reason, Status};

/// What a hook made of a request.
#[derive(Debug, PartialEq)]
pub struct Verdict {
    /// The JSON patch that it wants applied; empty for none.
    pub patch: Vec<u8>,
    pub warnings: Vec<String>,
    /// Set when it denies the request.
    pub denied: Option<Status>,
    /// What it wants to have in the audit log.
    pub annotations: Vec<(String, String)>,
}

/// The question, about an object in the version that the hook wants to see.
pub fn request(
    on: &Attributes<'_>,
    seen: &Seen,
    version: &str,
    uid: &str,
    object: Option<&Tree>,
    old: Option<&Tree>,
) -> Tree {
    let own_group = on.resource.group.as_ref();
    let kind = on.kind();
    let options = match on.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => "",
    };
    let mut request = json!({
        "uid": uid,
        "kind": {"group": kind.group, "version": if kind.group == own_group { seen.version.as_str() } else { kind.version.as_ref() }, "kind": kind.kind},
        "resource": {"group": seen.group, "version": seen.version, "resource": seen.resource},
        "requestKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "requestResource": {"group": own_group, "version": on.version, "resource": on.resource.plural},
        "operation": on.operation.as_str(),
        "userInfo": user(on),
        "object": object.cloned().unwrap_or_default(),
        "oldObject": old.cloned().unwrap_or_default(),
        "dryRun": on.dry_run,
        "options": if options.is_empty() { Tree::Null } else { json!({"kind": options, "apiVersion": "meta.k8s.io/v1"}) },
    });
    let texts = [
        ("name", on.name_of(object)),
        ("namespace", namespace(on)),
        ("subResource", on.subresource),
        ("requestSubResource", on.subresource),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        request[field] = text.into();
    }
    json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": request})
}

/// A namespace is said to be in itself.
fn namespace<'a>(on: &Attributes<'a>) -> &'a str {
    if on.is("namespaces") { on.name } else { on.namespace }
}

/// Who asks, as hooks and policies see them.
pub fn user(on: &Attributes<'_>) -> Tree {
    let mut user = json!({"username": on.user.name, "groups": on.user.groups});
    if !on.user.uid.is_empty() {
        user["uid"] = on.user.uid.as_str().into();
    }
    if !on.user.extra.is_empty() {
        user["extra"] = json!(on.user.extra);
    }
    user
}

/// Reads a hook's answer to the question `uid`. The error is what is wrong with it.
pub fn verdict(hook: &str, review: &Tree, version: &str, uid: &str, mutating: bool) -> Result<Verdict, String> {
    let response = review.get("response").filter(|response| response.is_object());
    let response = response.ok_or("webhook response was absent")?;
    if version == "v1" {
        if response.text("uid") != uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", response.text("uid")));
        }
        if (review.text("apiVersion"), review.text("kind")) != ("admission.k8s.io/v1", "AdmissionReview") {
            return Err(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {}, Kind={}",
                review.text("apiVersion"),
                review.text("kind")
            ));
        }
    }
    let patch =
        BASE64_STANDARD.decode(response.text("patch")).map_err(|error| format!("cannot decode patch: {error}"))?;
    let has_type = response.has("patchType");
    if version == "v1" {
        match (mutating, patch.is_empty(), has_type) {
            (true, false, false) => return Err("webhook returned response.patch but not response.patchType".into()),
            (true, true, true) => return Err("webhook returned response.patchType but not response.patch".into()),
            (false, false, _) => return Err("validating webhook may not return response.patch".into()),
            (false, _, true) => return Err("validating webhook may not return response.patchType".into()),
            _ => (),
        }
    }
    let warnings = response.items("warnings").iter().filter_map(Tree::as_str).map(str::to_owned).collect();
    let is_allowed = response.flag("allowed") == Some(true);
    let denied = (!is_allowed).then(|| denial(hook, response.get("status")));
    let text = |(key, value): (&Name, &Tree)| Some((key.to_string(), value.as_str()?.to_owned()));
    let annotations = response.map("auditAnnotations").into_iter().flatten().filter_map(text).collect();
    Ok(Verdict { patch, warnings, denied, annotations })
}

fn denial(hook: &str, result: Option<&Tree>) -> Status {
    let empty = json!({});
    let result = result.unwrap_or(&empty);
    let code = result.int("code").and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400).unwrap_or(400);
    let told = match (result.text("message"), result.text("reason")) {
        ("", "") => " without explanation".to_owned(),
        ("", reason) => format!(": {reason}"),
        (message, _) => format!(": {message}"),
    };
    let message = format!("admission webhook {hook:?} denied the request{told}");
    let mut status = Status::new(Reason::parse(result.text("reason"), code), message);
    status.details = result.get("details").and_then(|details| from_tree(details).ok());
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: Tree) -> Result<Verdict, String> {
        let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
        verdict("hook.example.com", &review, "v1", "u", false)
    }

    #[test]
    fn a_denial_says_which_hook_and_why() {
        let denied = read(json!({"uid": "u", "allowed": false, "status": {"message": "no", "code": 403}}))
            .unwrap()
            .denied
            .unwrap();
        assert_eq!(denied.message, "admission webhook \"hook.example.com\" denied the request: no");
        assert_eq!(denied.code(), 403);
        let silent = read(json!({"uid": "u", "allowed": false})).unwrap().denied.unwrap();
        assert_eq!(silent.message, "admission webhook \"hook.example.com\" denied the request without explanation");
        assert_eq!(silent.code(), 400);
    }

    #[test]
    fn answers_that_are_no_answers_are_told() {
        assert_eq!(read(json!({"uid": "x", "allowed": true})), Err("expected response.uid=\"u\", got \"x\"".into()));
        assert!(
            read(json!({"uid": "u", "allowed": true, "patch": "W10="}))
                .unwrap_err()
                .contains("may not return response.patch")
        );
        assert_eq!(read(Tree::Null), Err("webhook response was absent".into()));
    }
}
