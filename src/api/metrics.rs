//! Numbers about requests, in the Prometheus text format and under upstream's names.
//!
//! Counting happens on every request, so a series is found by one map lookup and changed with
//! atomics. The labels of a family are fixed when it is made.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Series of a family are not added beyond this: labels come from requests.
const SERIES_MAX: usize = 20_000;

/// Upper bounds of latency buckets, in seconds, as upstream has them.
const LATENCY_SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// Everything the API server counts.
pub struct Metrics {
    pub requests: Family<Counter>,
    pub durations: Family<Histogram>,
    pub inflight: Family<Gauge>,
    pub long_running: Family<Gauge>,
    pub watch_events: Family<Counter>,
    pub terminations: Family<Counter>,
    pub rejected: Family<Counter>,
    pub objects: Family<Gauge>,
    pub audit_events: Family<Counter>,
    pub audit_errors: Family<Counter>,
    pub audit_levels: Family<Counter>,
    start_secs: i64,
}

const REQUEST_LABELS: &[&str] =
    &["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"];
const DURATION_LABELS: &[&str] =
    &["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"];
const LONG_RUNNING_LABELS: &[&str] = &["verb", "group", "version", "resource", "subresource", "scope", "component"];

impl Metrics {
    pub fn new(start_secs: i64) -> Self {
        Self {
            requests: Family::new(
                "apiserver_request_total",
                "Requests, by verb, resource and HTTP response code.",
                REQUEST_LABELS,
            ),
            durations: Family::new(
                "apiserver_request_duration_seconds",
                "How long requests took, in seconds.",
                DURATION_LABELS,
            ),
            inflight: Family::new(
                "apiserver_current_inflight_requests",
                "Requests being worked on.",
                &["request_kind"],
            ),
            long_running: Family::new(
                "apiserver_longrunning_requests",
                "Watches, logs, execs and the like that are open.",
                LONG_RUNNING_LABELS,
            ),
            watch_events: Family::new(
                "apiserver_watch_events_total",
                "Events sent to watchers.",
                &["group", "version", "resource"],
            ),
            terminations: Family::new(
                "apiserver_request_terminations_total",
                "Requests that the server ended to protect itself.",
                &["code"],
            ),
            rejected: Family::new(
                "apiserver_dropped_requests_total",
                "Requests turned away with Try again later.",
                &["request_kind"],
            ),
            audit_events: Family::new("apiserver_audit_event_total", "Audit events made.", &[]),
            audit_errors: Family::new(
                "apiserver_audit_error_total",
                "Audit events that were lost, by what lost them.",
                &["plugin"],
            ),
            audit_levels: Family::new(
                "apiserver_audit_level_total",
                "Requests, by how much of them is audited.",
                &["level"],
            ),
            objects: Family::new("apiserver_storage_objects", "Stored objects, by resource.", &["resource"]),
            start_secs,
        }
    }

    /// The whole page.
    pub fn render(&self) -> String {
        let mut page = String::with_capacity(64 * 1024);
        self.requests.render(&mut page);
        self.durations.render(&mut page);
        self.inflight.render(&mut page);
        self.long_running.render(&mut page);
        self.watch_events.render(&mut page);
        self.terminations.render(&mut page);
        self.rejected.render(&mut page);
        self.objects.render(&mut page);
        self.audit_events.render(&mut page);
        self.audit_errors.render(&mut page);
        self.audit_levels.render(&mut page);
        let _ = write!(
            page,
            "# HELP process_start_time_seconds Start time of the process, in seconds since 1970.\n\
             # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {}\n",
            self.start_secs
        );
        page
    }
}

/// What a series holds.
pub trait Cell: Default + Send + Sync {
    const KIND: &'static str;
    /// Writes the sample lines of a series whose labels are already text.
    fn render(&self, name: &str, labels: &str, page: &mut String);
}

/// Series of one name, told apart by the values of its labels.
pub struct Family<C> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    series: RwLock<BTreeMap<Box<str>, Arc<C>>>,
}

impl<C: Cell> Family<C> {
    pub fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, labels, series: RwLock::default() }
    }

    /// The series with these label values, in the order of the family's labels.
    pub fn with(&self, values: &[&str]) -> Arc<C> {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let key = self.key(values);
        if let Some(cell) = self.read().get(&*key) {
            return cell.clone();
        }
        let mut series = self.series.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if series.len() >= SERIES_MAX {
            return Arc::default();
        }
        series.entry(key.into()).or_default().clone()
    }

    pub fn clear(&self) {
        self.series.write().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Box<str>, Arc<C>>> {
        self.series.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn key(&self, values: &[&str]) -> String {
        let mut key = String::with_capacity(128);
        for (label, value) in self.labels.iter().zip(values) {
            let comma = if key.is_empty() { "" } else { "," };
            let _ = write!(key, "{comma}{label}=\"{}\"", Escaped(value));
        }
        key
    }

    fn render(&self, page: &mut String) {
        let series = self.read();
        if series.is_empty() {
            return;
        }
        let _ = write!(page, "# HELP {0} {1}\n# TYPE {0} {2}\n", self.name, self.help, C::KIND);
        for (labels, cell) in series.iter() {
            cell.render(self.name, labels, page);
        }
    }
}

/// A label value with what the format wants escaped.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.0.contains(['"', '\\', '\n']) {
            return f.write_str(self.0);
        }
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

impl Cell for Counter {
    const KIND: &'static str = "counter";

    fn render(&self, name: &str, labels: &str, page: &mut String) {
        let _ = writeln!(page, "{name}{{{labels}}} {}", self.0.load(Ordering::Relaxed));
    }
}

#[derive(Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Counts one for as long as the guard lives.
    pub fn hold(self: Arc<Self>) -> Held {
        self.add(1);
        Held(self)
    }
}

/// One of what a gauge counts.
pub struct Held(Arc<Gauge>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Cell for Gauge {
    const KIND: &'static str = "gauge";

    fn render(&self, name: &str, labels: &str, page: &mut String) {
        let _ = writeln!(page, "{name}{{{labels}}} {}", self.0.load(Ordering::Relaxed));
    }
}

#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; LATENCY_SECONDS.len()],
    count: AtomicU64,
    sum_micros: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let secs = took.as_secs_f64();
        if let Some(at) = LATENCY_SECONDS.iter().position(|bound| secs <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }
}

impl Cell for Histogram {
    const KIND: &'static str = "histogram";

    fn render(&self, name: &str, labels: &str, page: &mut String) {
        let mut below = 0;
        for (bound, bucket) in LATENCY_SECONDS.iter().zip(&self.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let _ = writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let sum = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(page, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(page, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_what_was_counted() {
        let metrics = Metrics::new(7);
        metrics.terminations.with(&["4\"2"]).add(3);
        let held = metrics.inflight.with(&["readOnly"]).hold();
        let page = metrics.render();
        assert!(page.contains("apiserver_request_terminations_total{code=\"4\\\"2\"} 3\n"), "{page}");
        assert!(page.contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n"), "{page}");
        drop(held);
        assert!(metrics.render().contains("request_kind=\"readOnly\"} 0\n"));
    }
}
