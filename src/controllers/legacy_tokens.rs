//! Tokens in Secrets that accounts got by themselves, in older clusters, and that nobody uses: marked as
//! invalid after a year, removed after another.
//!
//! When a token was last used stands on its Secret (`api::authn` writes it), since when that is written
//! down in a ConfigMap. A Secret that somebody made is never touched: no account lists it.

use std::time::Duration;

use crate::client::{DeleteOptions, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan};
use crate::object::kind::SECRET;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::view::{ConfigMap, Pod, Secret, ServiceAccount};
use crate::object::{Key, PatchKind, Timestamp};

pub static CONTROLLER: Controller = Controller {
    name: "legacy-service-account-token-cleaner",
    component: "legacy-service-account-token-cleaner",
    kind: Some(&SECRET),
    woken_by: &[],
    reconcile,
};

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
const TRACKING: (&str, &str) = ("kube-system", "kube-apiserver-legacy-service-account-token-tracking");

const DAY: Duration = Duration::from_secs(24 * 3_600);
const UNUSED: Duration = Duration::from_secs(365 * 24 * 3_600);

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(secret) = snap.get::<Secret>(key).filter(|secret| secret.kind == TYPE && !secret.is_deleting()) else {
        return;
    };
    let (Some(made), Some(since)) = (secret.meta().creation_timestamp, tracked_since(snap)) else { return };
    if !is_listed(snap, &secret) {
        return;
    }
    // Nothing can be said before it was watched for so long.
    let due = (since + DAY + UNUSED).max(made + UNUSED);
    if due > snap.now() {
        return plan.again_after(due.since(snap.now()).max(DAY));
    }
    let limit = day(snap.now() - UNUSED);
    let label = |name: &str| secret.meta().label(name).unwrap_or_default();
    let last = label(LAST_USED);
    if !last.is_empty() && parse(last).is_none() {
        return;
    }
    if last >= limit.as_str() || is_mounted(snap, &secret) {
        return plan.again_after(DAY);
    }
    match parse(label(INVALID_SINCE)) {
        None => {
            let labels = json!({INVALID_SINCE: day(snap.now())});
            let body = json!({"metadata": {"uid": secret.uid(), "labels": labels}});
            plan.patch(&SECRET, key, PatchKind::Merge, body);
        }
        Some(_) if label(INVALID_SINCE) >= limit.as_str() => plan.again_after(DAY),
        Some(_) => {
            // One that was used just now has another version.
            let version = Some(secret.object().revision().to_string());
            let options = DeleteOptions { resource_version: version, ..DeleteOptions::of_uid(secret.uid()) };
            plan.delete_with(&secret, options, None);
        }
    }
}

fn tracked_since(snap: &Snapshot) -> Option<Timestamp> {
    snap.find::<ConfigMap>(TRACKING.0, TRACKING.1).and_then(|map| parse(map.data.get("since")?))
}

/// Whether the secret's account lists it, which it does only for those it got by itself.
fn is_listed(snap: &Snapshot, secret: &Seen<Secret>) -> bool {
    let name = secret.meta().annotation(ACCOUNT_NAME).unwrap_or_default();
    let uid = secret.meta().annotation(ACCOUNT_UID).unwrap_or_default();
    let account = snap.find::<ServiceAccount>(secret.namespace(), name);
    account.is_some_and(|account| {
        (uid.is_empty() || uid == account.uid()) && account.secrets.iter().any(|own| own.name == secret.name())
    })
}

/// Whether a pod says the secret's name, in whatever field.
fn is_mounted(snap: &Snapshot, secret: &Seen<Secret>) -> bool {
    let pods = snap.list::<Pod>(secret.namespace());
    pods.iter().any(|pod| pod.object().tree().at("spec").is_some_and(|spec| says(spec, secret.name())))
}

fn says(tree: &Tree, name: &str) -> bool {
    match tree {
        Tree::String(text) => text == name,
        Tree::Array(items) => items.iter().any(|item| says(item, name)),
        Tree::Object(map) => map.values().any(|value| says(value, name)),
        _ => false,
    }
}

fn day(at: Timestamp) -> String {
    at.to_string().split('T').next().unwrap_or_default().to_owned()
}

fn parse(day: &str) -> Option<Timestamp> {
    Timestamp::parse(&format!("{day}T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    /// A token of long ago, listed by its account.
    fn situation(since: &str, labels: &str, more: &str) -> String {
        format!(
            "secret old type={TYPE} metadata.creationTimestamp=2020-01-01T00:00:00Z annotations={ACCOUNT_NAME}:bot {labels}
             sa bot secrets=[{{\"name\":\"old\"}}]
             configmap kube-system/{} data={{\"since\":\"{since}\"}}\n{more}",
            TRACKING.1
        )
    }

    #[test]
    fn an_unused_token_is_marked_and_a_year_later_removed() {
        check(
            &CONTROLLER,
            &situation("2020-01-01", "", ""),
            expect![[r#"
                patch secret/old {"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2027-01-15"},"uid":"secret-old"}}
            "#]],
        );
        let marked = |day: &str| format!("labels={INVALID_SINCE}:{day}");
        check(
            &CONTROLLER,
            &situation("2020-01-01", &marked("2026-01-14"), ""),
            expect![[r#"
                delete secret/old
            "#]],
        );
        let again = expect![[r#"
            again after 86400s
        "#]];
        check(&CONTROLLER, &situation("2020-01-01", &marked("2026-06-01"), ""), again);
    }

    #[test]
    fn a_token_that_is_used_or_not_watched_for_long_stays() {
        let again = || {
            expect![[r#"
                again after 86400s
            "#]]
        };
        check(&CONTROLLER, &situation("2020-01-01", &format!("labels={LAST_USED}:2026-12-31"), ""), again());
        let pod = "pod p spec.volumes=[{\"name\":\"v\",\"secret\":{\"secretName\":\"old\"}}]";
        check(&CONTROLLER, &situation("2020-01-01", "", pod), again());
        check(
            &CONTROLLER,
            &situation("2026-12-15", "", ""),
            expect![[r#"
                again after 28915200s
            "#]],
        );
        let made_by_hand = format!("secret mine type={TYPE} annotations={ACCOUNT_NAME}:bot\n sa bot");
        check(&CONTROLLER, &made_by_hand, expect![[""]]);
    }
}
