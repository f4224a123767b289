//! Admission policies: rules and changes in CEL for any write, bound to where they hold.

mod mutating;
mod rights;
pub mod types;
mod validating;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::api::admission::Attributes;
use crate::api::admission::webhook::review;
use crate::object::cel::{Program, Value};
use crate::object::tree::{Tree, TreePath, json};

pub use rights::Rights;

/// Names that expressions of policies and match conditions may use.
pub const NAMES: &[&str] = &["object", "oldObject", "request", "params", "namespaceObject", "authorizer", "variables"];

/// Compiled expressions, by their source: policies are read for every write.
#[derive(Default)]
pub struct Programs(Mutex<BTreeMap<String, Arc<Result<Program, String>>>>);

/// More expressions than this are forgotten, to be compiled again.
const PROGRAMS_MAX: usize = 4_096;

impl Programs {
    pub fn get(&self, source: &str) -> Arc<Result<Program, String>> {
        let mut programs = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(program) = programs.get(source) {
            return program.clone();
        }
        if programs.len() >= PROGRAMS_MAX {
            programs.clear();
        }
        let program = Arc::new(Program::compile(source, NAMES));
        programs.insert(source.to_owned(), program.clone());
        program
    }
}

/// What an expression sees of a write, besides parameters and variables.
pub fn vars(on: &Attributes<'_>, object: Option<&Tree>, old: Option<&Tree>) -> BTreeMap<String, Value> {
    let of = |tree: Option<&Tree>| tree.map_or(Value::Null, Value::from);
    let is_namespace = on.is("namespaces");
    let namespace = on.get("namespaces", "", on.namespace).filter(|_| !is_namespace && !on.namespace.is_empty());
    let namespace = namespace.map_or(Value::Null, |namespace| Value::from(&namespace.tree()));
    BTreeMap::from([
        ("object".to_owned(), of(object)),
        ("oldObject".to_owned(), of(old)),
        ("request".to_owned(), Value::from(&request(on, object))),
        ("namespaceObject".to_owned(), namespace),
        ("authorizer".to_owned(), Value::Authorizer(Default::default())),
    ])
}

fn request(on: &Attributes<'_>, object: Option<&Tree>) -> Tree {
    let kind = on.kind();
    let kind = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let resource = json!({"group": on.resource.group, "version": on.version, "resource": on.resource.plural});
    let namespace = if on.is("namespaces") { on.name_of(object) } else { on.namespace };
    json!({
        "kind": kind, "resource": resource, "subResource": on.subresource,
        "requestKind": kind, "requestResource": resource, "requestSubResource": on.subresource,
        "name": on.name_of(object), "namespace": namespace, "operation": on.operation.as_str(),
        "userInfo": review::user(on), "dryRun": on.dry_run,
    })
}

/// The trimmed text at `path`.
fn trimmed<'t>(tree: &'t Tree, path: &str) -> &'t str {
    tree.text(path).trim()
}
