//! The rules of a custom resource: what its schemas say, version by version.

use std::sync::Arc;

use crate::object::field::{Complaint, FieldErrors};
use crate::object::gvk::join_api_version;
use crate::object::schema::custom::{Props, check_lists, validate};
use crate::object::tree::{Tree, TreePath};
use crate::resources::def::Rules;
use crate::resources::names;

use super::{embedded, expressions, schema_of};

const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/// Finalizers that upstream itself uses without a domain.
const STANDARD_FINALIZERS: &[&str] = &["orphan", "foregroundDeletion", "kubernetes"];

pub struct CustomRules {
    versions: Vec<VersionRules>,
}

/// What holds for objects in one version.
pub struct VersionRules {
    pub api_version: String,
    pub schema: Arc<Props>,
    /// Whether any CEL rule is in the schema.
    has_rules: bool,
    scale: Option<Scale>,
}

/// Where a version keeps its numbers of replicas, as the definition writes these paths.
struct Scale {
    spec: String,
    status: String,
    selector: String,
}

impl CustomRules {
    pub fn of(definition: &Tree) -> Self {
        let group = definition.text("spec.group");
        let version = |version: &Tree| {
            let schema = schema_of(version);
            let scale = version.at("subresources.scale").map(|scale| Scale {
                spec: scale.text("specReplicasPath").into(),
                status: scale.text("statusReplicasPath").into(),
                selector: scale.text("labelSelectorPath").into(),
            });
            VersionRules {
                api_version: join_api_version(group, version.text("name")),
                has_rules: schema.any(&|schema| !schema.validations.is_empty()),
                schema: Arc::new(schema),
                scale,
            }
        };
        Self { versions: definition.items("spec.versions").iter().map(version).collect() }
    }

    /// What holds for objects of `api_version`, also if that is not served.
    pub fn version(&self, api_version: &str) -> Option<&VersionRules> {
        self.versions.iter().find(|version| version.api_version == api_version)
    }

    fn version_of(&self, object: &Tree) -> Option<&VersionRules> {
        self.version(object.text("apiVersion"))
    }
}

impl Rules for CustomRules {
    fn validate(&self, new: &Tree, old: Option<&Tree>, errors: &mut FieldErrors) {
        let Some(version) = self.version_of(new) else { return };
        validate(new, old, &version.schema, errors);
        version.check_scale(new, true, errors);
        version.check_rest(new, old, "", errors);
    }

    fn validate_status(&self, new: &Tree, old: &Tree, errors: &mut FieldErrors) {
        let Some(version) = self.version_of(new) else { return };
        let mut whole = FieldErrors::default();
        validate(new, Some(old), &version.schema, &mut whole);
        whole.list.retain(|error| is_within(&error.field, "status"));
        errors.list.extend(whole.list);
        version.check_scale(new, false, errors);
        version.check_rest(new, Some(old), "status", errors);
    }

    fn warnings(&self, new: &Tree, old: Option<&Tree>) -> Vec<String> {
        let known = old.map_or(&[][..], |old| old.items("metadata.finalizers"));
        let finalizers = new.items("metadata.finalizers").iter().filter(|finalizer| !known.contains(finalizer));
        finalizers.filter_map(Tree::as_str).flat_map(finalizer_warnings).collect()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn bumps_generation(&self, new: &Tree, old: &Tree) -> bool {
        let but_metadata = |tree: &Tree| -> Vec<(String, Tree)> {
            let fields = tree.as_object().into_iter().flatten().filter(|(key, _)| **key != "metadata");
            fields.map(|(key, value)| (key.to_string(), value.clone())).collect()
        };
        but_metadata(new) != but_metadata(old)
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn custom(&self) -> Option<&CustomRules> {
        Some(self)
    }
}

impl VersionRules {
    fn check_rest(&self, new: &Tree, old: Option<&Tree>, within: &str, errors: &mut FieldErrors) {
        if within.is_empty() {
            embedded::check(new, &self.schema, errors);
        }
        let mut before = FieldErrors::default();
        if let Some(old) = old {
            check_lists(old, &self.schema, "", &mut before);
        }
        if before.is_empty() {
            let mut lists = FieldErrors::default();
            check_lists(new, &self.schema, "", &mut lists);
            errors.list.extend(lists.list.into_iter().filter(|error| is_within(&error.field, within)));
        }
        if !self.has_rules {
            return;
        }
        if errors.list.iter().any(|error| blocks_rules(error.complaint)) {
            return errors.invalid("<nil>", Tree::Null, UNCHECKED);
        }
        expressions::check(new, old, &self.schema, errors);
    }

    fn check_scale(&self, new: &Tree, with_spec: bool, errors: &mut FieldErrors) {
        let Some(scale) = &self.scale else { return };
        let numbers = [(with_spec, &scale.spec), (true, &scale.status)];
        for (_, path) in numbers.into_iter().filter(|(checked, _)| *checked) {
            let Some(value) = new.at(path.trim_start_matches('.')) else { continue };
            let why = match value.as_i64() {
                None => "accessor error: the value is no int64".to_owned(),
                Some(number) if number < 0 => "should be a non-negative integer".into(),
                Some(number) if number > i64::from(i32::MAX) => format!("should be less than or equal to {}", i32::MAX),
                Some(_) => continue,
            };
            errors.invalid(path.as_str(), value.as_i64().unwrap_or(0), why);
        }
        if let Some(value) = new.at(scale.selector.trim_start_matches('.')).filter(|value| !value.is_string()) {
            let why = format!("accessor error: {value} is no string");
            errors.invalid(scale.selector.as_str(), "", why);
        }
    }
}

/// Whether a complaint makes the object too wrong for rules to be tried on it.
fn blocks_rules(complaint: Complaint) -> bool {
    use Complaint::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(complaint, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

/// Whether `field` is `place` or below it; everything is within the empty place.
fn is_within(field: &str, place: &str) -> bool {
    let rest = field.strip_prefix(place);
    place.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn finalizer_warnings(finalizer: &str) -> Vec<String> {
    let place = format!("metadata.finalizers: {finalizer:?}");
    let mut warnings: Vec<String> =
        names::is_qualified_name(finalizer).into_iter().map(|complaint| format!("{place}: {complaint}")).collect();
    if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
        let path = if finalizer.contains('.') { " including a path (/)" } else { "" };
        warnings.push(format!(
            "{place}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        ));
    }
    warnings
}
