//! What can go wrong between here and etcd, and what it means for who asked.

use std::error::Error;
use std::sync::Arc;

use tonic::{Code, Status};

use super::connect::Unconnected;

/// Why there is no answer, or a bad one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind} at {endpoint}: {why}")]
pub struct EtcdError {
    pub kind: EtcdErrorKind,
    /// Whom the question went to.
    pub endpoint: Arc<str>,
    pub why: String,
}

/// What went wrong. Each says whether a write may have happened and whether waiting can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EtcdErrorKind {
    /// Nobody answered there. Nothing has happened; it may come.
    #[error("cannot reach etcd")]
    Unreachable,
    /// What answered there does not speak TLS, or ended while it was to begin.
    #[error("no TLS with etcd")]
    Tls,
    /// Nobody that we trust vouches for what answered there. Waiting does not help.
    #[error("cannot trust the certificate of etcd")]
    Untrusted,
    /// etcd does not take our certificate, or wants one.
    #[error("our certificate is not accepted by etcd")]
    Certificate,
    /// etcd knows who we are and does not let us.
    #[error("etcd refuses this client")]
    Denied,
    /// Whoever is there is no etcd.
    #[error("no etcd")]
    Foreign,
    /// etcd cannot work now: no leader, too many requests. Nothing has happened.
    #[error("etcd is not available")]
    Unavailable,
    /// No space is left for etcd, or its quota is used up.
    #[error("etcd is full")]
    Full,
    #[error("too large for etcd")]
    TooLarge,
    /// The revision asked for is compacted.
    #[error("history is gone")]
    Compacted,
    #[error("the lease is gone")]
    LeaseGone,
    /// The connection broke, or time ran out: it may have happened or not.
    #[error("no answer from etcd")]
    Lost,
}

impl EtcdErrorKind {
    /// Whether trying again may help.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Tls | Self::Unavailable | Self::Lost | Self::Full)
    }

    /// Whether another endpoint may do better.
    pub(super) fn is_of_endpoint(self) -> bool {
        matches!(self, Self::Unreachable | Self::Unavailable | Self::Lost | Self::Tls | Self::Untrusted)
    }

    /// Whether it is certain that nothing was asked of etcd.
    pub(super) fn is_untouched(self) -> bool {
        matches!(self, Self::Unreachable | Self::Tls | Self::Untrusted)
    }
}

/// etcd's own words, and what they mean. The first that fits.
const WORDS: &[(&str, EtcdErrorKind)] = &[
    ("etcdserver: mvcc: database space exceeded", EtcdErrorKind::Full),
    ("etcdserver: no space", EtcdErrorKind::Full),
    ("etcdserver: request is too large", EtcdErrorKind::TooLarge),
    ("grpc: received message larger than max", EtcdErrorKind::TooLarge),
    ("etcdserver: too many operations in txn request", EtcdErrorKind::TooLarge),
    ("etcdserver: mvcc: required revision has been compacted", EtcdErrorKind::Compacted),
    ("etcdserver: requested lease not found", EtcdErrorKind::LeaseGone),
    ("grpc-status header missing", EtcdErrorKind::Foreign),
    ("etcdserver: no leader", EtcdErrorKind::Unavailable),
    ("etcdserver: not capable", EtcdErrorKind::Unavailable),
    ("etcdserver: leader changed", EtcdErrorKind::Unavailable),
    ("etcdserver: too many requests", EtcdErrorKind::Unavailable),
    ("etcdserver: unhealthy cluster", EtcdErrorKind::Unavailable),
    ("etcdserver: permission denied", EtcdErrorKind::Denied),
    ("etcdserver: user name is empty", EtcdErrorKind::Denied),
    ("etcdserver: user name not found", EtcdErrorKind::Denied),
    ("etcdserver: invalid auth token", EtcdErrorKind::Denied),
    ("etcdserver: authentication", EtcdErrorKind::Denied),
];

impl EtcdError {
    pub(super) fn new(kind: EtcdErrorKind, endpoint: &Arc<str>, why: impl ToString) -> Self {
        Self { kind, endpoint: endpoint.clone(), why: why.to_string() }
    }

    /// What a failed call means.
    pub(super) fn of(status: &Status, endpoint: &Arc<str>) -> Self {
        let chain = || std::iter::successors(Some(status as &dyn Error), |error| inner(*error));
        if let Some(unconnected) = chain().find_map(|error| error.downcast_ref::<Unconnected>()) {
            return Self::new(unconnected.kind, endpoint, &unconnected.why);
        }
        if let Some(alert) = chain().find_map(|error| error.downcast_ref::<rustls::Error>()) {
            return Self::new(EtcdErrorKind::Certificate, endpoint, alert);
        }
        // The last of a chain says what really happened.
        let deepest = chain().last().map(ToString::to_string).filter(|_| status.source().is_some());
        // HTTP/2 hides TLS's errors, but not their words.
        if let Some(alert) = deepest.as_ref().filter(|why| why.contains("received fatal alert")) {
            return Self::new(EtcdErrorKind::Certificate, endpoint, alert);
        }
        let message = status.message();
        if let Some((_, kind)) = WORDS.iter().find(|(words, _)| message.contains(words)) {
            return Self::new(*kind, endpoint, message);
        }
        let kind = match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => EtcdErrorKind::Denied,
            Code::Unimplemented => EtcdErrorKind::Foreign,
            _ => EtcdErrorKind::Lost,
        };
        Self::new(kind, endpoint, deepest.unwrap_or_else(|| format!("{:?}: {message}", status.code())))
    }
}

/// What is behind `error`; an IO error hides what it was made of.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_says_is_told_apart_by_what_may_have_happened() {
        let endpoint: Arc<str> = "https://e:2379".into();
        let kind = |code, message: &str| EtcdError::of(&Status::new(code, message), &endpoint).kind;
        let full = kind(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        assert_eq!((full, full.may_pass()), (EtcdErrorKind::Full, true));
        assert_eq!(kind(Code::Unavailable, "etcdserver: request timed out"), EtcdErrorKind::Lost);
        assert_eq!(kind(Code::Unavailable, "etcdserver: no leader"), EtcdErrorKind::Unavailable);
        let denied = kind(Code::PermissionDenied, "etcdserver: permission denied");
        assert!(denied == EtcdErrorKind::Denied && !denied.may_pass());
        assert_eq!(kind(Code::Unimplemented, ""), EtcdErrorKind::Foreign);
    }
}
