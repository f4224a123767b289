//! DefaultStorageClass and DefaultIngressClass: who names no class gets the one marked as default.

use super::{Attributes, Plugin};
use crate::object::tree::{Tree, TreePath};
use crate::object::{ObjectRef, Status};

const STORAGE: &str = "storageclass.kubernetes.io/is-default-class";
const STORAGE_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";
const INGRESS: &str = "ingressclass.kubernetes.io/is-default-class";

pub struct DefaultStorageClass;
pub struct DefaultIngressClass;

impl Plugin for DefaultStorageClass {
    fn admit(&self, on: &Attributes<'_>, claim: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if on.creates("persistentvolumeclaims") && claim.at("spec.storageClassName").is_none() {
            if let Some(class) = newest(on, "storageclasses.storage.k8s.io", &[STORAGE, STORAGE_BETA]) {
                claim.set("spec.storageClassName", class.key().name());
            }
        }
        Ok(())
    }
}

impl Plugin for DefaultIngressClass {
    fn admit(&self, on: &Attributes<'_>, ingress: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        let has_class = |ingress: &Tree| {
            ingress.has("spec.ingressClassName")
                || ingress
                    .at("metadata.annotations")
                    .is_some_and(|all| all.get("kubernetes.io/ingress.class").is_some())
        };
        if on.creates("ingresses.networking.k8s.io") && !has_class(ingress) {
            if let Some(class) = newest(on, "ingressclasses.networking.k8s.io", &[INGRESS]) {
                ingress.set("spec.ingressClassName", class.key().name());
            }
        }
        Ok(())
    }
}

/// The class that was marked last; of several as old the first by name.
fn newest(on: &Attributes<'_>, resource: &str, marks: &[&str]) -> Option<ObjectRef> {
    let is_marked = |class: &ObjectRef| marks.iter().any(|mark| class.meta().annotation(mark) == Some("true"));
    let mut marked: Vec<ObjectRef> = on.list(resource, "").into_iter().filter(is_marked).collect();
    marked.sort_by(|a, b| {
        let time = |class: &ObjectRef| class.meta().creation_timestamp;
        time(b).cmp(&time(a)).then_with(|| a.key().cmp(b.key()))
    });
    marked.into_iter().next()
}
