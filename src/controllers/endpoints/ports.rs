//! The ports of a service as one of its pods has them.

use crate::object::tree::json;
use crate::object::view::{IntOrPercent, Pod, Service, ServicePort};
use crate::object::{Tree, TreePath};

/// The port's number in the pod: the number itself, or that of the container port so named.
fn number(pod: &Pod, port: &ServicePort) -> Option<u16> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrPercent::Int(0)) => Some(port.port),
        Some(IntOrPercent::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrPercent::Text(name)) => {
            let sidecars = pod.spec.init_containers.iter().filter(|container| container.is_sidecar());
            let ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
            let mut named = ports.filter(|known| known.name == *name && known.protocol == port.protocol);
            named.next().map(|known| known.container_port)
        }
    }
}

/// As slices have them: the name is there even when it is empty.
pub fn of_slice(pod: &Pod, service: &Service) -> Vec<Tree> {
    resolved(pod, service)
        .map(|(port, number)| with_protocols(json!({"name": port.name, "port": number}), port))
        .collect()
}

/// As `Endpoints` have them.
pub fn of_endpoints(pod: &Pod, service: &Service) -> Vec<Tree> {
    let ports = resolved(pod, service).map(|(port, number)| {
        let mut tree = with_protocols(json!({"port": number}), port);
        if !port.name.is_empty() {
            tree.set("name", port.name.as_str());
        }
        tree
    });
    ports.collect()
}

fn resolved<'a>(pod: &'a Pod, service: &'a Service) -> impl Iterator<Item = (&'a ServicePort, u16)> {
    service.spec.ports.iter().filter_map(|port| Some((port, number(pod, port)?)))
}

fn with_protocols(mut tree: Tree, port: &ServicePort) -> Tree {
    tree.set("protocol", port.protocol.as_str());
    if let Some(app) = &port.app_protocol {
        tree.set("appProtocol", app.as_str());
    }
    tree
}
