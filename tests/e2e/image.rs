//! Test images, made here from the machine's static busybox: no registry is needed.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

/// Tools that scripts inside the image call.
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "sleep", "nslookup", "httpd", "nc", "ls", "env", "true", "false", "tar", "touch", "id",
    "hostname", "date", "mkdir", "rm", "test", "stat", "seq", "printf", "kill", "ps", "mount", "readlink", "head",
    "tail", "grep", "tr",
];

/// Writes an image archive that `ctr images import` takes, with `tags` for one and the same image.
pub fn write_busybox(path: &Path, tags: &[&str]) {
    let layer = layer();
    let layer_digest = hex(&layer);
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
    })
    .to_string();
    let manifest = json!([{ "Config": "config.json", "RepoTags": tags, "Layers": ["layer.tar"] }]).to_string();
    let mut archive = tar::Builder::new(File::create(path).unwrap());
    add(&mut archive, "config.json", 0o644, config.as_bytes());
    add(&mut archive, "layer.tar", 0o644, &layer);
    add(&mut archive, "manifest.json", 0o644, manifest.as_bytes());
    archive.into_inner().unwrap().flush().unwrap();
}

fn layer() -> Vec<u8> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    let busybox = busybox.expect("busybox-static is installed");
    let mut archive = tar::Builder::new(Vec::new());
    for folder in ["bin/", "etc/", "tmp/", "var/", "www/"] {
        let mut header = header(0, 0o1777);
        header.set_entry_type(tar::EntryType::Directory);
        archive.append_data(&mut header, folder, &[][..]).unwrap();
    }
    add(&mut archive, "bin/busybox", 0o755, &busybox);
    for applet in APPLETS {
        let mut header = header(0, 0o777);
        header.set_entry_type(tar::EntryType::Symlink);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    // busybox's own wget, linked statically, crashes where it finds no glibc to load name services from.
    add(
        &mut archive,
        "bin/fetch",
        0o755,
        b"#!/bin/sh\nprintf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 $1 ${2:-80} | tail -n 1\n",
    );
    add(&mut archive, "etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n");
    add(&mut archive, "etc/group", 0o644, b"root:x:0:\n");
    archive.into_inner().unwrap()
}

fn header(len: usize, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(len as u64);
    header.set_mode(mode);
    header
}

fn add(archive: &mut tar::Builder<impl Write>, name: &str, mode: u32, data: &[u8]) {
    archive.append_data(&mut header(data.len(), mode), name, data).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
