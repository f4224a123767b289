//! Secrets of type `kubernetes.io/service-account-token`: fills in the token that they ask for.
//!
//! Such a secret goes with its account: it is deleted when there is no account of the name, or
//! another one than it was made for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::client::{Change, Seen, Snapshot};
use crate::controllers::runtime::plan::Step;
use crate::controllers::runtime::{Controller, Plan, Wake};
use crate::object::kind::{SECRET, SERVICE_ACCOUNT};
use crate::object::tree::json;
use crate::object::view::{Secret, ServiceAccount};
use crate::object::{Key, Tree, TreePath};

pub static CONTROLLER: Controller = Controller {
    name: "system:kube-controller-manager",
    component: "serviceaccount-token",
    kind: Some(&SECRET),
    woken_by: &[Wake::By(&SERVICE_ACCOUNT, secrets_of_account)],
    reconcile,
};

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// Accounts that come or go concern the secrets that name them.
fn secrets_of_account(snap: &Snapshot, change: &Change) -> Vec<Key> {
    if change.before.is_some() && change.after.is_some() {
        return Vec::new();
    }
    let Some(account) = change.latest() else { return Vec::new() };
    let secrets = snap.list::<Secret>(account.key().namespace()).into_iter();
    let named = secrets.filter(|secret| is_token(secret) && names(secret, account.key().name()));
    named.map(|secret| secret.key().clone()).collect()
}

fn is_token(secret: &Secret) -> bool {
    secret.kind == TYPE
}

fn names(secret: &Seen<Secret>, account: &str) -> bool {
    secret.meta().annotation(ACCOUNT_NAME) == Some(account)
}

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(secret) = snap.get::<Secret>(key).filter(|secret| is_token(secret) && !secret.is_deleting()) else {
        return;
    };
    let Some(name) = secret.meta().annotation(ACCOUNT_NAME).map(str::to_owned) else { return };
    let uid = secret.meta().annotation(ACCOUNT_UID);
    let account = snap.find::<ServiceAccount>(secret.namespace(), &name);
    match account.filter(|account| uid.is_none_or(|uid| uid == account.uid())) {
        Some(account) => fill(&secret, &account, plan),
        None => {
            // The snapshot may know the secret before its account: the server must say that there is none.
            let account = SERVICE_ACCOUNT.key(secret.namespace(), &name);
            let uid = uid.unwrap_or_default().to_owned();
            plan.steps.push(Step::EndIfAny(vec![(SERVICE_ACCOUNT.clone(), account, uid)]));
            plan.delete(&secret, None);
        }
    }
}

fn fill(secret: &Seen<Secret>, account: &Seen<ServiceAccount>, plan: &mut Plan) {
    let settings = plan.settings().clone();
    let Some(signer) = settings.signer else { return };
    let namespace = BASE64.encode(secret.namespace());
    let root_ca = (!settings.root_ca.is_empty()).then(|| BASE64.encode(&settings.root_ca));
    plan.update(secret, |object| {
        object.set_default("data", json!({}));
        let data = &mut object["data"];
        if data.text("token").is_empty()
            && let Ok(token) = signer.account_token(secret.key(), account.name(), account.uid())
        {
            data["token"] = BASE64.encode(token).into();
        }
        data["namespace"] = namespace.into();
        if let Some(root_ca) = root_ca {
            data["ca.crt"] = Tree::from(root_ca);
        }
        object["metadata"]["annotations"][ACCOUNT_UID] = account.uid().into();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    const SECRET: &str =
        "secret s type=kubernetes.io/service-account-token annotations=kubernetes.io/service-account.name:builder";

    #[test]
    fn a_secret_gets_the_token_of_its_account() {
        check(
            &CONTROLLER,
            &format!("{SECRET}\n sa builder"),
            expect![[r#"
            update secret/s kubernetes.io/service-account.name=builder kubernetes.io/service-account.uid=sa-builder ca.crt=UEVN namespace=ZGVmYXVsdA== token=YnVpbGRlciBzYS1idWlsZGVyIHM=
        "#]],
        );
    }

    #[test]
    fn a_secret_goes_with_its_account() {
        check(
            &CONTROLLER,
            SECRET,
            expect![[r#"
                end if there is serviceaccount/builder
                delete secret/s
            "#]],
        );
        check(&CONTROLLER, "secret s type=Opaque", expect![[""]]);
    }
}
