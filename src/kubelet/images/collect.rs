//! Images that nobody uses go when the disk fills up: the longest unused first.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_cri::v1::{Image, ImageSpec};

use crate::kubelet::containerd::image::PAUSE_IMAGE;
use crate::kubelet::context::{Context, ContextRef};
use crate::kubelet::counts;
use crate::kubelet::cri::CriResult;
use crate::kubelet::pods::manager::Pods;
use crate::kubelet::usage::disk::Disk;
use crate::object::StringMap;

const PERIOD: Duration = Duration::from_secs(300);
/// The disk's use, in per cent, at which images begin to go, and down to which they go.
pub const HIGH_PERCENT: u64 = 85;
pub const LOW_PERCENT: u64 = 80;
/// An image this young was probably just pulled for somebody.
const AGE_MIN: Duration = Duration::from_secs(120);

/// Remembers when images were used last.
#[derive(Default)]
pub struct Collector(Mutex<HashMap<String, Known>>);

/// Times of the running clock.
#[derive(Clone, Copy, Debug)]
struct Known {
    first_seen: Duration,
    last_used: Option<Duration>,
    bytes: u64,
}

/// Looks after the disk that images are on for as long as it is polled.
pub async fn run(ctx: ContextRef, pods: Arc<Pods>, collector: Arc<Collector>) {
    loop {
        if let Some(disk) = Disk::of(&ctx.paths.containerd) {
            let excess = match disk.used_percent() {
                HIGH_PERCENT.. => disk.used_bytes - (disk.used_bytes + disk.available_bytes) / 100 * LOW_PERCENT,
                _ => 0,
            };
            collector.free(&ctx, &pods, excess).await;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

impl Collector {
    /// Removes every image that nobody uses.
    pub async fn free_all(&self, ctx: &Context, pods: &Pods) {
        self.free(ctx, pods, u64::MAX).await;
    }

    /// Removes unused images until `bytes` are free; with nothing to free, only looks who is used.
    async fn free(&self, ctx: &Context, pods: &Pods, bytes: u64) {
        let due = match self.due(ctx, pods, bytes).await {
            Ok(due) => due,
            Err(error) => return tracing::warn!(%error, "cannot find out which images are used"),
        };
        for image in due {
            tracing::info!(image, "removing an image that nobody uses");
            let spec = ImageSpec { image: image.clone(), ..Default::default() };
            match ctx.cri.remove_image(spec).await {
                Ok(()) => {
                    ctx.counts.add(&counts::COLLECTED_IMAGES, &["space"]);
                    self.lock().remove(&image);
                }
                Err(error) => tracing::warn!(image, %error, "cannot remove an image"),
            }
        }
    }

    async fn due(&self, ctx: &Context, pods: &Pods, bytes: u64) -> CriResult<Vec<String>> {
        let images = ctx.cri.images().await?;
        let mut used: HashSet<String> =
            ctx.cri.containers(&StringMap::new()).await?.into_iter().map(|container| container.image_ref).collect();
        for volume in pods.evictable().iter().flat_map(|pod| &pod.spec.volumes) {
            let names = |image: &&Image| {
                volume.image.as_ref().is_some_and(|source| image.repo_tags.contains(&source.reference))
            };
            used.extend(images.iter().find(names).map(|image| image.id.clone()));
        }
        let now = ctx.clock.elapsed();
        let mut known = self.lock();
        known.retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in images.iter().filter(|image| !is_kept(image, ctx)) {
            let entry =
                known.entry(image.id.clone()).or_insert(Known { first_seen: now, last_used: None, bytes: image.size });
            if used.contains(&image.id) {
                entry.last_used = Some(now);
            }
        }
        Ok(chosen(&known, &used, bytes, now))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pinned images stay, and that of the pods' own sandboxes.
fn is_kept(image: &Image, ctx: &Context) -> bool {
    let pause = ctx.config.pause_image.as_deref().unwrap_or(PAUSE_IMAGE);
    image.pinned || image.repo_tags.iter().any(|tag| tag == pause)
}

/// The ids of images to remove, in order, so that `bytes` are freed.
fn chosen(known: &HashMap<String, Known>, used: &HashSet<String>, bytes: u64, now: Duration) -> Vec<String> {
    let is_old = |image: &Known| now.saturating_sub(image.first_seen) >= AGE_MIN;
    let mut free: Vec<(&String, &Known)> =
        known.iter().filter(|(id, image)| !used.contains(*id) && is_old(image)).collect();
    free.sort_by_key(|(id, image)| (image.last_used, image.first_seen, (*id).clone()));
    let mut left = bytes;
    let mut ids = Vec::new();
    for (id, image) in free {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(image.bytes);
        ids.push(id.clone());
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_go_until_there_is_room() {
        let secs = Duration::from_secs;
        let image =
            |seen: u64, used: Option<u64>| Known { first_seen: secs(seen), last_used: used.map(secs), bytes: 10 };
        let known = HashMap::from([
            ("never".to_owned(), image(0, None)),
            ("long ago".to_owned(), image(0, Some(5))),
            ("lately".to_owned(), image(0, Some(50))),
            ("in use".to_owned(), image(0, Some(60))),
            ("just pulled".to_owned(), image(190, None)),
        ]);
        let used = HashSet::from(["in use".to_owned()]);
        let run = |bytes| chosen(&known, &used, bytes, secs(200));
        assert_eq!(run(0), Vec::<String>::new());
        assert_eq!(run(15), ["never", "long ago"]);
        assert_eq!(run(u64::MAX), ["never", "long ago", "lately"]);
    }
}
