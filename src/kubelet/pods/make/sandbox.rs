//! The sandbox: the namespaces and the control group that a pod's containers share.

use std::collections::HashMap;

use k8s_cri::v1::{
    DnsConfig, Int64Value, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig, PodSandboxMetadata,
    PortMapping, Protocol,
};

use super::{names, security};
use crate::kubelet::config::Paths;
use crate::kubelet::spec::Pod;

/// Linux takes no longer host name.
const HOSTNAME_MAX: usize = 63;

pub fn config(
    pod: &Pod,
    attempt: u32,
    paths: &Paths,
    cgroup_parent: &str,
    dns: DnsConfig,
    domain: &str,
) -> PodSandboxConfig {
    let mut labels: HashMap<String, String> = pod.metadata.labels.to_pairs().collect();
    labels.extend([
        (names::POD_NAME.to_owned(), pod.name().to_owned()),
        (names::POD_NAMESPACE.to_owned(), pod.namespace().to_owned()),
        (names::POD_UID.to_owned(), pod.uid().to_owned()),
    ]);
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod.name().into(),
            uid: pod.uid().into(),
            namespace: pod.namespace().into(),
            attempt,
        }),
        // The host keeps its own name.
        hostname: if pod.spec.host_network { String::new() } else { Hostname::of(pod, domain).kernel_name() },
        log_directory: paths.pod_log_dir(pod.namespace(), pod.name(), pod.uid()).to_string_lossy().into_owned(),
        dns_config: Some(dns),
        port_mappings: if pod.spec.host_network { Vec::new() } else { port_mappings(pod) },
        labels,
        annotations: pod.metadata.annotations.to_pairs().collect(),
        linux: Some(linux(pod, paths, cgroup_parent)),
        windows: None,
    }
}

fn linux(pod: &Pod, paths: &Paths, cgroup_parent: &str) -> LinuxPodSandboxConfig {
    let of_pod = &pod.spec.security_context;
    let security = LinuxSandboxSecurityContext {
        namespace_options: Some(security::namespaces(pod, None)),
        run_as_user: of_pod.run_as_user.map(|value| Int64Value { value }),
        run_as_group: of_pod.run_as_user.and(of_pod.run_as_group).map(|value| Int64Value { value }),
        supplemental_groups: security::groups(pod),
        privileged: pod.all_containers().any(|(_, container)| container.security_context.privileged),
        seccomp: Some(security::of_sandbox(pod, &paths.seccomp)),
        ..Default::default()
    };
    LinuxPodSandboxConfig {
        cgroup_parent: cgroup_parent.into(),
        security_context: Some(security),
        sysctls: of_pod.sysctls.iter().map(|sysctl| (sysctl.name.replace('/', "."), sysctl.value.clone())).collect(),
        ..Default::default()
    }
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let containers = pod.spec.containers.iter().chain(pod.spec.init_containers.iter().filter(|one| one.is_sidecar()));
    let ports = containers.flat_map(|container| &container.ports);
    let mapping = |port: &crate::kubelet::spec::container::ContainerPort| PortMapping {
        protocol: match port.protocol.as_str() {
            "UDP" => Protocol::Udp.into(),
            "SCTP" => Protocol::Sctp.into(),
            _ => Protocol::Tcp.into(),
        },
        container_port: port.container_port,
        host_port: port.host_port,
        host_ip: port.host_ip.clone(),
    };
    ports.filter(|port| port.host_port > 0).map(mapping).collect()
}

/// What a pod is called, and in which domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname {
    pub name: String,
    /// Empty unless the pod has a subdomain.
    pub domain: String,
    as_fqdn: bool,
}

impl Hostname {
    pub fn of(pod: &Pod, cluster_domain: &str) -> Self {
        let spec = &pod.spec;
        if let Some(name) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
            return Self { name: name.into(), domain: String::new(), as_fqdn: false };
        }
        let name = if spec.hostname.is_empty() { truncated(pod.name()) } else { spec.hostname.clone() };
        let domain = match spec.subdomain.as_str() {
            "" => String::new(),
            subdomain => format!("{subdomain}.{}.svc.{cluster_domain}", pod.namespace()),
        };
        Self { name, domain, as_fqdn: spec.set_hostname_as_fqdn }
    }

    /// The name that `hostname` prints in the pod.
    pub fn kernel_name(&self) -> String {
        if self.as_fqdn && !self.domain.is_empty() {
            format!("{}.{}", self.name, self.domain)
        } else {
            self.name.clone()
        }
    }
}

fn truncated(name: &str) -> String {
    let cut: String = name.chars().take(HOSTNAME_MAX).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_subdomain_gives_a_full_name() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-0", "namespace": "ns"},
            "spec": {"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true}
        }))
        .unwrap();
        assert_eq!(Hostname::of(&pod, "cluster.local").kernel_name(), "h.s.ns.svc.cluster.local");
    }

    #[test]
    fn a_long_pod_name_is_cut() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": format!("{}-tail", "x".repeat(62))}})).unwrap();
        assert_eq!(Hostname::of(&pod, "c").name, "x".repeat(62));
    }
}
