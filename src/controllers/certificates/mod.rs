//! Signs approved certificate requests for the cluster's own signers.
//!
//! A request that its signer must not sign is marked as failed, once. What is approved without people
//! is in [`approve`], what is removed in [`clean`].

pub mod approve;
pub mod clean;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::client::Snapshot;
use crate::controllers::runtime::{Controller, Plan};
use crate::object::kind::CERTIFICATE_SIGNING_REQUEST;
use crate::object::tree::json;
use crate::object::view::{CertificateSigningRequest, condition};
use crate::object::{Key, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "certificate-controller",
    component: "certificate-controller",
    kind: Some(&CERTIFICATE_SIGNING_REQUEST),
    woken_by: &[],
    reconcile,
};

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(request) = snap.get::<CertificateSigningRequest>(key) else { return };
    let has = |kind: &str| condition(&request.status.conditions, kind).is_some_and(|found| found.is_true());
    if !request.status.certificate.is_empty() || !has("Approved") || has("Denied") || has("Failed") {
        return;
    }
    let Some(signer) = plan.settings().signer.clone() else { return };
    let now = snap.now();
    match signer.sign(&request.spec, now) {
        None => (),
        Some(Ok(certificate)) => plan.update_status(&request, |object| {
            object.set("status.certificate", BASE64.encode(certificate));
        }),
        Some(Err(why)) => plan.update_status(&request, |object| {
            let failed = json!({
                "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
                "lastUpdateTime": now,
            });
            object.set_default("status.conditions", json!([]));
            if let Some(conditions) = object.at_mut("status.conditions").and_then(Tree::as_array_mut) {
                conditions.push(failed);
            }
        }),
    }
}
