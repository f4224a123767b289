//! Paths of the kubelet's server, which are upstream's. Pure.

use crate::base::escape;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Healthz,
    Pods,
    /// Only those that the runtime runs.
    RunningPods,
    Configuration,
    Summary,
    Metrics,
    ResourceMetrics,
    GroupMetrics,
    Logs(Place),
    Exec(Place),
    Attach(Place),
    PortForward {
        namespace: String,
        pod: String,
    },
    Run(Place),
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

impl Route {
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let place = |namespace: &str, pod: &str, container: &str| Place {
            namespace: namespace.into(),
            pod: pod.into(),
            container: container.into(),
        };
        Some(match parts.as_slice() {
            ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => Self::Healthz,
            ["pods"] => Self::Pods,
            ["runningpods"] => Self::RunningPods,
            ["configz"] => Self::Configuration,
            ["stats", "summary"] => Self::Summary,
            ["metrics"] => Self::Metrics,
            ["metrics", "resource"] => Self::ResourceMetrics,
            ["metrics", "cadvisor"] => Self::GroupMetrics,
            ["containerLogs", namespace, pod, container] => Self::Logs(place(namespace, pod, container)),
            // An optional uid stands before the container.
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                Self::Exec(place(namespace, pod, container))
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                Self::Attach(place(namespace, pod, container))
            }
            ["run", namespace, pod, container] | ["run", namespace, pod, _, container] => {
                Self::Run(place(namespace, pod, container))
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
                Self::PortForward { namespace: (*namespace).into(), pod: (*pod).into() }
            }
            _ => return None,
        })
    }
}

/// The query of a request, decoded.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self(pairs.collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "true" | "True" | "TRUE" | "t"))
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

fn decode(text: &str) -> String {
    String::from_utf8_lossy(&escape::undo(&text.replace('+', " "), b'%', 2, 16)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_and_without_a_uid_name_the_same_container() {
        let with = Route::parse("/exec/ns/pod/some-uid/c");
        assert_eq!(with, Route::parse("/exec/ns/pod/c"));
        assert!(matches!(with, Some(Route::Exec(place)) if place.container == "c"));
        assert_eq!(Route::parse("/exec/ns"), None);
    }

    #[test]
    fn queries_are_decoded_in_order() {
        let query = Query::parse("command=sh&command=-c&command=echo+a%26b&tty=1");
        assert_eq!(query.all("command"), ["sh", "-c", "echo a&b"]);
        assert!(query.flag("tty") && !query.flag("input"));
    }
}
