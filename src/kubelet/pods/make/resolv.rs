//! `/etc/resolv.conf` of a pod, by its DNS policy.

use std::net::IpAddr;

use k8s_cri::v1::DnsConfig;

use crate::kubelet::spec::Pod;

/// What a resolver takes; more would be dropped without a word.
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;

/// The cluster's own name service.
#[derive(Clone, Debug)]
pub struct ClusterDns {
    pub servers: Vec<IpAddr>,
    pub domain: String,
}

/// The resolver settings of `pod`, on a host whose `resolv.conf` reads `host`.
pub fn dns_config(pod: &Pod, cluster: &ClusterDns, host: &str) -> DnsConfig {
    let host = parse(host);
    let policy = match pod.spec.dns_policy.as_str() {
        // A pod on the host's network resolves as the host does, unless it asks for the cluster.
        "ClusterFirst" | "" if pod.spec.host_network => "Default",
        "ClusterFirstWithHostNet" | "" => "ClusterFirst",
        policy => policy,
    };
    let mut config = match policy {
        "None" => DnsConfig::default(),
        "ClusterFirst" if !cluster.servers.is_empty() => {
            let (namespace, domain) = (pod.namespace(), &cluster.domain);
            let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
            append_new(&mut searches, host.searches);
            DnsConfig {
                servers: cluster.servers.iter().map(IpAddr::to_string).collect(),
                searches,
                options: vec!["ndots:5".into()],
            }
        }
        _ => host,
    };
    let own = &pod.spec.dns_config;
    append_new(&mut config.servers, own.nameservers.clone());
    append_new(&mut config.searches, own.searches.clone());
    for option in &own.options {
        config.options.retain(|known| known.split(':').next() != Some(&option.name));
        config.options.push(match option.value.as_deref() {
            Some(value) if !value.is_empty() => format!("{}:{value}", option.name),
            _ => option.name.clone(),
        });
    }
    config.servers.truncate(NAMESERVERS_MAX);
    config.searches.truncate(SEARCHES_MAX);
    while config.searches.iter().map(|search| search.len() + 1).sum::<usize>() > SEARCH_CHARS_MAX {
        config.searches.pop();
    }
    config
}

fn append_new(list: &mut Vec<String>, more: Vec<String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            // The last line of each counts, as in the resolver itself.
            Some("search") => config.searches = words.filter(|word| *word != ".").map(str::to_owned).collect(),
            Some("options") => config.options.extend(words.map(str::to_owned)),
            _ => (),
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(spec: serde_json::Value) -> DnsConfig {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"namespace": "ns"}, "spec": spec})).unwrap();
        let cluster = ClusterDns { servers: vec!["10.43.0.10".parse().unwrap()], domain: "cluster.local".into() };
        dns_config(&pod, &cluster, "# x\nnameserver 9.9.9.9\nsearch lan home\noptions edns0\n")
    }

    #[test]
    fn the_policy_decides_who_is_asked() {
        let first = run(json!({"dnsPolicy": "ClusterFirst"}));
        assert_eq!(first.servers, ["10.43.0.10"]);
        assert_eq!(first.searches, ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan", "home"]);
        assert_eq!(first.options, ["ndots:5"]);
        assert_eq!(run(json!({"dnsPolicy": "Default"})).servers, ["9.9.9.9"]);
        assert_eq!(run(json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true})).servers, ["9.9.9.9"]);
        assert_eq!(run(json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true})).servers, ["10.43.0.10"]);
    }

    #[test]
    fn the_pod_adds_to_its_policy() {
        let config = run(json!({"dnsPolicy": "None", "dnsConfig": {
            "nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}));
        assert_eq!((config.servers, config.searches), (vec!["1.1.1.1".to_owned()], vec!["a.b".to_owned()]));
        assert_eq!(config.options, ["ndots:2", "edns0"]);
        assert_eq!(
            run(json!({"dnsPolicy": "ClusterFirst", "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}))
                .options,
            ["ndots:1"]
        );
    }
}
