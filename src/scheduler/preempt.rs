//! Making room for a pod by driving off less important ones.
//!
//! On each node that could do, all less important pods are taken away in thought, and then put back,
//! the most important first, as long as the pod still fits. What cannot be put back is the price; the
//! cheapest node wins.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cluster::Cluster;
use super::cycle::{Diagnosis, fits, histogram};
use super::framework::{Attempt, Unfit};
use super::info::{NodeInfo, PodRef};
use crate::object::view::PodDisruptionBudget;
use crate::object::{Key, Timestamp};

/// Nodes that are tried, at most.
const CANDIDATES_MAX: usize = 100;

pub struct Preemption {
    pub node: String,
    pub victims: Vec<PodRef>,
}

/// Victims of one node.
struct Price {
    victims: Vec<PodRef>,
    broken_budgets: usize,
}

/// Finds the pods to drive off, or says in upstream's words why there are none.
pub fn find(cluster: &Cluster, pod: &PodRef, diagnosis: &Diagnosis) -> Result<Preemption, String> {
    match Attempt::new(pod, cluster) {
        Ok(attempt) => find_in(&attempt, diagnosis),
        Err(_) => {
            let total = diagnosis.total;
            Err(format!("0/{total} nodes are available: {total} Preemption is not helpful for scheduling."))
        }
    }
}

fn find_in(attempt: &Attempt, diagnosis: &Diagnosis) -> Result<Preemption, String> {
    let pod = &attempt.pod.pod;
    if pod.spec.preemption_policy.as_deref() == Some("Never") {
        return Err("not eligible due to preemptionPolicy=Never.".into());
    }
    if waits_for_victims(attempt, diagnosis) {
        return Err("not eligible due to a terminating pod on the nominated node.".into());
    }
    let mut reasons: Vec<Cow<'static, str>> = Vec::new();
    let mut prices: Vec<(String, Price)> = Vec::new();
    let not_helpful = Cow::Borrowed("Preemption is not helpful for scheduling");
    for (name, unfit) in &diagnosis.nodes {
        if !unfit.resolvable {
            reasons.push(not_helpful.clone());
            continue;
        }
        let Some(info) = attempt.cluster.node(name).filter(|_| prices.len() < CANDIDATES_MAX) else { continue };
        match price(attempt, info) {
            Ok(price) => prices.push((name.clone(), price)),
            Err(unfit) => reasons.extend(unfit.reasons),
        }
    }
    let cheapest = prices.into_iter().min_by(|(_, a), (_, b)| a.cost().cmp(&b.cost()));
    match cheapest {
        Some((node, price)) => Ok(Preemption { node, victims: price.victims }),
        None => Err(format!("0/{} nodes are available: {}.", diagnosis.total, histogram(reasons.iter()))),
    }
}

/// Its victims on the node it was promised are still leaving.
fn waits_for_victims(attempt: &Attempt, diagnosis: &Diagnosis) -> bool {
    let nominated = &attempt.pod.pod.status.nominated_node_name;
    let hopeless = diagnosis.nodes.iter().any(|(name, unfit)| name == nominated && !unfit.resolvable);
    let Some(info) = attempt.cluster.node(nominated).filter(|_| !hopeless) else { return false };
    let priority = attempt.pod.pod.priority();
    info.pods.values().any(|other| other.pod.is_deleting() && other.pod.priority() < priority)
}

fn price(attempt: &Attempt, info: &NodeInfo) -> Result<Price, Unfit> {
    let priority = attempt.pod.pod.priority();
    let mut lesser: Vec<PodRef> = info.pods.values().filter(|other| other.pod.priority() < priority).cloned().collect();
    if lesser.is_empty() {
        let reasons = vec!["No preemption victims found for incoming pod".into()];
        return Err(Unfit { plugin: "DefaultPreemption", reasons, resolvable: true });
    }
    lesser.sort_by(|a, b| importance(b).cmp(&importance(a)));
    let without = |gone: &[PodRef]| {
        let mut emptier = info.clone();
        let mut imagined = Attempt {
            pod: attempt.pod,
            cluster: attempt.cluster,
            spread: attempt.spread.clone(),
            affinity: attempt.affinity.clone(),
            volumes: attempt.volumes.clone(),
        };
        for pod in gone {
            emptier.remove(pod.uid());
            imagined.spread.without(pod, info, attempt.pod.pod.namespace());
            imagined.affinity.without(attempt.pod, pod, info, &attempt.cluster.snap);
        }
        fits(&imagined, &emptier)
    };
    without(&lesser)?;
    let (protected, free) = by_budget(attempt, lesser.clone());
    let mut gone = lesser;
    let mut broken_budgets = 0;
    for (pod, is_protected) in
        protected.into_iter().map(|pod| (pod, true)).chain(free.into_iter().map(|pod| (pod, false)))
    {
        let fewer: Vec<PodRef> = gone.iter().filter(|other| other.uid() != pod.uid()).cloned().collect();
        match without(&fewer) {
            Ok(()) => gone = fewer,
            Err(_) => broken_budgets += usize::from(is_protected),
        }
    }
    Ok(Price { victims: gone, broken_budgets })
}

/// More important pods, and of equals those that run longer, are put back first.
fn importance(pod: &PodRef) -> (i32, std::cmp::Reverse<Option<Timestamp>>) {
    (pod.pod.priority(), std::cmp::Reverse(pod.pod.status.start_time.or(pod.pod.meta().creation_timestamp)))
}

/// Splits pods into those whose eviction would break a disruption budget, and the others.
fn by_budget(attempt: &Attempt, pods: Vec<PodRef>) -> (Vec<PodRef>, Vec<PodRef>) {
    let mut allowed: BTreeMap<Key, i64> = BTreeMap::new();
    pods.into_iter().partition(|pod| {
        let budgets = attempt.cluster.snap.list::<PodDisruptionBudget>(pod.pod.namespace());
        let mine = budgets.iter().filter(|budget| {
            budget
                .spec
                .selector
                .as_ref()
                .is_some_and(|selector| !selector.is_empty() && selector.matches(&pod.pod.meta().labels))
                && !budget.status.disrupted_pods.contains_key(pod.pod.name())
        });
        mine.fold(false, |broken, budget| {
            let left = allowed.entry(budget.key().clone()).or_insert(budget.status.disruptions_allowed);
            *left -= 1;
            broken || *left < 0
        })
    })
}

impl Price {
    /// Cheaper compares less: few broken budgets, unimportant victims, few of them, young ones.
    fn cost(&self) -> (usize, i32, i64, usize, std::cmp::Reverse<Option<Timestamp>>) {
        let priorities = || self.victims.iter().map(|pod| pod.pod.priority());
        let highest = priorities().max().unwrap_or(i32::MIN);
        let sum = priorities().map(|priority| i64::from(priority) + i64::from(i32::MAX) + 1).sum();
        let important = self.victims.iter().filter(|pod| pod.pod.priority() == highest);
        let earliest = important.filter_map(|pod| pod.pod.status.start_time).min();
        (self.broken_budgets, highest, sum, self.victims.len(), std::cmp::Reverse(earliest))
    }
}
