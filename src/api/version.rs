//! `/version`: what this server says it is.

use crate::object::tree::{Tree, json};

pub const MAJOR: &str = "1";
pub const MINOR: &str = "36";

/// The Kubernetes version that is spoken, with the version of skiff behind it.
pub const GIT_VERSION: &str = concat!("v1.36.2+skiff", env!("CARGO_PKG_VERSION"));

/// The body of `/version`. There is no Go in here; clients parse the fields all the same.
pub fn document() -> Tree {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": option_env!("SKIFF_GIT_COMMIT").unwrap_or("unknown"),
        "gitTreeState": option_env!("SKIFF_GIT_TREE_STATE").unwrap_or("clean"),
        "buildDate": option_env!("SKIFF_BUILD_DATE").unwrap_or("1970-01-01T00:00:00Z"),
        "goVersion": "rust",
        "compiler": "rustc",
        "platform": platform(),
    })
}

fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{arch}", std::env::consts::OS)
}
