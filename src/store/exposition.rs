//! The store's numbers as a page for Prometheus.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::metrics::{Doubling, Metrics};
use super::{Health, Members, Role};

type Get = fn(&Metrics) -> f64;

/// Name, kind, what it tells, and where it comes from.
const ROWS: &[(&str, &str, &str, Get)] = &[
    ("proposals_total", "counter", "Commands put into the log.", |it| it.proposals.get() as f64),
    ("volatile_writes_total", "counter", "Renewals applied in memory only.", |it| it.volatile.get() as f64),
    ("log_writes_total", "counter", "Writes of the log, each with one fsync.", |it| it.log_writes.get() as f64),
    ("log_entry_bytes_total", "counter", "Bytes of the entries written.", |it| it.log_bytes.get() as f64),
    ("slow_log_writes_total", "counter", "Writes of the log that took too long.", |it| it.slow_log_writes.get() as f64),
    ("log_write_seconds_max", "gauge", "The longest write of the log.", |it| seconds(it.log_write_nanos_max.get())),
    ("last_index", "gauge", "The last entry of the log.", |it| it.last_index.get() as f64),
    ("applied_index", "gauge", "The last entry in the state.", |it| it.applied_index.get() as f64),
    ("apply_lag_entries", "gauge", "Entries in the log that are not in the state yet.", |it| {
        it.last_index.get().saturating_sub(it.applied_index.get()) as f64
    }),
    ("revision", "gauge", "The newest revision.", |it| it.revision.get() as f64),
    ("objects", "gauge", "Objects stored.", |it| it.objects.get() as f64),
    ("object_bytes", "gauge", "Bytes of all objects.", |it| it.object_bytes.get() as f64),
    ("history_events", "gauge", "Events kept for watches.", |it| it.history_events.get() as f64),
    ("history_bytes", "gauge", "Bytes that only history keeps.", |it| it.history_bytes.get() as f64),
    ("history_span_seconds", "gauge", "From the oldest kept event to the newest.", |it| {
        it.history_millis.get() as f64 / 1e3
    }),
    ("history_oldest_revision", "gauge", "The oldest revision that can be watched from.", |it| {
        it.history_oldest.get() as f64
    }),
    ("snapshots_total", "counter", "Snapshots and checkpoints written, after which the log is cut.", |it| {
        it.checkpoints.get() as f64
    }),
    ("snapshot_seconds_total", "counter", "Time in them.", |it| seconds(it.checkpoint_nanos.get())),
    ("snapshot_failures_total", "counter", "Snapshots that could not be written.", |it| {
        it.checkpoint_failures.get() as f64
    }),
    ("leader_changes_total", "counter", "How often another server led, or none.", |it| it.leader_changes.get() as f64),
];

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// What the page tells besides the counts.
pub(super) struct Shown<'a> {
    pub metrics: &'a Metrics,
    pub dir: &'a Path,
    pub health: Health,
    pub role: Role,
    pub members: Members,
}

impl Shown<'_> {
    pub fn page(&self) -> String {
        let mut page = String::with_capacity(8 << 10);
        for (name, kind, help, get) in ROWS {
            head(&mut page, name, kind, help);
            sample(&mut page, name, "", get(self.metrics));
        }
        histogram(
            &mut page,
            "log_write_duration_seconds",
            "Writes of the log with their fsync.",
            1e-3,
            &self.metrics.log_write_millis,
            // Most are shorter than the first bound.
            seconds(self.metrics.log_write_nanos.get()),
        );
        let batches = &self.metrics.batches;
        let commands = batches.sum.get() as f64;
        histogram(&mut page, "batch_commands", "Commands in an entry of the log.", 1.0, batches, commands);
        self.disk(&mut page);
        self.state(&mut page);
        page
    }

    fn disk(&self, page: &mut String) {
        head(page, "disk_bytes", "gauge", "Space taken on the disk.");
        for part in ["log", "snapshots", "checkpoint"] {
            sample(page, "disk_bytes", &format!("{{part=\"{part}\"}}"), space(&self.dir.join(part)) as f64);
        }
        head(page, "damages_total", "counter", "What was found not to be as it was written.");
        let damages = [
            ("log", &self.metrics.damaged_logs),
            ("checkpoint", &self.metrics.damaged_checkpoints),
            ("snapshot", &self.metrics.damaged_snapshots),
        ];
        for (part, count) in damages {
            sample(page, "damages_total", &format!("{{part=\"{part}\"}}"), count.get() as f64);
        }
    }

    fn state(&self, page: &mut String) {
        let leads = matches!(self.role, Role::Leader { .. });
        let has_leader = leads || matches!(self.role, Role::Follower { leader: Some(_), .. });
        let flag = |is: bool| if is { 1.0 } else { 0.0 };
        let rows = [
            ("term", "The term of the present leader.", self.role.term() as f64),
            ("is_leader", "Whether this server leads.", flag(leads)),
            ("has_leader", "Whether any server leads, as far as this one knows.", flag(has_leader)),
        ];
        for (name, help, value) in rows {
            head(page, name, "gauge", help);
            sample(page, name, "", value);
        }
        head(page, "members", "gauge", "Servers of the cluster.");
        for (role, ids) in [("voter", &self.members.voters), ("learner", &self.members.learners)] {
            sample(page, "members", &format!("{{role=\"{role}\"}}"), ids.len() as f64);
        }
        head(page, "health", "gauge", "1 for what the store is: good, disk-full or log-failed.");
        let states = [
            ("good", self.health == Health::Good),
            ("disk-full", self.health == Health::DiskFull),
            ("log-failed", matches!(self.health, Health::LogFailed { .. })),
            ("unreachable", matches!(self.health, Health::Unreachable { .. })),
        ];
        states.into_iter().for_each(|(state, is)| sample(page, "health", &format!("{{state=\"{state}\"}}"), flag(is)));
    }
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(page, "# HELP skiff_store_{name} {help}\n# TYPE skiff_store_{name} {kind}\n");
}

fn sample(page: &mut String, name: &str, labels: &str, value: f64) {
    let _ = writeln!(page, "skiff_store_{name}{labels} {value}");
}

fn histogram(page: &mut String, name: &str, help: &str, unit: f64, of: &Doubling, sum: f64) {
    head(page, name, "histogram", help);
    let mut count = 0;
    for (bound, seen) in of.cumulative() {
        let bound = bound.map_or("+Inf".to_owned(), |bound| (bound as f64 * unit).to_string());
        sample(page, &format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), seen as f64);
        count = seen;
    }
    sample(page, &format!("{name}_sum"), "", sum);
    sample(page, &format!("{name}_count"), "", count as f64);
}

/// What the files below `folder` take on the disk.
fn space(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => space(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}
