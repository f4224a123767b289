//! May this user do that? Roles and bindings, as upstream's RBAC reads them, and whoever else is asked
//! (see `chain`).
//!
//! Asked on every request, so it allocates nothing on the way to yes: rules are parsed and indexed
//! by subject once for each change of a role or binding (see `index`). Members of `system:masters`
//! may do everything, whatever the roles say, so that no mistake in them can lock everybody out.
//! Nothing is ever denied by a rule; what nobody allows is forbidden.

pub mod abac;
pub mod bootstrap;
mod chain;
pub mod conditions;
pub mod config;
mod escalation;
mod index;
mod node;
pub mod question;
mod related;
mod rule;
mod stored;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::hooks;
use super::metrics::Metrics;
use crate::object::{GroupResource, ObjectRef, Status, Target, User};

pub use chain::{Authorizer, Chain, Decision, Hearing, Judge, Opinion, Refusal};
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
    pub version: &'a str,
    /// The selectors of a list or watch.
    pub fields: &'a str,
    pub labels: &'a str,
}

impl<'a> ResourceRef<'a> {
    /// As a list or watch with these selectors is: who may read one object by name may also list
    /// and watch just that one.
    pub fn selecting(mut self, verb: &str, fields: &'a str, labels: &'a str) -> Self {
        if matches!(verb, "list" | "watch" | "deletecollection") {
            let mut names = fields.split(',').filter_map(|part| part.trim().strip_prefix("metadata.name="));
            if self.name.is_empty() {
                self.name = names.next().map(|name| name.trim_start_matches('=')).unwrap_or_default();
            }
            (self.fields, self.labels) = (fields, labels);
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
            version: &target.version,
            fields: "",
            labels: "",
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

/// Why something is allowed; put into words only when somebody reads it.
pub enum Reason {
    Master,
    Node,
    Rule(Granted),
    Always,
    /// In the words of a webhook.
    Webhook(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master | Self::Node => Ok(()),
            Self::Rule(granted) => write!(f, "RBAC: allowed by {granted}"),
            Self::Always => Ok(()),
            Self::Webhook(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Refusal {
    /// The answer to who asked: 403, or 500 where somebody who should know could not say.
    pub fn status(&self, ask: &Ask<'_>) -> Status {
        match &self.error {
            Some(why) => Status::internal(why),
            None => forbidden(ask, &self.reason),
        }
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
    chain: ArcSwap<Chain>,
}

impl Authz {
    /// Asks nodes' rules and roles, until it is told otherwise.
    pub fn new(policies: Arc<dyn Policies>, metrics: &Metrics) -> Self {
        let index = Index::read(policies.as_ref(), &Index::default());
        Self { policies, index: ArcSwap::from_pointee(index), chain: ArcSwap::from_pointee(Chain::built_in(metrics)) }
    }

    /// Asks others from now on.
    pub fn follow(&self, chain: Chain) {
        self.chain.store(Arc::new(chain));
    }

    /// Whether a request is allowed. Where webhooks are asked the thread waits for them: whoever can wait
    /// otherwise calls `judge`.
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        if self.is_master(ask) {
            return Decision::Allowed(Reason::Master);
        }
        let chain = self.chain.load();
        if chain.asks_webhooks() {
            drop(chain);
            return hooks::wait_for(self, ask);
        }
        let mut hearing = Hearing::default();
        for link in chain.links() {
            if let Some(decision) = hearing.hear(link, self.opinion(&link.authorizer, ask)) {
                return decision;
            }
        }
        hearing.close()
    }

    pub(super) fn chain(&self) -> Arc<Chain> {
        self.chain.load_full()
    }

    pub fn asks_webhooks(&self) -> bool {
        self.chain.load().asks_webhooks()
    }

    pub(super) fn is_master(&self, ask: &Ask<'_>) -> bool {
        ask.user.in_group(MASTERS)
    }

    /// What an authorizer of this process says.
    pub(super) fn opinion(&self, authorizer: &Authorizer, ask: &Ask<'_>) -> Opinion {
        match authorizer {
            Authorizer::Node => match self.decide_for_node(ask) {
                Some(node::Verdict::Allowed) => Opinion::Allowed(Reason::Node),
                Some(node::Verdict::Refused(reason)) => Opinion::None { reason, error: None },
                Some(node::Verdict::AsRole) | None => Opinion::NOTHING,
            },
            Authorizer::Rbac => self.by_roles(ask),
            Authorizer::Abac(policies) if policies.allows(ask) => Opinion::Allowed(Reason::Always),
            Authorizer::Abac(_) => Opinion::None { reason: "No policy matched.".to_owned(), error: None },
            Authorizer::AlwaysAllow => Opinion::Allowed(Reason::Always),
            // Upstream's says no more than that it has no opinion.
            Authorizer::AlwaysDeny => Opinion::None { reason: "Everything is forbidden.".to_owned(), error: None },
            Authorizer::Webhook(_) => Opinion::NOTHING,
        }
    }

    fn by_roles(&self, ask: &Ask<'_>) -> Opinion {
        let index = self.index();
        if let Some(granted) = index.bindings_of(ask.user, ask.namespace()).find(|granted| granted.allows(ask)) {
            return Opinion::Allowed(Reason::Rule(granted.clone()));
        }
        let errors = index.bindings_of(ask.user, ask.namespace()).filter_map(Granted::broken);
        let told = aggregate(errors.collect());
        let reason = if told.is_empty() { told } else { format!("RBAC: {told}") };
        Opinion::None { reason, error: None }
    }

    /// What is to be said of a node's request beyond the roles that it is bound to; `None` for others'.
    fn decide_for_node(&self, ask: &Ask<'_>) -> Option<node::Verdict> {
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
            node::Verdict::AsRole if self.index().role_allows(NODE_ROLE, ask) => node::Verdict::Allowed,
            verdict => verdict,
        })
    }

    /// Lets pass what is allowed; the error is the 403 that clients see.
    pub fn check(&self, ask: &Ask<'_>) -> Result<(), Status> {
        match self.decide(ask) {
            Decision::Allowed(_) => Ok(()),
            Decision::Refused(refusal) => Err(refusal.status(ask)),
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

    /// What policies in a file allow `user` in `namespace`, as rules.
    pub fn policies_of(&self, user: &User, namespace: &str) -> Vec<Arc<Rule>> {
        let chain = self.chain();
        let of = chain.links().iter().filter_map(|link| match &link.authorizer {
            Authorizer::Abac(policies) => Some(policies),
            _ => None,
        });
        of.flat_map(|policies| policies.rules_of(user, namespace)).map(Arc::new).collect()
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
pub(in crate::api) fn aggregate(errors: Vec<String>) -> String {
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
