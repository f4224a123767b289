//! The signers of `certificates.k8s.io` that a cluster has: what each accepts, and signing.

use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose as Extended, KeyUsagePurpose as Plain};

use super::ca::LEAF_LIFETIME;
use super::pki::Pki;
use super::x509;

const SHORTEST: Duration = Duration::from_secs(600);

/// One request, as the API object has it.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    pub signer: &'a str,
    /// In PEM.
    pub request: &'a str,
    pub usages: Vec<&'a str>,
    pub lifetime_secs: Option<i64>,
}

type Check = fn(&x509::RequestFacts, &[&str]) -> Result<(), String>;

/// Signers, what they accept, and whether the server's authority signs (else the clients' does).
const SIGNERS: &[(&str, Check, bool)] = &[
    ("kubernetes.io/kube-apiserver-client", check_client, false),
    ("kubernetes.io/kube-apiserver-client-kubelet", check_kubelet_client, false),
    ("kubernetes.io/kubelet-serving", check_kubelet_serving, true),
    ("kubernetes.io/legacy-unknown", |_, _| Ok(()), false),
];

const USAGES: &[(&str, Usage)] = &[
    ("digital signature", Usage::Plain(Plain::DigitalSignature)),
    ("content commitment", Usage::Plain(Plain::ContentCommitment)),
    ("key encipherment", Usage::Plain(Plain::KeyEncipherment)),
    ("key agreement", Usage::Plain(Plain::KeyAgreement)),
    ("data encipherment", Usage::Plain(Plain::DataEncipherment)),
    ("any", Usage::Extended(Extended::Any)),
    ("server auth", Usage::Extended(Extended::ServerAuth)),
    ("client auth", Usage::Extended(Extended::ClientAuth)),
    ("code signing", Usage::Extended(Extended::CodeSigning)),
    ("email protection", Usage::Extended(Extended::EmailProtection)),
    ("timestamping", Usage::Extended(Extended::TimeStamping)),
    ("ocsp signing", Usage::Extended(Extended::OcspSigning)),
];

#[derive(Clone)]
enum Usage {
    Plain(Plain),
    Extended(Extended),
}

/// The user's name of the node that a request for a kubelet's client certificate is for; `None` if it is
/// no such request.
pub fn node_of(ask: &Ask<'_>) -> Option<String> {
    let facts = x509::request_facts(ask.request)?;
    check_kubelet_client(&facts, &ask.usages).ok()?;
    Some(facts.common_name)
}

/// Signs what is asked, or says why not, in upstream's words. `None` if the signer is not ours.
pub fn sign(pki: &Pki, ask: &Ask<'_>, now_secs: i64) -> Option<Result<String, String>> {
    let (_, check, by_server) = SIGNERS.iter().find(|(name, ..)| *name == ask.signer)?;
    let authority = if *by_server { &pki.server_ca } else { &pki.client_ca };
    let sign = || {
        let facts = x509::request_facts(ask.request).ok_or("unable to parse the certificate request")?;
        check(&facts, &ask.usages)?;
        if facts.organizations.len() > 1 {
            return Err("certificates with more than one organization cannot be signed here".to_owned());
        }
        let (mut plain, mut extended) = (Vec::new(), Vec::new());
        for (_, usage) in USAGES.iter().filter(|(name, _)| ask.usages.contains(name)) {
            match usage.clone() {
                Usage::Plain(usage) => plain.push(usage),
                Usage::Extended(usage) => extended.push(usage),
            }
        }
        let asked = ask.lifetime_secs.and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs);
        let lifetime = asked.unwrap_or(LEAF_LIFETIME).clamp(SHORTEST, LEAF_LIFETIME);
        authority
            .sign_as_requested(ask.request, plain, extended, lifetime, now_secs)
            .map_err(|error| crate::base::error::Chain(&error).to_string())
    };
    Some(sign())
}

fn check_client(_: &x509::RequestFacts, usages: &[&str]) -> Result<(), String> {
    const ALLOWED: &[&str] = &["digital signature", "key encipherment", "client auth"];
    if let Some(bad) = usages.iter().find(|usage| !ALLOWED.contains(usage)) {
        return Err(format!("invalid usage for client certificate: {bad}"));
    }
    if !usages.contains(&"client auth") {
        return Err("missing required usage for client certificate: client auth".into());
    }
    Ok(())
}

fn check_kubelet_client(facts: &x509::RequestFacts, usages: &[&str]) -> Result<(), String> {
    check_node_organization(facts)?;
    refuse(!facts.dns_names.is_empty(), "DNS subjectAltNames are not allowed")?;
    refuse(facts.has_emails, "Email subjectAltNames are not allowed")?;
    refuse(!facts.addresses.is_empty(), "IP subjectAltNames are not allowed")?;
    refuse(facts.has_uris, "URI subjectAltNames are not allowed")?;
    check_node_name(facts)?;
    check_usages(usages, "client auth")
}

fn check_kubelet_serving(facts: &x509::RequestFacts, usages: &[&str]) -> Result<(), String> {
    check_node_organization(facts)?;
    let nameless = facts.dns_names.is_empty() && facts.addresses.is_empty();
    refuse(nameless, "DNS or IP subjectAltName is required")?;
    refuse(facts.has_emails, "Email subjectAltNames are not allowed")?;
    refuse(facts.has_uris, "URI subjectAltNames are not allowed")?;
    check_usages(usages, "server auth")?;
    check_node_name(facts)
}

fn check_node_organization(facts: &x509::RequestFacts) -> Result<(), String> {
    refuse(facts.organizations != ["system:nodes"], "subject organization is not system:nodes")
}

fn check_node_name(facts: &x509::RequestFacts) -> Result<(), String> {
    refuse(!facts.common_name.starts_with("system:node:"), "subject common name does not begin with system:node: ")
}

fn check_usages(usages: &[&str], auth: &str) -> Result<(), String> {
    let mut sorted = usages.to_vec();
    sorted.sort();
    sorted.dedup();
    let mut required = vec!["digital signature", "key encipherment", auth];
    required.sort();
    let without_rsa: Vec<&str> = required.iter().copied().filter(|usage| *usage != "key encipherment").collect();
    refuse(sorted != required && sorted != without_rsa, &format!("usages did not match [{}]", required.join(" ")))
}

fn refuse(is_wrong: bool, why: &str) -> Result<(), String> {
    if is_wrong { Err(why.to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{ca, tls};

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn each_signer_signs_what_it_is_for_and_refuses_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), vec!["localhost".into()], NOW).unwrap();
        let request = ca::request(&ca::new_key().unwrap()).unwrap();
        let ask = |signer: &'static str, usages: &[&'static str]| {
            sign(&pki, &Ask { signer, request: &request, usages: usages.to_vec(), lifetime_secs: None }, NOW)
        };
        let signed =
            ask("kubernetes.io/kube-apiserver-client", &["client auth", "digital signature"]).unwrap().unwrap();
        let verifier = tls::ChainVerifier::new(pki.client_ca.der()).unwrap();
        verifier.accepts(&tls::certificates(&signed).unwrap(), NOW).unwrap();
        assert_eq!(
            ask("kubernetes.io/kube-apiserver-client", &["client auth", "server auth"]).unwrap(),
            Err("invalid usage for client certificate: server auth".into())
        );
        assert_eq!(
            ask("kubernetes.io/kubelet-serving", &["server auth", "digital signature"]).unwrap(),
            Err("subject organization is not system:nodes".into())
        );
        assert_eq!(ask("example.com/mine", &[]), None);
    }
}
