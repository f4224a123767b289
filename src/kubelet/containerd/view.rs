//! An image as a directory: a read-only view of its snapshot.
//!
//! A view keeps its image's layers from being collected, even after the image's name is gone, until
//! it is released by its key.

use std::path::Path;

use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{MountsRequest, RemoveSnapshotRequest, ViewSnapshotRequest};
use containerd_client::types::Mount;
use nix::mount::{MsFlags, mount};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::import::in_namespace;
use crate::kubelet::cri::Cri;
use crate::object::TreePath;

/// Without this label the collector would take a view for a leftover.
const KEEP: (&str, &str) = ("containerd.io/gc.root", "skiff");
const USUAL_SNAPSHOTTER: &str = "overlayfs";

#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error("cannot make a view of the image: {}", .0.message())]
    View(#[from] Status),
    #[error("cannot mount a view of the image on {dir}")]
    Mount { dir: String, source: std::io::Error },
}

/// The snapshotter that CRI unpacks images with; `None` if the runtime is not containerd.
pub async fn snapshotter(cri: &Cri) -> Option<String> {
    if cri.version("v1").await.ok()?.runtime_name != "containerd" {
        return None;
    }
    let info = cri.status(true).await.ok()?.info;
    let config: crate::object::Tree = serde_json::from_str(info.get("config")?).unwrap_or_default();
    Some(match config.text("containerd.snapshotter") {
        "" => USUAL_SNAPSHOTTER.to_owned(),
        name => name.to_owned(),
    })
}

/// Mounts the snapshot `chain_id` on `dir`, which must exist, under the name `key`.
pub async fn show(channel: Channel, snapshotter: &str, key: &str, chain_id: &str, dir: &Path) -> Result<(), ViewError> {
    let mut snapshots = SnapshotsClient::new(channel);
    let request = ViewSnapshotRequest {
        snapshotter: snapshotter.into(),
        key: key.into(),
        parent: chain_id.into(),
        labels: [(KEEP.0.to_owned(), KEEP.1.to_owned())].into(),
    };
    let mounts = match snapshots.view(in_namespace(request)).await {
        Ok(answer) => answer.into_inner().mounts,
        // Left by a start that was cut short.
        Err(status) if status.code() == Code::AlreadyExists => {
            let request = MountsRequest { snapshotter: snapshotter.into(), key: key.into() };
            snapshots.mounts(in_namespace(request)).await?.into_inner().mounts
        }
        Err(status) => return Err(status.into()),
    };
    for one in &mounts {
        place(one, dir).map_err(|source| ViewError::Mount { dir: dir.display().to_string(), source })?;
    }
    Ok(())
}

/// Gives the view `key` up. It must not be mounted any more; one that is not there is given up.
pub async fn release(channel: Channel, snapshotter: &str, key: &str) -> Result<(), Status> {
    let request = RemoveSnapshotRequest { snapshotter: snapshotter.into(), key: key.into() };
    match SnapshotsClient::new(channel).remove(in_namespace(request)).await {
        Err(status) if status.code() != Code::NotFound => Err(status),
        _ => Ok(()),
    }
}

/// Mounts read-only, whatever the snapshotter says: an image must stay what it is.
fn place(what: &Mount, dir: &Path) -> std::io::Result<()> {
    let (flags, data) = split_options(&what.options);
    let source = Some(what.source.as_str());
    if flags.contains(MsFlags::MS_BIND) {
        mount(source, dir, None::<&str>, flags, None::<&str>)?;
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOEXEC;
        return Ok(mount(source, dir, None::<&str>, again, None::<&str>)?);
    }
    let flags = flags | MsFlags::MS_RDONLY | MsFlags::MS_NOEXEC;
    Ok(mount(source, dir, Some(what.r#type.as_str()), flags, Some(data.as_str()))?)
}

/// What of a mount's options are flags; the rest is for the file system.
fn split_options(options: &[String]) -> (MsFlags, String) {
    let known = |option: &str| match option {
        "ro" => Some(MsFlags::MS_RDONLY),
        "bind" => Some(MsFlags::MS_BIND),
        "rbind" => Some(MsFlags::MS_BIND | MsFlags::MS_REC),
        "rw" => Some(MsFlags::empty()),
        _ => None,
    };
    let flags = options.iter().filter_map(|option| known(option)).fold(MsFlags::empty(), |all, one| all | one);
    let rest: Vec<&str> = options.iter().map(String::as_str).filter(|option| known(option).is_none()).collect();
    (flags, rest.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_from_what_the_file_system_reads() {
        let split = |options: &[&str]| split_options(&options.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(split(&["ro", "rbind"]).0, MsFlags::MS_RDONLY | MsFlags::MS_BIND | MsFlags::MS_REC);
        assert_eq!(split(&["index=off", "lowerdir=/a:/b"]), (MsFlags::empty(), "index=off,lowerdir=/a:/b".into()));
    }
}
