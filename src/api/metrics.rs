//! Numbers about requests, in the Prometheus text format and under upstream's names.
//!
//! Counting happens on every request, so a series is found by a hash of its labels and changed with
//! atomics; labels become text once. Those of a family are fixed when it is made.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
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
const SLI_SECONDS: &[f64] =
    &[0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];
const ANSWER_BYTES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
const EVENT_BYTES: &[f64] = &[1_024.0, 2_048.0, 4_096.0, 8_192.0, 16_384.0, 32_768.0, 65_536.0, 131_072.0];
const AUTH_SECONDS: &[f64] =
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];
const DEFAULT_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const MATCH_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];
const STEP_SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const HOOK_SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];

/// Everything the API server counts.
pub struct Metrics {
    pub requests: Family<Counter>,
    pub durations: Family<Histogram>,
    pub sli: Family<Histogram>,
    pub sizes: Family<Histogram>,
    pub inflight: Family<Gauge>,
    pub inqueue: Family<Gauge>,
    pub long_running: Family<Gauge>,
    pub watch_events: Family<Counter>,
    pub watch_sizes: Family<Histogram>,
    pub terminations: Family<Counter>,
    pub rejected: Family<Counter>,
    pub handshake_errors: Family<Counter>,
    pub authenticated: Family<Counter>,
    pub authentications: Family<Counter>,
    pub authentication_seconds: Family<Histogram>,
    pub authorizations: Family<Counter>,
    pub authorization_seconds: Family<Histogram>,
    pub authorization_decisions: Family<Counter>,
    pub access_hook_requests: Family<Counter>,
    pub access_hook_seconds: Family<Histogram>,
    pub access_hook_fail_open: Family<Counter>,
    pub match_errors: Family<Counter>,
    pub match_exclusions: Family<Counter>,
    pub match_seconds: Family<Histogram>,
    pub token_cache_requests: Family<Counter>,
    pub token_cache_seconds: Family<Histogram>,
    pub token_fetches: Family<Gauge>,
    pub token_fetch_results: Family<Counter>,
    pub authorization_reloads: Family<Counter>,
    pub authorization_reloaded: Family<Gauge>,
    pub authorization_config: Family<Gauge>,
    pub admission_steps: Family<Histogram>,
    pub admission_plugins: Family<Histogram>,
    pub hook_seconds: Family<Histogram>,
    pub hook_requests: Family<Counter>,
    pub hook_rejections: Family<Counter>,
    pub hook_fail_open: Family<Counter>,
    pub hook_match_errors: Family<Counter>,
    pub hook_match_exclusions: Family<Counter>,
    pub hook_match_seconds: Family<Histogram>,
    pub audit_events: Family<Counter>,
    pub audit_errors: Family<Counter>,
    pub audit_levels: Family<Counter>,
    start_secs: i64,
}

const REQUEST_LABELS: &[&str] =
    &["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"];
const DURATION_LABELS: &[&str] =
    &["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"];
const PLACE_LABELS: &[&str] = &["verb", "group", "version", "resource", "subresource", "scope", "component"];
const TERMINATION_LABELS: &[&str] =
    &["verb", "group", "version", "resource", "subresource", "scope", "component", "code"];
const OF_KIND: &[&str] = &["request_kind"];
const OF_RESOURCE: &[&str] = &["group", "version", "resource"];
const OF_AUTHORIZER: &[&str] = &["type", "name"];
const OF_STATUS: &[&str] = &["status"];
const OF_RELOAD: &[&str] = &["status", "apiserver_id_hash"];
const OF_HOOK: &[&str] = &["name", "type", "operation", "rejected"];
const OF_MATCH: &[&str] = &["name", "kind", "type", "operation"];

impl Metrics {
    pub fn new(start_secs: i64) -> Self {
        let counter = Family::<Counter>::new;
        let gauge = Family::<Gauge>::new;
        let seconds = Family::<Histogram>::with_bounds;
        Self {
            requests: counter(
                "apiserver_request_total",
                "Requests, by verb, resource and HTTP response code.",
                REQUEST_LABELS,
            ),
            durations: seconds(
                "apiserver_request_duration_seconds",
                "How long requests took, in seconds.",
                DURATION_LABELS,
                LATENCY_SECONDS,
            ),
            sli: seconds(
                "apiserver_request_sli_duration_seconds",
                "How long requests took without what others took, in seconds.",
                PLACE_LABELS,
                SLI_SECONDS,
            ),
            sizes: seconds("apiserver_response_sizes", "How long answers were, in bytes.", PLACE_LABELS, ANSWER_BYTES),
            inflight: gauge("apiserver_current_inflight_requests", "Requests being worked on.", OF_KIND),
            inqueue: gauge("apiserver_current_inqueue_requests", "Requests that wait for their turn.", OF_KIND),
            long_running: gauge(
                "apiserver_longrunning_requests",
                "Watches, logs, execs and the like that are open.",
                PLACE_LABELS,
            ),
            watch_events: counter("apiserver_watch_events_total", "Events sent to watchers.", OF_RESOURCE),
            watch_sizes: seconds(
                "apiserver_watch_events_sizes",
                "How long events sent to watchers were, in bytes.",
                OF_RESOURCE,
                EVENT_BYTES,
            ),
            terminations: counter(
                "apiserver_request_terminations_total",
                "Requests that the server ended to protect itself.",
                TERMINATION_LABELS,
            ),
            rejected: counter(
                "apiserver_dropped_requests_total",
                "Requests turned away with Try again later.",
                OF_KIND,
            ),
            handshake_errors: counter("apiserver_tls_handshake_errors_total", "Connections without agreement.", &[]),
            authenticated: counter("authenticated_user_requests", "Requests by users that are known.", &["username"]),
            authentications: counter("authentication_attempts", "Requests whose sender was looked for.", &["result"]),
            authentication_seconds: seconds(
                "authentication_duration_seconds",
                "How long finding the sender took, in seconds.",
                &["result"],
                AUTH_SECONDS,
            ),
            authorizations: counter("authorization_attempts_total", "Requests that were judged.", &["result"]),
            authorization_seconds: seconds(
                "authorization_duration_seconds",
                "How long judging took, in seconds.",
                &["result"],
                AUTH_SECONDS,
            ),
            authorization_decisions: counter(
                "apiserver_authorization_decisions_total",
                "Decisions, by who made them.",
                &["type", "name", "decision"],
            ),
            access_hook_requests: counter(
                "apiserver_authorization_webhook_evaluations_total",
                "Questions to authorization webhooks, by how they ended.",
                &["name", "result"],
            ),
            access_hook_seconds: seconds(
                "apiserver_authorization_webhook_duration_seconds",
                "How long authorization webhooks took, in seconds.",
                &["name", "result"],
                DEFAULT_SECONDS,
            ),
            access_hook_fail_open: counter(
                "apiserver_authorization_webhook_evaluations_fail_open_total",
                "Requests left to others because an authorization webhook failed.",
                &["name", "result"],
            ),
            match_errors: counter(
                "apiserver_authorization_match_condition_evaluation_errors_total",
                "Requests whose match conditions could not be worked out.",
                OF_AUTHORIZER,
            ),
            match_exclusions: counter(
                "apiserver_authorization_match_condition_exclusions_total",
                "Requests that match conditions kept from a webhook.",
                OF_AUTHORIZER,
            ),
            match_seconds: seconds(
                "apiserver_authorization_match_condition_evaluation_seconds",
                "How long match conditions took, in seconds.",
                OF_AUTHORIZER,
                MATCH_SECONDS,
            ),
            token_cache_requests: counter(
                "authentication_token_cache_request_total",
                "Tokens that a webhook knows or was asked about.",
                OF_STATUS,
            ),
            token_cache_seconds: seconds(
                "authentication_token_cache_request_duration_seconds",
                "How long finding out about a webhook's token took, in seconds.",
                OF_STATUS,
                DEFAULT_SECONDS,
            ),
            token_fetches: gauge(
                "authentication_token_cache_active_fetch_count",
                "Tokens that a webhook is being asked about.",
                OF_STATUS,
            ),
            token_fetch_results: counter(
                "authentication_token_cache_fetch_total",
                "Tokens that a webhook was asked about.",
                OF_STATUS,
            ),
            authorization_reloads: counter(
                "apiserver_authorization_config_controller_automatic_reloads_total",
                "Changes of the authorization configuration, by how they ended.",
                OF_RELOAD,
            ),
            authorization_reloaded: gauge(
                "apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds",
                "When the authorization configuration last changed, in seconds since 1970.",
                OF_RELOAD,
            ),
            authorization_config: gauge(
                "apiserver_authorization_config_controller_last_config_info",
                "The authorization configuration that is used.",
                &["apiserver_id_hash", "hash"],
            ),
            admission_steps: seconds(
                "apiserver_admission_step_admission_duration_seconds",
                "How long a step of admission took, in seconds.",
                &["type", "operation", "rejected"],
                STEP_SECONDS,
            ),
            admission_plugins: seconds(
                "apiserver_admission_controller_admission_duration_seconds",
                "How long a plugin of admission took, in seconds.",
                OF_HOOK,
                STEP_SECONDS,
            ),
            hook_seconds: seconds(
                "apiserver_admission_webhook_admission_duration_seconds",
                "How long a webhook took, in seconds.",
                OF_HOOK,
                HOOK_SECONDS,
            ),
            hook_requests: counter(
                "apiserver_admission_webhook_request_total",
                "Requests sent to webhooks.",
                &["name", "type", "operation", "code", "rejected"],
            ),
            hook_rejections: counter(
                "apiserver_admission_webhook_rejection_count",
                "Requests refused by webhooks, or because they failed.",
                &["name", "type", "operation", "error_type", "rejection_code"],
            ),
            hook_match_errors: counter(
                "apiserver_admission_match_condition_evaluation_errors_total",
                "Match conditions that could not be worked out.",
                OF_MATCH,
            ),
            hook_match_exclusions: counter(
                "apiserver_admission_match_condition_exclusions_total",
                "Requests that match conditions kept from a webhook or policy.",
                OF_MATCH,
            ),
            hook_match_seconds: seconds(
                "apiserver_admission_match_condition_evaluation_seconds",
                "How long match conditions took, in seconds.",
                OF_MATCH,
                MATCH_SECONDS,
            ),
            hook_fail_open: counter(
                "apiserver_admission_webhook_fail_open_count",
                "Requests that went on although a webhook failed.",
                &["name", "type"],
            ),
            audit_events: counter("apiserver_audit_event_total", "Audit events made.", &[]),
            audit_errors: counter(
                "apiserver_audit_error_total",
                "Audit events that were lost, by what lost them.",
                &["plugin"],
            ),
            audit_levels: counter(
                "apiserver_audit_level_total",
                "Requests, by how much of them is audited.",
                &["level"],
            ),
            start_secs,
        }
    }

    /// What was counted, as a page.
    pub fn render(&self) -> String {
        let mut page = String::with_capacity(64 * 1024);
        let counters = [
            &self.requests,
            &self.watch_events,
            &self.terminations,
            &self.rejected,
            &self.handshake_errors,
            &self.authenticated,
            &self.authentications,
            &self.authorizations,
            &self.authorization_decisions,
            &self.access_hook_requests,
            &self.access_hook_fail_open,
            &self.match_errors,
            &self.match_exclusions,
            &self.token_cache_requests,
            &self.token_fetch_results,
            &self.authorization_reloads,
            &self.hook_requests,
            &self.hook_rejections,
            &self.hook_fail_open,
            &self.hook_match_errors,
            &self.hook_match_exclusions,
            &self.audit_events,
            &self.audit_errors,
            &self.audit_levels,
        ];
        counters.iter().for_each(|family| family.render(&mut page));
        let gauges = [
            &self.inflight,
            &self.inqueue,
            &self.long_running,
            &self.token_fetches,
            &self.authorization_reloaded,
            &self.authorization_config,
        ];
        gauges.iter().for_each(|family| family.render(&mut page));
        let histograms = [
            &self.durations,
            &self.sli,
            &self.sizes,
            &self.watch_sizes,
            &self.authentication_seconds,
            &self.authorization_seconds,
            &self.access_hook_seconds,
            &self.match_seconds,
            &self.token_cache_seconds,
            &self.admission_steps,
            &self.admission_plugins,
            &self.hook_seconds,
            &self.hook_match_seconds,
        ];
        histograms.iter().for_each(|family| family.render(&mut page));
        self.render_start(&mut page);
        page
    }

    pub fn render_start(&self, page: &mut String) {
        let _ = write!(
            page,
            "# HELP process_start_time_seconds Start time of the process, in seconds since 1970.\n\
             # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {}\n",
            self.start_secs
        );
    }
}

/// Writes gauges that are only known when somebody asks.
pub fn gauges<'a>(page: &mut String, name: &str, help: &str, series: impl IntoIterator<Item = (String, f64)> + 'a) {
    let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    for (labels, value) in series {
        let _ = writeln!(page, "{name}{{{labels}}} {value}");
    }
}

/// What a series holds.
pub trait Cell: Send + Sync {
    const KIND: &'static str;
    /// An empty one. `bounds` are those of a histogram's buckets.
    fn new(bounds: &'static [f64]) -> Self;
    /// Writes the sample lines of a series whose labels are already text.
    fn render(&self, name: &str, labels: &str, page: &mut String);
}

/// Series of one name, told apart by the values of its labels.
pub struct Family<C> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    hasher: RandomState,
    /// By a hash of the labels' values, with their text.
    series: RwLock<HashMap<u64, (Box<str>, Arc<C>)>>,
}

impl<C: Cell> Family<C> {
    pub fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self::with_bounds(name, help, labels, &[])
    }

    pub fn with_bounds(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Self {
        Self { name, help, labels, bounds, hasher: RandomState::new(), series: RwLock::default() }
    }

    /// The series with these label values, in the order of the family's labels.
    pub fn with(&self, values: &[&str]) -> Arc<C> {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let hash = self.hasher.hash_one(values);
        if let Some((_, cell)) = self.read().get(&hash) {
            return cell.clone();
        }
        let mut series = self.series.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if series.len() >= SERIES_MAX {
            return Arc::new(C::new(self.bounds));
        }
        let (_, cell) = series.entry(hash).or_insert_with(|| (self.key(values).into(), Arc::new(C::new(self.bounds))));
        cell.clone()
    }

    /// Forgets all series.
    pub fn clear(&self) {
        self.series.write().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<u64, (Box<str>, Arc<C>)>> {
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

    pub fn render(&self, page: &mut String) {
        let series: BTreeMap<Box<str>, Arc<C>> = self.read().values().cloned().collect();
        if series.is_empty() {
            return;
        }
        let _ = write!(page, "# HELP {0} {1}\n# TYPE {0} {2}\n", self.name, self.help, C::KIND);
        for (labels, cell) in &series {
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

    fn new(_bounds: &'static [f64]) -> Self {
        Self::default()
    }

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

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
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

    fn new(_bounds: &'static [f64]) -> Self {
        Self::default()
    }

    fn render(&self, name: &str, labels: &str, page: &mut String) {
        let _ = writeln!(page, "{name}{{{labels}}} {}", self.0.load(Ordering::Relaxed));
    }
}

pub struct Histogram {
    bounds: &'static [f64],
    buckets: Box<[AtomicU64]>,
    count: AtomicU64,
    /// In millionths.
    sum: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        self.observe_number(took.as_secs_f64());
    }

    pub fn observe_number(&self, number: f64) {
        if let Some(at) = self.bounds.iter().position(|bound| number <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add((number * 1e6) as u64, Ordering::Relaxed);
    }
}

impl Cell for Histogram {
    const KIND: &'static str = "histogram";

    fn new(bounds: &'static [f64]) -> Self {
        let buckets = bounds.iter().map(|_| AtomicU64::default()).collect();
        Self { bounds, buckets, count: AtomicU64::default(), sum: AtomicU64::default() }
    }

    fn render(&self, name: &str, labels: &str, page: &mut String) {
        let mut below = 0;
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let _ = writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1e6;
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
        metrics.rejected.with(&["4\"2"]).add(3);
        metrics.hook_seconds.with(&["h", "admit", "CREATE", "false"]).observe(Duration::from_millis(300));
        let held = metrics.inflight.with(&["readOnly"]).hold();
        let page = metrics.render();
        assert!(page.contains("apiserver_dropped_requests_total{request_kind=\"4\\\"2\"} 3\n"), "{page}");
        assert!(page.contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n"), "{page}");
        let hook = "apiserver_admission_webhook_admission_duration_seconds_bucket{name=\"h\",type=\"admit\"";
        assert!(page.contains(&format!("{hook},operation=\"CREATE\",rejected=\"false\",le=\"0.1\"}} 0\n")), "{page}");
        assert!(page.contains(&format!("{hook},operation=\"CREATE\",rejected=\"false\",le=\"0.5\"}} 1\n")), "{page}");
        drop(held);
        assert!(metrics.render().contains("request_kind=\"readOnly\"} 0\n"));
    }
}
