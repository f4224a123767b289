//! Attribute-based access control: a file with one policy a line, which says who may do what.
//!
//! The first policy that fits allows; nothing is ever denied. The file is read once, as upstream does.

use super::{Ask, Rule, What};
use crate::object::User;
use crate::object::tree::{Tree, TreePath};

const AUTHENTICATED: &str = "system:authenticated";
const VERSIONED: &str = "abac.authorization.kubernetes.io/v1beta1";
/// Read-only policies allow no more.
const READS: &[&str] = &["get", "list", "watch"];

#[derive(Debug, Default)]
pub struct Abac(Vec<Policy>);

#[derive(Debug)]
struct Policy {
    user: String,
    group: String,
    namespace: String,
    resource: String,
    api_group: String,
    path: String,
    reads_only: bool,
}

impl Abac {
    /// Reads the file's text; `path` is for complaints.
    pub fn parse(text: &str, path: &str) -> Result<Self, String> {
        let mut policies = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.trim().starts_with('#') {
                continue;
            }
            let wrong = |why: String| format!("error reading policy file {path}, line {}: {line}: {why}", at + 1);
            let tree: Tree = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            policies.push(Policy::read(&tree).map_err(wrong)?);
        }
        Ok(Self(policies))
    }

    pub fn allows(&self, ask: &Ask<'_>) -> bool {
        self.0.iter().any(|policy| policy.allows(ask))
    }

    /// What it allows a user in a namespace, as rules.
    pub fn rules_of(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let fits = |policy: &&Policy| policy.is_about(user) && is(&policy.namespace, namespace);
        self.0.iter().filter(fits).flat_map(Policy::rules).collect()
    }
}

impl Policy {
    /// A policy with a version, or one of before there were any, which says less and means more.
    fn read(tree: &Tree) -> Result<Self, String> {
        let (version, kind) = (tree.text("apiVersion"), tree.text("kind"));
        let is_old = version.is_empty() || kind.is_empty();
        if !is_old && (version, kind) != (VERSIONED, "Policy") {
            return Err(format!("unrecognized object: {version}, Kind={kind}"));
        }
        let spec = if is_old { Some(tree) } else { tree.get("spec") }.unwrap_or(&Tree::Null);
        let of = |field: &str| match spec.get(field).filter(|value| !value.is_null()) {
            None => Ok(String::new()),
            Some(value) => value.as_str().map(str::to_owned).ok_or_else(|| format!("{field} is not a string")),
        };
        let mut policy = Self {
            user: of("user")?,
            group: of("group")?,
            namespace: of("namespace")?,
            resource: of("resource")?,
            api_group: of("apiGroup")?,
            path: of("nonResourcePath")?,
            reads_only: spec.flag("readonly") == Some(true),
        };
        if is_old {
            policy.path = if policy.namespace.is_empty() && policy.resource.is_empty() { "*" } else { "" }.into();
            policy.api_group = "*".into();
            for open in [&mut policy.namespace, &mut policy.resource] {
                if open.is_empty() {
                    *open = "*".into();
                }
            }
        }
        let names_nobody = is_old && policy.user.is_empty() && policy.group.is_empty();
        if names_nobody || policy.user == "*" || policy.group == "*" {
            policy.group = AUTHENTICATED.into();
            policy.user.clear();
        }
        Ok(policy)
    }

    fn allows(&self, ask: &Ask<'_>) -> bool {
        if !self.is_about(ask.user) || (self.reads_only && !READS.contains(&ask.verb)) {
            return false;
        }
        match ask.what {
            What::Resource(at) => {
                is(&self.namespace, at.namespace) && is(&self.resource, at.resource) && is(&self.api_group, at.group)
            }
            What::Path(path) => match self.path.strip_suffix('*') {
                Some(beginning) => path.starts_with(beginning.trim_end_matches('*')),
                None => self.path == path,
            },
        }
    }

    fn rules(&self) -> Vec<Rule> {
        let verbs: &[&str] = if self.reads_only { READS } else { &["*"] };
        let verbs: Vec<String> = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        let mut rules = Vec::new();
        if !self.resource.is_empty() {
            let (api_groups, resources) = (vec![self.api_group.clone()], vec![self.resource.clone()]);
            rules.push(Rule { verbs: verbs.clone(), api_groups, resources, ..Rule::default() });
        }
        if !self.path.is_empty() {
            rules.push(Rule { verbs, non_resource_urls: vec![self.path.clone()], ..Rule::default() });
        }
        rules
    }

    /// Whether the user is the one that it names, if it names one, and in its group, if it names one.
    fn is_about(&self, user: &User) -> bool {
        !(self.user.is_empty() && self.group.is_empty())
            && (self.user.is_empty() || self.user == user.name)
            && (self.group.is_empty() || user.in_group(&self.group))
    }
}

fn is(pattern: &str, value: &str) -> bool {
    pattern == "*" || pattern == value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::authz::ResourceRef;

    const FILE: &str = r#"# who may what
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "ann", "namespace": "a", "resource": "pods", "readonly": true}}
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"group": "ops", "namespace": "*", "resource": "*", "apiGroup": "apps"}}
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "*", "nonResourcePath": "/healthz*", "readonly": true}}

{"user": "old"}"#;

    fn allows(user: &User, verb: &str, group: &str, resource: &str, namespace: &str) -> bool {
        let at = ResourceRef { group, resource, namespace, ..ResourceRef::default() };
        Abac::parse(FILE, "f").unwrap().allows(&Ask::resource(user, verb, at))
    }

    #[test]
    fn a_policy_allows_what_it_names_and_no_more() {
        let (ann, bob) = (User::named("ann", &[]), User::named("bob", &["ops"]));
        assert!(allows(&ann, "list", "", "pods", "a"));
        assert!(!allows(&ann, "create", "", "pods", "a"), "it is for reading");
        assert!(!allows(&ann, "list", "", "pods", "b") && !allows(&ann, "list", "apps", "pods", "a"));
        assert!(allows(&bob, "delete", "apps", "deployments", "b") && !allows(&bob, "get", "", "pods", "a"));
    }

    #[test]
    fn paths_end_in_stars_and_old_policies_leave_everything_open() {
        let policies = Abac::parse(FILE, "f").unwrap();
        let known = User::named("bob", &[AUTHENTICATED]);
        assert!(policies.allows(&Ask::path(&known, "get", "/healthz/ping")));
        assert!(!policies.allows(&Ask::path(&known, "post", "/healthz")));
        assert!(!policies.allows(&Ask::path(&User::named("bob", &[]), "get", "/healthz")), "nobody knows who that is");
        let old = User::named("old", &[]);
        assert!(policies.allows(&Ask::path(&old, "post", "/any")) && allows(&old, "delete", "x", "y", "z"));
    }

    #[test]
    fn a_broken_line_is_told_with_its_number() {
        let told = Abac::parse("# fine\n{\"user\": 3}", "/p").unwrap_err();
        assert!(told.starts_with("error reading policy file /p, line 2: {\"user\": 3}: "), "{told}");
        assert!(Abac::parse(r#"{"apiVersion": "x/v1", "kind": "Policy"}"#, "/p").is_err());
    }
}
