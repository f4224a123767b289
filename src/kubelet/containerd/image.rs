//! An OCI image of one program, as the three blobs a content store keeps.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::pause::{self, Arch};

/// What the pause image is known by. The tag rises when its content changes.
pub const PAUSE_IMAGE: &str = "skiff.local/pause:1";

pub const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
pub const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Bytes with the digest that names them.
#[derive(Clone, Debug)]
pub struct Blob {
    pub digest: String,
    pub bytes: Vec<u8>,
}

impl Blob {
    fn of(bytes: Vec<u8>) -> Self {
        let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest: format!("sha256:{hex}"), bytes }
    }
}

#[derive(Clone, Debug)]
pub struct Image {
    pub layer: Blob,
    pub config: Blob,
    pub manifest: Blob,
}

/// The pause image for `arch`: the same bytes each time, so the same digests.
pub fn pause(arch: Arch) -> std::io::Result<Image> {
    let layer = Blob::of(tar_of("pause", &pause::elf(arch))?);
    let config = Blob::of(to_bytes(&json!({
        "architecture": arch.name(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": { "Entrypoint": ["/pause"], "WorkingDir": "/", "User": "65535:65535" },
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
    })));
    let manifest = Blob::of(to_bytes(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": { "mediaType": CONFIG_TYPE, "digest": config.digest, "size": config.bytes.len() },
        "layers": [{ "mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.bytes.len() }],
    })));
    Ok(Image { layer, config, manifest })
}

fn tar_of(name: &str, program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, program)?;
    archive.into_inner()
}

fn to_bytes(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_its_blobs_and_is_the_same_each_time() {
        let image = pause(Arch::Amd64).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        assert_eq!(manifest["layers"][0]["digest"], image.layer.digest.as_str());
        assert_eq!(manifest["config"]["size"], image.config.bytes.len());
        assert_eq!(pause(Arch::Amd64).unwrap().manifest.digest, image.manifest.digest);
    }
}
