//! The token with which agents join: a secret, and the hash of the authority to expect.
//!
//! In k3s's form, `K10<hash>::<user>:<secret>`: the hash lets a new agent trust the server before
//! it has seen its authority, and the secret lets the server trust the agent.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{SecurityError, hex, random_bytes, same_secret};
use crate::base::fs;

const PREFIX: &str = "K10";
const USER: &str = "server";

#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the server authority's PEM, in hex; empty if the token says nothing of it.
    pub authority_hash: String,
    secret: String,
}

impl JoinToken {
    /// Reads a full token, or a bare secret.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let full = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once("::"));
        let (hash, credentials) = full.unwrap_or(("", text));
        let secret = match full {
            Some(_) => credentials.split_once(':').map_or(credentials, |(_, secret)| secret),
            None => credentials,
        };
        Self { authority_hash: hash.to_ascii_lowercase(), secret: secret.to_owned() }
    }

    /// The token of a server whose authority is `authority_pem`: with the secret it was given, else
    /// the one in `file`, else a new one. The file is kept up to date.
    pub fn keep(file: &Path, given: Option<&str>, authority_pem: &str) -> Result<Self, SecurityError> {
        let stored = fs::read_if_there(file)?;
        let secret = match (given, &stored) {
            (Some(given), _) => Self::parse(given).secret,
            (None, Some(stored)) => Self::parse(stored).secret,
            (None, None) => hex(&random_bytes::<16>()),
        };
        let token = Self { authority_hash: hash(authority_pem), secret };
        let text = format!("{}\n", token.reveal());
        if stored.as_deref() != Some(&text) {
            fs::write_atomic(file, text.as_bytes(), 0o600)?;
        }
        Ok(token)
    }

    /// The whole token, as agents are given it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}::{USER}:{}", self.authority_hash, self.secret)
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    pub fn accepts_secret(&self, offered: &str) -> bool {
        !self.secret.is_empty() && same_secret(self.secret.as_bytes(), offered.as_bytes())
    }

    /// Whether this is the authority the token speaks of; a bare secret accepts any.
    pub fn accepts_authority(&self, authority_pem: &str) -> bool {
        self.authority_hash.is_empty() || self.authority_hash == hash(authority_pem)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}::(secret)", self.authority_hash)
    }
}

fn hash(authority_pem: &str) -> String {
    hex(&Sha256::digest(authority_pem.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_a_given_secret_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let first = JoinToken::keep(&file, None, "authority").unwrap();
        assert_eq!(JoinToken::keep(&file, None, "authority").unwrap(), first);
        assert_eq!(JoinToken::parse(&first.reveal()), first);

        let given = JoinToken::keep(&file, Some("sesame"), "authority").unwrap();
        assert!(given.accepts_secret("sesame") && !given.accepts_secret("Sesame") && !given.accepts_secret(""));
        assert!(given.accepts_authority("authority") && !given.accepts_authority("impostor"));
        assert!(JoinToken::parse("sesame").accepts_authority("any"));
        assert!(std::fs::read_to_string(&file).unwrap().ends_with("::server:sesame\n"));
    }
}
