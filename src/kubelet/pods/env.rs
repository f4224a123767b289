//! A container's environment: services, `envFrom`, then `env` in order, later ones winning.

use std::collections::BTreeMap;

use super::downward::{self, OnNode};
use super::expand::expand;
use super::sources::{Entries, Sources};
use crate::kubelet::spec::container::{EnvSource, KeyRef};
use crate::kubelet::spec::{Container, Pod};
use crate::object::view::Service;

pub type Env = BTreeMap<String, String>;

/// What the environment refers to and cannot have; its text is the message of
/// `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvError {
    #[error("configmap {0:?} not found")]
    NoConfigMap(String),
    #[error("secret {0:?} not found")]
    NoSecret(String),
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    NoConfigMapKey { namespace: String, name: String, key: String },
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    NoSecretKey { namespace: String, name: String, key: String },
    #[error("{0}")]
    Downward(String),
}

/// The environment of `container`, with services' variables given as `services`.
pub fn environment(
    pod: &Pod,
    container: &Container,
    services: &Env,
    sources: &Sources,
    on_node: &OnNode,
) -> Result<Env, EnvError> {
    let mut env = Env::new();
    for from in &container.env_from {
        if let Some(reference) = &from.config_map_ref {
            match sources.config_maps.get(&reference.name).and_then(Option::as_ref) {
                Some(entries) => add_all(&mut env, &from.prefix, entries),
                None if reference.optional => (),
                None => return Err(EnvError::NoConfigMap(reference.name.clone())),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match sources.secrets.get(&reference.name).and_then(Option::as_ref) {
                Some(entries) => add_all(&mut env, &from.prefix, entries),
                None if reference.optional => (),
                None => return Err(EnvError::NoSecret(reference.name.clone())),
            }
        }
    }
    for var in &container.env {
        let value = match &var.value_from {
            Some(source) if var.value.is_empty() => value_from(pod, container, source, sources, on_node)?,
            _ => Some(expand(&var.value, |name| env.get(name).or_else(|| services.get(name)).cloned())),
        };
        if let Some(value) = value {
            env.insert(var.name.clone(), value);
        }
    }
    for (name, value) in services {
        env.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(env)
}

fn add_all(env: &mut Env, prefix: &str, entries: &Entries) {
    for (key, value) in entries {
        // Binary entries are no environment.
        if let Ok(text) = std::str::from_utf8(value) {
            env.insert(format!("{prefix}{key}"), text.to_owned());
        }
    }
}

/// `None` for an optional reference to nothing: the variable is left out.
fn value_from(
    pod: &Pod,
    container: &Container,
    source: &EnvSource,
    sources: &Sources,
    on_node: &OnNode,
) -> Result<Option<String>, EnvError> {
    let namespace = || pod.namespace().to_owned();
    if let Some(reference) = &source.field_ref {
        return downward::field(pod, on_node, &reference.field_path).map(Some).map_err(EnvError::Downward);
    }
    if let Some(reference) = &source.resource_field_ref {
        let about = match pod.container(&reference.container_name) {
            Some((_, other)) if !reference.container_name.is_empty() => other,
            _ => container,
        };
        return downward::resource(about, on_node, reference).map(Some).map_err(EnvError::Downward);
    }
    if let Some(KeyRef { name, key, optional }) = &source.config_map_key_ref {
        let entries = sources.config_maps.get(name).and_then(Option::as_ref);
        return match entries.map(|entries| entries.get(key)) {
            Some(Some(value)) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            _ if *optional => Ok(None),
            None => Err(EnvError::NoConfigMap(name.clone())),
            Some(None) => {
                Err(EnvError::NoConfigMapKey { namespace: namespace(), name: name.clone(), key: key.clone() })
            }
        };
    }
    if let Some(KeyRef { name, key, optional }) = &source.secret_key_ref {
        let entries = sources.secrets.get(name).and_then(Option::as_ref);
        return match entries.map(|entries| entries.get(key)) {
            Some(Some(value)) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            _ if *optional => Ok(None),
            None => Err(EnvError::NoSecret(name.clone())),
            Some(None) => Err(EnvError::NoSecretKey { namespace: namespace(), name: name.clone(), key: key.clone() }),
        };
    }
    Ok(Some(String::new()))
}

/// The variables that tell a pod of its namespace's services, and of the API server.
pub fn of_services<'a>(services: impl IntoIterator<Item = (&'a str, &'a Service)>) -> Env {
    let mut env = Env::new();
    for (name, service) in services {
        let ip = &service.spec.cluster_ip;
        let Some(first) = service.spec.ports.first() else { continue };
        if ip.is_empty() || service.is_headless() {
            continue;
        }
        let prefix = variable_name(name);
        env.insert(format!("{prefix}_SERVICE_HOST"), ip.clone());
        env.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
        let url = |port: &crate::object::view::ServicePort| {
            format!("{}://{host}:{}", protocol(&port.protocol).to_lowercase(), port.port)
        };
        env.insert(format!("{prefix}_PORT"), url(first));
        for port in &service.spec.ports {
            if !port.name.is_empty() {
                let key = format!("{prefix}_SERVICE_PORT_{}", variable_name(&port.name));
                env.insert(key, port.port.to_string());
            }
            let key = format!("{prefix}_PORT_{}_{}", port.port, protocol(&port.protocol).to_uppercase());
            env.insert(key.clone(), url(port));
            env.insert(format!("{key}_PROTO"), protocol(&port.protocol).to_lowercase());
            env.insert(format!("{key}_PORT"), port.port.to_string());
            env.insert(format!("{key}_ADDR"), ip.clone());
        }
    }
    env
}

fn protocol(text: &str) -> &str {
    if text.is_empty() { "TCP" } else { text }
}

fn variable_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(env: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"containers": [{"name": "c", "env": env}]}
        }))
        .unwrap()
    }

    fn run(env: serde_json::Value, sources: &Sources) -> Result<Env, EnvError> {
        let pod = pod(env);
        let services = Env::from([("WEB_SERVICE_HOST".into(), "10.43.0.9".into())]);
        environment(&pod, &pod.spec.containers[0], &services, sources, &OnNode::default())
    }

    #[test]
    fn later_variables_see_earlier_ones_and_services() {
        let env = run(
            json!([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)/$(WEB_SERVICE_HOST)/$(NO)"},
                   {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            &Sources::default(),
        )
        .unwrap();
        assert_eq!((env["B"].as_str(), env["N"].as_str()), ("1/10.43.0.9/$(NO)", "p"));
    }

    #[test]
    fn a_missing_key_is_told_unless_it_is_optional() {
        let reference = |optional| json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": optional}}}]);
        let mut sources = Sources::default();
        assert_eq!(run(reference(false), &sources).unwrap_err().to_string(), "configmap \"m\" not found");
        sources.config_maps.insert("m".into(), Some(Entries::new()));
        let error = run(reference(false), &sources).unwrap_err();
        assert_eq!(error.to_string(), "couldn't find key k in ConfigMap ns/m");
        assert!(!run(reference(true), &sources).unwrap().contains_key("A"));
    }

    #[test]
    fn services_are_told_as_docker_links_were() {
        let service: Service = serde_json::from_value(json!({
            "spec": {"clusterIP": "10.43.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}
        }))
        .unwrap();
        let env = of_services([("my-api", &service)]);
        assert_eq!(env["MY_API_SERVICE_PORT_HTTPS"], "443");
        assert_eq!(env["MY_API_PORT"], "tcp://10.43.0.1:443");
        assert_eq!(env["MY_API_PORT_443_TCP_ADDR"], "10.43.0.1");
        assert_eq!(env.len(), 8);
    }
}
