//! Watching config maps of a real server.

use skiff::object::{Call, Options, Target, User, Verb};

use super::admin::ADMIN;

/// Asks for all that happens to config maps of `namespace` after revision `from`, and for bookmarks.
pub fn config_maps(namespace: &str, from: u64) -> Call {
    Call {
        user: User::named(ADMIN, &[]),
        verb: Verb::Watch,
        target: Target {
            version: "v1".into(),
            resource: "configmaps".into(),
            namespace: namespace.into(),
            ..Target::default()
        },
        options: Options { resource_version: from.to_string(), allow_watch_bookmarks: true, ..Options::default() },
        body: Default::default(),
        user_agent: "test".into(),
    }
}
