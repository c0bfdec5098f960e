"""A registry for tests: Debian's docker-registry (distribution 2.8), in a folder of its own on a free port."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import httpx
import pytest

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.registry import Registry

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class DockerRegistry:
    """A registry that runs until ``close``. ``auth`` is the configuration's part of that name."""

    def __init__(self, folder: Path, auth: str = "") -> None:
        if shutil.which("docker-registry") is None:
            pytest.skip("docker-registry is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = folder / "config.yml"
        config.write_text(_CONFIG.format(folder=folder / "kept", port=port) + auth)
        self.host = f"localhost:{port}"
        self._log = (folder / "log").open("wb")
        self._server = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=self._log, stderr=subprocess.STDOUT
        )
        until = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://{self.host}/v2/", timeout=5)
                return
            except httpx.HTTPError:
                if time.monotonic() > until or self._server.poll() is not None:
                    self.close()
                    pytest.skip("docker-registry does not start")
                time.sleep(0.05)

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(10)
        self._log.close()

    def push(self, name: str, *layers: dict[str, bytes], tag: str = "latest") -> PinnedImage:
        """An image of these files, layer by layer."""
        with Registry.of(f"{self.host}/{name}") as registry:
            held, diffs = [], []
            for files in layers:
                plain = archive(files)
                packed = gzip.compress(plain, mtime=0)
                diffs.append(f"sha256:{hashlib.sha256(plain).hexdigest()}")
                held.append(
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                        "digest": registry.push_blob(packed),
                        "size": len(packed),
                    }
                )
            config = json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "created": "2026-01-02T03:04:05.123456789Z",
                    "config": {},
                    "rootfs": {"type": "layers", "diff_ids": diffs},
                }
            ).encode()
            digest = registry.push_manifest(
                tag,
                {
                    "schemaVersion": 2,
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": {
                        "mediaType": "application/vnd.oci.image.config.v1+json",
                        "digest": registry.push_blob(config),
                        "size": len(config),
                    },
                    "layers": held,
                },
            )
        return PinnedImage(f"{self.host}/{name}", digest)


def archive(files: dict[str, bytes]) -> bytes:
    """A tar of these files."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return held.getvalue()


PYTHON_AND_DEBIAN: dict[str, bytes] = {
    "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
    "var/lib/dpkg/status": (
        b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u10\n"
        b"Description: GNU C Library\n long words\n\n"
        b"Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    ),
    "opt/venv/lib/python3.11/site-packages/HTTPx_core-1.0.dist-info/METADATA": (
        b"Metadata-Version: 2.4\nName: HTTPx_core\nVersion: 1.0\nLicense-Expression: BSD-3-Clause\n\nWords"
    ),
}
"""What a small image has installed."""
