//! An issuer's public keys, and what a token signed with one of them says.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};

use crate::object::tree::{Tree, TreePath, from_tree};

/// More keys of an issuer are not looked at.
const KEYS_MAX: usize = 100;
/// Longer tokens are not even looked at.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// How far the issuer's clock may be ahead.
const NOT_BEFORE_LEEWAY_SECS: i64 = 300;

/// Public keys, with their names.
#[derive(Default)]
pub struct Keys(Vec<(Option<String>, DecodingKey)>);

impl Keys {
    /// Reads a JWKS document. Keys of other kinds than are used here are passed over.
    pub fn read(document: &Tree) -> Self {
        let usable = |key: &Tree| {
            if key.text("use") == "enc" {
                return None;
            }
            let jwk: Jwk = from_tree(key).ok()?;
            let decoding = DecodingKey::from_jwk(&jwk).ok()?;
            // A shared secret in a public document is nobody's signature.
            (key.text("kty") != "oct").then_some((jwk.common.key_id, decoding))
        };
        Self(document.items("keys").iter().take(KEYS_MAX).filter_map(usable).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.0.iter().any(|(own, _)| own.as_deref() == Some(id)))
    }

    /// The claims of a token, if one of the keys made its signature with one of `algorithms`.
    pub fn verify(&self, token: &str, algorithms: &[Algorithm]) -> Result<Tree, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| format!("malformed token: {error}"))?;
        if !algorithms.contains(&header.alg) {
            return Err(format!("id token signed with unsupported algorithm {:?}", header.alg));
        }
        let mut validation = Validation::new(header.alg);
        // The library would ask the machine's clock; times and audiences are checked by us.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let fits = |own: &Option<String>| match (&header.kid, own) {
            (Some(wanted), Some(own)) => wanted == own,
            _ => true,
        };
        let mut keys = self.0.iter().filter(|(own, _)| fits(own));
        let verified = keys.find_map(|(_, key)| jsonwebtoken::decode::<Tree>(token, key, &validation).ok());
        verified.map(|decoded| decoded.claims).ok_or_else(|| "failed to verify signature".to_owned())
    }
}

/// What a token says of itself, unproven: its issuer and the name of its key.
pub fn untrusted(token: &str) -> Option<(String, Header)> {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, payload, _] = parts.as_slice() else { return None };
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let claims: Tree = serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?;
    let issuer = claims.get("iss").and_then(Tree::as_str)?.to_owned();
    Some((issuer, jsonwebtoken::decode_header(token).ok()?))
}

/// Checks everything about verified claims that is not the mapping's; gives when they end.
pub fn check(claims: &Tree, issuer: &str, audiences: &[String], now_secs: i64) -> Result<i64, String> {
    let number = |name: &str| claims.get(name).and_then(Tree::as_f64).map(|secs| secs as i64);
    if claims.get("iss").and_then(Tree::as_str) != Some(issuer) {
        return Err("id token issued by a different provider".into());
    }
    let meant: Vec<&str> = match claims.get("aud") {
        Some(Tree::String(one)) => vec![one],
        Some(Tree::Array(many)) => many.iter().filter_map(Tree::as_str).collect(),
        _ => Vec::new(),
    };
    if !audiences.iter().any(|own| meant.contains(&own.as_str())) {
        return Err(format!("expected audience in {audiences:?} got {meant:?}"));
    }
    let ends = number("exp").ok_or("token has no expiry")?;
    if now_secs > ends {
        return Err("token is expired".into());
    }
    if number("nbf").is_some_and(|start| now_secs + NOT_BEFORE_LEEWAY_SECS < start) {
        return Err("current time is before the token's nbf".into());
    }
    Ok(ends)
}
