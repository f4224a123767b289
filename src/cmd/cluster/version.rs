//! Which versions of servers understand each other: those that are at most one minor version apart.
//!
//! Every question from server to server says which version asks, so that one that was upgraded too far
//! is told so when it comes back, and not only when it joins.

use crate::object::{Reason, Status};

/// Refuses a server of another version that wants to join.
pub fn check(version: &str) -> Result<(), Status> {
    match are_compatible(version, crate::VERSION) {
        true => Ok(()),
        false => Err(Status::new(
            Reason::Forbidden,
            format!(
                "this cluster runs {}, which a server of version {version:?} cannot join: install one that is at \
                 most one minor version apart",
                crate::VERSION
            ),
        )),
    }
}

/// Refuses a member of another version that asks. One that does not say what it is, is from before.
pub fn check_running(version: &str) -> Result<(), Status> {
    match version.is_empty() || version == crate::VERSION || are_compatible(version, crate::VERSION) {
        true => Ok(()),
        false => Err(Status::new(
            Reason::Forbidden,
            format!(
                "this server runs {} and does not understand {version:?}: upgrade servers by one minor version at a time",
                crate::VERSION
            ),
        )),
    }
}

/// Whether servers of these versions understand each other.
fn are_compatible(theirs: &str, ours: &str) -> bool {
    let parts = |text: &str| {
        let mut parts = text.trim_start_matches('v').split('.');
        Some((parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?))
    };
    match (parts(theirs), parts(ours)) {
        (Some((major, minor)), Some((our_major, our_minor))) => major == our_major && minor.abs_diff(our_minor) <= 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_be_one_minor_version_apart() {
        for (theirs, fit) in [
            ("v1.36.0+skiff1", true),
            ("1.35.9", true),
            ("v1.37.0", true),
            ("v1.34.0", false),
            ("v2.36.0", false),
            ("", false),
        ] {
            assert_eq!(are_compatible(theirs, "v1.36.2"), fit, "{theirs}");
        }
        assert!(check_running("").is_ok() && check_running(crate::VERSION).is_ok());
        assert!(check_running("v1.99.0").unwrap_err().message.contains("one minor version at a time"));
    }
}
