//! How many replicas the answer about a metric means, in upstream's words where it means nothing.

use super::Metric;
use super::samples::{custom, custom_samples, millis, resource_samples};
use crate::controllers::autoscaler::replicas::{Pods, Use};
use crate::object::quantity::Quantity;
use crate::object::tree::json;
use crate::object::view::LabelSelector;
use crate::object::{Tree, TreePath};

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

impl Metric<'_> {
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

fn current(field: &str, millis: i64) -> Tree {
    let mut current = json!({});
    current.set(field, Quantity::from_millis(millis).to_string());
    current
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
