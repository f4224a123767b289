//! `apiserver.config.k8s.io` AuthenticationConfiguration: whose tokens are believed, and what they say.

use std::cell::Cell;
use std::collections::BTreeSet;

use jsonwebtoken::Algorithm;

use super::mapping::{Check, Expression, Mapping, Source};
use crate::api::strict::{self, only};
use crate::object::FieldErrors;
use crate::object::cel::Program;
use crate::object::tree::{Tree, TreePath};
use crate::resources::names::is_dns1123_subdomain;
use crate::security::tls;

const ISSUERS_MAX: usize = 64;

/// Every signature that is accepted. None of them is made with a secret that two sides share, so that
/// nobody can sign with what is public.
pub const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
];

#[derive(Debug, Default)]
pub struct Config {
    pub issuers: Vec<IssuerConfig>,
    pub anonymous: Anonymous,
}

/// Who may come without saying who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anonymous {
    pub enabled: bool,
    /// If any, only for these.
    pub paths: Vec<String>,
}

impl Default for Anonymous {
    fn default() -> Self {
        Self { enabled: true, paths: Vec::new() }
    }
}

impl Anonymous {
    pub fn allows(&self, path: &str) -> bool {
        self.enabled && (self.paths.is_empty() || self.paths.iter().any(|own| own == path))
    }
}

/// One issuer of tokens, and what its tokens mean.
#[derive(Debug)]
pub struct IssuerConfig {
    pub url: String,
    pub discovery_url: Option<String>,
    /// In PEM; the system's authorities if none.
    pub authorities: Option<String>,
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub mapping: Mapping,
}

impl Config {
    /// Reads a configuration file. `own_issuers` are those of service accounts, which nobody else may
    /// be. The error says all that is wrong.
    pub fn parse(text: &str, own_issuers: &[String]) -> Result<Self, String> {
        let tree = strict::open(text, "AuthenticationConfiguration")?;
        let mut unknown = Vec::new();
        only(&tree, "", &["apiVersion", "kind", "jwt", "anonymous"], &mut unknown);
        let mut errors = FieldErrors::default();
        let entries = tree.items("jwt");
        if entries.len() > ISSUERS_MAX {
            errors.too_many("jwt", entries.len(), ISSUERS_MAX);
            return Err(errors.message());
        }
        let (mut urls, mut discoveries) = (BTreeSet::new(), BTreeSet::new());
        let mut issuers = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let path = format!("jwt[{at}]");
            issuers.push(issuer(entry, &path, own_issuers, &mut errors, &mut unknown));
            let url = entry.text("issuer.url");
            if !urls.insert(url) {
                errors.duplicate(format!("{path}.issuer.url"), url);
            }
            let discovery = entry.text("issuer.discoveryURL");
            if !discovery.is_empty() && !discoveries.insert(discovery) {
                errors.duplicate(format!("{path}.issuer.discoveryURL"), discovery);
            }
        }
        let anonymous = anonymous(&tree, &mut errors, &mut unknown);
        if let Some(why) = strict::complaint(&unknown) {
            return Err(why);
        }
        if !errors.is_empty() {
            return Err(errors.message());
        }
        Ok(Self { issuers: issuers.into_iter().flatten().collect(), anonymous })
    }

    /// Whether the file says anything about anonymous requests.
    pub fn says_anonymous(text: &str) -> bool {
        serde_yaml::from_str::<Tree>(text).is_ok_and(|tree| tree.has("anonymous"))
    }
}

fn anonymous(tree: &Tree, errors: &mut FieldErrors, unknown: &mut Vec<String>) -> Anonymous {
    let Some(said) = tree.at("anonymous").filter(|said| said.is_object()) else { return Anonymous::default() };
    only(said, "anonymous", &["enabled", "conditions"], unknown);
    let conditions = said.items("conditions");
    conditions.iter().for_each(|one| only(one, "anonymous.conditions", &["path"], unknown));
    let enabled = said.flag("enabled").unwrap_or(false);
    if !enabled && !conditions.is_empty() {
        let why = "enabled should be set to true when conditions are defined";
        errors.invalid("anonymous.conditions", Tree::from(conditions.to_vec()), why);
    }
    Anonymous { enabled, paths: conditions.iter().map(|one| one.text("path").to_owned()).collect() }
}

fn issuer(
    entry: &Tree,
    path: &str,
    own_issuers: &[String],
    errors: &mut FieldErrors,
    unknown: &mut Vec<String>,
) -> Option<IssuerConfig> {
    only(entry, path, &["issuer", "claimValidationRules", "claimMappings", "userValidationRules"], unknown);
    let empty = Tree::Null;
    let said = entry.get("issuer").unwrap_or(&empty);
    let at = format!("{path}.issuer");
    const FIELDS: &[&str] =
        &["url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy", "egressSelectorType"];
    only(said, &at, FIELDS, unknown);
    let before = errors.list.len();
    let url = said.text("url");
    match url {
        "" => errors.required(format!("{at}.url"), ""),
        url => check_url(url, &format!("{at}.url"), own_issuers, errors),
    }
    let discovery = said.text("discoveryURL");
    if !discovery.is_empty() {
        let at = format!("{at}.discoveryURL");
        if discovery.trim_end_matches('/') == url.trim_end_matches('/') {
            errors.invalid(at.as_str(), discovery, "discoveryURL must be different from URL");
        }
        check_url(discovery, &at, &[], errors);
    }
    let audiences = audiences(said, &at, errors);
    let authorities = said.text("certificateAuthority");
    if !authorities.is_empty() && tls::client_config(authorities, None).is_err() {
        errors.invalid(
            format!("{at}.certificateAuthority"),
            "<omitted>",
            "data does not contain any valid RSA or ECDSA certificates",
        );
    }
    let mapping = mapping(entry, path, errors, unknown);
    (errors.list.len() == before).then(|| IssuerConfig {
        url: url.to_owned(),
        discovery_url: (!discovery.is_empty()).then(|| discovery.to_owned()),
        authorities: (!authorities.is_empty()).then(|| authorities.to_owned()),
        audiences,
        algorithms: ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect(),
        mapping,
    })
}

/// Checks the address of an issuer.
pub fn check_url(url: &str, at: &str, disallowed: &[String], errors: &mut FieldErrors) {
    if disallowed.iter().any(|one| one == url) {
        errors.invalid(at, url, format!("URL must not overlap with disallowed issuers: [{}]", disallowed.join(" ")));
    }
    let without_fragment = url.split('#').next().unwrap_or_default();
    let uri = match without_fragment.parse::<http::Uri>() {
        Ok(uri) => uri,
        Err(error) => return errors.invalid(at, url, error),
    };
    if uri.scheme_str() != Some("https") {
        errors.invalid(at, url, "URL scheme must be https");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        errors.invalid(at, url, "URL must not contain a username or password");
    }
    if uri.query().is_some_and(|query| !query.is_empty()) {
        errors.invalid(at, url, "URL must not contain a query");
    }
    if url.split_once('#').is_some_and(|(_, fragment)| !fragment.is_empty()) {
        errors.invalid(at, url, "URL must not contain a fragment");
    }
}

fn audiences(said: &Tree, at: &str, errors: &mut FieldErrors) -> Vec<String> {
    let list: Vec<String> = said.items("audiences").iter().filter_map(Tree::as_str).map(str::to_owned).collect();
    if list.is_empty() {
        errors.required(format!("{at}.audiences"), format!("at least one {at}.audiences is required"));
    }
    let mut seen = BTreeSet::new();
    for (n, audience) in list.iter().enumerate() {
        let at = format!("{at}.audiences[{n}]");
        if audience.is_empty() {
            errors.required(at.as_str(), "");
        }
        if !seen.insert(audience) {
            errors.duplicate(at.as_str(), audience.as_str());
        }
    }
    let policy = said.text("audienceMatchPolicy");
    let at = format!("{at}.audienceMatchPolicy");
    if list.len() > 1 && policy != "MatchAny" {
        errors.invalid(at.as_str(), policy, "audienceMatchPolicy must be MatchAny for multiple audiences");
    }
    if list.len() == 1 && !matches!(policy, "" | "MatchAny") {
        errors.invalid(at.as_str(), policy, "audienceMatchPolicy must be empty or MatchAny for single audience");
    }
    list
}

fn mapping(entry: &Tree, path: &str, errors: &mut FieldErrors, unknown: &mut Vec<String>) -> Mapping {
    let mut mapping = Mapping::default();
    let mut verified = false;
    let mut seen = BTreeSet::new();
    for (n, rule) in entry.items("claimValidationRules").iter().enumerate() {
        let at = format!("{path}.claimValidationRules[{n}]");
        only(rule, &at, &["claim", "requiredValue", "expression", "message"], unknown);
        let (claim, expression) = (rule.text("claim"), rule.text("expression"));
        match (claim, expression) {
            ("", "") => errors.required(at, "claim or expression is required"),
            (claim, "") => {
                if !rule.text("message").is_empty() {
                    let why = "may not be specified when claim is set";
                    errors.invalid(format!("{at}.message"), rule.text("message"), why);
                }
                if !seen.insert(("claim", claim)) {
                    errors.duplicate(format!("{at}.claim"), claim);
                }
                mapping.required.push((claim.to_owned(), rule.text("requiredValue").to_owned()));
            }
            ("", expression) => {
                if !rule.text("requiredValue").is_empty() {
                    let why = "may not be specified when expression is set";
                    errors.invalid(format!("{at}.requiredValue"), rule.text("requiredValue"), why);
                }
                if !seen.insert(("expression", expression)) {
                    errors.duplicate(format!("{at}.expression"), expression);
                } else if let Some(compiled) = compile(expression, "claims", &format!("{at}.expression"), errors) {
                    verified |= selects(&compiled, "email_verified");
                    mapping.claim_checks.push(Check { expression: compiled, message: rule.text("message").into() });
                }
            }
            (claim, _) => errors.invalid(at, claim, "claim and expression can't both be set"),
        }
    }
    let empty = Tree::Null;
    let said = entry.get("claimMappings").unwrap_or(&empty);
    let at = format!("{path}.claimMappings");
    only(said, &at, &["username", "groups", "uid", "extra"], unknown);
    let at_user = format!("{at}.username");
    mapping.username = prefixed(said.get("username"), &at_user, true, errors, unknown);
    mapping.groups = prefixed(said.get("groups"), &format!("{at}.groups"), false, errors, unknown);
    mapping.uid = uid(said.get("uid"), &format!("{at}.uid"), errors, unknown);
    let mut keys = BTreeSet::new();
    for (n, extra) in said.items("extra").iter().enumerate() {
        let at = format!("{at}.extra[{n}]");
        only(extra, &at, &["key", "valueExpression"], unknown);
        let (key, expression) = (extra.text("key"), extra.text("valueExpression"));
        check_key(key, &format!("{at}.key"), errors);
        if !keys.insert(key) {
            errors.duplicate(format!("{at}.key"), key);
        } else if expression.is_empty() {
            errors.required(format!("{at}.valueExpression"), "");
        } else if let Some(compiled) = compile(expression, "claims", &format!("{at}.valueExpression"), errors) {
            verified |= selects(&compiled, "email_verified");
            mapping.extra.push((key.to_owned(), compiled));
        }
    }
    if let Some(Source::Expression(expression)) = &mapping.username {
        verified |= selects(expression, "email_verified");
        if selects(expression, "email") && !verified {
            let why = "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression";
            errors.invalid(format!("{at_user}.expression"), expression.text.as_str(), why);
        }
    }
    let mut seen = BTreeSet::new();
    for (n, rule) in entry.items("userValidationRules").iter().enumerate() {
        let at = format!("{path}.userValidationRules[{n}]");
        only(rule, &at, &["expression", "message"], unknown);
        let (expression, at) = (rule.text("expression"), format!("{at}.expression"));
        if expression.is_empty() {
            errors.required(at, "expression is required");
        } else if !seen.insert(expression) {
            errors.duplicate(at, expression);
        } else if let Some(compiled) = compile(expression, "user", &at, errors) {
            mapping.user_checks.push(Check { expression: compiled, message: rule.text("message").into() });
        }
    }
    mapping
}

fn prefixed(
    said: Option<&Tree>,
    at: &str,
    is_required: bool,
    errors: &mut FieldErrors,
    unknown: &mut Vec<String>,
) -> Option<Source> {
    let empty = Tree::Null;
    let said = said.unwrap_or(&empty);
    only(said, at, &["claim", "prefix", "expression"], unknown);
    let prefix = said.get("prefix").and_then(Tree::as_str);
    match (said.text("claim"), said.text("expression")) {
        ("", "") if is_required => errors.required(at, "claim or expression is required"),
        ("", "") => {
            if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
                errors.invalid(at, prefix, "non-empty prefix isn't supported when claim is not set");
            }
        }
        ("", expression) => {
            if let Some(prefix) = prefix {
                errors.invalid(format!("{at}.prefix"), prefix, "prefix can't be set when expression is set");
            }
            return compile(expression, "claims", &format!("{at}.expression"), errors).map(Source::Expression);
        }
        (claim, "") => match prefix {
            Some(prefix) => return Some(Source::Claim { claim: claim.into(), prefix: prefix.into() }),
            None => errors.required(
                format!("{at}.prefix"),
                "prefix is required when claim is set. It can be set to an empty string to disable prefixing",
            ),
        },
        _ => errors.invalid(at, "", "claim and expression can't both be set"),
    }
    None
}

fn uid(said: Option<&Tree>, at: &str, errors: &mut FieldErrors, unknown: &mut Vec<String>) -> Option<Source> {
    let said = said?;
    only(said, at, &["claim", "expression"], unknown);
    match (said.text("claim"), said.text("expression")) {
        ("", "") => None,
        ("", expression) => compile(expression, "claims", &format!("{at}.expression"), errors).map(Source::Expression),
        (claim, "") => Some(Source::Claim { claim: claim.into(), prefix: String::new() }),
        _ => {
            errors.invalid(at, "", "claim and expression can't both be set");
            None
        }
    }
}

fn check_key(key: &str, at: &str, errors: &mut FieldErrors) {
    let domain = match key.split_once('/') {
        Some((domain, path)) if is_dns1123_subdomain(domain).is_empty() && !path.is_empty() => domain,
        _ if key.is_empty() => return errors.required(at, ""),
        _ => return errors.invalid(at, key, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    };
    if key.chars().any(char::is_uppercase) {
        errors.invalid(at, key, "must be lowercase");
    }
    if ["kubernetes.io", "k8s.io"].iter().any(|own| domain == *own || domain.ends_with(&format!(".{own}"))) {
        errors.invalid(at, key, "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
    }
}

fn compile(text: &str, name: &str, at: &str, errors: &mut FieldErrors) -> Option<Expression> {
    const USER_FIELDS: &[&str] = &["username", "uid", "groups", "extra"];
    let is_known = |steps: &[&str]| name != "user" || steps.first().is_none_or(|field| USER_FIELDS.contains(field));
    let compiled = Program::compile(text, &[name]).and_then(|program| {
        program.check_fields(text, name, &is_known)?;
        Ok(program)
    });
    match compiled {
        Ok(program) => Some(Expression { text: text.to_owned(), program }),
        Err(why) => {
            errors.invalid(at, text, format!("compilation failed: {why}"));
            None
        }
    }
}

/// Whether an expression reads a claim.
fn selects(expression: &Expression, claim: &str) -> bool {
    let found = Cell::new(false);
    let look = |steps: &[&str]| {
        found.set(found.get() || steps.first() == Some(&claim));
        true
    };
    let _ = expression.program.check_fields(&expression.text, "claims", &look);
    found.get()
}
