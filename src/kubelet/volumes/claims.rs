//! Claims: the directory of this machine behind a bound persistent volume.

use std::path::PathBuf;

use super::VolumeError;
use crate::kubelet::context::Context;
use crate::kubelet::spec::{Pod, Volume};
use crate::object::TreePath;
use crate::object::kind::{PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM};

/// The claim that `volume` uses, if it uses one: by name, or made for this pod alone.
pub fn claim_name(pod: &Pod, volume: &Volume) -> Option<String> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return Some(claim.claim_name.clone());
    }
    volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name(), volume.name))
}

/// The path of the volume bound to `claim`. Only `hostPath` and `local` volumes are on a machine.
pub async fn path_of(ctx: &Context, pod: &Pod, claim: &str) -> Result<PathBuf, VolumeError> {
    let refuse = |why: String| VolumeError::Claim { claim: claim.to_owned(), why };
    let failed = |status: crate::object::Status| refuse(status.message);
    let found = ctx.client.get(&PERSISTENT_VOLUME_CLAIM, pod.namespace(), claim).await.map_err(failed)?.tree();
    let name = found.text("spec.volumeName");
    if name.is_empty() || found.text("status.phase") != "Bound" {
        return Err(refuse("it is not bound".into()));
    }
    let volume = ctx.client.get(&PERSISTENT_VOLUME, "", name).await.map_err(failed)?.tree();
    let paths = ["spec.hostPath.path", "spec.local.path"];
    let path = paths.iter().map(|path| volume.text(path)).find(|path| !path.is_empty());
    let path = path.ok_or_else(|| refuse(format!("volume {name} is of a kind that this node cannot mount")))?;
    let kind = volume.text("spec.hostPath.type");
    super::host_path::check(path.as_ref(), kind).map_err(|error| refuse(error.to_string()))?;
    Ok(path.into())
}
