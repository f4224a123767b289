//! What is done when a pod is over: giving back what it held, and removing its traces.

use super::{FAILURE_PAUSE, Order, Worker};
use crate::kubelet::pods::report;
use crate::kubelet::pods::seen::Seen;
use crate::kubelet::spec::Pod;
use crate::kubelet::volumes;

impl Worker {
    /// Gives back what a pod that is over holds: volumes and control group. Returns whether all
    /// could be.
    pub(super) async fn clean(&self, order: &Order, seen: &Seen) -> bool {
        let pod = &order.pod;
        let _ = seen;
        self.volumes.lock().await.mounted = None;
        if let Err(error) = volumes::unmount(&self.ctx, pod.uid()).await {
            tracing::warn!(pod = %pod.display(), %error, "cannot unmount a pod's volumes");
            return false;
        }
        if let Some(cgroups) = &self.ctx.cgroups {
            cgroups.remove_pod(pod.uid());
        }
        true
    }

    pub(super) async fn delete(&self, order: &Order, seen: &Seen) {
        let pod = &order.pod;
        self.remove_remains(seen).await;
        if let Err(error) = report::delete(&self.ctx.client, pod).await {
            tracing::warn!(pod = %pod.display(), %error, "cannot delete a pod that has ended");
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }

    pub(super) async fn remove_remains(&self, seen: &Seen) {
        for instance in &seen.instances {
            let _ = self.ctx.cri.remove_container(&instance.id).await;
        }
        for sandbox in &seen.sandboxes {
            let _ = self.ctx.cri.remove_sandbox(&sandbox.id).await;
        }
    }

    /// Removes the last traces of a pod that the API has no more.
    pub(super) async fn forget(&self, pod: &Pod, seen: &Seen) {
        self.remove_remains(seen).await;
        self.images.forget_pod(pod.uid());
        if let Err(error) = volumes::tear_down(&self.ctx, pod.uid()).await {
            tracing::warn!(pod = %pod.display(), %error, "cannot remove a pod's directory");
        }
        if !pod.name().is_empty() {
            let logs = self.ctx.paths.pod_log_dir(pod.namespace(), pod.name(), pod.uid());
            let _ = std::fs::remove_dir_all(logs);
            remove_log_links(&self.ctx.paths.container_logs, pod);
        }
    }
}

fn remove_log_links(dir: &std::path::Path, pod: &Pod) {
    let prefix = format!("{}_{}_", pod.name(), pod.namespace());
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_dangling = !entry.path().exists();
        if is_dangling && entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
