//! What goes on in the levels, for metrics and for people: upstream's names, and its pages under
//! `/debug/api_priority_and_fairness/`.

use std::fmt::Write as _;
use std::sync::Arc;

use super::level::{Inner, Level};
use super::queues::Policy;
use super::tally::Tally;
use super::{Class, Flow};

const PREFIX: &str = "apiserver_flowcontrol_";

/// Name, help, and a number of a level.
type LevelGauge = (&'static str, &'static str, fn(&Inner) -> f64);
/// Name, kind, help, and a number of a schema at a level.
type TallyNumber = (&'static str, &'static str, &'static str, fn(&Tally) -> f64);

const LEVEL_GAUGES: &[LevelGauge] = &[
    ("nominal_limit_seats", "Seats of a level by its share.", |level| f64::from(level.bounds.nominal)),
    ("lower_limit_seats", "Seats that a level does not lend.", |level| f64::from(level.bounds.min)),
    ("upper_limit_seats", "Seats that a level has at most, with borrowed ones.", |level| f64::from(level.bounds.max)),
    ("current_limit_seats", "Seats that a level has at the moment.", |level| f64::from(level.queues.limit())),
    ("demand_seats_high_watermark", "Most seats wanted at once in the last period.", |level| {
        f64::from(level.demand.high)
    }),
    ("demand_seats_average", "Seats wanted on average in the last period.", |level| level.demand.seen.average),
    ("demand_seats_stdev", "Deviation of the seats wanted in the last period.", |level| level.demand.seen.deviation),
    ("demand_seats_smoothed", "Seats wanted as a rule.", |level| level.demand.smoothed),
    ("current_r", "Virtual time of a level's queues, in seconds.", |level| level.queues.virtual_secs()),
];

const TALLIES: &[TallyNumber] = &[
    ("dispatched_requests_total", "counter", "Requests that got seats.", |tally| tally.dispatched as f64),
    ("current_inqueue_requests", "gauge", "Requests that wait.", |tally| tally.waiting as f64),
    ("current_inqueue_seats", "gauge", "Seats that are waited for.", |tally| tally.waiting_seats as f64),
    ("current_executing_requests", "gauge", "Requests being worked on.", |tally| tally.running as f64),
    ("current_executing_seats", "gauge", "Seats of requests being worked on.", |tally| tally.running_seats as f64),
];

impl Flow {
    /// The metrics page's part about priority and fairness.
    pub fn render(&self, page: &mut String) {
        let levels = self.active.load().levels.clone();
        let header = |page: &mut String, name: &str, kind: &str, help: &str| {
            let _ = write!(page, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n");
        };
        for (name, help, number) in LEVEL_GAUGES {
            header(page, name, "gauge", help);
            for level in &levels {
                let value = level.look(|inner| number(inner));
                let _ = writeln!(page, "{PREFIX}{name}{{priority_level=\"{}\"}} {value}", level.name);
            }
        }
        header(page, "seat_fair_frac", "gauge", "Part of the seats they want that all levels have.");
        let fair = f64::from_bits(self.fair.load(std::sync::atomic::Ordering::Relaxed));
        let _ = writeln!(page, "{PREFIX}seat_fair_frac {fair}");
        for (name, kind, help, number) in TALLIES {
            header(page, name, kind, help);
            each_tally(&levels, |labels, tally| {
                let _ = writeln!(page, "{PREFIX}{name}{{{labels}}} {}", number(tally));
            });
        }
        header(page, "rejected_requests_total", "counter", "Requests turned away.");
        each_tally(&levels, |labels, tally| {
            let reasons =
                [("queue-full", tally.queue_full), ("concurrency-limit", tally.no_seat), ("time-out", tally.timed_out)];
            for (reason, count) in reasons.into_iter().filter(|(_, count)| *count > 0) {
                let _ = writeln!(page, "{PREFIX}rejected_requests_total{{{labels},reason=\"{reason}\"}} {count}");
            }
        });
        header(page, "request_wait_duration_seconds", "histogram", "How long requests waited for seats.");
        each_tally(&levels, |labels, tally| {
            for (execute, waits) in [("true", &tally.waits), ("false", &tally.waits_in_vain)] {
                let name = format!("{PREFIX}request_wait_duration_seconds");
                waits.render(&name, &format!("{labels},execute=\"{execute}\""), page);
            }
        });
        header(page, "request_execution_seconds", "histogram", "How long requests had their seats.");
        each_tally(&levels, |labels, tally| {
            tally.takes.render(&format!("{PREFIX}request_execution_seconds"), labels, page);
        });
        header(page, "work_estimated_seats", "histogram", "How many seats requests asked for.");
        each_tally(&levels, |labels, tally| {
            tally.widths.render(&format!("{PREFIX}work_estimated_seats"), labels, page);
        });
        header(page, "request_dispatch_no_accommodation_total", "counter", "Times the next request was too wide.");
        for level in &levels {
            let count = level.look(|inner| inner.queues.totals().too_wide);
            let _ = writeln!(
                page,
                "{PREFIX}request_dispatch_no_accommodation_total{{priority_level=\"{}\"}} {count}",
                level.name
            );
        }
    }

    /// One of the pages for people; none of that name.
    pub fn dump(&self, name: &str) -> Option<String> {
        let active = self.active.load();
        let mut page = match name {
            "dump_priority_levels" => head(&[
                "PriorityLevelName",
                "ActiveQueues",
                "IsIdle",
                "IsQuiescing",
                "WaitingRequests",
                "ExecutingRequests",
                "DispatchedRequests",
                "RejectedRequests",
                "TimedoutRequests",
                "CancelledRequests",
            ]),
            "dump_queues" => head(&[
                "PriorityLevelName",
                "Index",
                "PendingRequests",
                "ExecutingRequests",
                "SeatsInUse",
                "NextDispatchR",
                "InitialSeatsSum",
                "MaxSeatsSum",
                "TotalWorkSum",
            ]),
            "dump_requests" => head(&[
                "PriorityLevelName",
                "FlowSchemaName",
                "QueueIndex",
                "RequestIndexInQueue",
                "FlowDistingsher",
                "WaitedFor",
                "InitialSeats",
                "FinalSeats",
                "AdditionalLatency",
            ]),
            _ => return None,
        };
        let now = self.clock.elapsed();
        for level in &active.levels {
            level.look(|inner| match name {
                "dump_priority_levels" => dump_level(&level.name, inner, &mut page),
                "dump_queues" => dump_queues(&level.name, inner, &mut page),
                _ => {
                    for (queue, place, width, waiter) in inner.queues.waiting() {
                        let waited = now.saturating_sub(waiter.since);
                        let (level, schema) = (&level.name, &inner.tallies[waiter.tally].0);
                        let _ = writeln!(
                            page,
                            "{level},\t{schema},\t{queue},\t{place},\t{},\t{waited:?},\t{},\t{},\t{:?}",
                            waiter.flow, width.initial, width.last, width.lasting
                        );
                    }
                }
            });
        }
        Some(page)
    }

    /// Until when seats that come free by time alone are waited for.
    pub fn next_tick(&self) -> Option<std::time::Duration> {
        self.active.load().levels.iter().filter_map(|level| level.next_tick()).min()
    }

    /// Lets time pass in all levels.
    pub fn tick(&self) {
        self.active.load().levels.iter().for_each(Level::tick);
        self.adjust_if_due(self.clock.elapsed());
    }

    /// Where a class's requests go, for logs and tests.
    pub fn names(class: &Class) -> (&str, &str) {
        (&class.schema, &class.level.name)
    }
}

fn each_tally(levels: &[Arc<Level>], mut each: impl FnMut(&str, &Tally)) {
    for level in levels {
        let tallies = level.look(|inner| inner.tallies.clone());
        for (schema, tally) in &tallies {
            each(&format!("flow_schema=\"{schema}\",priority_level=\"{}\"", level.name), tally);
        }
    }
}

fn head(columns: &[&str]) -> String {
    columns.join(",\t") + "\n"
}

fn dump_level(name: &str, inner: &Inner, page: &mut String) {
    let totals = inner.queues.totals();
    let active = inner.queues.shown().filter(|queue| queue.waiting > 0).count();
    let idle = totals.waiting == 0 && totals.running == 0;
    let _ = writeln!(
        page,
        "{name},\t{active},\t{idle},\tfalse,\t{},\t{},\t{},\t{},\t{},\t{}",
        totals.waiting, totals.running, totals.dispatched, totals.refused, totals.timed_out, totals.cancelled
    );
}

fn dump_queues(name: &str, inner: &Inner, page: &mut String) {
    if !matches!(inner.queues.policy(), Policy::Queue { .. }) {
        return;
    }
    for (at, queue) in inner.queues.shown().enumerate() {
        let _ = writeln!(
            page,
            "{name},\t{at},\t{},\t{},\t{},\t{:.8}ss,\t{},\t{},\t{:.8}ss",
            queue.waiting,
            queue.running,
            queue.seats,
            queue.next_secs,
            queue.initial_sum,
            queue.seats_sum,
            queue.work_secs
        );
    }
}
