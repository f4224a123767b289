//! Priority: a pod's number comes from its PriorityClass, never from the client.

use super::{Attributes, Operation, Plugin};
use crate::object::tree::{Tree, TreePath};
use crate::object::view::PriorityClass;
use crate::object::{ObjectRef, Status};

const CLASSES: &str = "priorityclasses.scheduling.k8s.io";
const PREEMPT: &str = "PreemptLowerPriority";

pub struct Priority;

/// What a class gives.
struct Class {
    name: String,
    value: i64,
    policy: String,
}

impl Plugin for Priority {
    fn admit(&self, on: &Attributes<'_>, pod: &mut Tree, _: &mut Vec<String>) -> Result<(), Status> {
        if !on.is("pods") {
            return Ok(());
        }
        match (on.operation, on.old) {
            (Operation::Create, _) => admit_pod(on, pod),
            (Operation::Update, Some(old)) => {
                for field in ["spec.priority", "spec.preemptionPolicy"] {
                    if let Some(value) = old.at(field).filter(|_| !pod.has(field)) {
                        pod.set(field, value.clone());
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn validate(&self, on: &Attributes<'_>, class: Option<&Tree>, _: &mut Vec<String>) -> Result<(), Status> {
        let Some(class) = class.filter(|class| on.is(CLASSES) && class.flag("globalDefault") == Some(true)) else {
            return Ok(());
        };
        let name = class.text("metadata.name");
        match default_class(on).filter(|other| other.name != name) {
            Some(other) => Err(on.forbidden(
                class,
                format!("PriorityClass {} is already marked as default. Only one default can exist", other.name),
            )),
            None => Ok(()),
        }
    }
}

fn admit_pod(on: &Attributes<'_>, pod: &mut Tree) -> Result<(), Status> {
    let class = match pod.text("spec.priorityClassName") {
        "" => default_class(on).unwrap_or(Class { name: String::new(), value: 0, policy: PREEMPT.into() }),
        name => match on.get(CLASSES, "", name) {
            Some(class) => read(&class),
            None => return Err(on.forbidden(pod, format!("no PriorityClass with name {name} was found"))),
        },
    };
    if let Some(given) = pod.int("spec.priority").filter(|given| *given != class.value) {
        return Err(on.forbidden(
            pod,
            format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                class.value
            ),
        ));
    }
    let given = pod.text("spec.preemptionPolicy");
    if !given.is_empty() && given != class.policy {
        return Err(on.forbidden(
            pod,
            format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                class.policy
            ),
        ));
    }
    if !class.name.is_empty() {
        pod.set("spec.priorityClassName", class.name);
    }
    pod.set("spec.priority", class.value);
    pod.set("spec.preemptionPolicy", class.policy);
    Ok(())
}

/// The class for pods that name none: of several the one with the lowest value.
fn default_class(on: &Attributes<'_>) -> Option<Class> {
    let classes = on.list(CLASSES, "");
    let defaults = classes.iter().filter(|class| class.view::<PriorityClass>().global_default);
    defaults.min_by_key(|class| class.view::<PriorityClass>().value).map(read)
}

fn read(class: &ObjectRef) -> Class {
    let view = class.view::<PriorityClass>();
    let policy = view.preemption_policy.as_deref().filter(|policy| !policy.is_empty()).unwrap_or(PREEMPT);
    Class { name: class.key().name().into(), value: view.value.into(), policy: policy.into() }
}
