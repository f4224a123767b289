//! Where a request for a subresource is to go: the kubelet of a pod's node, or an address behind a
//! pod, a node or a service.

use std::fmt::Write as _;
use std::io;

use super::{BoxWire, Connect, Dialer};
use crate::api::exchange::Exchange;
use crate::api::pipeline::Api;
use crate::base::address;
use crate::object::tree::{Tree, TreePath};
use crate::object::{GroupResource, Key, ObjectRef, Reason, Status, Target};
use crate::store::KeyRange;

/// One place, and the path to ask for there.
#[derive(Debug, PartialEq, Eq)]
pub struct Location {
    /// The node whose kubelet is meant; empty for plain addresses.
    pub node: String,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub path: String,
}

impl Location {
    pub async fn dial(&self, dialer: &dyn Dialer) -> io::Result<BoxWire> {
        if self.node.is_empty() {
            dialer.address(&self.host, self.port, self.tls).await
        } else {
            dialer.kubelet(&self.node, &self.host, self.port).await
        }
    }

    pub fn authority(&self) -> String {
        address::join(&self.host, self.port)
    }
}

const KUBELET_PORT: i64 = 10_250;

/// Works out where the request goes; none when there is nothing to be got yet.
pub fn find(api: &Api, connect: Connect, exchange: &Exchange) -> Result<Option<Location>, Status> {
    let target = exchange.line.target.clone().unwrap_or_default();
    match connect {
        Connect::NodeProxy => node_proxy(api, exchange, &target).map(Some),
        Connect::PodProxy => pod_proxy(api, exchange, &target).map(Some),
        Connect::ServiceProxy => service_proxy(api, exchange, &target).map(Some),
        Connect::Log | Connect::Exec | Connect::Attach | Connect::PortForward => {
            let pod = get(api, "pods", &target.namespace, &target.name)?;
            at_kubelet(api, connect, exchange, &target, &pod.tree())
        }
    }
}

fn get(api: &Api, resource: &str, namespace: &str, name: &str) -> Result<ObjectRef, Status> {
    let found = api.state().get(&Key::of(resource, namespace, name)).cloned();
    found.ok_or_else(|| Status::not_found(&GroupResource::new("", resource), name))
}

fn at_kubelet(
    api: &Api,
    connect: Connect,
    exchange: &Exchange,
    target: &Target,
    pod: &Tree,
) -> Result<Option<Location>, Status> {
    let node = pod.text("spec.nodeName");
    let (namespace, name) = (&target.namespace, &target.name);
    let mut query = Query::default();
    let path = match connect {
        Connect::PortForward => {
            for (key, value) in exchange.line.query.iter().filter(|(key, _)| key == "ports") {
                let _ = key;
                value.split(',').for_each(|port| query.add("port", port));
            }
            format!("/portForward/{namespace}/{name}")
        }
        _ => {
            let container = container_of(pod, name, exchange.line.param("container").unwrap_or_default())?;
            match connect {
                Connect::Log => {
                    log_query(exchange, &mut query)?;
                    format!("/containerLogs/{namespace}/{name}/{container}")
                }
                _ => {
                    stream_query(exchange, connect, &mut query)?;
                    let verb = if connect == Connect::Exec { "exec" } else { "attach" };
                    format!("/{verb}/{namespace}/{name}/{container}")
                }
            }
        }
    };
    if node.is_empty() {
        return match connect {
            Connect::Log => Ok(None),
            _ => Err(Status::bad_request(format!("pod {name} does not have a host assigned"))),
        };
    }
    let (host, port) = kubelet_address(api, node)?;
    Ok(Some(Location { node: node.into(), host, port, tls: true, path: query.behind(&path) }))
}

/// The container that is meant: the one named, or the only one, or the one that is marked.
fn container_of(pod: &Tree, name: &str, asked: &str) -> Result<String, Status> {
    let names = |list: &str| -> Vec<String> {
        pod.items(list).iter().map(|container| container.text("name").to_owned()).collect()
    };
    let (regular, init) = (names("spec.containers"), names("spec.initContainers"));
    let debug = names("spec.ephemeralContainers");
    if !asked.is_empty() {
        let known = regular.iter().chain(&init).chain(&debug).any(|name| name == asked);
        return match known {
            true => Ok(asked.to_owned()),
            false => Err(Status::bad_request(format!("container {asked} is not valid for pod {name}"))),
        };
    }
    let marked = pod.at("metadata.annotations").and_then(|all| all.get("kubectl.kubernetes.io/default-container"));
    if let Some(marked) = marked.and_then(Tree::as_str).filter(|marked| regular.iter().any(|name| name == marked)) {
        return Ok(marked.to_owned());
    }
    if let [only] = regular.as_slice() {
        return Ok(only.clone());
    }
    let mut message =
        format!("a container name must be specified for pod {name}, choose one of: [{}]", regular.join(" "));
    if !init.is_empty() {
        let _ = write!(message, " or one of the init containers: [{}]", init.join(" "));
    }
    Err(Status::bad_request(message))
}

fn log_query(exchange: &Exchange, query: &mut Query) -> Result<(), Status> {
    const FLAGS: &[&str] = &["follow", "previous", "timestamps"];
    const NUMBERS: &[&str] = &["limitBytes", "sinceSeconds", "tailLines"];
    const TEXTS: &[&str] = &["sinceTime", "stream"];
    let line = &exchange.line;
    for name in FLAGS.iter().filter(|name| line.flag(name)) {
        query.add(name, "true");
    }
    for name in NUMBERS {
        let Some(value) = line.param(name).filter(|value| !value.is_empty()) else { continue };
        let number: i64 = value
            .parse()
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {value:?}: invalid syntax")))?;
        let least = i64::from(*name != "tailLines");
        if number < least {
            let mut errors = crate::object::FieldErrors::default();
            let why = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            errors.invalid(*name, number, why);
            return Err(
                errors.into_status(&crate::object::Gvk::fixed("", "v1", "PodLogOptions"), &target_name(exchange))
            );
        }
        query.add(name, value);
    }
    for name in TEXTS {
        if let Some(value) = line.param(name).filter(|value| !value.is_empty()) {
            query.add(name, value);
        }
    }
    Ok(())
}

fn target_name(exchange: &Exchange) -> String {
    exchange.line.target.as_ref().map(|target| target.name.clone()).unwrap_or_default()
}

/// Streams and command of an exec or attach, under the names that kubelets use.
fn stream_query(exchange: &Exchange, connect: Connect, query: &mut Query) -> Result<(), Status> {
    const STREAMS: &[(&str, &str, bool)] =
        &[("stdin", "input", false), ("stdout", "output", true), ("stderr", "error", true), ("tty", "tty", false)];
    let line = &exchange.line;
    let mut any = false;
    for (name, kubelet, default) in STREAMS {
        // Upstream's decoding has no defaults left on exec: what is not asked for is off.
        let _ = default;
        if line.flag(name) {
            any |= *name != "tty";
            query.add(kubelet, "1");
        }
    }
    if !any {
        return Err(Status::bad_request("you must specify at least one of stdin, stdout, stderr"));
    }
    if connect == Connect::Exec {
        let commands: Vec<&str> =
            line.query.iter().filter(|(key, _)| key == "command").map(|(_, value)| value.as_str()).collect();
        if commands.is_empty() {
            return Err(Status::bad_request("you must specify a command"));
        }
        commands.iter().for_each(|command| query.add("command", command));
    }
    Ok(())
}

/// Where a node's kubelet listens.
fn kubelet_address(api: &Api, node: &str) -> Result<(String, u16), Status> {
    let tree = get(api, "nodes", "", node)?.tree();
    let port =
        tree.int("status.daemonEndpoints.kubeletEndpoint.Port").filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
    let address = |kind: &str| {
        tree.items("status.addresses").iter().find(|address| address.text("type") == kind).map(|a| a.text("address"))
    };
    let host = ["InternalIP", "ExternalIP", "Hostname"].iter().find_map(|kind| address(kind));
    let host = host.ok_or_else(|| {
        Status::internal(format!("no preferred addresses found; known addresses: [] (node {node:?})"))
    })?;
    Ok((host.to_owned(), port as u16))
}

fn node_proxy(api: &Api, exchange: &Exchange, target: &Target) -> Result<Location, Status> {
    let (tls, name, port) = split_name(&target.name);
    let path = proxied_path(exchange);
    let (host, kubelet_port) = kubelet_address(api, &name)?;
    let port = if port.is_empty() { kubelet_port } else { port_number(&port)? };
    if port == kubelet_port {
        return Ok(Location { node: name, host, port, tls: true, path });
    }
    Ok(Location { node: String::new(), host, port, tls, path })
}

fn pod_proxy(api: &Api, exchange: &Exchange, target: &Target) -> Result<Location, Status> {
    let (tls, name, port) = split_name(&target.name);
    let pod = get(api, "pods", &target.namespace, &name)?.tree();
    let ip = pod.text("status.podIP");
    if ip.is_empty() {
        return Err(Status::bad_request("address not allowed"));
    }
    let port = match port.as_str() {
        "" => first_port(&pod),
        port => port_number(port)?,
    };
    Ok(Location { node: String::new(), host: ip.into(), port, tls, path: proxied_path(exchange) })
}

fn first_port(pod: &Tree) -> u16 {
    let ports = pod.items("spec.containers").iter().flat_map(|container| container.items("ports"));
    let first = ports.filter(|port| matches!(port.text("protocol"), "" | "TCP")).find_map(|p| p.int("containerPort"));
    first.and_then(|port| u16::try_from(port).ok()).unwrap_or(80)
}

fn service_proxy(api: &Api, exchange: &Exchange, target: &Target) -> Result<Location, Status> {
    let (tls, name, port) = split_name(&target.name);
    let service = get(api, "services", &target.namespace, &name)?.tree();
    let ports = service.items("spec.ports");
    let wanted = match port.as_str() {
        "" if ports.len() == 1 => Some(&ports[0]),
        "" => ports.iter().find(|port| port.text("name").is_empty()),
        port => {
            ports.iter().find(|one| one.text("name") == port || one.int("port").is_some_and(|n| n.to_string() == port))
        }
    };
    let unavailable = || {
        let message = format!("no endpoints available for service {name:?}");
        Status::new(Reason::ServiceUnavailable, message)
    };
    let wanted = wanted.ok_or_else(|| {
        Status::new(Reason::ServiceUnavailable, format!("no service port {port:?} found for service {name:?}"))
    })?;
    if service.text("spec.type") == "ExternalName" {
        let host = service.text("spec.externalName").to_owned();
        let port = wanted.int("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(80);
        return Ok(Location { node: String::new(), host, port, tls, path: proxied_path(exchange) });
    }
    let slices = GroupResource::new("discovery.k8s.io", "endpointslices");
    let state = api.state();
    let mut backends: Vec<(String, u16)> = Vec::new();
    for slice in state.range(&KeyRange::namespace(&slices, &target.namespace)) {
        if slice.meta().label("kubernetes.io/service-name") != Some(name.as_str()) {
            continue;
        }
        let slice = slice.tree();
        let port = slice.items("ports").iter().find(|port| port.text("name") == wanted.text("name"));
        let Some(port) = port.and_then(|port| port.int("port")) else { continue };
        for endpoint in slice.items("endpoints") {
            if endpoint.flag("conditions.ready") != Some(false) {
                let addresses = endpoint.items("addresses").iter().filter_map(Tree::as_str);
                backends.extend(addresses.map(|address| (address.to_owned(), port as u16)));
            }
        }
    }
    if backends.is_empty() {
        return Err(unavailable());
    }
    let pick = (api.rand.next_u64() % backends.len() as u64) as usize;
    let (host, port) = backends.swap_remove(pick);
    Ok(Location { node: String::new(), host, port, tls, path: proxied_path(exchange) })
}

/// Takes `[https:]NAME[:PORT]` apart.
fn split_name(text: &str) -> (bool, String, String) {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [scheme @ ("http" | "https"), name, port] => (*scheme == "https", (*name).into(), (*port).into()),
        [name, port] => (false, (*name).into(), (*port).into()),
        _ => (false, text.into(), String::new()),
    }
}

fn port_number(text: &str) -> Result<u16, Status> {
    text.parse().map_err(|_| Status::bad_request(format!("invalid port {text:?}")))
}

/// Where a page is asked for again that has no path, not even a slash: its relative links need one.
pub fn to_folder(exchange: &Exchange) -> Option<String> {
    let is_read = matches!(exchange.method, http::Method::GET | http::Method::HEAD);
    let mut query = Query::default();
    exchange.line.query.iter().for_each(|(key, value)| query.add(key, value));
    let is_bare = is_read && exchange.line.rest.is_empty();
    is_bare.then(|| query.behind(&format!("{}/", escape(&exchange.line.path, b"/:@!$&'()*+,;=-._~"))))
}

/// The path behind `/proxy`, with the client's query.
fn proxied_path(exchange: &Exchange) -> String {
    let mut query = Query::default();
    exchange.line.query.iter().for_each(|(key, value)| query.add(key, value));
    let rest = if exchange.line.rest.is_empty() { "/" } else { exchange.line.rest.as_str() };
    query.behind(&escape(rest, b"/:@!$&'()*+,;=-._~"))
}

/// A query that is put together again.
#[derive(Default)]
struct Query(String);

impl Query {
    fn add(&mut self, name: &str, value: &str) {
        let and = if self.0.is_empty() { "" } else { "&" };
        let _ = write!(self.0, "{and}{}={}", escape(name, b"-._~"), escape(value, b"-._~"));
    }

    fn behind(self, path: &str) -> String {
        if self.0.is_empty() { path.to_owned() } else { format!("{path}?{}", self.0) }
    }
}

/// Escapes everything but letters, digits and what is `plain`.
fn escape(text: &str, plain: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            escaped.push(byte as char);
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn names_carry_scheme_and_port() {
        assert_eq!(split_name("web"), (false, "web".into(), String::new()));
        assert_eq!(split_name("web:http"), (false, "web".into(), "http".into()));
        assert_eq!(split_name("https:web:"), (true, "web".into(), String::new()));
        assert_eq!(escape("/a b/%", b"/"), "/a%20b/%25");
    }

    #[test]
    fn a_pod_of_several_containers_wants_one_named() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}});
        assert_eq!(container_of(&pod, "p", "i"), Ok("i".into()));
        assert_eq!(
            container_of(&pod, "p", "").unwrap_err().message,
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
        );
        assert_eq!(container_of(&pod, "p", "x").unwrap_err().message, "container x is not valid for pod p");
    }
}
