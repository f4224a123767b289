//! A pod's volumes: set up before its first container, and again when what they show has changed.

use std::sync::Arc;
use std::time::Duration;

use super::{RETRY_FIRST, Worker, lock};
use crate::kubelet::pods::plan::Steps;
use crate::kubelet::pods::seen::Seen;
use crate::kubelet::spec::Pod;
use crate::kubelet::volumes::{self, Mounted, tokens::Tokens};
use crate::object::Timestamp;

const RETRY_LONGEST: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct Volumes {
    pub mounted: Option<Mounted>,
    pub tokens: Tokens,
    failures: u32,
    retry_at: Option<Timestamp>,
    /// The pod's labels, annotations and volumes when they were set up last.
    set_up_for: Option<Arc<Pod>>,
}

impl Worker {
    /// Sets the volumes up if that was not done, or is to be done again. Returns whether all are.
    pub(super) async fn volumes_ready(&self, pod: &Pod, seen: &Seen, again: bool) -> bool {
        let mut volumes = self.volumes.lock().await;
        let volumes = &mut *volumes;
        if volumes.mounted.is_some() && !again {
            return true;
        }
        if let Some(at) = volumes.retry_at
            && self.ctx.now() < at
        {
            tokio::time::sleep(at.since(self.ctx.now())).await;
        }
        let ips = seen.sandboxes.first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
        match volumes::set_up(&self.ctx, pod, &self.ctx.on_node(&ips), &mut volumes.tokens).await {
            Ok(mounted) => {
                volumes.mounted = Some(mounted);
                volumes.failures = 0;
                volumes.retry_at = None;
                true
            }
            Err(error) => {
                self.ctx.tell(pod, None, true, "FailedMount", error.to_string());
                let delay = RETRY_FIRST * 2u32.saturating_pow(volumes.failures.min(10));
                volumes.failures += 1;
                volumes.retry_at = Some(self.ctx.now() + delay.min(RETRY_LONGEST));
                false
            }
        }
    }

    /// Whether a config map or secret of the pod has changed; starts that failed are then due.
    pub(super) fn sources_changed(&self) -> bool {
        let changed = self.signals.sources_changed.swap(false, std::sync::atomic::Ordering::Relaxed);
        if changed {
            let now = self.ctx.now();
            lock(&self.memory).failures.values_mut().for_each(|failure| failure.retry_at = failure.retry_at.min(now));
        }
        changed
    }

    /// Brings mounted volumes up to date with their sources.
    pub(super) async fn refresh_volumes(&self, pod: &Arc<Pod>, seen: &Seen, steps: &Steps, changed: bool) {
        if steps.is_over || seen.running().next().is_none() {
            return;
        }
        let is_due = {
            let mut volumes = self.volumes.lock().await;
            let now = self.ctx.now();
            let stale_token = volumes.tokens.renew_at().is_some_and(|at| at <= now);
            let same = |old: &Arc<Pod>| {
                old.metadata.labels == pod.metadata.labels && old.metadata.annotations == pod.metadata.annotations
            };
            let pod_changed = !volumes.set_up_for.as_ref().is_some_and(same);
            volumes.set_up_for = Some(pod.clone());
            changed || stale_token || pod_changed || volumes.mounted.is_none()
        };
        if is_due && !pod.spec.volumes.is_empty() {
            self.volumes_ready(pod, seen, true).await;
        }
    }
}
