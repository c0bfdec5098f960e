"""What is attached to an image in its registry: layers of one manifest under cosign's tag, each with annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from journeymesh.delivery.release.envelopes import canonical
from journeymesh.delivery.release.registry import MANIFEST, Registry, beside

CONFIG: Final = "application/vnd.oci.image.config.v1+json"
SIGNATURE_ANNOTATION: Final = "dev.cosignproject.cosign/signature"
_LARGEST: Final = 64 << 20
"""A bill of materials of a large image is a few megabytes; nothing larger is fetched."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One layer: its content and what is noted about it."""

    media_type: str
    content: bytes
    annotations: Mapping[str, str]


def attachments(registry: Registry, digest: str, kind: str) -> Iterator[Attachment]:
    """What is attached to the image with this digest, as ``sig`` or ``att``; nothing where there is no such tag."""
    manifest = registry.manifest_or_none(beside(digest, kind))
    for layer in manifest.content.get("layers") or () if manifest else ():
        if int(layer.get("size", 0)) <= _LARGEST:
            annotations = layer.get("annotations") or {}
            yield Attachment(str(layer.get("mediaType", "")), registry.blob(str(layer["digest"])), annotations)


def attach(registry: Registry, digest: str, kind: str, added: Attachment, *, instead_of: str | None = None) -> bool:
    """Attach one more; others stay, but those of type ``instead_of``. False: it was there already."""
    tag = beside(digest, kind)
    manifest = registry.manifest_or_none(tag)
    layers: list[dict[str, Any]] = list(manifest.content.get("layers") or ()) if manifest else []
    layer = {
        "mediaType": added.media_type,
        "digest": registry.push_blob(added.content),
        "size": len(added.content),
        "annotations": dict(added.annotations),
    }
    if layer in layers:
        return False
    if instead_of is not None:
        layers = [each for each in layers if (each.get("annotations") or {}).get("predicateType") != instead_of]
    layers.append(layer)
    rootfs = {"type": "layers", "diff_ids": [each["digest"] for each in layers]}
    config = canonical({"architecture": "", "os": "", "config": {}, "history": [{}] * len(layers), "rootfs": rootfs})
    registry.push_manifest(
        tag,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": registry.push_blob(config), "size": len(config)},
            "layers": layers,
        },
    )
    return True
