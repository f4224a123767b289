//! Keeps container logs small: past 10 MiB a log is set aside, and five are kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kubelet::context::ContextRef;
use crate::kubelet::pods::manager::Pods;

const LOG_BYTES_MAX: u64 = 10 << 20;
/// With the one being written.
const LOGS_MAX: usize = 5;
const PERIOD: Duration = Duration::from_secs(10);

/// Looks at every running container's log now and then.
pub async fn run(ctx: ContextRef, pods: std::sync::Arc<Pods>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        for (_, seen) in pods.all() {
            for instance in seen.running().filter(|instance| is_large(Path::new(&instance.log_path))) {
                let path = PathBuf::from(&instance.log_path);
                let aside = set_aside_name(&path, ctx.now());
                if let Err(error) = fs::rename(&path, &aside) {
                    tracing::warn!(log = %path.display(), %error, "cannot rotate a log");
                    continue;
                }
                if let Err(error) = ctx.cri.reopen_log(&instance.id).await {
                    tracing::warn!(log = %path.display(), %error, "the runtime does not open a rotated log anew");
                    let _ = fs::rename(&aside, &path);
                    continue;
                }
                for old in superfluous(&path) {
                    let _ = fs::remove_file(old);
                }
            }
        }
    }
}

fn is_large(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX)
}

/// `0.log.20260102-030405`, as upstream names it.
fn set_aside_name(path: &Path, now: crate::object::Timestamp) -> PathBuf {
    let stamp: String = now.to_string().chars().filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    PathBuf::from(format!("{}.{}", path.display(), stamp.replace('T', "-")))
}

/// The oldest logs set aside beside `path`, beyond those that are kept.
fn superfluous(path: &Path) -> Vec<PathBuf> {
    let Some((dir, name)) = path.parent().zip(path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_old = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
    let mut old: Vec<PathBuf> = entries.filter(is_old).map(|entry| entry.path()).collect();
    old.sort();
    old.truncate(old.len().saturating_sub(LOGS_MAX - 1));
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_logs_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        for day in 1..=6 {
            fs::write(dir.path().join(format!("0.log.2026010{day}-000000")), "").unwrap();
        }
        fs::write(dir.path().join("1.log"), "").unwrap();
        let old: Vec<_> = superfluous(&path).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(old, ["0.log.20260101-000000", "0.log.20260102-000000"]);
        let aside = set_aside_name(&path, crate::object::Timestamp::from_secs(0));
        assert!(aside.to_string_lossy().ends_with("0.log.19700101-000000"));
    }
}
