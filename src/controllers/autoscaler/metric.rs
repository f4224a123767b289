//! One entry of `spec.metrics`: what to ask whom, and how many replicas the answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use super::replicas::{Pods, Sample, Samples, Use};
use crate::client::Snapshot;
use crate::object::quantity::Quantity;
use crate::object::time::go_duration;
use crate::object::tree::{from_tree, json};
use crate::object::view::LabelSelector;
use crate::object::{Key, Options, Reason, Status, Target, Timestamp, Tree, TreePath, Verb};

const RESOURCES: &str = "metrics.k8s.io";
const CUSTOM: &str = "custom.metrics.k8s.io";
const EXTERNAL: &str = "external.metrics.k8s.io";
const NOT_SERVED: &str = "the server could not find the requested resource";
/// What a sample tells of, where it does not say.
const WINDOW: Duration = Duration::from_secs(60);

/// What is asked of whoever serves metrics.
pub struct Question {
    pub verb: Verb,
    pub target: Target,
    pub options: Options,
}

/// What a metric would have.
#[derive(Debug)]
pub struct Proposal {
    pub replicas: i64,
    pub metric: String,
    pub status: Tree,
}

/// Why a metric has no opinion: for the condition, and for the event that sums up.
#[derive(Debug)]
pub struct Silence {
    pub reason: &'static str,
    pub why: String,
    pub told: String,
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

    /// What the answer means for the number of replicas.
    pub fn judge(
        &self,
        answer: Result<Tree, String>,
        pods: &Pods<'_>,
        status_replicas: i64,
        namespace: &str,
    ) -> Result<Proposal, Silence> {
        match self.kind() {
            "Resource" => self.by_resource(answer, pods, "").map_err(|why| Silence {
                reason: "FailedGetResourceMetric",
                told: format!("failed to get {} resource metric value: {why}", self.source.text("name")),
                why,
            }),
            "ContainerResource" => {
                let container = self.source.text("container");
                self.by_resource(answer, pods, container).map_err(|why| Silence {
                    reason: "FailedGetContainerResourceMetric",
                    told: format!("failed to get {container} container metric value: {why}"),
                    why,
                })
            }
            "Pods" => self.by_pods(answer, pods).map_err(|why| Silence {
                reason: "FailedGetPodsMetric",
                told: format!("failed to get pods metric value: {why}"),
                why,
            }),
            "Object" => {
                let failed = |(why, told): (String, String)| Silence {
                    reason: "FailedGetObjectMetric",
                    told: format!("failed to get object metric value: {told}"),
                    why,
                };
                self.by_object(answer, pods, status_replicas, namespace).map_err(failed)
            }
            "External" => {
                let failed = |(why, told): (String, String)| Silence {
                    reason: "FailedGetExternalMetric",
                    told: format!("failed to get {} external metric value: {told}", self.name()),
                    why,
                };
                self.by_external(answer, pods, status_replicas, namespace).map_err(failed)
            }
            other => {
                let why = format!("unknown metric source type {other:?}");
                Err(Silence { reason: "InvalidMetricSourceType", told: why.clone(), why })
            }
        }
    }

    fn by_resource(&self, answer: Result<Tree, String>, pods: &Pods<'_>, container: &str) -> Result<Proposal, String> {
        let resource = self.source.text("name");
        let of_container = if container.is_empty() { "" } else { "container " };
        let samples = answer
            .map_err(|why| format!("unable to fetch metrics from resource metrics API: {why}"))
            .and_then(|list| resource_samples(&list, resource, container))
            .map_err(|why| format!("unable to get metrics for resource {resource}: {why}"));
        let shown = |used: &Use| {
            let average = match resource {
                "memory" => Quantity::from_milli_bytes(used.average),
                _ => Quantity::from_millis(used.average),
            };
            json!({"averageValue": average.to_string()})
        };
        let (replicas, metric, current) = if let Some(target) = self.target("averageValue") {
            let found = samples.and_then(|samples| pods.by_value(samples, resource, target));
            let (replicas, used) = found.map_err(|why| format!("failed to get {resource} usage: {why}"))?;
            (replicas, format!("{resource} resource"), shown(&used))
        } else if let Some(percent) = self.source.int("target.averageUtilization") {
            let found = samples.and_then(|samples| pods.by_utilization(samples, resource, container, percent));
            let (replicas, used) = found.map_err(|why| format!("failed to get {resource} utilization: {why}"))?;
            let mut current = shown(&used);
            current.set("averageUtilization", used.percent);
            let metric = format!("{resource} {of_container}resource utilization (percentage of request)");
            (replicas, metric, current)
        } else {
            return Err("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".into());
        };
        let mut status = json!({"name": resource, "current": current});
        if !container.is_empty() {
            status.set("container", container);
        }
        Ok(Proposal { replicas, metric, status: self.status(status) })
    }

    fn by_pods(&self, answer: Result<Tree, String>, pods: &Pods<'_>) -> Result<Proposal, String> {
        let name = self.name();
        let samples = custom(answer)
            .and_then(|list| custom_samples(&list))
            .map_err(|why| format!("unable to get metric {name}: {why}"))?;
        let (replicas, used) = pods.by_value(samples, "", self.target("averageValue").unwrap_or(0))?;
        let status = json!({
            "metric": self.source.at("metric").cloned().unwrap_or_default(),
            "current": {"averageValue": Quantity::from_millis(used.average).to_string()},
        });
        Ok(Proposal { replicas, metric: format!("pods metric {name}"), status: self.status(status) })
    }

    fn by_object(
        &self,
        answer: Result<Tree, String>,
        pods: &Pods<'_>,
        status_replicas: i64,
        namespace: &str,
    ) -> Result<Proposal, (String, String)> {
        let (name, kind) = (self.name(), self.source.text("describedObject.kind"));
        let usage = custom(answer).and_then(|list| match list.items("items") {
            [one] => millis(one, "value"),
            all => {
                let count = all.len();
                Err(format!("the custom metrics API server returned {count} results when we asked for exactly one"))
            }
        });
        // Upstream's words, in upstream's order.
        let usage = usage.map_err(|why| {
            format!(
                "unable to get metric {name}: {kind} on {namespace} {}/{why}",
                self.source.text("describedObject.name")
            )
        });
        let (replicas, metric, field, shown) =
            match (self.source.text("target.type"), self.target("value"), self.target("averageValue")) {
                ("Value", Some(target), _) => {
                    let found = usage.and_then(|usage| Ok((pods.by_total(usage, target)?, usage)));
                    let (replicas, usage) = found.map_err(|why| (why.clone(), why))?;
                    (replicas, format!("{kind} metric {name}"), "value", usage)
                }
                ("AverageValue", _, Some(target)) => {
                    let usage =
                        usage.map_err(|why| (why.clone(), format!("failed to get {name} object metric: {why}")))?;
                    let (replicas, share) = pods.by_share(usage, target, status_replicas);
                    (replicas, self.external_name(), "averageValue", share)
                }
                _ => {
                    let why =
                        "invalid object metric source: neither a value target nor an average value target was set";
                    return Err((why.into(), why.into()));
                }
            };
        let status = json!({
            "describedObject": self.source.at("describedObject").cloned().unwrap_or_default(),
            "metric": self.source.at("metric").cloned().unwrap_or_default(),
            "current": current(field, shown),
        });
        Ok(Proposal { replicas, metric, status: self.status(status) })
    }

    fn by_external(
        &self,
        answer: Result<Tree, String>,
        pods: &Pods<'_>,
        status_replicas: i64,
        namespace: &str,
    ) -> Result<Proposal, (String, String)> {
        let name = self.name();
        let usage = answer
            .map_err(|why| format!("unable to fetch metrics from external metrics API: {why}"))
            .and_then(|list| match list.items("items") {
                [] => Err("no metrics returned from external metrics API".into()),
                all => all.iter().try_fold(0_i64, |sum, one| Ok(sum.saturating_add(millis(one, "value")?))),
            })
            .map_err(|why| {
                format!(
                    "unable to get external metric {namespace}/{name}/{}: {why}",
                    shown_labels(self.labels().as_ref())
                )
            });
        let (replicas, field, shown) = if let Some(target) = self.target("averageValue") {
            let usage = usage.map_err(|why| (why.clone(), format!("failed to get {name} external metric: {why}")))?;
            let (replicas, share) = pods.by_share(usage, target, status_replicas);
            (replicas, "averageValue", share)
        } else if let Some(target) = self.target("value") {
            let found = usage.and_then(|usage| Ok((pods.by_total(usage, target)?, usage)));
            let (replicas, usage) =
                found.map_err(|why| (why.clone(), format!("failed to get external metric {name}: {why}")))?;
            (replicas, "value", usage)
        } else {
            let why = "invalid external metric source: neither a value target nor an average value target was set";
            return Err((why.into(), why.into()));
        };
        let status = json!({
            "metric": self.source.at("metric").cloned().unwrap_or_default(),
            "current": current(field, shown),
        });
        Ok(Proposal { replicas, metric: self.external_name(), status: self.status(status) })
    }

    fn external_name(&self) -> String {
        format!("external metric {}({})", self.name(), shown_labels(self.labels().as_ref()))
    }

    fn status(&self, source: Tree) -> Tree {
        let mut field = self.kind().to_owned();
        if let Some(first) = field.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        let mut status = json!({"type": self.kind()});
        status.set(&field, source);
        status
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

/// An answer of the custom metrics API. What could not even be asked has said so.
fn custom(answer: Result<Tree, String>) -> Result<Tree, String> {
    const FAILED: &str = "unable to fetch metrics from custom metrics API: ";
    answer.map_err(|why| if why.starts_with(FAILED) { why } else { format!("{FAILED}{why}") })
}

/// What pods use of a resource, all their containers or one; a pod of which anything is missing is missing.
fn resource_samples(list: &Tree, resource: &str, container: &str) -> Result<Samples, String> {
    if list.items("items").is_empty() {
        return Err("no metrics returned from resource metrics API".into());
    }
    let mut samples = BTreeMap::new();
    for pod in list.items("items") {
        let used = |one: &Tree| {
            let amount = one.get("usage").and_then(|usage| usage.get(resource)).and_then(Tree::as_str)?;
            Quantity::parse(amount).ok().map(|quantity| quantity.millis())
        };
        let containers = pod.items("containers");
        let value = match container {
            "" if containers.is_empty() => None,
            "" => containers.iter().map(used).sum(),
            name => containers.iter().find(|one| one.text("name") == name).and_then(used),
        };
        let window = go_duration(pod.text("window")).map_or(WINDOW, |nanos| Duration::from_nanos(nanos.unsigned_abs()));
        if let Some(value) = value {
            samples.insert(pod.text("metadata.name").to_owned(), Sample { at: stamp(pod), window, value });
        }
    }
    Ok(samples)
}

fn custom_samples(list: &Tree) -> Result<Samples, String> {
    if list.items("items").is_empty() {
        return Err("no metrics returned from custom metrics API".into());
    }
    let sample = |one: &Tree| {
        let window = one.int("windowSeconds").map_or(WINDOW, |secs| Duration::from_secs(secs.unsigned_abs()));
        let sample = Sample { at: stamp(one), window, value: millis(one, "value")? };
        Ok((one.text("describedObject.name").to_owned(), sample))
    };
    list.items("items").iter().map(sample).collect()
}

fn current(field: &str, millis: i64) -> Tree {
    let mut current = json!({});
    current.set(field, Quantity::from_millis(millis).to_string());
    current
}

fn stamp(sample: &Tree) -> Timestamp {
    Timestamp::parse(sample.text("timestamp")).unwrap_or(Timestamp::from_secs(0))
}

fn millis(tree: &Tree, field: &str) -> Result<i64, String> {
    let quantity = Quantity::parse(tree.text(field)).map_err(|error| error.to_string())?;
    Ok(quantity.millis())
}

/// A selector as Go prints it.
fn shown_labels(labels: Option<&LabelSelector>) -> String {
    let Some(labels) = labels else { return "nil".into() };
    let pairs: String = labels.match_labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let terms: String = labels
        .match_expressions
        .iter()
        .map(|one| {
            let values = one.values.join(" ");
            format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", one.key, one.operator)
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{pairs}}},MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"
    )
}
