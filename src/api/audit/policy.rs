//! `audit.k8s.io/v1` Policy: how much of which request is written down.
//!
//! The first rule that fits a request decides; what no rule fits is not recorded.

use serde::{Deserialize, Serialize};

use crate::api::authz::{Ask, What};
use crate::object::tree::{Tree, TreePath, from_tree};
use crate::object::{FieldErrors, User};
use crate::resources::names::is_dns1123_subdomain;

/// How much is recorded of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// The moments of a request at which something is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    RequestReceived,
    /// Only of requests that last: watches, logs, execs.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

const LEVELS: &[&str] = &["None", "Metadata", "Request", "RequestResponse"];
const STAGES: &[&str] = &["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    paths: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What is to be recorded of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

impl Policy {
    /// Reads a policy file. The error says all that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tree: Tree = serde_yaml::from_str(text).map_err(|error| format!("failed decoding: {error}"))?;
        let (api_version, kind) = (tree.text("apiVersion"), tree.text("kind"));
        if api_version != "audit.k8s.io/v1" || kind != "Policy" {
            return Err(format!(
                "unknown group version field {api_version:?}, Kind={kind:?} in policy; want audit.k8s.io/v1, Kind=Policy"
            ));
        }
        let errors = validate(&tree);
        if !errors.is_empty() {
            return Err(errors.message());
        }
        let policy: Self = from_tree(&tree).map_err(|error| format!("failed decoding: {error}"))?;
        if policy.rules.is_empty() {
            return Err("loaded illegal policy with 0 rules".into());
        }
        Ok(policy)
    }

    pub fn decide(&self, ask: &Ask<'_>) -> Wanted {
        match self.rules.iter().find(|rule| rule.fits(ask)) {
            Some(rule) => Wanted {
                level: rule.level,
                omit_stages: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
            None => Wanted {
                level: Level::None,
                omit_stages: self.omit_stages.clone(),
                omit_managed_fields: self.omit_managed_fields,
            },
        }
    }
}

impl Rule {
    fn fits(&self, ask: &Ask<'_>) -> bool {
        let any = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        any(&self.users, &ask.user.name)
            && (self.user_groups.is_empty() || self.is_of(ask.user))
            && any(&self.verbs, ask.verb)
            && self.fits_object(ask)
    }

    fn is_of(&self, user: &User) -> bool {
        self.user_groups.iter().any(|group| user.in_group(group))
    }

    fn fits_object(&self, ask: &Ask<'_>) -> bool {
        let about_resources = !self.namespaces.is_empty() || !self.resources.is_empty();
        match ask.what {
            What::Resource(at) if about_resources => {
                let here = self.namespaces.is_empty() || self.namespaces.iter().any(|own| own == at.namespace);
                let mut kinds = self.resources.iter();
                here && (self.resources.is_empty()
                    || kinds.any(|kind| kind.fit(at.group, at.resource, at.subresource, at.name)))
            }
            What::Resource(_) => self.paths.is_empty(),
            What::Path(_) if about_resources => false,
            What::Path(path) => self.paths.is_empty() || self.paths.iter().any(|own| path_fits(own, path)),
        }
    }
}

impl Resources {
    fn fit(&self, group: &str, resource: &str, subresource: &str, name: &str) -> bool {
        if self.group != group && self.group != "*" {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !self.resource_names.iter().any(|own| own == name) {
            return false;
        }
        self.resources.iter().any(|own| match own.split_once('/') {
            None => own == "*" || (subresource.is_empty() && own == resource),
            Some(("*", sub)) => !subresource.is_empty() && sub == subresource,
            Some((of, "*")) => of == resource,
            Some((of, sub)) => of == resource && sub == subresource,
        })
    }
}

fn path_fits(own: &str, path: &str) -> bool {
    own == "*" || own == path || own.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}

fn validate(policy: &Tree) -> FieldErrors {
    let mut errors = FieldErrors::default();
    check_stages(policy, "omitStages", &mut errors);
    for (at, rule) in policy.items("rules").iter().enumerate() {
        let path = format!("rules[{at}]");
        match rule.text("level") {
            "" => errors.required(format!("{path}.level"), ""),
            level if !LEVELS.contains(&level) => errors.not_supported(format!("{path}.level"), level, LEVELS),
            _ => (),
        }
        let urls: Vec<&str> = rule.items("nonResourceURLs").iter().filter_map(Tree::as_str).collect();
        for (n, url) in urls.iter().enumerate().filter(|(_, url)| **url != "*") {
            let path = format!("{path}.nonResourceURLs[{n}]");
            if !url.starts_with('/') {
                errors.invalid(path.as_str(), *url, "non-resource URL rules must begin with a '/' character");
            }
            if url.strip_suffix('*').unwrap_or(url).contains('*') {
                let why = "non-resource URL wildcards '*' must be the final character of the rule";
                errors.invalid(path.as_str(), *url, why);
            }
        }
        for group in rule.items("resources") {
            let name = group.text("group");
            if !matches!(name, "" | "*") && !is_dns1123_subdomain(name).is_empty() {
                let why = is_dns1123_subdomain(name).join(",");
                errors.invalid(format!("{path}.resources.group"), name, why);
            }
            if !group.items("resourceNames").is_empty() && group.items("resources").is_empty() {
                let names = Tree::from(group.items("resourceNames").to_vec());
                let why = "using resourceNames requires at least one resource";
                errors.invalid(format!("{path}.resources.resourceNames"), names, why);
            }
        }
        check_stages(rule, &format!("{path}.omitStages"), &mut errors);
        if !urls.is_empty() && !(rule.items("resources").is_empty() && rule.items("namespaces").is_empty()) {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.invalid(format!("{path}.nonResourceURLs"), Tree::from(urls), why);
        }
    }
    errors
}

fn check_stages(of: &Tree, path: &str, errors: &mut FieldErrors) {
    for (n, stage) in of.items("omitStages").iter().filter_map(Tree::as_str).enumerate() {
        if !STAGES.contains(&stage) {
            errors.invalid(format!("{path}[{n}]"), stage, format!("allowed stages are {}", STAGES.join(",")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::authz::ResourceRef;

    fn policy(rules: &str) -> Policy {
        Policy::parse(&format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}")).unwrap()
    }

    fn level(rules: &str, verb: &str, at: ResourceRef<'_>) -> Level {
        let user = User::named("ann", &["ops", "system:authenticated"]);
        policy(rules).decide(&Ask::resource(&user, verb, at)).level
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_none_records_nothing() {
        let rules = "
omitStages: [RequestReceived]
rules:
- {level: None, users: [bob]}
- {level: Metadata, resources: [{group: '', resources: [secrets, configmaps]}]}
- {level: RequestResponse, userGroups: [ops], verbs: [create], namespaces: [prod], omitManagedFields: true}
";
        let secret = ResourceRef { resource: "secrets", namespace: "prod", ..ResourceRef::default() };
        assert_eq!(level(rules, "create", secret), Level::Metadata);
        let pod = ResourceRef { resource: "pods", namespace: "prod", ..ResourceRef::default() };
        assert_eq!(level(rules, "create", pod), Level::RequestResponse);
        assert_eq!(level(rules, "get", pod), Level::None);
        assert_eq!(level(rules, "create", ResourceRef { namespace: "dev", ..pod }), Level::None);
        let user = User::named("ann", &["ops"]);
        let wanted = policy(rules).decide(&Ask::resource(&user, "create", pod));
        assert_eq!((wanted.omit_stages, wanted.omit_managed_fields), (vec![Stage::RequestReceived], true));
    }

    #[test]
    fn a_subresource_is_named_or_covered_by_a_star() {
        let log = ResourceRef { resource: "pods", subresource: "log", name: "p", ..ResourceRef::default() };
        let of = |resources: &str| {
            level(&format!("rules:\n- {{level: Request, resources: [{{group: '', {resources}}}]}}"), "get", log)
        };
        for fits in ["resources: [pods/log]", "resources: [pods/*]", "resources: ['*/log']", "resources: ['*']"] {
            assert_eq!(of(fits), Level::Request, "{fits}");
        }
        assert_eq!(of("resources: [pods]"), Level::None);
        assert_eq!(of("resources: ['*'], resourceNames: [q]"), Level::None);
    }

    #[test]
    fn paths_are_told_apart_from_resources() {
        let rules = "rules:\n- {level: Metadata, nonResourceURLs: ['/healthz*', /version]}";
        let user = User::named("ann", &[]);
        let of = |path| policy(rules).decide(&Ask::path(&user, "get", path)).level;
        assert_eq!(
            (of("/healthz/etcd"), of("/version"), of("/metrics")),
            (Level::Metadata, Level::Metadata, Level::None)
        );
        assert_eq!(level(rules, "get", ResourceRef { resource: "pods", ..ResourceRef::default() }), Level::None);
    }

    #[test]
    fn a_bad_policy_is_refused_with_everything_that_is_wrong() {
        let parse = |rules: &str| Policy::parse(&format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}"));
        assert_eq!(parse("rules: []").unwrap_err(), "loaded illegal policy with 0 rules");
        let wrong = parse("rules:\n- {level: Everything, nonResourceURLs: [healthz]}\n- {omitStages: [Never]}");
        let wrong = wrong.unwrap_err();
        for part in [
            "rules[0].level: Unsupported value: \"Everything\"",
            "rules[0].nonResourceURLs[0]: Invalid value: \"healthz\"",
            "rules[1].level: Required value",
            "rules[1].omitStages[0]: Invalid value: \"Never\"",
        ] {
            assert!(wrong.contains(part), "{wrong}");
        }
        assert!(Policy::parse("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\n").is_err());
    }
}
