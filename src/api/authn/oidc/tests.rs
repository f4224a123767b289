//! Tokens of an issuer of the tests' own, on loopback with TLS.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;

use super::*;
use crate::api::loopback::{Loopback, serve};
use crate::object::tree::{Tree, json};

const NOW: i64 = 1_800_000_000;

/// A key pair with a name.
struct Signer {
    id: String,
    pair: KeyPair,
}

impl Signer {
    fn new(id: &str) -> Self {
        Self { id: id.into(), pair: KeyPair::generate().unwrap() }
    }

    fn jwk(&self) -> Tree {
        let point = self.pair.public_key_raw();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65]),
        })
    }

    fn sign(&self, claims: &Tree) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(self.pair.serialized_der())).unwrap()
    }
}

/// An issuer that serves its keys.
struct Issuing {
    url: String,
    authority: String,
    keys: Arc<Mutex<Vec<Tree>>>,
    asked: Arc<AtomicUsize>,
    scope: Scope,
}

impl Issuing {
    async fn start(signer: &Signer) -> Self {
        let keys = Arc::new(Mutex::new(vec![signer.jwk()]));
        let asked = Arc::new(AtomicUsize::new(0));
        let (served, count, own) = (keys.clone(), asked.clone(), Arc::new(OnceLock::<String>::new()));
        let issuer = own.clone();
        let serving = serve(move |path, _| {
            let issuer = issuer.get().unwrap();
            if path == "/.well-known/openid-configuration" {
                return (200, json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}).to_string());
            }
            count.fetch_add(1, Ordering::SeqCst);
            (200, json!({"keys": served.lock().unwrap().clone()}).to_string())
        });
        let (Loopback { url, authority }, working) = serving.await;
        let scope = Scope::root("issuer");
        scope.spawn("issuer", working);
        own.set(url.clone()).unwrap();
        Self { url, authority, keys, asked, scope }
    }

    /// A configuration that believes this issuer; `more` is more of its entry.
    fn config(&self, mapping: &str) -> String {
        let authority = json!(self.authority);
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: {}\n    audiences: [skiff, other]\n    audienceMatchPolicy: MatchAny\n    certificateAuthority: {authority}\n{mapping}",
            self.url
        )
    }

    async fn believed(&self, mapping: &str) -> Issuers {
        let issuers = Issuers::new(Config::parse(&self.config(mapping), &[]).unwrap(), &self.scope).unwrap();
        issuers.refresh().await.unwrap();
        issuers
    }

    fn claims(&self) -> Tree {
        json!({
            "iss": self.url, "aud": "skiff", "exp": NOW + 60, "sub": "17", "email": "ann@example.com",
            "groups": ["ops", "dev"], "jti": "t1",
        })
    }
}

const PLAIN: &str = "  claimMappings: {username: {claim: sub, prefix: 'oidc:'}, groups: {claim: groups, prefix: ''}}";

fn told(issuers: &Issuers, token: &str, now: i64) -> String {
    match issuers.user(token, now) {
        None => "nobody's".into(),
        Some(Err(why)) => why.to_string(),
        Some(Ok(user)) => format!("{} [{}] {:?}", user.name, user.groups.join(", "), user.extra),
    }
}

#[tokio::test]
async fn a_token_says_who_its_user_is() {
    let signer = Signer::new("a");
    let issuing = Issuing::start(&signer).await;
    let issuers = issuing.believed(PLAIN).await;
    let token = signer.sign(&issuing.claims());
    assert_eq!(
        told(&issuers, &token, NOW),
        r#"oidc:17 [ops, dev, system:authenticated] {"authentication.kubernetes.io/credential-id": ["JTI=t1"]}"#
    );
    // Remembered or not, it ends.
    assert_eq!(told(&issuers, &token, NOW + 61), "oidc: token is expired");
    assert_eq!(told(&issuers, "a.b.c", NOW), "nobody's");
}

#[tokio::test]
async fn what_is_not_signed_as_it_should_be_is_refused() {
    let signer = Signer::new("a");
    let issuing = Issuing::start(&signer).await;
    let issuers = issuing.believed(PLAIN).await;
    let claims = issuing.claims();
    let of = |token: &str| told(&issuers, token, NOW);
    // Another key under the same name, another issuer's name, another audience, no end.
    assert_eq!(of(&Signer::new("a").sign(&claims)), "oidc: failed to verify signature");
    let with = |field: &str, value: Tree| {
        let mut claims = claims.clone();
        claims[field] = value;
        of(&signer.sign(&claims))
    };
    assert_eq!(with("iss", "https://elsewhere".into()), "nobody's");
    assert!(with("aud", "vault".into()).starts_with("oidc: expected audience"));
    assert!(with("aud", json!(["vault", "other"])).starts_with("oidc:17 "));
    assert_eq!(with("exp", Tree::Null), "oidc: token has no expiry");
    assert_eq!(with("nbf", (NOW + 400).into()), "oidc: current time is before the token's nbf");
    // The public key as a shared secret, and no signature at all.
    let secret = EncodingKey::from_secret(signer.pair.public_key_raw());
    let header = Header { kid: Some("a".into()), ..Header::new(Algorithm::HS256) };
    let confused = jsonwebtoken::encode(&header, &claims, &secret).unwrap();
    assert_eq!(of(&confused), "oidc: id token signed with unsupported algorithm HS256");
    let part = |tree: Tree| BASE64.encode(tree.to_string());
    let unsigned = format!("{}.{}.", part(json!({"alg": "none"})), part(claims.clone()));
    assert_eq!(of(&unsigned), "nobody's");
    // A token cut or changed on its way.
    let token = signer.sign(&claims);
    assert!(of(&token[..token.len() - 2]).contains("failed to verify signature"));
}

#[tokio::test]
async fn a_new_key_is_asked_for_when_a_token_names_it_and_not_too_often() {
    let old = Signer::new("old");
    let issuing = Issuing::start(&old).await;
    let issuers = issuing.believed(PLAIN).await;
    let new = Signer::new("new");
    let token = new.sign(&issuing.claims());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    issuing.keys.lock().unwrap().push(new.jwk());
    issuers.look_for_key_of(&token).await;
    assert!(told(&issuers, &token, NOW).starts_with("oidc:17 "));
    let before = issuing.asked.load(Ordering::SeqCst);
    for n in 0..20 {
        issuers.look_for_key_of(&Signer::new(&format!("unknown-{n}")).sign(&issuing.claims())).await;
    }
    assert!(issuing.asked.load(Ordering::SeqCst) <= before + 1);
}

#[tokio::test]
async fn expressions_map_and_check_claims_and_users() {
    let signer = Signer::new("a");
    let issuing = Issuing::start(&signer).await;
    let issuers = issuing
        .believed(
            "  claimValidationRules:
  - {expression: \"claims.?email_verified.orValue(true) == true\", message: not verified}
  - {claim: hd, requiredValue: example.com}
  claimMappings:
    username: {expression: \"claims.email + ':' + claims.sub\"}
    groups: {expression: \"claims.groups.map(g, 'x-' + g)\"}
    uid: {claim: sub}
    extra: [{key: example.org/tenant, valueExpression: \"claims.hd\"}, {key: example.org/none, valueExpression: \"''\"}]
  userValidationRules:
  - {expression: \"!user.username.startsWith('system:')\", message: no system users}",
        )
        .await;
    let mut claims = issuing.claims();
    assert!(told(&issuers, &signer.sign(&claims), NOW).starts_with("oidc: expression 'claims.hd' resulted in error"));
    claims["hd"] = "example.org".into();
    assert!(told(&issuers, &signer.sign(&claims), NOW).contains("required claim hd value does not match"));
    claims["hd"] = "example.com".into();
    let user = issuers.user(&signer.sign(&claims), NOW).unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("ann@example.com:17", "17"));
    assert_eq!(user.groups, ["x-ops", "x-dev", AUTHENTICATED]);
    assert_eq!(user.extra["example.org/tenant"], ["example.com"]);
    assert!(!user.extra.contains_key("example.org/none"));
    claims["email_verified"] = false.into();
    assert!(told(&issuers, &signer.sign(&claims), NOW).contains("not verified"));
    claims["email_verified"] = true.into();
    claims["email"] = "system:admin".into();
    assert!(told(&issuers, &signer.sign(&claims), NOW).contains("no system users"));
}

#[test]
fn a_bad_configuration_is_refused_with_everything_that_is_wrong() {
    let parse = |text: &str| {
        let text = format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{text}");
        Config::parse(&text, &["https://own".into()]).unwrap_err()
    };
    let told = parse(
        "jwt:
- issuer: {url: 'http://a', audiences: []}
  claimMappings: {username: {claim: sub}}
- issuer: {url: 'https://own', audiences: [a, b]}
  claimMappings: {username: {expression: 'claims.email'}, extra: [{key: k8s.io/x, valueExpression: \"'v'\"}]}
  userValidationRules: [{expression: 'user.nme == \"\"'}]
anonymous: {enabled: false, conditions: [{path: /livez}]}",
    );
    for part in [
        "jwt[0].issuer.url: Invalid value: \"http://a\": URL scheme must be https",
        "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
        "jwt[0].claimMappings.username.prefix: Required value",
        "jwt[1].issuer.url: Invalid value: \"https://own\": URL must not overlap with disallowed issuers",
        "jwt[1].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be MatchAny",
        "claims.email_verified must be used",
        "are reserved for Kubernetes use",
        "undefined field 'nme'",
        "anonymous.conditions: Invalid value",
    ] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert_eq!(parse("jwtt: []"), "strict decoding error: unknown field \"jwtt\"");
}

#[test]
fn anonymous_requests_may_be_kept_to_some_paths() {
    let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: true, conditions: [{path: /livez}]}";
    let anonymous = Config::parse(text, &[]).unwrap().anonymous;
    assert!(anonymous.allows("/livez") && !anonymous.allows("/livez/etcd") && !anonymous.allows("/api"));
    assert!(Anonymous::default().allows("/api"));
}
