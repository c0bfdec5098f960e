"""The files of an image that say what is installed in it, read from its layers in the registry.

Layers are laid over one another as a runtime does: a later file hides an earlier one, a whiteout removes it
(OCI image specification, layer.md).
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.registry import INDEXES, Manifest, Registry, RegistryUnavailable
from journeymesh.errors import ExtraMissing

_LARGEST_FILE: Final = 64 << 20
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class ImageContents:
    """An image of one platform: its configuration, and the files asked for by path without a leading slash."""

    config: Mapping[str, Any]
    files: Mapping[str, bytes]


def image_contents(image: PinnedImage, wanted: Callable[[str], bool], platform: str = "linux/amd64") -> ImageContents:
    """The image's files whose path is ``wanted``; of several platforms, this one's.

    Raises:
        NotInRegistry: the registry has no such image. RegistryUnavailable: not for this platform, or a layer is broken.
    """
    with Registry.of(image.repository) as registry, tempfile.TemporaryDirectory(prefix="journeymesh-layers-") as folder:
        manifest = _of_platform(registry, registry.manifest(image.digest), platform)
        files: dict[str, bytes] = {}
        held = Path(folder) / "layer"
        for layer in manifest.content.get("layers") or ():
            registry.blob_to(str(layer["digest"]), held)
            try:
                with held.open("rb") as file:
                    lay(files, file, str(layer.get("mediaType", "")), wanted)
            except (tarfile.TarError, OSError, EOFError) as error:
                raise RegistryUnavailable(
                    f"layer {layer['digest']} of {image} is not an archive ({error})", todo="push the image again"
                ) from error
        return ImageContents(_json(registry.blob(str(manifest.content["config"]["digest"]))), files)


def lay(files: dict[str, bytes], layer: IO[bytes], media_type: str, wanted: Callable[[str], bool]) -> None:
    """Lay one layer over the files that lower ones left."""
    hidden: list[str] = []
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=_unpacked(layer, media_type), mode="r|*") as archive:
        for member in archive:
            path = PurePosixPath("/", member.name).relative_to("/")
            if path.name == _OPAQUE:
                hidden.append(f"{path.parent}/")
            elif path.name.startswith(_WHITEOUT):
                hidden.append(str(path.with_name(path.name.removeprefix(_WHITEOUT))))
            elif member.isfile() and member.size <= _LARGEST_FILE and wanted(str(path)):
                content = archive.extractfile(member)
                found[str(path)] = content.read() if content else b""
            elif not member.isdir():
                hidden.append(str(path))
    for gone in hidden:
        for covered in [each for each in files if each == gone or each.startswith(gone.rstrip("/") + "/")]:
            del files[covered]
    files.update(found)


def _unpacked(layer: IO[bytes], media_type: str) -> IO[bytes]:
    """The layer as tarfile reads it: gzip it knows itself, Zstandard it does not on every Python."""
    if not media_type.endswith("+zstd"):
        return layer
    try:
        import zstandard
    except ImportError as error:
        raise ExtraMissing("zstandard", "services") from error
    return zstandard.ZstdDecompressor().stream_reader(layer)


def _of_platform(registry: Registry, manifest: Manifest, platform: str) -> Manifest:
    if manifest.media_type not in INDEXES:
        return manifest
    for each in manifest.content.get("manifests") or ():
        found = each.get("platform") or {}
        if f"{found.get('os')}/{found.get('architecture')}" == platform:
            return registry.manifest(str(each["digest"]))
    raise RegistryUnavailable(
        f"{registry.host}/{registry.repository} has no {platform} in {manifest.digest}", todo="name a platform it has"
    )


def _json(content: bytes) -> dict[str, Any]:
    import json

    return dict(json.loads(content))
