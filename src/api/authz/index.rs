//! Roles and bindings, parsed and arranged by subject, at one moment.
//!
//! Made anew when a role or binding has changed and somebody asks; what has not changed since the
//! last one is taken over, not parsed again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::rule::{Rule, or_null};
use super::{Ask, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Policies, ROLE_BINDINGS, ROLES};
use crate::object::{Key, ObjectRef, Revision, User};

type Rules = Arc<[Arc<Rule>]>;

#[derive(Default)]
pub struct Index {
    pub version: u64,
    roles: HashMap<Key, (Revision, Rules)>,
    bindings: HashMap<Key, (Revision, Arc<Binding>)>,
    /// By namespace; those under no namespace hold in the whole cluster.
    grants: HashMap<String, Grants>,
}

/// What subjects are given, by their names.
#[derive(Default)]
struct Grants {
    users: HashMap<String, Vec<Granted>>,
    groups: HashMap<String, Vec<Granted>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Binding {
    metadata: Names,
    role_ref: RoleRef,
    #[serde(deserialize_with = "or_null")]
    subjects: Vec<SubjectRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubjectRef {
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Role {
    #[serde(deserialize_with = "or_null")]
    rules: Vec<Arc<Rule>>,
}

/// What one binding gives to one of its subjects.
#[derive(Clone)]
pub struct Granted {
    binding: Arc<Binding>,
    subject: usize,
    /// `None`: the binding's role does not exist.
    rules: Option<Rules>,
}

impl Index {
    /// Reads what is stored now. `before` is the last index, for what has not changed.
    pub fn read(policies: &dyn Policies, before: &Self) -> Self {
        // The version first: what changes while we read makes the next question read again.
        let mut index = Self { version: policies.version(), ..Self::default() };
        for resource in [CLUSTER_ROLES, ROLES] {
            for object in policies.list(resource) {
                let rules = reuse(&before.roles, &object, |role: Role| role.rules.into());
                index.roles.insert(object.key().clone(), rules);
            }
        }
        let mut order = Vec::new();
        for resource in [CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS] {
            for object in policies.list(resource) {
                let binding = reuse(&before.bindings, &object, |binding: Binding| Arc::new(binding));
                order.push(binding.1.clone());
                index.bindings.insert(object.key().clone(), binding);
            }
        }
        for binding in order {
            index.grant(&binding);
        }
        index
    }

    fn grant(&mut self, binding: &Arc<Binding>) {
        let namespace = &binding.metadata.namespace;
        let rules = self.role(&binding.role_ref.kind, namespace, &binding.role_ref.name);
        let grants = self.grants.entry(namespace.clone()).or_default();
        for (index, subject) in binding.subjects.iter().enumerate() {
            let granted = Granted { binding: binding.clone(), subject: index, rules: rules.clone() };
            let (map, name) = match (subject.kind.as_str(), subject.namespace_or(namespace)) {
                ("User", _) => (&mut grants.users, subject.name.clone()),
                ("Group", _) => (&mut grants.groups, subject.name.clone()),
                ("ServiceAccount", of) if !of.is_empty() => {
                    (&mut grants.users, format!("system:serviceaccount:{of}:{}", subject.name))
                }
                _ => continue,
            };
            map.entry(name).or_default().push(granted);
        }
    }

    pub fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<Rules> {
        let key = match kind {
            "ClusterRole" => Key::of(CLUSTER_ROLES, "", name),
            _ => Key::of(ROLES, namespace, name),
        };
        self.roles.get(&key).map(|(_, rules)| rules.clone())
    }

    /// Whether a cluster role allows what is asked, whoever asks.
    pub fn role_allows(&self, cluster_role: &str, ask: &Ask<'_>) -> bool {
        let rules = self.role("ClusterRole", "", cluster_role);
        rules.is_some_and(|rules| rules.iter().any(|rule| rule.allows(ask)))
    }

    /// What `user` has by its name and its groups: cluster-wide, then in `namespace`.
    pub fn bindings_of<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Granted> {
        let local = (!namespace.is_empty()).then_some(namespace);
        let scopes = std::iter::once("").chain(local).filter_map(|scope| self.grants.get(scope));
        scopes.flat_map(|scope| scope.of(user))
    }
}

impl Grants {
    fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Granted> {
        let by_name = self.users.get(&user.name).into_iter();
        by_name.chain(user.groups.iter().filter_map(|group| self.groups.get(group))).flatten()
    }
}

fn reuse<P: for<'de> Deserialize<'de> + Default, T: Clone>(
    before: &HashMap<Key, (Revision, T)>,
    object: &ObjectRef,
    make: impl FnOnce(P) -> T,
) -> (Revision, T) {
    match before.get(object.key()) {
        Some((revision, known)) if *revision == object.revision() => (*revision, known.clone()),
        _ => {
            // The API checked it against the schema when it was stored; damage grants nothing.
            let parsed = serde_json::from_slice::<P>(object.bytes()).unwrap_or_else(|error| {
                tracing::error!(object = %object.key(), %error, "cannot read; it grants nothing");
                P::default()
            });
            (object.revision(), make(parsed))
        }
    }
}

impl SubjectRef {
    fn namespace_or<'a>(&'a self, binding_namespace: &'a str) -> &'a str {
        if self.namespace.is_empty() { binding_namespace } else { &self.namespace }
    }
}

impl Granted {
    pub fn allows(&self, ask: &Ask<'_>) -> bool {
        self.rules().iter().any(|rule| rule.allows(ask))
    }

    pub fn rules(&self) -> &[Arc<Rule>] {
        self.rules.as_deref().unwrap_or_default()
    }

    /// What is wrong with the binding, in upstream's words.
    pub fn broken(&self) -> Option<String> {
        let role = &self.binding.role_ref;
        let kind = role.kind.to_lowercase();
        self.rules.is_none().then(|| format!("{kind}.rbac.authorization.k8s.io {:?} not found", role.name))
    }
}

impl fmt::Display for Granted {
    /// `RoleBinding "b/ns" of Role "r" to User "u"`: name before namespace, as upstream has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Binding { metadata, role_ref, subjects } = self.binding.as_ref();
        let (kind, name) = match metadata.namespace.as_str() {
            "" => ("ClusterRoleBinding", metadata.name.clone()),
            namespace => ("RoleBinding", format!("{}/{namespace}", metadata.name)),
        };
        let subject = &subjects[self.subject];
        let to = match subject.kind.as_str() {
            "ServiceAccount" => format!("{}/{}", subject.name, subject.namespace_or(&metadata.namespace)),
            _ => subject.name.clone(),
        };
        write!(f, "{kind} {name:?} of {} {:?} to {} {to:?}", role_ref.kind, role_ref.name, subject.kind)
    }
}
