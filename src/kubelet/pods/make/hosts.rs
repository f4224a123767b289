//! `/etc/hosts` of a pod.

use crate::kubelet::spec::HostAlias;

const MANAGED: &str = "# Kubernetes-managed hosts file.\n\
127.0.0.1\tlocalhost\n\
::1\tlocalhost ip6-localhost ip6-loopback\n\
fe00::0\tip6-localnet\n\
fe00::0\tip6-mcastprefix\n\
fe00::1\tip6-allnodes\n\
fe00::2\tip6-allrouters\n";

/// The file of a pod with addresses of its own.
pub fn of_pod(ips: &[String], hostname: &str, domain: &str, aliases: &[HostAlias]) -> String {
    let mut text = MANAGED.to_owned();
    for ip in ips {
        match domain {
            "" => text.push_str(&format!("{ip}\t{hostname}\n")),
            _ => text.push_str(&format!("{ip}\t{hostname}.{domain}\t{hostname}\n")),
        }
    }
    text + &alias_lines(aliases)
}

/// The file of a pod on the host's network: the host's own, and the aliases.
pub fn of_host(host_file: &str, aliases: &[HostAlias]) -> String {
    format!("# Kubernetes-managed hosts file (host network).\n{host_file}{}", alias_lines(aliases))
}

fn alias_lines(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let lines: String = aliases.iter().map(|alias| format!("{}\t{}\n", alias.ip, alias.hostnames.join("\t"))).collect();
    format!("\n# Entries added by HostAliases.\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_finds_itself_and_its_aliases() {
        let alias = HostAlias { ip: "1.2.3.4".into(), hostnames: vec!["a".into(), "b".into()] };
        let text = of_pod(&["10.42.0.5".into()], "web", "sub.ns.svc.cluster.local", &[alias]);
        assert!(text.contains("\n10.42.0.5\tweb.sub.ns.svc.cluster.local\tweb\n"));
        assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
    }
}
