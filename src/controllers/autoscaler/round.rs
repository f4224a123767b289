//! One look at one autoscaler: what is decided, and what its conditions and events say about it.

use super::limits::{self, Bounds, Memory};
use super::metric::Metric;
use super::replicas::{Pods, Tolerances};
use crate::client::{Note, Seen};
use crate::controllers::runtime::plan::reference;
use crate::controllers::shared::conditions::{Conditions, condition};
use crate::object::tree::json;
use crate::object::view::{HorizontalPodAutoscaler, Pod};
use crate::object::{Timestamp, Tree, TreePath};

const NO_SCALE: &str = "the HPA controller was unable to get the target's current scale";

pub struct Round<'a> {
    hpa: &'a Seen<HorizontalPodAutoscaler>,
    pub now: Timestamp,
    pub behavior: Tree,
    pub metrics: Vec<Tree>,
    pub notes: Vec<Note>,
    conditions: Conditions,
    status: Tree,
}

/// What the metrics ask for.
#[derive(Debug)]
pub struct Desired {
    pub replicas: i64,
    /// The metric that asks for the most.
    pub metric: String,
    pub statuses: Tree,
}

/// How many replicas there are to be, and why.
#[derive(Debug)]
pub struct Wish {
    pub replicas: i64,
    pub reason: String,
    pub metrics: Tree,
}

impl<'a> Round<'a> {
    pub fn new(hpa: &'a Seen<HorizontalPodAutoscaler>, now: Timestamp) -> Self {
        let tree = hpa.object().tree();
        let mut status = tree.get("status").cloned().unwrap_or_else(|| json!({}));
        status.set_default("desiredReplicas", 0);
        if status.get("currentMetrics").is_none() {
            status.set("currentMetrics", Tree::Null);
        }
        Self {
            hpa,
            now,
            behavior: tree.at("spec.behavior").cloned().unwrap_or_default(),
            metrics: tree.items("spec.metrics").to_vec(),
            notes: Vec::new(),
            conditions: Conditions::of(&hpa.status.conditions),
            status,
        }
    }

    /// The object with its new status, if that is another than it has.
    pub fn changed(&self) -> Option<Tree> {
        let mut status = self.status.clone();
        status.set("conditions", self.conditions.to_tree());
        let old = self.hpa.object().tree();
        let mut new = old.clone();
        new.set("status", status);
        (new != old).then_some(new)
    }

    pub fn warn(&mut self, reason: &str, message: impl Into<String>) {
        self.notes.push(Note::warning(reference(self.hpa), reason, message));
    }

    fn say(&mut self, kind: &str, status: bool, reason: &str, message: impl Into<String>) {
        let status = if status { "True" } else { "False" };
        self.conditions.set_in_place(condition(kind, status, reason, message, self.now));
    }

    pub fn no_scale(&mut self, why: &str) {
        self.warn("FailedGetScale", why);
        self.say("AbleToScale", false, "FailedGetScale", format!("{NO_SCALE}: {why}"));
    }

    pub fn has_scale(&mut self) {
        let message = "the HPA controller was able to get the target's current scale";
        self.say("AbleToScale", true, "SucceededGetScale", message);
    }

    /// Tells that pods cannot be found; gives the message back.
    pub fn bad_selector(&mut self, reason: &str, why: String) -> String {
        self.warn(reason, why.as_str());
        match reason {
            "SelectorRequired" => {
                self.say("ScalingActive", false, "InvalidSelector", "the HPA target's scale is missing a selector");
            }
            reason => self.say("ScalingActive", false, reason, why.as_str()),
        }
        why
    }

    fn bounds(&self) -> Bounds {
        Bounds { min: self.hpa.spec.min_replicas.unwrap_or(1), max: self.hpa.spec.max_replicas }
    }

    /// What is wished for whatever metrics say: they are not asked then.
    pub fn by_bounds(&mut self, current: i64) -> Option<Wish> {
        let bounds = self.bounds();
        let wish = |replicas, reason: &str| Some(Wish { replicas, reason: reason.into(), metrics: Tree::Null });
        if current == 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            self.say("ScalingActive", false, "ScalingDisabled", message);
            wish(0, "")
        } else if current > bounds.max {
            wish(bounds.max, "Current number of replicas above Spec.MaxReplicas")
        } else if current < bounds.min {
            wish(bounds.min, "Current number of replicas below Spec.MinReplicas")
        } else {
            None
        }
    }

    /// The most that any metric asks for. One that says nothing stands in the way of scaling down, not up.
    pub fn judge(
        &mut self,
        pods: &[Seen<Pod>],
        answers: Vec<Result<Tree, String>>,
        (current, status_replicas): (i64, i64),
        namespace: &str,
    ) -> Result<Desired, (String, Tree)> {
        let pods = Pods { pods, now: self.now, current, tolerances: Tolerances::of(&self.behavior) };
        let specs = std::mem::take(&mut self.metrics);
        let mut statuses = Vec::new();
        let mut best: Option<(i64, String)> = None;
        let (mut silent, mut first) = (0, None);
        for (spec, answer) in specs.iter().zip(answers) {
            match Metric::of(spec).judge(answer, &pods, status_replicas, namespace) {
                Ok(proposal) => {
                    statuses.push(proposal.status);
                    if best.as_ref().is_none_or(|(most, _)| *most == 0 || proposal.replicas > *most) {
                        best = Some((proposal.replicas, proposal.metric));
                    }
                }
                Err(silence) => {
                    statuses.push(json!({"type": ""}));
                    self.warn(silence.reason, silence.why.as_str());
                    silent += 1;
                    first.get_or_insert(silence);
                }
            }
        }
        self.metrics = specs;
        let (all, statuses) = (self.metrics.len(), Tree::Array(statuses));
        match (best, first) {
            (Some((replicas, metric)), first) if first.is_none() || replicas >= current => {
                let message = format!("the HPA was able to successfully calculate a replica count from {metric}");
                self.say("ScalingActive", true, "ValidMetricFound", message);
                Ok(Desired { replicas, metric, statuses })
            }
            (_, Some(silence)) => {
                let message = format!("the HPA was unable to compute the replica count: {}", silence.why);
                self.say("ScalingActive", false, silence.reason, message);
                let told = silence.told;
                Err((format!("invalid metrics ({silent} invalid out of {all}), first error is: {told}"), statuses))
            }
            (_, None) => Err(("no metrics are listed".into(), statuses)),
        }
    }

    /// The wish, as far as it may be followed now.
    pub fn within_limits(&mut self, memory: &mut Memory, current: i64, desired: Desired) -> Wish {
        let Desired { replicas, metric, statuses } = desired;
        let reason = match replicas.cmp(&current) {
            std::cmp::Ordering::Greater => format!("{metric} above target"),
            std::cmp::Ordering::Less => "All metrics below target".into(),
            std::cmp::Ordering::Equal => String::new(),
        };
        let limited = limits::limit(memory, &self.behavior, self.bounds(), (current, replicas), self.now);
        self.say("AbleToScale", true, limited.able.0, limited.able.1);
        self.say("ScalingLimited", limited.is_limited, limited.limit.0, limited.limit.1);
        Wish { replicas: limited.replicas, reason, metrics: statuses }
    }

    pub fn no_wish(&mut self, current: i64, metrics: Tree, why: String) {
        let desired = self.status.int("desiredReplicas").unwrap_or(0);
        self.counts(current, desired, metrics);
        self.warn("FailedComputeMetricsReplicas", why);
    }

    pub fn stays(&mut self, current: i64, metrics: Tree) {
        self.counts(current, current, metrics);
    }

    pub fn scaled(&mut self, current: i64, desired: i64, reason: &str, metrics: Tree) {
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        self.say("AbleToScale", true, "SucceededRescale", message);
        let message = format!("New size: {desired}; reason: {reason}");
        self.notes.push(Note::normal(reference(self.hpa), "SuccessfulRescale", message));
        self.counts(current, desired, metrics);
        self.status.set("lastScaleTime", self.now);
    }

    pub fn not_scaled(&mut self, current: i64, wished: i64, reason: &str, why: &str, metrics: Tree) {
        self.warn("FailedRescale", format!("New size: {wished}; reason: {reason}; error: {why}"));
        let message = format!("the HPA controller was unable to update the target scale: {why}");
        self.say("AbleToScale", false, "FailedUpdateScale", message);
        let desired = self.status.int("desiredReplicas").unwrap_or(0);
        self.counts(current, desired, metrics);
    }

    /// The status anew; what nobody tells any more is left out.
    fn counts(&mut self, current: i64, desired: i64, metrics: Tree) {
        let last = self.status.get("lastScaleTime").cloned();
        let mut status = json!({"desiredReplicas": desired, "currentMetrics": metrics});
        if current != 0 {
            status.set("currentReplicas", current);
        }
        if let Some(last) = last {
            status.set("lastScaleTime", last);
        }
        self.status = status;
    }
}
