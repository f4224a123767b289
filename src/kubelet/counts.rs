//! What the kubelet has done so far, counted under upstream's names.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// Labels come from pods; beyond this many series of one family nothing new is counted.
const SERIES_MAX: usize = 2_000;

/// Something that is counted.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

macro_rules! counted {
    ($($constant:ident = $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub static $constant: Counted = Counted { name: $name, help: $help, labels: &[$($label),*] };)*
    };
}

counted! {
    STARTED_PODS = "kubelet_started_pods_total" [] "Cumulative number of pods started";
    FAILED_PODS = "kubelet_started_pods_errors_total" [] "Cumulative number of errors when starting pods";
    STARTED_CONTAINERS = "kubelet_started_containers_total" ["container_type"]
        "Cumulative number of containers started";
    FAILED_CONTAINERS = "kubelet_started_containers_errors_total" ["container_type", "code"]
        "Cumulative number of errors when starting containers";
    TERMINATED_CONTAINERS = "kubelet_terminated_containers_total" ["container_type", "exit_code", "reason"]
        "Cumulative number of container terminations.";
    EVICTIONS = "kubelet_evictions" ["eviction_signal"] "Cumulative number of pod evictions by eviction signal";
    COLLECTED_IMAGES = "kubelet_image_garbage_collected_total" ["reason"]
        "Total number of images garbage collected by the kubelet, whether through disk usage or image age.";
}

/// The counters of one kubelet.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<&'static Counted, BTreeMap<Vec<String>, u64>>>);

impl Counts {
    /// Counts one more; `values` are those of the labels, in their order.
    pub fn add(&self, what: &'static Counted, values: &[&str]) {
        debug_assert_eq!(what.labels.len(), values.len(), "{} has other labels", what.name);
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = families.entry(what).or_default();
        let key: Vec<String> = values.iter().map(ToString::to_string).collect();
        if series.len() < SERIES_MAX || series.contains_key(&key) {
            *series.entry(key).or_default() += 1;
        }
    }

    /// All of them in the text format of Prometheus.
    pub fn write(&self, text: &mut String) {
        for (what, series) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let mut family = Family::new(text, what.name, "counter", what.help);
            for (values, count) in series {
                let labels: Vec<(&str, &str)> =
                    what.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
                family.add(&labels, count);
            }
        }
    }
}

/// Writes one family of numbers.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    pub fn new(text: &'a mut String, name: &'static str, kind: &str, help: &str) -> Self {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Self { text, name }
    }

    pub fn add(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let name = self.name;
        let pairs: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
        let _ = match pairs.is_empty() {
            true => writeln!(self.text, "{name} {value}"),
            false => writeln!(self.text, "{name}{{{}}} {value}", pairs.join(",")),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_written_by_its_labels() {
        let counts = Counts::default();
        for kind in ["container", "init_container", "container"] {
            counts.add(&STARTED_CONTAINERS, &[kind]);
        }
        let mut text = String::new();
        counts.write(&mut text);
        assert!(text.contains("# TYPE kubelet_started_containers_total counter\n"));
        assert!(text.contains("kubelet_started_containers_total{container_type=\"container\"} 2\n"), "{text}");
    }
}
