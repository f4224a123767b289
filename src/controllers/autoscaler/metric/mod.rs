//! One entry of `spec.metrics`, and what to ask whom about it. How many replicas the answer means is said by `judge`.

mod judge;
mod samples;

use crate::client::Snapshot;
use crate::object::quantity::Quantity;
use crate::object::tree::from_tree;
use crate::object::view::LabelSelector;
use crate::object::{Key, Options, Reason, Status, Target, Tree, TreePath, Verb};

const RESOURCES: &str = "metrics.k8s.io";
const CUSTOM: &str = "custom.metrics.k8s.io";
const EXTERNAL: &str = "external.metrics.k8s.io";
const NOT_SERVED: &str = "the server could not find the requested resource";

/// What is asked of whoever serves metrics.
pub struct Question {
    pub verb: Verb,
    pub target: Target,
    pub options: Options,
}

pub struct Metric<'a> {
    spec: &'a Tree,
    source: &'a Tree,
}

static NOTHING: Tree = Tree::Null;

impl<'a> Metric<'a> {
    pub fn of(spec: &'a Tree) -> Self {
        let field = match spec.text("type") {
            "Resource" => "resource",
            "ContainerResource" => "containerResource",
            "Pods" => "pods",
            "Object" => "object",
            "External" => "external",
            _ => "",
        };
        Self { spec, source: spec.get(field).unwrap_or(&NOTHING) }
    }

    fn kind(&self) -> &'a str {
        self.spec.text("type")
    }

    fn name(&self) -> &'a str {
        self.source.text("metric.name")
    }

    fn labels(&self) -> Option<LabelSelector> {
        from_tree(self.source.at("metric.selector")?).ok()
    }

    /// A target in thousandths.
    fn target(&self, field: &str) -> Option<i64> {
        Quantity::parse(self.source.text(&format!("target.{field}"))).ok().map(|quantity| quantity.millis())
    }

    /// The question; the error stands for its answer.
    pub fn question(&self, snap: &Snapshot, namespace: &str, selector: &str) -> Result<Question, String> {
        let labels = self.labels().unwrap_or_default().to_query();
        let at = |group: &str, version: &str, resource: &str| Target {
            group: group.into(),
            version: version.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            ..Target::default()
        };
        let select = |labels: &str| Options { label_selector: labels.into(), ..Options::default() };
        match self.kind() {
            "Resource" | "ContainerResource" => {
                Ok(Question { verb: Verb::List, target: at(RESOURCES, "v1beta1", "pods"), options: select(selector) })
            }
            "External" => Ok(Question {
                verb: Verb::List,
                target: at(EXTERNAL, "v1beta1", self.name()),
                options: select(&labels),
            }),
            kind => {
                let version = custom_version(snap)?;
                let mut options = select(if kind == "Pods" { selector } else { "" });
                if !labels.is_empty() {
                    options.other.push(("metricLabelSelector".into(), labels));
                }
                let about = |resource: &str, name: &str| Target {
                    name: name.into(),
                    subresource: self.name().into(),
                    ..at(CUSTOM, version, resource)
                };
                let target = if kind == "Pods" { about("pods", "*") } else { self.object(snap, version, about, at)? };
                Ok(Question { verb: Verb::Get, target, options })
            }
        }
    }

    fn object(
        &self,
        snap: &Snapshot,
        version: &str,
        about: impl Fn(&str, &str) -> Target,
        at: impl Fn(&str, &str, &str) -> Target,
    ) -> Result<Target, String> {
        let object = |field: &str| self.source.text(&format!("describedObject.{field}"));
        let (api_version, kind) = (object("apiVersion"), object("kind"));
        if kind == "Namespace" && !api_version.contains('/') {
            // Always the autoscaler's own, whatever name is given.
            return Ok(Target { name: self.name().into(), ..at(CUSTOM, version, "metrics") });
        }
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let known = snap.kind_named(api_version, kind).ok_or_else(|| no_match(kind, group))?;
        let resource = if group.is_empty() { known.plural.to_string() } else { format!("{}.{group}", known.plural) };
        Ok(about(&resource, object("name")))
    }
}

/// Why there is no answer, as clients tell it who add what they asked for to what nobody serves.
pub fn told(status: &Status, target: &Target) -> String {
    let what = match (status.reason, status.message.as_str()) {
        (Reason::NotFound, NOT_SERVED) | (Reason::Other(404), _) => NOT_SERVED,
        (Reason::ServiceUnavailable | Reason::Other(503), _) => "the server is currently unable to handle the request",
        _ => return status.message.clone(),
    };
    let name = if target.name.is_empty() { String::new() } else { format!(" {}", target.name) };
    format!("{what} (get {}.{}{name})", target.resource, target.group)
}

pub fn no_match(kind: &str, group: &str) -> String {
    format!("no matches for kind {kind:?} in group {group:?}")
}

/// The newest version of the custom metrics API that somebody serves.
fn custom_version(snap: &Snapshot) -> Result<&'static str, String> {
    let is_served = |version: &&str| {
        snap.object(&Key::of("apiservices.apiregistration.k8s.io", "", &format!("{version}.{CUSTOM}"))).is_some()
    };
    let served = ["v1beta2", "v1beta1"].into_iter().find(is_served);
    served.ok_or_else(|| {
        format!("unable to fetch metrics from custom metrics API: no custom metrics API ({CUSTOM}) registered")
    })
}
