//! The real server on a disk whose power is cut, again and again, in the middle of whatever it does:
//! nothing acknowledged is missing afterwards, and no human is needed. Needs root and `/dev/fuse`.
//!
//! `SKIFF_POWER_CUTS` says how often, `SKIFF_POWER_SEED` with which choices, `SKIFF_POWER_PORT` where;
//! `SKIFF_BINARY` what to run instead of this build.

#[path = "../common/admin.rs"]
mod admin;
mod disk;
mod fuse;
mod ledger;
mod one;
mod server;
mod three;

use std::time::Duration;

/// Of a debug build on a busy machine.
const READY_MAX: Duration = Duration::from_secs(120);
/// How often a long run tells how far it is.
const TELL_EVERY: u64 = 10;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

/// Whether this machine can cut the power of a disk; says so if not.
fn can_cut() -> bool {
    let can = std::path::Path::new("/dev/fuse").exists() && nix::unistd::geteuid().is_root();
    if !can {
        eprintln!("skipped: cuts of power need root and /dev/fuse, a file system in user space");
    }
    can
}
