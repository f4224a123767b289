//! `apiserver.config.k8s.io` AuthorizationConfiguration: who is asked whether a request is allowed, in
//! which order, and what holds while nobody answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::abac::Abac;
use super::conditions::Conditions;
use super::question::Version;
use crate::api::strict::{self, only};
use crate::object::FieldErrors;
use crate::object::time::go_duration;
use crate::object::tree::{Tree, TreePath};
use crate::resources::names::is_dns1123_subdomain;

pub const TYPES: &[&str] = &["ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
const WEBHOOK: &str = "Webhook";
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
const AUTHORIZED_TTL: Duration = Duration::from_secs(300);
const UNAUTHORIZED_TTL: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Config {
    /// At least one.
    pub authorizers: Vec<Entry>,
}

#[derive(Debug)]
pub struct Entry {
    pub name: String,
    /// One of [`TYPES`].
    pub kind: String,
    /// Of webhooks.
    pub webhook: Option<WebhookConfig>,
    /// Of ABAC, which only flags can name.
    pub policies: Option<Arc<Abac>>,
}

#[derive(Debug)]
pub struct WebhookConfig {
    /// The path of a kubeconfig.
    pub kubeconfig: String,
    /// How long answers are believed; nothing if not at all.
    pub authorized_ttl: Duration,
    pub unauthorized_ttl: Duration,
    pub timeout: Duration,
    pub version: Version,
    /// Whether requests are denied while it does not answer, instead of left to others.
    pub fails_closed: bool,
    pub conditions: Conditions,
}

/// What is wrong with a file that should be a regular one, if anything.
pub type Look<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// What a stock server with role-based access has.
    pub fn built_in() -> Self {
        Self { authorizers: ["Node", "RBAC"].map(Entry::plain).into() }
    }

    /// Reads a configuration file; `required` are types that must be in it. The error says all that is
    /// wrong.
    pub fn parse(text: &str, required: &[String], look: Look<'_>) -> Result<Self, String> {
        const LOADING: &str = "failed to load AuthorizationConfiguration from file";
        let tree = strict::open(text, "AuthorizationConfiguration").map_err(|why| format!("{LOADING}: {why}"))?;
        let mut unknown = Vec::new();
        only(&tree, "", &["apiVersion", "kind", "authorizers"], &mut unknown);
        let mut errors = FieldErrors::default();
        let entries = tree.items("authorizers");
        if entries.is_empty() {
            errors.required("authorizers", "at least one authorization mode must be defined");
        }
        let mut reader = Reader { look, errors, unknown, types: BTreeSet::new(), names: BTreeSet::new() };
        let authorizers: Vec<Entry> = entries
            .iter()
            .enumerate()
            .filter_map(|(n, entry)| reader.entry(entry, &format!("authorizers[{n}]")))
            .collect();
        if let Some(why) = strict::complaint(&reader.unknown) {
            return Err(format!("{LOADING}: {why}"));
        }
        if !reader.errors.is_empty() {
            return Err(reader.errors.message());
        }
        let mut wrong: Vec<String> = authorizers.iter().filter_map(Entry::misnamed).collect();
        let missing: Vec<&str> =
            required.iter().map(String::as_str).filter(|one| !reader.types.contains(one)).collect();
        if !missing.is_empty() {
            wrong.push(format!("missing required types: [{}]", missing.join(" ")));
        }
        if wrong.is_empty() { Ok(Self { authorizers }) } else { Err(super::aggregate(wrong)) }
    }

    /// The types that must stay when the file changes: those that are part of this process.
    pub fn own_types(&self) -> Vec<String> {
        let own = self.authorizers.iter().map(|entry| &entry.kind).filter(|kind| *kind != WEBHOOK);
        own.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Entry {
    /// One that is part of this process, under the only name that it may have.
    pub fn plain(kind: &str) -> Self {
        Self { name: kind.to_lowercase(), kind: kind.to_owned(), webhook: None, policies: None }
    }

    fn misnamed(&self) -> Option<String> {
        let expected = self.kind.to_lowercase();
        let is_wrong = self.kind != WEBHOOK && self.name != expected;
        is_wrong.then(|| format!("expected name {expected} for authorizer {} instead of {}", self.kind, self.name))
    }
}

/// Entries in order, and what is wrong with them.
struct Reader<'a> {
    look: Look<'a>,
    errors: FieldErrors,
    unknown: Vec<String>,
    types: BTreeSet<&'a str>,
    names: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    fn entry(&mut self, entry: &'a Tree, at: &str) -> Option<Entry> {
        only(entry, at, &["type", "name", "webhook"], &mut self.unknown);
        let (kind, name) = (entry.text("type"), entry.text("name"));
        let at_type = format!("{at}.type");
        if kind.is_empty() {
            self.errors.required(at_type, "");
            return None;
        }
        if !TYPES.contains(&kind) {
            self.errors.not_supported(at_type, kind, TYPES);
            return None;
        }
        if !self.types.insert(kind) && kind != WEBHOOK {
            self.errors.duplicate(at_type, kind);
            return None;
        }
        self.name(name, &format!("{at}.name"));
        let said = entry.get("webhook").filter(|said| !said.is_null());
        let webhook = match (kind, said) {
            (WEBHOOK, Some(said)) => Some(self.webhook(said, at)?),
            (WEBHOOK, None) => {
                self.errors.required(format!("{at}.webhook"), "required when type=Webhook");
                return None;
            }
            (_, Some(_)) => {
                self.errors.invalid(format!("{at}.webhook"), "non-null", "may only be specified when type=Webhook");
                None
            }
            (_, None) => None,
        };
        Some(Entry { name: name.to_owned(), kind: kind.to_owned(), webhook, policies: None })
    }

    fn name(&mut self, name: &'a str, at: &str) {
        let wrong = is_dns1123_subdomain(name);
        if name.is_empty() {
            self.errors.required(at, "");
        } else if self.names.contains(name) {
            self.errors.duplicate(at, name);
        } else if !wrong.is_empty() {
            self.errors.invalid(at, name, format!("authorizer name is invalid: {}", wrong.join(", ")));
        }
        self.names.insert(name);
    }

    /// Upstream names the fields of a webhook as if they were the authorizer's own.
    fn webhook(&mut self, said: &Tree, at: &str) -> Option<WebhookConfig> {
        const FIELDS: &[&str] = &[
            "authorizedTTL",
            "cacheAuthorizedRequests",
            "unauthorizedTTL",
            "cacheUnauthorizedRequests",
            "timeout",
            "subjectAccessReviewVersion",
            "matchConditionSubjectAccessReviewVersion",
            "failurePolicy",
            "connectionInfo",
            "matchConditions",
        ];
        only(said, &format!("{at}.webhook"), FIELDS, &mut self.unknown);
        let timeout = self.span(said, at, "timeout", None);
        if let Some(span) = timeout.filter(|span| *span > TIMEOUT_MAX) {
            let shown = said.text("timeout");
            let shown = if shown.is_empty() { format!("{span:?}") } else { shown.to_owned() };
            self.errors.invalid(format!("{at}.timeout"), shown, "must be > 0s and <= 30s");
        }
        let authorized = self.span(said, at, "authorizedTTL", Some(AUTHORIZED_TTL));
        let unauthorized = self.span(said, at, "unauthorizedTTL", Some(UNAUTHORIZED_TTL));
        let version = self.one_of(said, at, "subjectAccessReviewVersion", Version::NAMES);
        let of_conditions = said.text("matchConditionSubjectAccessReviewVersion");
        let at_version = format!("{at}.matchConditionSubjectAccessReviewVersion");
        match of_conditions {
            "" if !said.items("matchConditions").is_empty() => {
                self.errors.required(at_version, "required if match conditions are specified");
            }
            "" | "v1" => (),
            other => self.errors.not_supported(at_version, other, &["v1"]),
        }
        let policy = self.one_of(said, at, "failurePolicy", &["NoOpinion", "Deny"]);
        let kubeconfig = self.connection(said, at);
        said.items("matchConditions").iter().enumerate().for_each(|(n, one)| {
            only(one, &format!("{at}.webhook.matchConditions[{n}]"), &["expression"], &mut self.unknown)
        });
        let conditions = Conditions::read(said, at, &mut self.errors);
        let cached = |flag: &str, span: Option<Duration>| {
            if said.flag(flag).unwrap_or(true) { span } else { Some(Duration::ZERO) }
        };
        Some(WebhookConfig {
            kubeconfig: kubeconfig?,
            authorized_ttl: cached("cacheAuthorizedRequests", authorized)?,
            unauthorized_ttl: cached("cacheUnauthorizedRequests", unauthorized)?,
            timeout: timeout?,
            version: Version::parse(&version?)?,
            fails_closed: policy? == "Deny",
            conditions,
        })
    }

    /// A length of time that is more than nothing.
    fn span(&mut self, said: &Tree, at: &str, field: &str, default: Option<Duration>) -> Option<Duration> {
        let at = format!("{at}.{field}");
        let text = said.text(field);
        let nanos = match text {
            "" => 0,
            text => match go_duration(text) {
                Ok(nanos) => nanos,
                Err(why) => {
                    self.errors.invalid(at, text, why);
                    return None;
                }
            },
        };
        match (u64::try_from(nanos), default) {
            (Ok(0), Some(default)) => Some(default),
            (Ok(0), None) => {
                self.errors.required(at, "");
                None
            }
            (Ok(nanos), _) => Some(Duration::from_nanos(nanos)),
            (Err(_), Some(_)) => {
                self.errors.invalid(at, text, "must be > 0s");
                None
            }
            (Err(_), None) => {
                self.errors.invalid(at, text, "must be > 0s and <= 30s");
                None
            }
        }
    }

    fn one_of(&mut self, said: &Tree, at: &str, field: &str, known: &[&str]) -> Option<String> {
        let (at, value) = (format!("{at}.{field}"), said.text(field));
        if value.is_empty() {
            self.errors.required(at, "");
        } else if !known.contains(&value) {
            self.errors.not_supported(at, value, known);
        } else {
            return Some(value.to_owned());
        }
        None
    }

    fn connection(&mut self, said: &Tree, at: &str) -> Option<String> {
        let empty = Tree::Null;
        let info = said.get("connectionInfo").unwrap_or(&empty);
        only(info, &format!("{at}.webhook.connectionInfo"), &["type", "kubeConfigFile"], &mut self.unknown);
        let (kind, file) = (info.text("type"), info.text("kubeConfigFile"));
        let (at_type, at_file) = (format!("{at}.connectionInfo.type"), format!("{at}.connectionInfo.kubeConfigFile"));
        match kind {
            "" => self.errors.required(at_type, ""),
            "KubeConfigFile" if file.is_empty() => self.errors.required(at_file, ""),
            "KubeConfigFile" if !file.starts_with('/') => {
                self.errors.invalid(at_file, file, "must be an absolute path")
            }
            "KubeConfigFile" => match (self.look)(file) {
                None => return Some(file.to_owned()),
                Some(why) => self.errors.invalid(at_file, file, why),
            },
            "InClusterConfig" => {
                if info.has("kubeConfigFile") {
                    self.errors.invalid(at_file, file, "can only be set when type=KubeConfigFile");
                }
                // Upstream takes it and then has no address: it is for servers that run in a cluster.
                self.errors.invalid(at_type, kind, "an API server is not in a cluster: want KubeConfigFile");
            }
            other => self.errors.not_supported(at_type, other, &["InClusterConfig", "KubeConfigFile"]),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn parse(entries: &str) -> Result<Config, String> {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n{entries}"
        );
        let look =
            |path: &str| (path == "/missing").then(|| "error loading file: stat /missing: no such file".to_owned());
        Config::parse(&text, &["RBAC".to_owned()], &look)
    }

    /// Each complaint on a line of its own.
    fn check(entries: &str, told: Expect) {
        let why = parse(entries).unwrap_err();
        let list = why.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&why);
        told.assert_eq(&list.replace(", authorizers", ",\nauthorizers"));
    }

    const WEBHOOK: &str = "
- type: Webhook
  name: w
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: /w.conf}
    cacheUnauthorizedRequests: false
    matchConditions: [{expression: \"request.user != 'system:admin'\"}]
- type: RBAC
  name: rbac
";

    #[test]
    fn order_and_defaults() {
        let config = parse(WEBHOOK).unwrap();
        let names: Vec<&str> = config.authorizers.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!((names, config.own_types()), (vec!["w", "rbac"], vec!["RBAC".to_owned()]));
        let webhook = config.authorizers[0].webhook.as_ref().unwrap();
        assert_eq!((webhook.authorized_ttl, webhook.unauthorized_ttl), (AUTHORIZED_TTL, Duration::ZERO));
        assert_eq!((webhook.timeout, webhook.fails_closed), (Duration::from_secs(3), true));
        assert!(!webhook.conditions.is_empty());
    }

    #[test]
    fn a_webhook_has_to_say_everything() {
        check(
            "- {type: Webhook, name: w, webhook: {}}\n- {type: RBAC, name: rbac}",
            expect![[r#"
                authorizers[0].timeout: Required value,
                authorizers[0].subjectAccessReviewVersion: Required value,
                authorizers[0].failurePolicy: Required value,
                authorizers[0].connectionInfo.type: Required value"#]],
        );
        check(
            "- type: Webhook
  name: w
  webhook:
    timeout: 31s
    authorizedTTL: -1s
    subjectAccessReviewVersion: v2
    failurePolicy: Allow
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: /missing}
    matchConditions: [{expression: '1'}]",
            expect![[r#"
                authorizers[0].timeout: Invalid value: "31s": must be > 0s and <= 30s,
                authorizers[0].authorizedTTL: Invalid value: "-1s": must be > 0s,
                authorizers[0].subjectAccessReviewVersion: Unsupported value: "v2": supported values: "v1", "v1beta1",
                authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified,
                authorizers[0].failurePolicy: Unsupported value: "Allow": supported values: "NoOpinion", "Deny",
                authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/missing": error loading file: stat /missing: no such file,
                authorizers[0].matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int"#]],
        );
    }

    #[test]
    fn types_and_names_are_checked() {
        check(
            "- {type: RBAC, name: rbac}\n- {type: RBAC, name: r2}\n- {type: Magic, name: m}\n- {name: x}\n- {type: Node, name: Node_, webhook: {}}",
            expect![[r#"
                authorizers[1].type: Duplicate value: "RBAC",
                authorizers[2].type: Unsupported value: "Magic": supported values: "ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook",
                authorizers[3].type: Required value,
                authorizers[4].name: Invalid value: "Node_": authorizer name is invalid: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'),
                authorizers[4].webhook: Invalid value: "non-null": may only be specified when type=Webhook"#]],
        );
        check(
            "- {type: Node, name: n}",
            expect!["expected name node for authorizer Node instead of n, missing required types: [RBAC]"],
        );
        check(" []", expect!["authorizers: Required value: at least one authorization mode must be defined"]);
        check(
            "- {type: RBAC, name: rbac, extra: 1}",
            expect![[
                r#"failed to load AuthorizationConfiguration from file: strict decoding error: unknown field "authorizers[0].extra""#
            ]],
        );
    }
}
