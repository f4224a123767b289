//! Numbers that are only worked out when somebody asks: what is stored, what the store did, what the
//! process takes.

use std::fmt::Write as _;

use super::metrics::gauges;
use super::pipeline::Api;
use crate::store::State;

/// Clock ticks of `/proc`, which Linux has at 100 a second everywhere.
const TICKS_PER_SEC: f64 = 100.0;
const PAGE_BYTES: f64 = 4_096.0;

pub fn render(api: &Api, page: &mut String) {
    let counts = count(&api.state());
    let labelled = |label: fn(&str) -> String| {
        let counts = &counts;
        counts.iter().map(move |(resource, objects, bytes)| (label(resource), *objects as f64, *bytes as f64))
    };
    gauges(
        page,
        "apiserver_storage_objects",
        "Stored objects, by resource.",
        labelled(|resource| format!("resource=\"{resource}\"")).map(|(labels, objects, _)| (labels, objects)),
    );
    gauges(
        page,
        "apiserver_resource_objects",
        "Stored objects, by group and resource.",
        labelled(group_and_resource).map(|(labels, objects, _)| (labels, objects)),
    );
    gauges(
        page,
        "apiserver_resource_size_estimate_bytes",
        "Size of stored objects, by group and resource.",
        labelled(group_and_resource).map(|(labels, _, bytes)| (labels, bytes)),
    );
    let store = api.store.metrics();
    let id = format!("storage_cluster_id=\"{:016x}\"", api.store.id());
    let stored = [(id, store.object_bytes.get() as f64)];
    gauges(page, "apiserver_storage_size_bytes", "Size of all that is stored.", stored);
    let _ = write!(
        page,
        "# HELP kubernetes_build_info What runs here.\n# TYPE kubernetes_build_info gauge\n\
         kubernetes_build_info{{git_version=\"{}\",major=\"1\",minor=\"36\",platform=\"linux/{}\"}} 1\n",
        crate::VERSION,
        std::env::consts::ARCH,
    );
    process(page);
}

/// Resource, number and bytes of its objects. Keys are sorted by resource, so each is met once.
fn count(state: &State) -> Vec<(String, u64, u64)> {
    let mut counts: Vec<(String, u64, u64)> = Vec::new();
    let all = crate::store::KeyRange::all();
    for object in state.range(&all) {
        let key = object.key().as_str();
        let resource = key.split('/').next().unwrap_or_default();
        match counts.last_mut().filter(|(last, ..)| last == resource) {
            Some((_, objects, bytes)) => {
                *objects += 1;
                *bytes += object.bytes().len() as u64;
            }
            None => counts.push((resource.to_owned(), 1, object.bytes().len() as u64)),
        }
    }
    counts
}

fn group_and_resource(resource: &str) -> String {
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    format!("group=\"{group}\",resource=\"{resource}\"")
}

/// What the kernel says of this process.
fn process(page: &mut String) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    // Behind the name in parentheses, which may hold anything; the state is the first field.
    let stat = read("stat");
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
        .unwrap_or_default();
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let limits = read("limits");
    let limit =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    let numbers: [(&str, &str, &str, f64); 6] = [
        ("process_cpu_seconds_total", "counter", "CPU time, in seconds.", (field(11) + field(12)) / TICKS_PER_SEC),
        ("process_resident_memory_bytes", "gauge", "Memory in use.", field(21) * PAGE_BYTES),
        ("process_virtual_memory_bytes", "gauge", "Address space in use.", field(20)),
        ("process_open_fds", "gauge", "Open file descriptors.", files as f64),
        ("process_max_fds", "gauge", "How many there may be.", limit.unwrap_or_default()),
        ("process_threads", "gauge", "Threads.", field(17)),
    ];
    for (name, kind, help, value) in numbers {
        let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
}

#[cfg(test)]
mod tests {
    use crate::api::tests::world;
    use crate::object::Tree;

    #[tokio::test]
    async fn the_page_counts_what_was_asked_and_what_is_stored() {
        let world = world().await;
        world.send("GET /api/v1/namespaces/default", Tree::Null).await;
        let (_, page) = world.send("GET /metrics", Tree::Null).await;
        let page = page.as_str().unwrap_or_default();
        let has = |line: &str| assert!(page.lines().any(|found| found.starts_with(line)), "{line}\n{page}");
        has(
            r#"apiserver_request_total{verb="GET",dry_run="",group="",version="v1",resource="namespaces",subresource="",scope="resource",component="apiserver",code="200"} 1"#,
        );
        has(r#"apiserver_request_sli_duration_seconds_count{verb="GET",group="",version="v1",resource="namespaces""#);
        has(r#"apiserver_response_sizes_count{verb="GET""#);
        has(r#"apiserver_storage_objects{resource="namespaces"} 1"#);
        has(r#"apiserver_resource_objects{group="",resource="namespaces"} 1"#);
        has(r#"apiserver_current_inflight_requests{request_kind="readOnly"} 1"#);
        has(r#"apiserver_flowcontrol_dispatched_requests_total{flow_schema="exempt",priority_level="exempt"}"#);
        has(r#"apiserver_flowcontrol_nominal_limit_seats{priority_level="catch-all"} 600"#);
        has(
            r#"apiserver_admission_step_admission_duration_seconds_count{type="admit",operation="CREATE",rejected="false"} 1"#,
        );
        has(r#"authentication_attempts{result="success"}"#);
        has("process_resident_memory_bytes ");
    }
}
