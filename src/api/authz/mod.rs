//! May this user do that? Roles and bindings, as upstream's RBAC reads them.
//!
//! Asked on every request, so it allocates nothing on the way to yes: rules are parsed and indexed
//! by subject once for each change of a role or binding (see `index`). Members of `system:masters`
//! may do everything, whatever the roles say, so that no mistake in them can lock everybody out.
//! Nothing is ever denied by a rule; what no rule allows is forbidden.

pub mod bootstrap;
mod escalation;
mod index;
mod node;
mod related;
mod rule;
mod stored;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::object::{GroupResource, ObjectRef, Status, Target, User};

pub use escalation::check_write;
pub use rule::Rule;
pub use stored::StoredPolicies;

use index::{Granted, Index};

pub const ROLES: &str = "roles.rbac.authorization.k8s.io";
pub const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
pub const ROLE_BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
pub const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";

/// The cluster role that every node has without a binding, as upstream's node authorizer gives it.
/// What it says of some kinds is narrowed to the node's own objects.
const NODE_ROLE: &str = "system:node";

/// Who may do everything.
pub const MASTERS: &str = "system:masters";

/// Where the stored roles and bindings are read.
pub trait Policies: Send + Sync + 'static {
    /// A number that changes whenever a role or a binding does. Asked on every request.
    fn version(&self) -> u64;
    /// All objects of one of the four resources above.
    fn list(&self, resource: &str) -> Vec<ObjectRef>;
    /// Whether an object has to do with a node, through the pods on it.
    fn is_related(&self, node: &str, resource: &str, namespace: &str, name: &str) -> bool;
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub user: &'a User,
    /// A verb of the API, or of roles alone (`impersonate`, `bind`, `escalate`, …); for paths the
    /// method in lower case.
    pub verb: &'a str,
    pub what: What<'a>,
}

/// What the user wants to do something with.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    Resource(ResourceRef<'a>),
    /// A path that is no resource, such as `/healthz`.
    Path(&'a str),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceRef<'a> {
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// The field selector of a list or watch.
    pub fields: &'a str,
}

impl<'a> ResourceRef<'a> {
    /// As a list or watch with this field selector is: who may read one object by name may also list
    /// and watch just that one.
    pub fn selecting(mut self, verb: &str, fields: &'a str) -> Self {
        if matches!(verb, "list" | "watch" | "deletecollection") {
            let mut names = fields.split(',').filter_map(|part| part.trim().strip_prefix("metadata.name="));
            if self.name.is_empty() {
                self.name = names.next().map(|name| name.trim_start_matches('=')).unwrap_or_default();
            }
            self.fields = fields;
        }
        self
    }

    /// Whether the field selector asks for just this value of a field.
    pub fn selects(&self, field: &str, value: &str) -> bool {
        let mut terms = self.fields.split(',').filter_map(|term| term.trim().strip_prefix(field)?.strip_prefix('='));
        terms.any(|wanted| wanted.trim_start_matches('=') == value)
    }
}

impl<'a> From<&'a Target> for ResourceRef<'a> {
    fn from(target: &'a Target) -> Self {
        Self {
            group: &target.group,
            resource: &target.resource,
            subresource: &target.subresource,
            namespace: &target.namespace,
            name: &target.name,
            fields: "",
        }
    }
}

impl<'a> Ask<'a> {
    pub fn resource(user: &'a User, verb: &'a str, resource: ResourceRef<'a>) -> Self {
        Self { user, verb, what: What::Resource(resource) }
    }

    pub fn path(user: &'a User, verb: &'a str, path: &'a str) -> Self {
        Self { user, verb, what: What::Path(path) }
    }

    fn namespace(&self) -> &'a str {
        match self.what {
            What::Resource(resource) => resource.namespace,
            What::Path(_) => "",
        }
    }
}

/// The answer, with the reason that access reviews show.
#[derive(Debug)]
pub enum Decision {
    Allowed(Reason),
    /// Empty, or what was wrong with the roles on the way.
    Forbidden(String),
}

/// Why something is allowed; put into words only when somebody reads it.
pub enum Reason {
    Master,
    Node,
    Rule(Granted),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master | Self::Node => Ok(()),
            Self::Rule(granted) => write!(f, "RBAC: allowed by {granted}"),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Every rule that a user has in a namespace, and what was wrong with the roles on the way.
#[derive(Debug, Default)]
pub struct RulesOf {
    pub rules: Vec<Arc<Rule>>,
    pub errors: Vec<String>,
}

/// The authorizer.
pub struct Authz {
    policies: Arc<dyn Policies>,
    index: ArcSwap<Index>,
}

impl Authz {
    pub fn new(policies: Arc<dyn Policies>) -> Self {
        let index = Index::read(policies.as_ref(), &Index::default());
        Self { policies, index: ArcSwap::from_pointee(index) }
    }

    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        if ask.user.in_group(MASTERS) {
            return Decision::Allowed(Reason::Master);
        }
        let index = self.index();
        match index.bindings_of(ask.user, ask.namespace()).find(|granted| granted.allows(ask)) {
            Some(granted) => Decision::Allowed(Reason::Rule(granted.clone())),
            None => {
                match self.decide_for_node(&index, ask) {
                    Some(node::Verdict::Allowed) => return Decision::Allowed(Reason::Node),
                    Some(node::Verdict::Refused(why)) if !why.is_empty() => return Decision::Forbidden(why),
                    _ => (),
                }
                let errors = index.bindings_of(ask.user, ask.namespace()).filter_map(Granted::broken);
                let told = aggregate(errors.collect());
                Decision::Forbidden(if told.is_empty() { told } else { format!("RBAC: {told}") })
            }
        }
    }

    /// What is to be said of a node's request beyond the roles that it is bound to; `None` for others'.
    fn decide_for_node(&self, index: &Index, ask: &Ask<'_>) -> Option<node::Verdict> {
        let name = ask.user.name.strip_prefix("system:node:").filter(|_| is_node(ask.user))?;
        let verdict = match ask.what {
            What::Resource(at) => {
                let resource = GroupResource::new(at.group, at.resource);
                let related = || self.policies.is_related(name, resource.as_str(), at.namespace, at.name);
                node::decide(name, ask.verb, &at, &related)
            }
            What::Path(_) => node::Verdict::AsRole,
        };
        Some(match verdict {
            node::Verdict::AsRole if index.role_allows(NODE_ROLE, ask) => node::Verdict::Allowed,
            verdict => verdict,
        })
    }

    /// Lets pass what is allowed; the error is the 403 that clients see.
    pub fn check(&self, ask: &Ask<'_>) -> Result<(), Status> {
        match self.decide(ask) {
            Decision::Allowed(_) => Ok(()),
            Decision::Forbidden(reason) => Err(forbidden(ask, &reason)),
        }
    }

    /// The rules that apply to `user` in `namespace`; cluster-wide ones only where it is empty.
    pub fn rules_of(&self, user: &User, namespace: &str) -> RulesOf {
        let mut found = RulesOf::default();
        let index = self.index();
        for granted in index.bindings_of(user, namespace) {
            match granted.broken() {
                Some(error) => found.errors.push(error),
                None => found.rules.extend(granted.rules().iter().cloned()),
            }
        }
        found
    }

    /// The rules of a role that a binding in `namespace` refers to; `None` if there is no such role.
    fn rules_of_role(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<[Arc<Rule>]>> {
        self.index().role(kind, namespace, name)
    }

    fn index(&self) -> Arc<Index> {
        let index = self.index.load_full();
        if index.version == self.policies.version() {
            return index;
        }
        let index = Arc::new(Index::read(self.policies.as_ref(), &index));
        self.index.store(index.clone());
        index
    }
}

/// Whether the user is a node's kubelet.
pub fn is_node(user: &User) -> bool {
    user.name.starts_with("system:node:") && user.in_group("system:nodes")
}

/// The 403 answer to `ask`, in upstream's words.
pub fn forbidden(ask: &Ask<'_>, reason: &str) -> Status {
    let told = denial(ask);
    let told = if reason.is_empty() { told } else { format!("{told}: {reason}") };
    match ask.what {
        What::Resource(at) => Status::forbidden(&GroupResource::new(at.group, at.resource), at.name, told),
        What::Path(_) => Status::forbidden(&GroupResource::new("", ""), "", told),
    }
}

fn denial(ask: &Ask<'_>) -> String {
    let (user, verb) = (&ask.user.name, ask.verb);
    let told = match ask.what {
        What::Path(path) => format!("User {user:?} cannot {verb} path {path:?}"),
        What::Resource(at) => {
            let slash = if at.subresource.is_empty() { "" } else { "/" };
            let resource = format!("{}{slash}{}", at.resource, at.subresource);
            let scope = match at.namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            format!("User {user:?} cannot {verb} resource {resource:?} in API group {:?} {scope}", at.group)
        }
    };
    // What a request says must not become markup where a browser shows the answer.
    told.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Several errors as one, the way upstream joins them.
fn aggregate(errors: Vec<String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for error in errors {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    }
    match distinct.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests;
