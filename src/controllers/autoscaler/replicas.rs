//! How many replicas a metric asks for: the arithmetic over pods and their samples.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::client::Seen;
use crate::object::quantity::Quantity;
use crate::object::view::{Container, Pod};
use crate::object::{Timestamp, Tree, TreePath};

/// A pod that started later than this ago may use more than it will.
const CPU_INITIALIZATION: Duration = Duration::from_secs(5 * 60);
/// A pod that was last unready sooner than this after its start was never ready.
const INITIAL_READINESS: Duration = Duration::from_secs(30);
const TOLERANCE: f64 = 0.1;
const NO_PODS: &str = "no pods returned by selector while calculating replica count";

/// How far from its target a metric may be before anything is done.
#[derive(Clone, Copy)]
pub struct Tolerances {
    down: f64,
    up: f64,
}

impl Tolerances {
    pub fn of(behavior: &Tree) -> Self {
        let of = |direction: &str| {
            let text = behavior.text(&format!("{direction}.tolerance"));
            Quantity::parse(text).map_or(TOLERANCE, |quantity| quantity.approximate())
        };
        Self { down: of("scaleDown"), up: of("scaleUp") }
    }

    fn hold(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// What one pod used, in thousandths.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub at: Timestamp,
    pub window: Duration,
    pub value: i64,
}

/// By name of the pod.
pub type Samples = BTreeMap<String, Sample>;

/// What is known of a target's pods.
pub struct Pods<'a> {
    pub pods: &'a [Seen<Pod>],
    pub now: Timestamp,
    /// The replicas wished for at present.
    pub current: i64,
    pub tolerances: Tolerances,
}

/// Use in proportion to the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use {
    pub ratio: f64,
    /// Of what was requested.
    pub percent: i64,
    /// Of a pod, in thousandths.
    pub average: i64,
}

#[derive(Default)]
struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

impl Pods<'_> {
    /// Replicas for use as a share of requests.
    pub fn by_utilization(
        &self,
        samples: Samples,
        resource: &str,
        container: &str,
        target_percent: i64,
    ) -> Result<(i64, Use), String> {
        let requests = self.requests(container, resource);
        let request_of = |name: &str| requests.as_ref().ok().and_then(|all| all.get(name).copied());
        let measure = |samples: &Samples| {
            let requests = requests.as_ref().map_err(Clone::clone)?;
            utilization(samples, requests, target_percent)
        };
        let fallback = |name: &str| request_of(name).unwrap_or(0) * target_percent.max(100) / 100;
        self.scaled(samples, resource, measure, fallback)
    }

    /// Replicas for use in plain numbers.
    pub fn by_value(&self, samples: Samples, resource: &str, target: i64) -> Result<(i64, Use), String> {
        let measure = |samples: &Samples| {
            let total: i64 = samples.values().map(|sample| sample.value).sum();
            let average = total / samples.len().max(1) as i64;
            Ok(Use { ratio: average as f64 / target as f64, percent: 0, average })
        };
        self.scaled(samples, resource, measure, |_| target)
    }

    /// Pods that tell nothing count as what keeps the number from moving: on the way down as at their
    /// target, on the way up, like those that are not ready, as doing nothing.
    fn scaled(
        &self,
        mut samples: Samples,
        resource: &str,
        measure: impl Fn(&Samples) -> Result<Use, String>,
        fallback: impl Fn(&str) -> i64,
    ) -> Result<(i64, Use), String> {
        if self.pods.is_empty() {
            return Err(NO_PODS.into());
        }
        let groups = self.groups(&samples, resource);
        samples.retain(|name, _| !groups.ignored.contains(name) && !groups.unready.contains(name));
        if samples.is_empty() {
            return Err("did not receive metrics for targeted pods (pods might be unready)".into());
        }
        let used = measure(&samples)?;
        let grows_unready = !groups.unready.is_empty() && used.ratio > 1.0;
        if !grows_unready && groups.missing.is_empty() {
            let replicas = match self.tolerances.hold(used.ratio) {
                true => self.current,
                false => ceil(used.ratio * groups.ready as f64),
            };
            return Ok((replicas, used));
        }
        let mut assume = |name: &String, value| {
            samples.insert(name.clone(), Sample { at: self.now, window: Duration::ZERO, value });
        };
        if used.ratio < 1.0 {
            groups.missing.iter().for_each(|name| assume(name, fallback(name)));
        } else if used.ratio > 1.0 {
            groups.missing.iter().for_each(|name| assume(name, 0));
        }
        if grows_unready {
            groups.unready.iter().for_each(|name| assume(name, 0));
        }
        let again = measure(&samples)?.ratio;
        let turns = (used.ratio < 1.0 && again > 1.0) || (used.ratio > 1.0 && again < 1.0);
        let replicas = ceil(again * samples.len() as f64);
        let contradicts = (again < 1.0 && replicas > self.current) || (again > 1.0 && replicas < self.current);
        let stays = self.tolerances.hold(again) || turns || contradicts;
        Ok((if stays { self.current } else { replicas }, used))
    }

    /// Replicas for a number that belongs to no pod, in proportion to its target.
    pub fn by_total(&self, usage: i64, target: i64) -> Result<i64, String> {
        let ratio = usage as f64 / target as f64;
        if self.current == 0 {
            return Ok(ceil(ratio));
        }
        if self.tolerances.hold(ratio) {
            return Ok(self.current);
        }
        if self.pods.is_empty() {
            return Err(format!("unable to calculate ready pods: {NO_PODS}"));
        }
        let ready = self.pods.iter().filter(|pod| pod.status.phase == "Running" && pod.is_ready()).count();
        Ok(ceil(ratio * ready as f64))
    }

    /// Replicas for a number that is shared among `replicas` pods; and the share of each.
    pub fn by_share(&self, usage: i64, target: i64, replicas: i64) -> (i64, i64) {
        let ratio = usage as f64 / (target as f64 * replicas as f64);
        let wanted = if self.tolerances.hold(ratio) { replicas } else { ceil(usage as f64 / target as f64) };
        (wanted, (usage as f64 / replicas as f64).ceil() as i64)
    }

    fn groups(&self, samples: &Samples, resource: &str) -> Groups {
        let mut groups = Groups::default();
        for pod in self.pods {
            let name = pod.name().to_owned();
            if pod.is_deleting() || pod.status.phase == "Failed" {
                groups.ignored.insert(name);
            } else if pod.status.phase == "Pending" {
                groups.unready.insert(name);
            } else {
                match samples.get(&name) {
                    None => drop(groups.missing.insert(name)),
                    Some(sample) if resource == "cpu" && self.is_warming_up(pod, sample) => {
                        groups.unready.insert(name);
                    }
                    Some(_) => groups.ready += 1,
                }
            }
        }
        groups
    }

    /// Whether what a pod uses tells of its start, not of its work.
    fn is_warming_up(&self, pod: &Pod, sample: &Sample) -> bool {
        let (Some(ready), Some(start)) = (pod.condition("Ready"), pod.status.start_time) else { return true };
        let turned = ready.last_transition_time.unwrap_or(Timestamp::from_secs(0));
        let is_unready = ready.status == "False";
        if start + CPU_INITIALIZATION > self.now {
            is_unready || sample.at < turned + sample.window
        } else {
            is_unready && start + INITIAL_READINESS > turned
        }
    }

    fn requests(&self, container: &str, resource: &str) -> Result<BTreeMap<String, i64>, String> {
        let of = |pod: &Seen<Pod>| Ok((pod.name().to_owned(), request(pod, container, resource)?));
        self.pods.iter().map(of).collect()
    }
}

fn utilization(samples: &Samples, requests: &BTreeMap<String, i64>, target: i64) -> Result<Use, String> {
    let known: Vec<(i64, i64)> =
        samples.iter().filter_map(|(name, sample)| Some((sample.value, *requests.get(name)?))).collect();
    let used: i64 = known.iter().map(|(used, _)| used).sum();
    let requested: i64 = known.iter().map(|(_, requested)| requested).sum();
    if requested == 0 {
        return Err("no metrics returned matched known pods".into());
    }
    let percent = used.saturating_mul(100) / requested;
    Ok(Use { ratio: percent as f64 / target as f64, percent, average: used / known.len() as i64 })
}

/// What a pod, or one container of it, asks for, in thousandths.
fn request(pod: &Seen<Pod>, container: &str, resource: &str) -> Result<i64, String> {
    let millis = |text: &str| Quantity::parse(text).map_or(0, |quantity| quantity.millis());
    if container.is_empty()
        && let Some(whole) = pod.spec.resources.as_ref().filter(|whole| !whole.requests.is_empty())
    {
        if let Some(own) = whole.requests.get(resource) {
            let overhead = pod.spec.overhead.get(resource).map_or(0, millis);
            return Ok(millis(own) + overhead);
        }
        return Err(format!("missing pod-level request for {resource} in Pod {}", pod.name()));
    }
    let is_sidecar = |one: &&Container| one.restart_policy.as_deref() == Some("Always");
    let all = pod.spec.containers.iter().chain(pod.spec.init_containers.iter().filter(is_sidecar));
    let mut wanted = all.filter(|one| container.is_empty() || one.name == container).peekable();
    if !container.is_empty() && wanted.peek().is_none() {
        return Err(format!("container {container} not found in Pod {}", pod.name()));
    }
    wanted
        .map(|one| {
            let missing = || format!("missing request for {resource} in container {} of Pod {}", one.name, pod.name());
            one.resources.requests.get(resource).map(millis).ok_or_else(missing)
        })
        .sum()
}

/// Rounded up, and cut to what a replica count can be.
fn ceil(number: f64) -> i64 {
    i64::from(number.ceil() as i32)
}
