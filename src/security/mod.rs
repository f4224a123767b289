//! Keys, certificates and tokens: who the members of a cluster are, and how they prove it.
//!
//! Knows nothing of API objects: what a verified name may do is decided in `api`.

pub mod ca;
pub mod csr;
pub mod current;
pub mod encryption;
pub mod held;
pub mod join;
pub mod kubeconfig;
pub mod pki;
pub mod sealed;
pub mod tls;
pub mod tokens;
pub mod x509;

use crate::base::fs::FileError;

/// Why keys or certificates could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot make {what}")]
    Make { what: String, source: rcgen::Error },
    #[error("{what} is damaged or not what it should be: {why}")]
    Damaged { what: String, why: String },
    #[error("this machine's clock says {day}, which cannot be: set it, then start again")]
    Clock { day: String },
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

impl SecurityError {
    fn damaged(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Damaged { what: what.into(), why: why.to_string() }
    }
}

/// A certificate with its private key, both as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The leaf, and what stands between it and the authority.
    pub certificate: String,
    pub key: String,
}

/// Bytes for keys, serial numbers and secrets, from the operating system's generator.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    use ring::rand::SecureRandom;
    let mut bytes = [0; N];
    // Fails only where the kernel has no generator, and there nothing is safe.
    ring::rand::SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Whether two secrets are the same, in a time that does not depend on where they differ.
pub fn same_secret(one: &[u8], other: &[u8]) -> bool {
    // Comparing digests hides the lengths too.
    use sha2::{Digest, Sha256};
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

pub use crate::base::hex::hex;
