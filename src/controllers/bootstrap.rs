//! Bootstrap tokens: removed when their time is over, and used to sign what new members need to know
//! before they can trust anybody (`kube-public/cluster-info`).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use jsonwebtoken::{Algorithm, EncodingKey};

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::{CONFIG_MAP, SECRET};
use crate::object::tree::{Tree, json};
use crate::object::view::{ConfigMap, Secret};
use crate::object::{Key, Timestamp};

/// Removes tokens whose time is over.
pub static CLEANER: Controller = Controller {
    name: "token-cleaner",
    component: "token-cleaner",
    kind: Some(&SECRET),
    woken_by: &[],
    reconcile: clean,
};

/// Signs the cluster's information with every token that may.
pub static SIGNER: Controller = Controller {
    name: "bootstrap-signer",
    component: "bootstrap-signer",
    kind: None,
    woken_by: &[Wake::By(&CONFIG_MAP, if_information), Wake::By(&SECRET, if_token)],
    reconcile: sign,
};

const TYPE: &str = "bootstrap.kubernetes.io/token";
const NAME_PREFIX: &str = "bootstrap-token-";
const HOME: &str = "kube-system";
const INFORMATION: (&str, &str) = ("kube-public", "cluster-info");
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";
const SIGNED: &str = "kubeconfig";

fn if_information(_: &Snapshot, change: &Change) -> Vec<Key> {
    let is_it = |key: &Key| (key.namespace(), key.name()) == INFORMATION;
    change.latest().map(|map| map.key().clone()).filter(is_it).into_iter().collect()
}

fn if_token(_: &Snapshot, change: &Change) -> Vec<Key> {
    let is_token = |key: &Key| key.namespace() == HOME && key.name().starts_with(NAME_PREFIX);
    let concerned = change.latest().is_some_and(|secret| is_token(secret.key()));
    concerned.then(|| CONFIG_MAP.key(INFORMATION.0, INFORMATION.1)).into_iter().collect()
}

fn clean(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(secret) = snap.get::<Secret>(key).filter(|secret| is_token(secret) && !secret.is_deleting()) else {
        return;
    };
    match expiration(&secret.object().tree()) {
        Expiration::Never => (),
        Expiration::At(end) if end > snap.now() => plan.again_after(end.since(snap.now())),
        // One whose end cannot be read counts as over: it must not be good for ever.
        Expiration::At(_) | Expiration::Unreadable => plan.delete(&secret, None),
    }
}

fn is_token(secret: &Seen<Secret>) -> bool {
    secret.kind == TYPE && secret.namespace() == HOME
}

enum Expiration {
    Never,
    At(Timestamp),
    Unreadable,
}

fn expiration(secret: &Tree) -> Expiration {
    match text(secret, "expiration").as_str() {
        "" => Expiration::Never,
        end => Timestamp::parse(end).map_or(Expiration::Unreadable, Expiration::At),
    }
}

fn text(secret: &Tree, name: &str) -> String {
    let encoded = secret.get("data").and_then(|data| data.get(name)).and_then(Tree::as_str).unwrap_or_default();
    BASE64.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn sign(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(information) = snap.get::<ConfigMap>(key) else { return };
    let Some(content) = information.data.get(SIGNED) else { return };
    let signatures: BTreeMap<String, String> = snap
        .list::<Secret>(HOME)
        .iter()
        .filter(|secret| is_token(secret))
        .filter_map(|secret| signature(secret, content, snap.now()))
        .collect();
    plan.update(&information, |object| {
        let Some(data) = object.get_mut("data").and_then(Tree::as_object_mut) else { return };
        data.retain(|name, _| !name.starts_with(SIGNATURE_PREFIX));
        data.extend(
            signatures.into_iter().map(|(id, signature)| (format!("{SIGNATURE_PREFIX}{id}"), json!(signature))),
        );
    });
}

/// A token's id and its signature, if it is for signing.
fn signature(secret: &Seen<Secret>, content: &str, now: Timestamp) -> Option<(String, String)> {
    let tree = secret.object().tree();
    let (id, key) = (text(&tree, "token-id"), text(&tree, "token-secret"));
    let is_good = secret.name().strip_prefix(NAME_PREFIX) == Some(&id)
        && !id.is_empty()
        && !key.is_empty()
        && text(&tree, "usage-bootstrap-signing") == "true"
        && match expiration(&tree) {
            Expiration::Never => true,
            Expiration::At(end) => end > now,
            Expiration::Unreadable => false,
        };
    is_good.then(|| detached(content, &id, &key)).flatten().map(|signature| (id, signature))
}

/// A JWS of `content` without the content, which whoever checks it has.
fn detached(content: &str, id: &str, key: &str) -> Option<String> {
    let header = BASE64_URL.encode(format!(r#"{{"alg":"HS256","kid":{}}}"#, json!(id)));
    let message = format!("{header}.{}", BASE64_URL.encode(content));
    let key = EncodingKey::from_secret(key.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).ok()?;
    Some(format!("{header}..{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{check, check_key};
    use expect_test::expect;

    fn token(fields: &[(&str, &str)]) -> String {
        let data: BTreeMap<&str, String> = fields.iter().map(|(name, value)| (*name, BASE64.encode(value))).collect();
        format!("secret kube-system/bootstrap-token-abcdef type={TYPE} data={}", json!(data))
    }

    #[test]
    fn a_token_goes_when_its_time_is_over() {
        let removed = expect![[r#"
            delete secret/kube-system/bootstrap-token-abcdef
        "#]];
        check(&CLEANER, &token(&[("expiration", "2027-01-15T07:59:59Z")]), removed);
        let removed = expect![[r#"
            delete secret/kube-system/bootstrap-token-abcdef
        "#]];
        check(&CLEANER, &token(&[("expiration", "tomorrow")]), removed);
        check(
            &CLEANER,
            &token(&[("expiration", "2027-01-15T08:01:00Z")]),
            expect![[r#"
                again after 60s
            "#]],
        );
        check(&CLEANER, &token(&[]), expect![[""]]);
        check(&CLEANER, "secret kube-system/other type=Opaque", expect![[""]]);
    }

    #[test]
    fn signatures_follow_the_tokens() {
        let key = CONFIG_MAP.key(INFORMATION.0, INFORMATION.1);
        let information =
            r#"configmap kube-public/cluster-info data={"kubeconfig":"text","jws-kubeconfig-gone00":"x"}"#;
        let good =
            token(&[("token-id", "abcdef"), ("token-secret", "0123456789abcdef"), ("usage-bootstrap-signing", "true")]);
        check_key(
            &SIGNER,
            &key,
            &format!("{information}\n{good}"),
            expect![[r#"
                update configmap/kube-public/cluster-info jws-kubeconfig-abcdef=eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..v28Ea_KqmHOtFWksJ_4tbV6AFRNzMkrRUG_jsuLJz-4 kubeconfig=text
            "#]],
        );
        let other = token(&[("token-id", "abcdef"), ("token-secret", "0123456789abcdef")]);
        check_key(
            &SIGNER,
            &key,
            &format!("{information}\n{other}"),
            expect![[r#"
                update configmap/kube-public/cluster-info kubeconfig=text
            "#]],
        );
    }
}
