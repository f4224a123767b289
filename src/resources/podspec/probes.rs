//! Probes, lifecycle hooks, and the handlers of both.

use crate::object::field::FieldErrors;
use crate::resources::check::At;
use crate::resources::names;

/// What handlers may depend on.
#[derive(Clone, Copy)]
pub struct Pod<'p> {
    pub grace_period: Option<i64>,
    /// `spec.os.name`, if it says one.
    pub os: Option<&'p str>,
}

const PROBE_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const HOOK_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];

pub fn check_probes(container: &At, pod: Pod, errors: &mut FieldErrors) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.child(name);
        if !probe.exists() {
            continue;
        }
        check_probe(&probe, pod, errors);
        let grace = probe.child("terminationGracePeriodSeconds");
        if name == "readinessProbe" {
            if grace.exists() {
                grace.invalid(errors, "must not be set for readinessProbes");
            }
        } else if probe.child("successThreshold").int().unwrap_or(0) != 1 {
            let threshold = probe.child("successThreshold");
            errors.invalid(&*threshold.path, threshold.int().unwrap_or(0), "must be 1");
        }
    }
}

fn check_probe(probe: &At, pod: Pod, errors: &mut FieldErrors) {
    check_handler(probe, PROBE_HANDLERS, pod, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        probe.child(field).nonnegative(errors);
    }
    probe.child("terminationGracePeriodSeconds").positive(errors);
}

pub fn check_lifecycle(lifecycle: &At, pod: Pod, errors: &mut FieldErrors) {
    for name in ["postStart", "preStop"] {
        let hook = lifecycle.child(name);
        if hook.exists() {
            check_handler(&hook, HOOK_HANDLERS, pod, errors);
        }
    }
    let signal = lifecycle.child("stopSignal");
    if signal.exists() {
        check_stop_signal(&signal, pod.os, errors);
    }
}

/// Exactly one handler, of these kinds.
fn check_handler(place: &At, kinds: &[&str], pod: Pod, errors: &mut FieldErrors) {
    let mut found = false;
    for kind in kinds {
        let handler = place.child(kind);
        if !handler.exists() {
            continue;
        }
        if std::mem::replace(&mut found, true) {
            handler.forbidden(errors, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if handler.child("command").is_empty() => handler.child("command").required(errors, ""),
            "httpGet" => check_http_get(&handler, errors),
            "tcpSocket" | "grpc" => check_port(&handler.child("port"), errors),
            "sleep" => check_sleep(&handler, pod.grace_period, errors),
            _ => (),
        }
    }
    if !found {
        place.required(errors, "must specify a handler type");
    }
}

fn check_http_get(http: &At, errors: &mut FieldErrors) {
    if http.text("path").is_empty() {
        http.child("path").required(errors, "");
    }
    check_port(&http.child("port"), errors);
    if !matches!(http.text("scheme"), "HTTP" | "HTTPS") {
        http.child("scheme").not_supported(errors, &["HTTP", "HTTPS"]);
    }
    let headers = http.child("httpHeaders");
    for header in headers.items() {
        for complaint in names::is_http_header_name(header.text("name")) {
            errors.invalid(&*headers.path, header.text("name"), complaint);
        }
    }
}

/// A port by number or name.
pub fn check_port(port: &At, errors: &mut FieldErrors) {
    if port.value.is_string() {
        port.format(errors, names::is_port_name(port.str()));
    } else {
        port.number_format(errors, names::is_port_number(port.int().unwrap_or(0)));
    }
}

fn check_sleep(sleep: &At, grace_period: Option<i64>, errors: &mut FieldErrors) {
    let seconds = sleep.child("seconds").int().unwrap_or(0);
    if let Some(grace) = grace_period.filter(|grace| !(0..=*grace).contains(&seconds)) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid(&*sleep.path, seconds, detail);
    }
}

fn check_stop_signal(signal: &At, os: Option<&str>, errors: &mut FieldErrors) {
    match os {
        None => signal.forbidden(errors, "may not be set for containers with empty `spec.os.name`"),
        Some("windows") if !matches!(signal.str(), "SIGKILL" | "SIGTERM") => {
            signal.not_supported(errors, &["SIGKILL", "SIGTERM"]);
        }
        Some("linux") if !LINUX_SIGNALS.contains(&signal.str()) => signal.not_supported(errors, LINUX_SIGNALS),
        Some(_) => (),
    }
}

/// Sorted, as they are listed in complaints.
const LINUX_SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];
