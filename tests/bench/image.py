#!/usr/bin/env python3
"""image.py ARCHIVE TAG - writes a test image made from the machine's static busybox."""

import hashlib
import io
import json
import platform
import shutil
import sys
import tarfile


def add(archive, name, data, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def main(path, tag):
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        with open(shutil.which("busybox"), "rb") as busybox:
            add(archive, "bin/busybox", busybox.read(), 0o755)
        for applet in ("sh", "sleep", "httpd", "wget", "cat", "echo", "hostname"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    with tarfile.open(path, mode="w") as archive:
        add(archive, "config.json", json.dumps(config).encode())
        add(archive, "layer.tar", layer.getvalue())
        manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
        add(archive, "manifest.json", json.dumps(manifest).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
