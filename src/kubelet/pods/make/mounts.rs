//! What a container finds mounted: its volumes, `/etc/hosts`, and a place for its last words.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_cri::v1::{Mount, MountPropagation};

use crate::kubelet::config::Paths;
use crate::kubelet::pods::expand;
use crate::kubelet::spec::{Container, Pod, VolumeMount};
use crate::kubelet::volumes::{Mounted, subpath};

/// Longest a termination message may get: the file is read no further.
pub const MESSAGE_BYTES_MAX: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("cannot find volume {volume:?} to mount into container {container:?}")]
    NoVolume { volume: String, container: String },
    #[error("failed to create subPath directory for volumeMount {volume:?} of container {container:?}")]
    SubPath { volume: String, container: String, source: io::Error },
    #[error("missing value for {name:?} in subPathExpr")]
    Expression { name: String },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Prepares and lists all mounts of one container. Blocks on the file system.
pub fn of_container(
    pod: &Pod,
    container: &Container,
    attempt: u32,
    volumes: &Mounted,
    env: &BTreeMap<String, String>,
    paths: &Paths,
    hosts: Option<&str>,
) -> Result<Vec<Mount>, MountError> {
    let dir = paths.pod(pod.uid());
    let is_image = |name: &str| pod.spec.volumes.iter().any(|volume| volume.name == name && volume.image.is_some());
    let mut mounts = Vec::new();
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        let volume = volumes
            .get(&mount.name)
            .ok_or_else(|| MountError::NoVolume { volume: mount.name.clone(), container: container.name.clone() })?;
        let sub_path = sub_path(mount, env)?;
        let host_path = if sub_path.is_empty() {
            volume.clone()
        } else {
            let target = dir.join("volume-subpaths").join(&mount.name).join(&container.name).join(index.to_string());
            subpath::prepare(volume, &sub_path, &target).map_err(|source| MountError::SubPath {
                volume: mount.name.clone(),
                container: container.name.clone(),
                source,
            })?
        };
        mounts.push(Mount {
            container_path: absolute(&mount.mount_path),
            host_path: host_path.to_string_lossy().into_owned(),
            readonly: mount.read_only || is_image(&mount.name),
            propagation: propagation(mount).into(),
            ..Default::default()
        });
    }
    let has = |path: &str| container.volume_mounts.iter().any(|mount| mount.mount_path == path);
    if let Some(hosts) = hosts.filter(|_| !has("/etc/hosts")) {
        let path = dir.join("etc-hosts");
        write(&path, hosts.as_bytes(), 0o644)?;
        mounts.push(plain("/etc/hosts", &path));
    }
    let message_path = message_path(container);
    if !message_path.is_empty() && !has(&message_path) {
        let path = dir.join("containers").join(&container.name).join(format!("message-{attempt}"));
        write(&path, b"", 0o666)?;
        mounts.push(plain(&message_path, &path));
    }
    Ok(mounts)
}

pub fn message_path(container: &Container) -> String {
    container.termination_message_path.clone()
}

fn plain(container_path: &str, host_path: &Path) -> Mount {
    Mount {
        container_path: container_path.into(),
        host_path: host_path.to_string_lossy().into_owned(),
        ..Default::default()
    }
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), MountError> {
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    write().map_err(|source| MountError::Write { path: path.to_owned(), source })
}

fn sub_path(mount: &VolumeMount, env: &BTreeMap<String, String>) -> Result<String, MountError> {
    if mount.sub_path_expr.is_empty() {
        return Ok(mount.sub_path.clone());
    }
    match expand::unknown_references(&mount.sub_path_expr, |name| env.contains_key(name)).pop() {
        Some(name) => Err(MountError::Expression { name }),
        None => Ok(expand::expand(&mount.sub_path_expr, |name| env.get(name).cloned())),
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn propagation(mount: &VolumeMount) -> MountPropagation {
    match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => MountPropagation::PropagationBidirectional,
        _ => MountPropagation::PropagationPrivate,
    }
}
