//! Image volumes: the files of an image, read-only.
//!
//! Their images are pulled when a container that mounts them is started, since pulling may have to
//! wait and its failure is that container's. Runtimes of today cannot all mount an image, so it is
//! mounted here, by a view of its snapshot.

use std::io;

use k8s_cri::v1::PodSandboxConfig;

use super::{Mounted, mounts};
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::kubelet::containerd::view;
use crate::kubelet::context::Context;
use crate::kubelet::images::{Asked, Images, NoImage};
use crate::kubelet::pods::plan::Waiting;
use crate::kubelet::spec::volume::ImageSource;
use crate::kubelet::spec::{Container, Pod};

const PLUGIN: &str = "kubernetes.io~image";
const RETRY: std::time::Duration = std::time::Duration::from_secs(10);

/// Adds the image volumes that `container` mounts to what is mounted.
pub async fn set_up(
    ctx: &Context,
    images: &Images,
    pod: &Pod,
    container: &Container,
    sandbox: &PodSandboxConfig,
    mounted: &mut Mounted,
) -> Result<(), NoImage> {
    let is_mounted = |name: &str| container.volume_mounts.iter().any(|mount| mount.name == name);
    for volume in pod.spec.volumes.iter().filter(|volume| is_mounted(&volume.name)) {
        let Some(source) = &volume.image else { continue };
        let path = ctx.paths.volume(pod.uid(), PLUGIN, &volume.name);
        one(ctx, images, pod, &volume.name, source, sandbox, &path).await?;
        mounted.insert(volume.name.clone(), path);
    }
    Ok(())
}

async fn one(
    ctx: &Context,
    images: &Images,
    pod: &Pod,
    name: &str,
    source: &ImageSource,
    sandbox: &PodSandboxConfig,
    path: &std::path::Path,
) -> Result<(), NoImage> {
    let failed = |why: String| NoImage {
        waiting: Waiting::new("CreateContainerError", format!("ImageVolumeMountFailed: volume {name:?}: {why}")),
        retry_at: ctx.now() + RETRY,
    };
    let asked = Asked { image: &source.reference, policy: &source.pull_policy, container: None };
    let image = images.ensure(ctx, pod, asked, sandbox).await?;
    if mounts::is_mounted(path).unwrap_or_default() {
        return Ok(());
    }
    let snapshotter =
        ctx.snapshotter.as_deref().ok_or_else(|| failed("the container runtime cannot mount images".into()))?;
    let chain = ctx.cri.image_chain(&image.id).await.map_err(|error| failed(error.message()))?;
    let chain = chain.ok_or_else(|| failed(format!("image {} is gone", source.reference)))?;
    std::fs::create_dir_all(path).map_err(|error| failed(error.to_string()))?;
    let key = key(pod.uid(), name);
    let shown = view::show(ctx.cri.channel(), snapshotter, &key, &chain, path).await;
    shown.map_err(|error| failed(Chain(&error).to_string()))
}

/// Unmounts the image volumes of a pod and gives their views up.
pub async fn release(ctx: &Context, uid: &str) -> io::Result<()> {
    let dir = ctx.paths.volume(uid, PLUGIN, "");
    let Ok(entries) = std::fs::read_dir(&dir) else { return Ok(()) };
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    Scope::blocking(move || mounts::unmount_all(&dir)).await?;
    for (name, snapshotter) in names.iter().zip(ctx.snapshotter.iter().cycle()) {
        view::release(ctx.cri.channel(), snapshotter, &key(uid, name)).await.map_err(io::Error::other)?;
    }
    Ok(())
}

fn key(uid: &str, volume: &str) -> String {
    format!("skiff-volume-{uid}-{volume}")
}
