//! ServiceAccount: an identity for processes in pods.

use crate::object::tree::{Tree, TreePath, json};
use crate::resources::{Column, ResourceDef, Rules, Special, Version};

pub static DEF: ResourceDef = ResourceDef {
    short_names: &["sa"],
    subresources: &[Special::foreign("token", "authentication.k8s.io", "v1", "TokenRequest", &["create"])],
    columns: &[Column::NAME, Column::AGE],
    rules: &ServiceAccount,
    ..ResourceDef::namespaced(
        "",
        "ServiceAccount",
        "serviceaccounts",
        "serviceaccount",
        &[Version::on("v1", "io.k8s.api.core.v1.ServiceAccount")],
    )
};

struct ServiceAccount;

impl Rules for ServiceAccount {
    fn prepare_create(&self, new: &mut Tree) {
        keep_names(new);
    }

    fn prepare_update(&self, new: &mut Tree, _old: &Tree) {
        keep_names(new);
    }
}

/// Secrets are of the account's own namespace: a name is all that is said of them.
fn keep_names(account: &mut Tree) {
    for secret in account.at_mut("secrets").and_then(Tree::as_array_mut).into_iter().flatten() {
        *secret = match secret.text("name") {
            "" => json!({}),
            name => json!({"name": name}),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_name_alone() {
        let mut account = json!({"secrets": [{"name": "a", "namespace": "b", "kind": "Secret"}, {"kind": "Secret"}]});
        ServiceAccount.prepare_create(&mut account);
        assert_eq!(account, json!({"secrets": [{"name": "a"}, {}]}));
    }
}
