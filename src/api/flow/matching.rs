//! Which FlowSchema a request belongs to.

use super::config::{Config, Method, PathRule, ResourceRule, Schema, Subject};
use crate::object::{Target, User};

/// A request, as schemas see it.
#[derive(Clone, Copy, Debug)]
pub struct Digest<'a> {
    pub user: &'a User,
    pub verb: &'a str,
    pub target: Option<&'a Target>,
    pub path: &'a str,
}

impl Digest<'_> {
    /// The place of the first schema that matches; the last one, which takes everything, if none does.
    pub fn find(&self, config: &Config) -> usize {
        let found = config.schemas.iter().position(|(schema, _)| self.matches(schema));
        found.unwrap_or(config.schemas.len().saturating_sub(1))
    }

    /// What tells flows of a schema apart.
    pub fn flow(&self, method: Option<Method>) -> &str {
        match method {
            None => "",
            Some(Method::ByUser) => &self.user.name,
            Some(Method::ByNamespace) => self.target.map_or("", |target| target.namespace.as_str()),
        }
    }

    fn matches(&self, schema: &Schema) -> bool {
        schema.spec.rules.iter().any(|rule| {
            rule.subjects.iter().any(|subject| self.is_by(subject))
                && match self.target {
                    Some(target) => rule.resource_rules.iter().any(|rule| self.is_about(target, rule)),
                    None => rule.non_resource_rules.iter().any(|rule| self.is_at(rule)),
                }
        })
    }

    fn is_by(&self, subject: &Subject) -> bool {
        let any_or = |name: &str, is: &dyn Fn(&str) -> bool| name == "*" || is(name);
        match subject.kind.as_str() {
            "User" => any_or(&subject.user.name, &|name| self.user.name == name),
            "Group" => any_or(&subject.group.name, &|name| self.user.in_group(name)),
            "ServiceAccount" => {
                let account = self.user.name.strip_prefix("system:serviceaccount:").and_then(|id| id.split_once(':'));
                account.is_some_and(|(namespace, name)| {
                    namespace == subject.service_account.namespace
                        && any_or(&subject.service_account.name, &|wanted| name == wanted)
                })
            }
            _ => false,
        }
    }

    fn is_about(&self, target: &Target, rule: &ResourceRule) -> bool {
        has(&rule.verbs, self.verb)
            && has_resource(&rule.resources, target)
            && has(&rule.api_groups, &target.group)
            && match target.namespace.is_empty() {
                true => rule.cluster_scope,
                false => has(&rule.namespaces, &target.namespace),
            }
    }

    fn is_at(&self, rule: &PathRule) -> bool {
        has(&rule.verbs, self.verb)
            && rule.urls.iter().any(|url| {
                url == "*" || url == self.path || {
                    let base = url.trim_end_matches('*').trim_end_matches('/');
                    self.path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
                }
            })
    }
}

/// Whether a list names `wanted`, or is `*` alone.
fn has(list: &[String], wanted: &str) -> bool {
    matches!(list, [all] if all == "*") || list.iter().any(|item| item == wanted)
}

fn has_resource(list: &[String], target: &Target) -> bool {
    let is = |item: &String| match target.subresource.as_str() {
        "" => *item == target.resource,
        sub => item.split_once('/').is_some_and(|(resource, of)| resource == target.resource && of == sub),
    };
    matches!(list, [all] if all == "*") || list.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap;
    use super::*;
    use crate::object::{Key, Object, Revision, TreePath};

    fn stock() -> Config {
        let objects: Vec<_> = bootstrap::objects()
            .into_iter()
            .map(|tree| {
                let key = Key::of("any", "", tree.text("metadata.name"));
                (tree.text("kind").to_owned(), Object::new(key, Revision(1), tree.to_string().into_bytes().into()))
            })
            .collect();
        let of = |kind: &'static str| objects.iter().filter(move |(of, _)| of == kind).map(|(_, object)| object);
        Config::read(of("PriorityLevelConfiguration"), of("FlowSchema"))
    }

    /// `USER[,GROUP…] VERB GROUP/RESOURCE[/SUBRESOURCE] [NAMESPACE]` or `USER VERB /PATH` → schema and level.
    fn check(request: &str, expected: &str) {
        let words: Vec<&str> = request.split(' ').collect();
        let (name, groups) = words[0].split_once(',').unwrap_or((words[0], ""));
        let groups: Vec<&str> = groups.split(',').chain(["system:authenticated"]).collect();
        let user = User::named(name, &groups);
        let mut steps = words[2].split('/').map(str::to_owned);
        let mut next = || steps.next().unwrap_or_default();
        let target = Target {
            group: next(),
            resource: next(),
            subresource: next(),
            namespace: words.get(3).copied().unwrap_or_default().to_owned(),
            ..Target::default()
        };
        let is_path = words[2].starts_with('/') && words.len() == 3 && !words[2].starts_with("/nodes");
        let digest = Digest { user: &user, verb: words[1], target: (!is_path).then_some(&target), path: words[2] };
        let config = stock();
        let (schema, level) = &config.schemas[digest.find(&config)];
        assert_eq!(format!("{} {}", schema.metadata.name, config.levels[*level].name), expected, "{request}");
    }

    #[test]
    fn stock_schemas_take_what_upstreams_take() {
        check("admin,system:masters delete /nodes", "exempt exempt");
        check("somebody get /livez", "probes exempt");
        check("somebody get /readyz/etcd", "probes exempt");
        check("somebody get /readyzz", "global-default global-default");
        check("system:node:n,system:nodes patch /nodes/status", "system-node-high node-high");
        check(
            "system:node:n,system:nodes update coordination.k8s.io/leases kube-node-lease",
            "system-node-high node-high",
        );
        check("system:node:n,system:nodes get /pods a", "system-nodes system");
        check(
            "system:kube-scheduler update coordination.k8s.io/leases kube-system",
            "system-leader-election leader-election",
        );
        check("system:kube-scheduler create /pods/binding a", "kube-scheduler workload-high");
        check("system:serviceaccount:kube-system:x list /pods a", "kube-system-service-accounts workload-high");
        check("system:serviceaccount:a:x,system:serviceaccounts list /pods a", "service-accounts workload-low");
        check("somebody list apps/deployments a", "global-default global-default");
    }
}
