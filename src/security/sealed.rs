//! Text that only those can read who know a secret: for handing keys over a place that others can see.
//!
//! ```text
//! "SKIFFSB1" salt:16 nonce:12 text, encrypted with AES-256-GCM and its 16 bytes of proof
//! ```
//!
//! The key is the secret by PBKDF2 with HMAC-SHA-256, so that a short secret is not tried out quickly.

use std::num::NonZeroU32;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::pbkdf2;

use super::{SecurityError, random_bytes};

const MAGIC: &[u8] = b"SKIFFSB1";
const SALT_LEN: usize = 16;
const ROUNDS: NonZeroU32 = NonZeroU32::new(200_000).expect("a number above zero");

/// Encrypts `text` with a key that `secret` gives.
pub fn seal(secret: &str, text: &[u8]) -> Result<Vec<u8>, SecurityError> {
    let (salt, nonce) = (random_bytes::<SALT_LEN>(), random_bytes::<NONCE_LEN>());
    let mut body = text.to_vec();
    key(secret, &salt)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(MAGIC), &mut body)
        .map_err(|error| SecurityError::damaged("a text to be sealed", error))?;
    Ok([MAGIC, &salt, &nonce, &body].concat())
}

/// What was sealed; nothing if it was with another secret, or is not what was sealed.
pub fn open(secret: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, SecurityError> {
    let parts = sealed.strip_prefix(MAGIC).and_then(|rest| {
        let (salt, rest) = rest.split_first_chunk::<SALT_LEN>()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        Some((salt, nonce, body))
    });
    let Some((salt, nonce, body)) = parts else {
        return Err(SecurityError::damaged("a sealed text", "it is of a newer version, or none at all"));
    };
    let mut body = body.to_vec();
    let opened = key(secret, salt)?.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(MAGIC), &mut body);
    Ok(opened.ok().map(|text| text.to_vec()))
}

fn key(secret: &str, salt: &[u8]) -> Result<LessSafeKey, SecurityError> {
    let mut bytes = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, secret.as_bytes(), &mut bytes);
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|error| SecurityError::damaged("a derived key", error))?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_opens_what_was_sealed() {
        let sealed = seal("sesame", b"keys").unwrap();
        assert!(!sealed.windows(4).any(|window| window == b"keys"));
        assert_eq!(open("sesame", &sealed).unwrap().as_deref(), Some(&b"keys"[..]));
        assert_eq!(open("Sesame", &sealed).unwrap(), None);
        assert_ne!(seal("sesame", b"keys").unwrap(), sealed, "the same text looks different each time");
    }

    #[test]
    fn what_was_changed_or_cut_off_is_not_opened() {
        let sealed = seal("sesame", b"keys").unwrap();
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(open("sesame", &changed).unwrap(), None);
        assert!(open("sesame", &sealed[..20]).is_err() && open("sesame", b"").is_err());
    }
}
