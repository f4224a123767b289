//! Volumes: what a pod's containers find mounted, and its removal when the pod is gone.
//!
//! Setting up is idempotent: it is done before the first container starts and again whenever a
//! source may have changed. Directories lie as upstream lays them out, under
//! `pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`.

pub mod atomic;
mod claims;
mod host_path;
pub mod image;
pub mod mounts;
pub mod payload;
pub mod subpath;
pub mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use self::tokens::Tokens;
use super::cgroups::amounts;
use super::context::Context;
use super::pods::downward::OnNode;
use super::pods::sources::{self, Wanted};
use super::spec::{Pod, Volume};
use crate::base::service::Scope;
use crate::object::quantity::Quantity;

/// Where each volume of a pod lies on the host, by its name.
pub type Mounted = BTreeMap<String, PathBuf>;

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("{0}")]
    Payload(#[from] payload::PayloadError),
    #[error("{0}")]
    HostPath(#[from] host_path::HostPathError),
    #[error("{0}")]
    Api(#[from] crate::object::Status),
    #[error("cannot set up {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("claim {claim:?}: {why}")]
    Claim { claim: String, why: String },
    #[error("no volume plugin matched")]
    Unsupported,
}

/// A volume that could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
pub struct SetUpError {
    pub volume: String,
    pub source: VolumeError,
}

/// The directory name of the plugin that keeps a volume of this kind in the pod's directory.
fn plugin(volume: &Volume) -> Option<(&'static str, Medium)> {
    let is_memory = volume.empty_dir.as_ref().is_some_and(|dir| dir.medium == "Memory");
    let table = [
        (volume.config_map.is_some(), "kubernetes.io~configmap", Medium::Disk),
        (volume.secret.is_some(), "kubernetes.io~secret", Medium::Memory),
        (volume.projected.is_some(), "kubernetes.io~projected", Medium::Memory),
        (volume.downward_api.is_some(), "kubernetes.io~downward-api", Medium::Memory),
        (is_memory, "kubernetes.io~empty-dir", Medium::Memory),
        (volume.empty_dir.is_some(), "kubernetes.io~empty-dir", Medium::Disk),
    ];
    table.into_iter().find(|(is_it, ..)| *is_it).map(|(_, name, medium)| (name, medium))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Medium {
    Disk,
    /// Secrets never touch the disk.
    Memory,
}

/// Sets up every volume of the pod, or brings it up to date.
pub async fn set_up(ctx: &Context, pod: &Pod, on_node: &OnNode, tokens: &mut Tokens) -> Result<Mounted, SetUpError> {
    let mut mounted = Mounted::new();
    // Images are mounted when a container that wants them is started.
    for volume in pod.spec.volumes.iter().filter(|volume| volume.image.is_none()) {
        let path = one(ctx, pod, volume, on_node, tokens)
            .await
            .map_err(|source| SetUpError { volume: volume.name.clone(), source })?;
        mounted.insert(volume.name.clone(), path);
    }
    Ok(mounted)
}

async fn one(
    ctx: &Context,
    pod: &Pod,
    volume: &Volume,
    on_node: &OnNode,
    tokens: &mut Tokens,
) -> Result<PathBuf, VolumeError> {
    if let Some(host_path) = &volume.host_path {
        let path = PathBuf::from(&host_path.path);
        host_path::check(&path, host_path.r#type.as_deref().unwrap_or_default())?;
        return Ok(path);
    }
    if let Some(claim) = claims::claim_name(pod, volume) {
        return claims::path_of(ctx, pod, &claim).await;
    }
    let (plugin, medium) = plugin(volume).ok_or(VolumeError::Unsupported)?;
    let dir = ctx.paths.volume(pod.uid(), plugin, &volume.name);
    let files = match volume.empty_dir {
        Some(_) => None,
        None => payload(ctx, pod, volume, on_node, tokens).await?,
    };
    let size = tmpfs_size(pod, volume, ctx.memory_bytes);
    let group = pod.spec.security_context.fs_group.and_then(|group| u32::try_from(group).ok());
    let now = ctx.now();
    let failed_at = dir.clone();
    Scope::blocking(move || {
        make_dir(&dir, (medium == Medium::Memory).then_some(size), group)?;
        if let Some(files) = files {
            atomic::write(&dir, &files, group, now)?;
        }
        Ok(dir)
    })
    .await
    .map_err(|source| VolumeError::Io { path: failed_at, source })
}

async fn payload(
    ctx: &Context,
    pod: &Pod,
    volume: &Volume,
    on_node: &OnNode,
    tokens: &mut Tokens,
) -> Result<Option<Vec<atomic::File>>, VolumeError> {
    let sources = sources::fetch(&ctx.client, pod.namespace(), &Wanted::by_volume(volume)).await?;
    let tokens = tokens.of_volume(ctx, pod, volume).await?;
    let bundles = trust_bundles(ctx, volume).await?;
    let inputs = payload::Inputs {
        pod,
        sources: &sources,
        on_node,
        tokens: &tokens,
        bundles: &bundles,
        only_user: only_user(pod),
    };
    Ok(payload::files(volume, &inputs).transpose()?)
}

/// PEM bundles for projections that name a ClusterTrustBundle.
async fn trust_bundles(ctx: &Context, volume: &Volume) -> Result<BTreeMap<String, String>, crate::object::Status> {
    use crate::object::TreePath;
    use crate::object::kind::CLUSTER_TRUST_BUNDLE;
    let mut found = BTreeMap::new();
    let sources = volume.projected.iter().flat_map(|projected| &projected.sources);
    for wanted in sources.filter_map(|source| source.cluster_trust_bundle.as_ref()) {
        let Some(name) = &wanted.name else { continue };
        if let Some(object) = ctx.client.find(&CLUSTER_TRUST_BUNDLE, "", name).await? {
            found.insert(wanted.path.clone(), object.tree().text("spec.trustBundle").to_owned());
        }
    }
    Ok(found)
}

/// The user that all containers run as, if it is one and known.
fn only_user(pod: &Pod) -> Option<u32> {
    let mut users = pod
        .all_containers()
        .map(|(_, container)| container.security_context.run_as_user.or(pod.spec.security_context.run_as_user));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}

/// As large as the pod may get, or as its own limit says.
fn tmpfs_size(pod: &Pod, volume: &Volume, memory_bytes: u64) -> u64 {
    let own = volume.empty_dir.as_ref().and_then(|dir| dir.size_limit.as_deref());
    let own = own.and_then(|text| Quantity::parse(text).ok()).map(|limit| limit.value() as u64);
    let of_pod = amounts::of_pod(&pod.spec).memory_bytes.map(|bytes| bytes as u64);
    [own, of_pod].into_iter().flatten().filter(|bytes| *bytes > 0).fold(memory_bytes, u64::min)
}

fn make_dir(dir: &Path, tmpfs: Option<u64>, group: Option<u32>) -> io::Result<()> {
    let is_new = !dir.exists();
    fs::create_dir_all(dir)?;
    let needs_mount = tmpfs.is_some() && !mounts::is_mounted(dir)?;
    if let Some(size) = tmpfs {
        mounts::tmpfs(dir, Some(size))?;
    }
    if is_new || needs_mount {
        if group.is_some() {
            std::os::unix::fs::chown(dir, None, group)?;
        }
        let mode = if group.is_some() { 0o2777 } else { 0o777 };
        fs::set_permissions(dir, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Takes away everything that was set up for a pod, its directory included.
pub async fn tear_down(ctx: &Context, uid: &str) -> io::Result<()> {
    image::release(ctx, uid).await?;
    let dir = ctx.paths.pod(uid);
    Scope::blocking(move || mounts::remove_all(&dir)).await
}

/// Unmounts and empties a pod's volumes, and keeps its directory: it ended, but is not deleted.
pub async fn unmount(ctx: &Context, uid: &str) -> io::Result<()> {
    image::release(ctx, uid).await?;
    let pod_dir = ctx.paths.pod(uid);
    Scope::blocking(move || {
        mounts::remove_all(&pod_dir.join("volume-subpaths"))?;
        mounts::remove_all(&pod_dir.join("volumes"))
    })
    .await
}
