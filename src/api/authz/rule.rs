//! One rule of a role: what it matches, and when it covers another.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Ask, What};

/// `rbac/v1.PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(deserialize_with = "or_null")]
    pub verbs: Vec<String>,
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

/// A list that may be `null`, which Go writes for an empty one.
pub(super) fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Rule {
    pub fn allows(&self, ask: &Ask<'_>) -> bool {
        has(&self.verbs, ask.verb)
            && match ask.what {
                What::Path(path) => self.non_resource_urls.iter().any(|url| url_covers(url, path)),
                What::Resource(at) => {
                    has(&self.api_groups, at.group)
                        && self.resources.iter().any(|mine| resource_covers(mine, at.resource, at.subresource))
                        && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == at.name))
                }
            }
    }

    /// Whether whoever has this rule may do everything that `other` allows.
    pub fn covers(&self, other: &Self) -> bool {
        other.verbs.iter().all(|verb| has(&self.verbs, verb))
            && other.api_groups.iter().all(|group| has(&self.api_groups, group))
            && other.resources.iter().all(|resource| {
                let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
                self.resources.iter().any(|mine| resource_covers(mine, resource, sub))
            })
            && other.non_resource_urls.iter().all(|url| self.non_resource_urls.iter().any(|mine| url_covers(mine, url)))
            && match (self.resource_names.as_slice(), other.resource_names.as_slice()) {
                ([], _) => true,
                (_, []) => false,
                (mine, others) => others.iter().all(|name| mine.contains(name)),
            }
    }

    /// The same permissions as rules with one value in each list.
    pub fn split(&self) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for url in &self.non_resource_urls {
                parts.push(Self { verbs: one(verb), non_resource_urls: one(url), ..Self::default() });
            }
        }
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let part =
                        Self { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Self::default() };
                    if self.resource_names.is_empty() {
                        parts.push(part);
                    } else {
                        let named = self.resource_names.iter().map(one);
                        parts.extend(named.map(|resource_names| Self { resource_names, ..part.clone() }));
                    }
                }
            }
        }
        parts
    }
}

impl fmt::Display for Rule {
    /// As upstream prints rules in errors: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let shown = lists.iter().filter(|(_, list)| !list.is_empty());
        let shown: Vec<String> = shown.map(|(name, list)| format!("{name}:{}", quoted(list))).collect();
        write!(f, "{{{}}}", shown.join(", "))
    }
}

/// `["a" "b"]`, as Go prints a list of quoted strings.
pub(super) fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|mine| mine == wanted || mine == "*")
}

/// `mine` is `*`, `RESOURCE`, `RESOURCE/SUB` or `*/SUB`.
fn resource_covers(mine: &str, resource: &str, sub: &str) -> bool {
    if mine == "*" {
        return true;
    }
    match mine.split_once('/') {
        None => sub.is_empty() && mine == resource,
        Some((of, mine)) => !sub.is_empty() && mine == sub && (of == "*" || of == resource),
    }
}

/// `mine` is a path, or the beginning of paths with a `*` behind.
fn url_covers(mine: &str, url: &str) -> bool {
    mine == url || mine.ends_with('*') && url.starts_with(mine.trim_end_matches('*'))
}
