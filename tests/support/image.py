"""A container image made from nothing but a static busybox and a small C program: no registry is asked."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAME = "localhost/netloom-test:1"
_BUSYBOX = Path("/bin/busybox")
_PAUSE_SOURCE = Path(__file__).with_name("pause.c")
_OCI = "application/vnd.oci.image"


def build(directory: Path) -> Path:
    """Write the image below ``directory`` as an archive that containerd and podman import.

    It holds busybox with all its commands, and ``/bin/pause``, which it runs unless told otherwise: so it does for a
    pod's sandbox, too.
    """
    pause = directory / "pause"
    subprocess.run(["gcc", "-static", "-Os", "-o", str(pause), str(_PAUSE_SOURCE)], check=True)
    commands = subprocess.run([_BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    programs = {"bin/busybox": _BUSYBOX.read_bytes(), "bin/pause": pause.read_bytes()}
    path = directory / "image.tar"
    path.write_bytes(archive(_root(programs, commands), ["/bin/pause"]))
    return path


def archive(layer: bytes, command: Sequence[str]) -> bytes:
    """An image layout (OCI image specification 1.0) with one image of one layer, an uncompressed tar archive."""
    config = _json(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor(f"{_OCI}.config.v1+json", config),
            "layers": [_descriptor(f"{_OCI}.layer.v1.tar", layer)],
        }
    )
    # containerd takes the name from the first annotation, podman from the second.
    names = {"io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": NAME}
    described = _descriptor(f"{_OCI}.manifest.v1+json", manifest) | {"annotations": names}
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [described]}),
    }
    files |= {f"blobs/sha256/{_digest(blob).partition(':')[2]}": blob for blob in (config, manifest, layer)}
    return _tar(files, {})


def _root(programs: Mapping[str, bytes], commands: Sequence[str]) -> bytes:
    """A root file system; each command is busybox by another name."""
    return _tar(programs, {f"bin/{command}": "busybox" for command in commands if command != "busybox"})


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        for path, target in links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return out.getvalue()


def _architecture() -> str:
    """As Debian names it, which is as images do for all machines Debian's containerd runs on but 32-bit ARM."""
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
