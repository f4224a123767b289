//! The `Addon` object: what is known about one file of manifests.

use crate::object::kind::CUSTOM_RESOURCE_DEFINITION;
use crate::object::tree::json;
use crate::object::{Kind, Tree, TreePath};

pub(super) const NAMESPACE: &str = "kube-system";
pub(super) static KIND: Kind = Kind::fixed("addons.skiff.io", "v1", "Addon", "addons", true);

/// One file, what it made and how that went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub source: String,
    pub server: String,
    pub checksum: String,
    pub is_applied: bool,
    pub failure: String,
    pub objects: Vec<Made>,
}

/// An object that a file made, or is about to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl Made {
    pub fn of(kind: &Kind, tree: &Tree) -> Self {
        Self {
            api_version: kind.api_version(),
            kind: kind.kind.to_string(),
            namespace: tree.text("metadata.namespace").to_owned(),
            name: tree.text("metadata.name").to_owned(),
        }
    }

    pub fn full_name(&self) -> String {
        if self.namespace.is_empty() { self.name.clone() } else { format!("{}/{}", self.namespace, self.name) }
    }
}

impl Record {
    pub fn read(tree: &Tree) -> Self {
        let made = |object: &Tree| Made {
            api_version: object.text("apiVersion").to_owned(),
            kind: object.text("kind").to_owned(),
            namespace: object.text("namespace").to_owned(),
            name: object.text("name").to_owned(),
        };
        Self {
            source: tree.text("spec.source").to_owned(),
            server: tree.text("spec.server").to_owned(),
            checksum: tree.text("spec.checksum").to_owned(),
            is_applied: tree.text("status.result") == APPLIED,
            failure: tree.text("status.message").to_owned(),
            objects: tree.items("status.objects").iter().map(made).collect(),
        }
    }

    pub fn tree(&self, name: &str) -> Tree {
        let object = |made: &Made| {
            let mut tree = json!({"apiVersion": made.api_version, "kind": made.kind, "name": made.name});
            if !made.namespace.is_empty() {
                tree.set("namespace", made.namespace.as_str());
            }
            tree
        };
        let result = if self.is_applied {
            APPLIED
        } else if self.failure.is_empty() {
            "Applying"
        } else {
            "Failed"
        };
        json!({
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"source": self.source, "server": self.server, "checksum": self.checksum},
            "status": {
                "result": result,
                "message": self.failure,
                "objects": self.objects.iter().map(object).collect::<Vec<_>>(),
            },
        })
    }
}

const APPLIED: &str = "Applied";

pub(super) fn definition_kind() -> &'static Kind {
    &CUSTOM_RESOURCE_DEFINITION
}

/// The custom resource definition of `Addon`.
pub(super) fn definition() -> Tree {
    let text = |description: &str| json!({"type": "string", "description": description});
    let object = json!({
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "namespace": {"type": "string"}, "name": {"type": "string"},
        },
    });
    let column = |name: &str, path: &str, priority: i64| json!({"name": name, "type": "string", "jsonPath": path, "priority": priority});
    json!({
        "metadata": {"name": format!("{}.{}", KIND.plural, KIND.group)},
        "spec": {
            "group": KIND.group,
            "scope": "Namespaced",
            "names": {"plural": KIND.plural, "singular": "addon", "kind": KIND.kind, "listKind": "AddonList"},
            "versions": [{
                "name": KIND.version, "served": true, "storage": true,
                "additionalPrinterColumns": [
                    column("Source", ".spec.source", 0),
                    column("Result", ".status.result", 0),
                    column("Message", ".status.message", 1),
                    column("Checksum", ".spec.checksum", 1),
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "Addon is a file of manifests that a server keeps applied.",
                    "properties": {
                        "spec": {"type": "object", "properties": {
                            "source": text("The file, seen from the folder of manifests."),
                            "server": text("The server whose folder it lies in."),
                            "checksum": text("SHA-256 of the file."),
                        }},
                        "status": {"type": "object", "properties": {
                            "result": text("Applying, Applied or Failed."),
                            "message": text("Why it failed."),
                            "objects": {"type": "array", "description": "What the file made.", "items": object},
                        }},
                    },
                }},
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let made = |namespace: &str| Made {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: namespace.into(),
            name: "c".into(),
        };
        let record = Record {
            source: "a/b.yaml".into(),
            server: "n1".into(),
            checksum: "00".into(),
            is_applied: false,
            failure: "no".into(),
            objects: vec![made("x"), made("")],
        };
        assert_eq!(Record::read(&record.tree("b")), record);
    }
}
