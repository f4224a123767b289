//! The plugins, as two tables: which nodes will do, and which of those is best.

use std::borrow::Cow;

use super::cluster::Cluster;
use super::info::{NodeInfo, PodRef};
use super::plugins::{affinity, basic, images, resources, spread, volumes};

/// What plugins work out once for a pod before they look at nodes.
pub struct Attempt<'a> {
    pub pod: &'a PodRef,
    pub cluster: &'a Cluster,
    pub spread: spread::Required,
    pub affinity: affinity::Required,
    pub volumes: volumes::Wanted,
}

/// Why a node will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub plugin: &'static str,
    /// In words that are counted over all nodes.
    pub reasons: Vec<Cow<'static, str>>,
    /// Whether it might do if some pods went.
    pub resolvable: bool,
}

pub struct Filter {
    pub name: &'static str,
    pub fits: fn(&Attempt, &NodeInfo) -> Result<(), Refusal>,
    /// After what a pod that failed here deserves another try.
    pub helped_by: &'static [Happening],
}

/// What a filter says against a node: in words that are counted over all nodes, and whether it might
/// do if some pods went.
pub struct Refusal {
    pub reasons: Vec<Cow<'static, str>>,
    pub resolvable: bool,
}

impl Refusal {
    /// Not even if pods were driven off.
    pub fn never(reason: &'static str) -> Self {
        Self { reasons: vec![reason.into()], resolvable: false }
    }

    /// Not with the pods that are there.
    pub fn not_now(reason: &'static str) -> Self {
        Self { reasons: vec![reason.into()], resolvable: true }
    }
}

pub struct Score {
    pub name: &'static str,
    pub weight: i64,
    /// Scores the nodes that fit, each between 0 and [`SCORE_MAX`]; `None` to stay out of it.
    pub rate: fn(&Attempt, &[&NodeInfo]) -> Option<Vec<i64>>,
}

pub const SCORE_MAX: i64 = 100;

/// Changes that may make room for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    NodeAppeared,
    NodeLabels,
    NodeTaints,
    NodeAllocatable,
    PodPlaced,
    PodGone,
    Volumes,
}

use Happening::{NodeAllocatable, NodeAppeared, NodeLabels, NodeTaints, PodGone, PodPlaced, Volumes};

/// In the order in which they are asked; the first that refuses is the one reported.
pub static FILTERS: &[Filter] = &[
    Filter { name: "NodeUnschedulable", fits: basic::is_schedulable, helped_by: &[NodeAppeared, NodeTaints] },
    Filter { name: "NodeName", fits: basic::is_named, helped_by: &[NodeAppeared] },
    Filter { name: "TaintToleration", fits: basic::is_tolerated, helped_by: &[NodeAppeared, NodeTaints] },
    Filter { name: "NodeAffinity", fits: basic::is_selected, helped_by: &[NodeAppeared, NodeLabels] },
    Filter { name: "NodePorts", fits: basic::has_ports, helped_by: &[NodeAppeared, PodGone] },
    Filter { name: "NodeResourcesFit", fits: resources::fits, helped_by: &[NodeAppeared, NodeAllocatable, PodGone] },
    Filter { name: "VolumeBinding", fits: volumes::reaches, helped_by: &[NodeAppeared, NodeLabels, Volumes, PodGone] },
    Filter {
        name: "PodTopologySpread",
        fits: spread::keeps_balance,
        helped_by: &[NodeAppeared, NodeLabels, PodPlaced, PodGone],
    },
    Filter {
        name: "InterPodAffinity",
        fits: affinity::is_welcome,
        helped_by: &[NodeAppeared, NodeLabels, PodPlaced, PodGone],
    },
];

pub static SCORES: &[Score] = &[
    Score { name: "TaintToleration", weight: 3, rate: basic::fewest_unliked_taints },
    Score { name: "NodeAffinity", weight: 2, rate: basic::most_preferred },
    Score { name: "NodeResourcesFit", weight: 1, rate: resources::least_allocated },
    Score { name: "NodeResourcesBalancedAllocation", weight: 1, rate: resources::best_balanced },
    Score { name: "PodTopologySpread", weight: 2, rate: spread::most_spread },
    Score { name: "InterPodAffinity", weight: 2, rate: affinity::best_company },
    Score { name: "ImageLocality", weight: 1, rate: images::most_present },
];

impl<'a> Attempt<'a> {
    /// Fails when nothing about the nodes could help, in words for the pod's owner.
    pub fn new(pod: &'a PodRef, cluster: &'a Cluster) -> Result<Self, String> {
        Ok(Self {
            pod,
            cluster,
            spread: spread::Required::of(pod, cluster),
            affinity: affinity::Required::of(pod, cluster),
            volumes: volumes::Wanted::of(pod, &cluster.snap)?,
        })
    }

    /// Asks every filter about a node.
    pub fn check(&self, node: &NodeInfo) -> Result<(), Unfit> {
        for filter in FILTERS {
            if let Err(refusal) = (filter.fits)(self, node) {
                let Refusal { reasons, resolvable } = refusal;
                return Err(Unfit { plugin: filter.name, reasons, resolvable });
            }
        }
        Ok(())
    }
}

/// Stretches raw scores so that the highest becomes [`SCORE_MAX`], or upside down.
pub fn normalize(mut scores: Vec<i64>, reverse: bool) -> Vec<i64> {
    let max = scores.iter().copied().max().unwrap_or(0);
    for score in &mut scores {
        *score = match max {
            0 => {
                if reverse {
                    SCORE_MAX
                } else {
                    0
                }
            }
            max if reverse => SCORE_MAX - SCORE_MAX * *score / max,
            max => SCORE_MAX * *score / max,
        };
    }
    scores
}
