//! How much is written, and what it takes on the disk.

use std::path::Path;

use super::*;

/// The limits of a real store, one thirty-second of them.
const SCALE: u64 = 32;

fn space(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    sizes.map(|(path, data)| if data.is_dir() { space(&path) } else { data.blocks() * 512 }).sum()
}

#[tokio::test]
async fn updates_of_one_key_do_not_fill_the_disk() {
    let rig = Rig::with(|options| {
        options.log.bytes /= SCALE;
        options.history.bytes /= SCALE as usize;
    })
    .await;
    let value = "v".repeat(2_000);
    let mut most = 0;
    for n in 0..120 {
        let updates: Vec<String> = (0..50).map(|at| format!("put a/x{} {n}{value}", at % 2)).collect();
        futures_util::future::join_all(updates.iter().map(|line| rig.run(line))).await;
        most = most.max(space(&rig.options.dir));
    }
    let live = rig.store.state().object_bytes();
    let written = 120 * 50 * 2_000u64;
    let allowed = 4 * live + (64 << 20) / SCALE;
    assert!(written > 3 * allowed, "the test writes more than may stay");
    assert!(most <= allowed, "{most} bytes on the disk for {live} live ones");
    let before = rig.shown();
    assert_eq!(rig.restart().await.shown(), before);
}
