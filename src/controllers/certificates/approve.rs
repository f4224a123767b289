//! Approves what nodes ask for: a client certificate for themselves, if whoever asks may have one.
//!
//! Who may is said by two rights: `selfnodeclient` to renew one's own, `nodeclient` to get a first one.
//! Everything else is for people to approve.

use crate::client::Snapshot;
use crate::controllers::runtime::plan::Step;
use crate::controllers::runtime::{Controller, Plan};
use crate::object::kind::CERTIFICATE_SIGNING_REQUEST;
use crate::object::tree::json;
use crate::object::view::{CertificateSigningRequest, condition};
use crate::object::{Key, Tree, TreePath};
use std::time::Duration;

pub static CONTROLLER: Controller = Controller {
    name: "certificate-controller",
    component: "csrapproving",
    kind: Some(&CERTIFICATE_SIGNING_REQUEST),
    woken_by: &[],
    reconcile,
};

const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Rights may come after the request.
const AGAIN: Duration = Duration::from_secs(60);

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(request) = snap.get::<CertificateSigningRequest>(key) else { return };
    let has = |kind: &str| condition(&request.status.conditions, kind).is_some_and(|found| found.is_true());
    let is_open = request.status.certificate.is_empty() && !has("Approved") && !has("Denied");
    if !is_open || request.is_deleting() || request.spec.signer_name != KUBELET_CLIENT {
        return;
    }
    let signer = plan.settings().signer.clone();
    let Some(node) = signer.and_then(|signer| signer.node_of(&request.spec)) else { return };
    let ways = [
        ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
        ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
    ];
    let fits = |right: &str| right != "selfnodeclient" || request.spec.username == node;
    let choices = ways.into_iter().filter(|(right, _)| fits(right)).map(|(right, message)| {
        let review = json!({"spec": {
            "user": request.spec.username, "uid": request.spec.uid, "groups": request.spec.groups,
            "extra": request.spec.extra,
            "resourceAttributes": {
                "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
                "subresource": right, "version": "*",
            },
        }});
        (review, approved(&request.object().tree(), message))
    });
    plan.steps.push(Step::FirstAllowed(choices.collect()));
    plan.again_after(AGAIN);
}

fn approved(request: &Tree, message: &str) -> Box<Step> {
    let mut object = request.clone();
    let condition = json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message});
    object.set_default("status.conditions", json!([]));
    if let Some(conditions) = object.at_mut("status.conditions").and_then(Tree::as_array_mut) {
        conditions.push(condition);
    }
    Box::new(Step::Put { kind: CERTIFICATE_SIGNING_REQUEST.clone(), subresource: "approval", object })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn a_node_gets_its_certificate_if_it_may() {
        // The scribe reads the node's name out of the request.
        let of = |user: &str| {
            format!("csr r spec.signerName={KUBELET_CLIENT} spec.request=system:node:n1 spec.username={user}")
        };
        check(
            &CONTROLLER,
            &of("system:node:n1"),
            expect![[r#"
                first allowed of create selfnodeclient as system:node:n1: put certificatesigningrequest/r/approval, create nodeclient as system:node:n1: put certificatesigningrequest/r/approval
                again after 60s
            "#]],
        );
        check(
            &CONTROLLER,
            &of("system:bootstrap:abcdef"),
            expect![[r#"
                first allowed of create nodeclient as system:bootstrap:abcdef: put certificatesigningrequest/r/approval
                again after 60s
            "#]],
        );
    }

    #[test]
    fn what_is_for_others_or_decided_is_left_alone() {
        check(&CONTROLLER, "csr r spec.signerName=example.com/mine spec.request=system:node:n1", expect![[""]]);
        check(&CONTROLLER, &format!("csr r spec.signerName={KUBELET_CLIENT} spec.request=bob"), expect![[""]]);
        let denied = r#"status.conditions=[{"type":"Denied","status":"True"}]"#;
        let request = format!("csr r spec.signerName={KUBELET_CLIENT} spec.request=system:node:n1 {denied}");
        check(&CONTROLLER, &request, expect![[""]]);
    }
}
