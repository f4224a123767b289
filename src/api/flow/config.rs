//! FlowSchemas and PriorityLevelConfigurations, read into what is asked on every request.

use serde::Deserialize;

use super::bootstrap;
use super::queues::Policy;
use super::shares::Shares;
use crate::object::{ObjectRef, Tree, TreePath};

pub const EXEMPT: &str = "exempt";
pub const CATCH_ALL: &str = "catch-all";

/// A FlowSchema as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Schema {
    pub metadata: Metadata,
    pub spec: SchemaSpec,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Metadata {
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct SchemaSpec {
    pub priority_level_configuration: Named,
    pub matching_precedence: i32,
    pub distinguisher_method: Option<Method>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type")]
pub enum Method {
    ByUser,
    ByNamespace,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Named {
    pub name: String,
    pub namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    pub subjects: Vec<Subject>,
    pub resource_rules: Vec<ResourceRule>,
    pub non_resource_rules: Vec<PathRule>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Subject {
    pub kind: String,
    pub user: Named,
    pub group: Named,
    pub service_account: Named,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceRule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub namespaces: Vec<String>,
    pub cluster_scope: bool,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct PathRule {
    pub verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub urls: Vec<String>,
}

/// A PriorityLevelConfiguration as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    pub name: String,
    pub uid: String,
    pub shares: Shares,
    pub policy: Policy,
}

impl Level {
    fn read(object: &Tree) -> Self {
        let number = |path: &str| object.int(path).and_then(|number| u32::try_from(number).ok());
        let is_exempt = object.text("spec.type") == "Exempt";
        let part = if is_exempt { "spec.exempt" } else { "spec.limited" };
        let shares = Shares {
            is_exempt,
            nominal_shares: number(&format!("{part}.nominalConcurrencyShares")).unwrap_or_default(),
            lendable_percent: number(&format!("{part}.lendablePercent")).unwrap_or_default(),
            borrowing_percent: number("spec.limited.borrowingLimitPercent"),
        };
        let queuing = |name: &str| number(&format!("spec.limited.limitResponse.queuing.{name}")).unwrap_or(1);
        let policy = match object.text("spec.limited.limitResponse.type") {
            _ if is_exempt => Policy::Exempt,
            "Queue" => Policy::Queue {
                queues: u16::try_from(queuing("queues")).unwrap_or(u16::MAX),
                hand: u8::try_from(queuing("handSize")).unwrap_or(u8::MAX),
                length_max: queuing("queueLengthLimit"),
            },
            _ => Policy::Reject,
        };
        let metadata = |name: &str| object.text(&format!("metadata.{name}")).to_owned();
        Self { name: metadata("name"), uid: metadata("uid"), shares, policy }
    }
}

/// All that is configured, in the order in which schemas are tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub levels: Vec<Level>,
    /// With the place of the level in `levels`.
    pub schemas: Vec<(Schema, usize)>,
}

impl Config {
    /// Reads what is stored. Where one of the four mandatory objects is missing it is imagined.
    pub fn read<'a>(
        levels: impl IntoIterator<Item = &'a ObjectRef>,
        schemas: impl IntoIterator<Item = &'a ObjectRef>,
    ) -> Self {
        let mut config = Self::default();
        config.levels.extend(levels.into_iter().map(|object| Level::read(&object.tree())));
        let mut found: Vec<Schema> =
            schemas.into_iter().filter_map(|object| serde_json::from_slice(object.bytes()).ok()).collect();
        for object in bootstrap::mandatory() {
            let name = object.text("metadata.name");
            if object.text("kind") != "FlowSchema" {
                if !config.levels.iter().any(|level| level.name == name) {
                    config.levels.push(Level::read(&object));
                }
            } else if !found.iter().any(|schema| schema.metadata.name == name) {
                found.extend(Schema::deserialize(&object).ok());
            }
        }
        config.levels.sort_by(|a, b| a.name.cmp(&b.name));
        found.sort_by(|a, b| {
            let order = |schema: &Schema| schema.spec.matching_precedence;
            order(a).cmp(&order(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
        });
        for schema in found {
            let name = &schema.spec.priority_level_configuration.name;
            if let Some(level) = config.levels.iter().position(|level| level.name == *name) {
                config.schemas.push((schema, level));
            }
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_any_objects_the_mandatory_ones_are_imagined() {
        let config = Config::read([], []);
        let levels: Vec<&str> = config.levels.iter().map(|level| level.name.as_str()).collect();
        assert_eq!(levels, [CATCH_ALL, EXEMPT]);
        assert_eq!(config.levels[0].policy, Policy::Reject);
        assert_eq!(config.levels[1].policy, Policy::Exempt);
        let schemas: Vec<(&str, usize)> =
            config.schemas.iter().map(|(schema, level)| (schema.metadata.name.as_str(), *level)).collect();
        assert_eq!(schemas, [(EXEMPT, 1), (CATCH_ALL, 0)]);
    }
}
