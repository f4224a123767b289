//! Service-account tokens: JWTs signed with the cluster's own key.
//!
//! What a token says is checked here: signature, issuer, times. Whether the objects it is bound to
//! are still there is the API's to know.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, PublicKeyData};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::SecurityError;
use crate::base::fs;

/// Clocks that read tokens may be off by this much.
const LEEWAY_SECS: i64 = 60;
/// Longer ones are not even looked at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The issuer of tokens kept in Secrets, which have no audience and do not expire.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// The key that signs tokens and checks them.
pub struct TokenKey {
    signing: EncodingKey,
    verifying: DecodingKey,
    id: String,
    point: Vec<u8>,
}

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    pub iss: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jti: String,
    #[serde(rename = "kubernetes.io", skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    pub sub: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace", skip_serializing_if = "String::is_empty")]
    pub legacy_namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name", skip_serializing_if = "String::is_empty")]
    pub legacy_secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name", skip_serializing_if = "String::is_empty")]
    pub legacy_account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid", skip_serializing_if = "String::is_empty")]
    pub legacy_uid: String,
}

/// What a token is bound to: it is good only as long as each of these exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bound {
    pub namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Ref>,
    pub serviceaccount: Ref,
    /// When a token that was made to live long after its pod's should have been replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ref {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// Why a token is refused. Clients are not told; the log is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("not a token of this cluster")]
    Foreign,
    #[error("signature or form is wrong: {0}")]
    Malformed(String),
    #[error("expired or not yet valid")]
    OutOfTime,
}

impl TokenKey {
    /// Takes the key from its file, or makes it.
    pub fn open(path: &Path) -> Result<Self, SecurityError> {
        let pem = match fs::read_if_there(path)? {
            Some(pem) => pem,
            None => {
                let made = KeyPair::generate()
                    .map_err(|source| SecurityError::Make { what: "the token key".into(), source })?;
                fs::write_atomic(path, made.serialize_pem().as_bytes(), 0o600)?;
                made.serialize_pem()
            }
        };
        Self::from_pem(&pem).map_err(|why| SecurityError::damaged(path.display().to_string(), why))
    }

    pub fn from_pem(pem: &str) -> Result<Self, rcgen::Error> {
        let pair = KeyPair::from_pem(pem)?;
        if !pair.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256) {
            return Err(rcgen::Error::UnsupportedSignatureAlgorithm);
        }
        let point = pair.public_key_raw().to_vec();
        Ok(Self {
            signing: EncodingKey::from_ec_der(pair.serialized_der()),
            verifying: DecodingKey::from_ec_der(&point),
            id: BASE64.encode(Sha256::digest(pair.subject_public_key_info())),
            point,
        })
    }

    pub fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let header = Header { typ: None, kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(|error| TokenError::Malformed(error.to_string()))
    }

    /// The claims of a token that this key signed for one of `issuers`, and that is good at `now_secs`.
    pub fn verify(&self, token: &str, issuers: &[String], now_secs: i64) -> Result<Claims, TokenError> {
        let claims = self.read(token)?;
        claims.check(issuers, now_secs)?;
        Ok(claims)
    }

    /// The claims of a token that this key signed, whoever issued it and whenever it is good.
    pub fn read(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX || token.matches('.').count() != 2 {
            return Err(TokenError::Foreign);
        }
        let mut validation = Validation::new(Algorithm::ES256);
        // The library would ask the machine's clock; times and audiences are checked by ours.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation)
            .map(|decoded| decoded.claims)
            .map_err(|error| TokenError::Malformed(error.to_string()))
    }

    /// `/openid/v1/jwks`: what others check tokens with.
    pub fn jwks(&self) -> Value {
        let coordinate = |range: std::ops::Range<usize>| BASE64.encode(&self.point[range]);
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": coordinate(1..33), "y": coordinate(33..65),
        }]})
    }
}

/// `/.well-known/openid-configuration`.
pub fn discovery(issuer: &str, jwks_uri: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The issuer of this cluster's tokens.
pub fn issuer(cluster_domain: &str) -> String {
    format!("https://kubernetes.default.svc.{cluster_domain}")
}

impl Claims {
    /// A token kept in a Secret: for tools that cannot ask for fresh ones.
    pub fn legacy(namespace: &str, account: &str, uid: &str, secret: &str) -> Self {
        Self {
            iss: LEGACY_ISSUER.into(),
            sub: format!("system:serviceaccount:{namespace}:{account}"),
            legacy_namespace: namespace.into(),
            legacy_secret: secret.into(),
            legacy_account: account.into(),
            legacy_uid: uid.into(),
            ..Self::default()
        }
    }

    /// What the token is bound to, wherever it says so.
    pub fn bound(&self) -> Option<Bound> {
        if self.iss != LEGACY_ISSUER {
            return self.bound.clone();
        }
        Some(Bound {
            namespace: self.legacy_namespace.clone(),
            serviceaccount: Ref { name: self.legacy_account.clone(), uid: self.legacy_uid.clone() },
            secret: Some(Ref { name: self.legacy_secret.clone(), uid: String::new() }),
            ..Bound::default()
        })
    }

    pub fn is_legacy(&self) -> bool {
        self.iss == LEGACY_ISSUER
    }

    /// Whether they are of one of `issuers` and good at `now_secs`.
    pub fn check(&self, issuers: &[String], now_secs: i64) -> Result<(), TokenError> {
        if !issuers.contains(&self.iss) && self.iss != LEGACY_ISSUER {
            return Err(TokenError::Foreign);
        }
        let expired = match self.exp {
            Some(exp) => now_secs - LEEWAY_SECS >= exp,
            None => !self.is_legacy(),
        };
        let early = [self.nbf, self.iat].into_iter().flatten().any(|start| start > now_secs + LEEWAY_SECS);
        if expired || early { Err(TokenError::OutOfTime) } else { Ok(()) }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(from)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn key() -> TokenKey {
        TokenKey::from_pem(&KeyPair::generate().unwrap().serialize_pem()).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            aud: vec!["https://kubernetes.default.svc".into()],
            exp: Some(NOW + 3600),
            iat: Some(NOW),
            nbf: Some(NOW),
            iss: issuer("cluster.local"),
            sub: "system:serviceaccount:ns:bot".into(),
            jti: "id".into(),
            bound: Some(Bound {
                namespace: "ns".into(),
                serviceaccount: Ref { name: "bot".into(), uid: "u".into() },
                ..Bound::default()
            }),
            ..Claims::default()
        }
    }

    #[test]
    fn a_token_is_good_from_its_making_to_its_end() {
        let key = key();
        let token = key.sign(&claims()).unwrap();
        let verify = |now| key.verify(&token, &[issuer("cluster.local")], now);
        assert_eq!(verify(NOW), Ok(claims()));
        assert_eq!(verify(NOW + 3600 + LEEWAY_SECS), Err(TokenError::OutOfTime));
        assert_eq!(verify(NOW - LEEWAY_SECS - 1), Err(TokenError::OutOfTime));
        assert_eq!(key.verify(&token, &["https://elsewhere".into()], NOW), Err(TokenError::Foreign));
    }

    #[test]
    fn another_clusters_token_and_garbage_are_refused() {
        let token = key().sign(&claims()).unwrap();
        let verify = |token: &str| key().verify(token, &[issuer("cluster.local")], NOW);
        assert!(matches!(verify(&token), Err(TokenError::Malformed(_))));
        assert_eq!(verify("garbage"), Err(TokenError::Foreign));
        assert!(verify(&format!("{}x", token)).is_err());
        assert!(verify("a.b.c").is_err());
    }

    #[test]
    fn a_legacy_token_has_no_end() {
        let key = key();
        let token = key.sign(&Claims::legacy("ns", "bot", "u", "bot-token")).unwrap();
        let read = key.verify(&token, &[issuer("cluster.local")], NOW * 2).unwrap();
        assert_eq!(read.bound().unwrap().secret.unwrap().name, "bot-token");
    }

    #[test]
    fn a_token_without_end_that_is_not_legacy_is_refused() {
        let key = key();
        let token = key.sign(&Claims { exp: None, ..claims() }).unwrap();
        assert_eq!(key.verify(&token, &[issuer("cluster.local")], NOW), Err(TokenError::OutOfTime));
    }
}
