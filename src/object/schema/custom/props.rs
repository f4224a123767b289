//! One JSON schema of a CustomResourceDefinition, as it is written there.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use regex::Regex;
use serde::Deserialize;

use crate::object::cel::Program;
use crate::object::tree::Tree;

/// A schema. What is absent is empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Props {
    pub r#type: String,
    pub format: String,
    pub title: String,
    pub description: String,
    pub default: Option<Tree>,
    pub nullable: bool,
    pub r#enum: Vec<Tree>,
    pub pattern: String,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub required: Vec<String>,
    pub properties: BTreeMap<String, Props>,
    pub additional_properties: Option<Box<Additional>>,
    pub items: Option<Box<Props>>,
    pub all_of: Vec<Props>,
    pub any_of: Vec<Props>,
    pub one_of: Vec<Props>,
    pub not: Option<Box<Props>>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub preserve: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub embedded: bool,
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub int_or_string: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    pub list_type: String,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub map_type: String,
    #[serde(rename = "x-kubernetes-validations")]
    pub validations: Vec<Rule>,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

/// What maps may hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Additional {
    Allowed(bool),
    Schema(Props),
}

/// A validation rule in CEL.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    pub reason: Option<String>,
    pub field_path: String,
    pub optional_old_self: Option<bool>,
    #[serde(skip)]
    compiled: OnceLock<Arc<CompiledRule>>,
}

/// A rule with its expressions compiled, or the complaints about them.
#[derive(Debug)]
pub struct CompiledRule {
    pub rule: Result<Program, String>,
    pub message: Option<Program>,
}

impl Rule {
    /// Compiles the rule at first use.
    pub fn compiled(&self) -> &CompiledRule {
        const NAMES: &[&str] = &["self", "oldSelf"];
        self.compiled.get_or_init(|| {
            let message = Some(self.message_expression.as_str()).filter(|text| !text.trim().is_empty());
            Arc::new(CompiledRule {
                rule: Program::compile(&self.rule, NAMES),
                message: message.and_then(|text| Program::compile(text, NAMES).ok()),
            })
        })
    }
}

impl Props {
    /// Reads `openAPIV3Schema`; `None` where it is no schema, which decoding it has refused already.
    pub fn read(schema: &Tree) -> Option<Self> {
        Self::deserialize(schema).ok()
    }

    /// The schema of a map's values, if it says anything about them.
    pub fn values(&self) -> Option<&Self> {
        match self.additional_properties.as_deref() {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        }
    }

    /// The schema of what is under `name`.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or_else(|| self.values())
    }

    /// The types that values may have; none means any.
    pub fn types(&self) -> &[&str] {
        match (self.int_or_string, self.r#type.as_str()) {
            (true, _) => &["integer", "string"],
            (_, "object") => &["object"],
            (_, "array") => &["array"],
            (_, "string") => &["string"],
            (_, "integer") => &["integer"],
            (_, "number") => &["number"],
            (_, "boolean") => &["boolean"],
            _ => &[],
        }
    }

    /// `pattern`, compiled at first use; `None` if there is none or it does not compile.
    pub fn regex(&self) -> Option<&Regex> {
        if self.pattern.is_empty() {
            return None;
        }
        self.compiled.get_or_init(|| super::pattern::compile(&self.pattern).ok()).as_ref()
    }

    /// Whether anywhere in the schema something holds of which `test` is true.
    pub fn any(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        test(self) || self.children().any(|child| child.any(test))
    }

    /// Every schema directly inside of this one.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let lists = [&self.all_of, &self.any_of, &self.one_of];
        let boxed = [self.items.as_deref(), self.not.as_deref(), self.values()];
        self.properties.values().chain(boxed.into_iter().flatten()).chain(lists.into_iter().flatten())
    }
}
