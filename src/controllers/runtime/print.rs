//! Plans as text, one line a step, for tests and for debug logs.

use std::fmt;

use super::plan::{Plan, Step};
use crate::object::{Key, Kind, Tree, TreePath};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        match self.again_after {
            Some(delay) => writeln!(f, "again after {delay:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { kind, object, .. } => write!(f, "create {}{}", of_tree(kind, object), Marks(object)),
            Self::Update { kind, object } => write!(f, "update {}{}", of_tree(kind, object), Marks(object)),
            Self::Status { kind, object } => {
                write!(f, "status {}{}", of_tree(kind, object), Fields(object.get("status")))
            }
            Self::Patch { kind, key, subresource, body, .. } => {
                let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
                write!(f, "patch {}{subresource} {body}", of_key(kind, key))
            }
            Self::Apply { kind, object, .. } => write!(f, "apply {}", of_tree(kind, object)),
            Self::Delete { kind, key, options, .. } => {
                write!(f, "delete {}", of_key(kind, key))?;
                if let Some(seconds) = options.grace_period_seconds {
                    write!(f, " grace={seconds}")?;
                }
                if let Some(propagation) = options.propagation {
                    write!(f, " propagation={propagation:?}")?;
                }
                Ok(())
            }
            Self::EndIfAny(objects) => {
                let names: Vec<String> = objects.iter().map(|(kind, key, _)| of_key(kind, key)).collect();
                write!(f, "end if there is {}", names.join(", "))
            }
            Self::EndIfBehind { kind, namespace, until, .. } => {
                write!(f, "end if {} in {namespace} are known to less than {until}", kind.plural)
            }
            Self::DeleteAll { kind, namespace } => write!(f, "delete all {} in {namespace}", kind.plural),
            Self::Put { kind, subresource, object } => write!(f, "put {}/{subresource}", of_tree(kind, object)),
            Self::Post { kind, key, subresource, .. } => write!(f, "post {}/{subresource}", of_key(kind, key)),
            Self::FirstAllowed(choices) => {
                let choice = |(review, step): &(Tree, Box<Self>)| {
                    let at = |field: &str| review.text(&format!("spec.resourceAttributes.{field}")).to_owned();
                    format!("{} {} as {}: {step}", at("verb"), at("subresource"), review.text("spec.user"))
                };
                let choices: Vec<String> = choices.iter().map(choice).collect();
                write!(f, "first allowed of {}", choices.join(", "))
            }
            Self::Note(note) => {
                let about = format!("{}/{}", note.regarding.kind.to_lowercase(), note.regarding.name);
                write!(f, "event {about} {:?} {}: {}", note.kind, note.reason, note.message)
            }
        }
    }
}

fn of_key(kind: &Kind, key: &Key) -> String {
    place(kind, key.namespace(), key.name())
}

fn of_tree(kind: &Kind, object: &Tree) -> String {
    let name = match object.text("metadata.name") {
        "" => format!("{}*", object.text("metadata.generateName")),
        name => name.to_owned(),
    };
    place(kind, object.text("metadata.namespace"), &name)
}

/// `kind/name`, with the namespace before it unless it is the default one.
fn place(kind: &Kind, namespace: &str, name: &str) -> String {
    let kind = kind.kind.to_lowercase();
    if matches!(namespace, "" | "default") { format!("{kind}/{name}") } else { format!("{kind}/{namespace}/{name}") }
}

/// What tells one created object from another: labels, owner, replicas.
struct Marks<'a>(&'a Tree);

impl fmt::Display for Marks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in ["metadata.annotations", "metadata.labels", "data"] {
            for (key, value) in self.0.map(path).into_iter().flatten() {
                write!(f, " {key}={}", plain(value))?;
            }
        }
        for path in ["endpoints", "subsets"] {
            if let Some(list) = self.0.at(path) {
                write!(f, " {path}={list}")?;
            }
        }
        if let Some(replicas) = self.0.int("spec.replicas") {
            write!(f, " replicas={replicas}")?;
        }
        Ok(())
    }
}

/// The fields of a status: numbers and texts plain, conditions as `Type=Status(Reason)`, the rest as JSON.
struct Fields<'a>(Option<&'a Tree>);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.0.and_then(Tree::as_object).into_iter().flatten() {
            match value {
                Tree::Array(conditions) if name == "conditions" => {
                    for condition in conditions {
                        write!(f, " {}={}", condition.text("type"), condition.text("status"))?;
                        match condition.text("reason") {
                            "" => (),
                            reason => write!(f, "({reason})")?,
                        }
                    }
                }
                value => write!(f, " {name}={}", plain(value))?,
            }
        }
        Ok(())
    }
}

fn plain(value: &Tree) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
