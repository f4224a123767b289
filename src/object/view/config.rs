//! Configuration that pods read.

use std::collections::BTreeMap;

views! { ConfigMap = "configmaps", Secret = "secrets" }

fields! {
    ConfigMap {
        data: BTreeMap<String, String>,
    }

    /// Without its data, which nobody but its pods' kubelet should hold.
    Secret {
        #[serde(rename = "type")]
        kind: String,
    }
}
