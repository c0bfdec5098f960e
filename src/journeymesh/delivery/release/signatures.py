"""Signatures of images by key, in cosign's format: what ``cosign verify --key`` reads and ``cosign sign --key`` writes.

The signed payload is the "simple signing" document (containers/image, docs/containers-signature.5.md), a layer of the
manifest under the tag ``sha256-….sig``; the signature is an annotation of that layer (sigstore/cosign,
specs/SIGNATURE_SPEC.md).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Final

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.attached import SIGNATURE_ANNOTATION, Attachment, attach, attachments
from journeymesh.delivery.release.envelopes import canonical
from journeymesh.delivery.release.keys import SigningKey, TrustedKey, signer
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.delivery.release.registry import Registry

SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
_TYPE: Final = "cosign container image signature"


def sign_image(image: PinnedImage, key: SigningKey) -> bool:
    """Attach this key's signature of the image. False: it was there already.

    Raises:
        NotInRegistry: the registry has no such image.
    """
    with Registry.of(image.repository) as registry:
        registry.manifest(image.digest)
        payload = canonical(
            {
                "critical": {
                    "identity": {"docker-reference": image.repository},
                    "image": {"docker-manifest-digest": image.digest},
                    "type": _TYPE,
                },
                "optional": None,
            }
        )
        signature = base64.b64encode(key.sign(payload)).decode()
        signed = Attachment(SIMPLE_SIGNING, payload, {SIGNATURE_ANNOTATION: signature})
        return attach(registry, image.digest, "sig", signed)


def signed_by(registry: Registry, image: PinnedImage, trusted: Iterable[TrustedKey]) -> TrustedKey:
    """The trusted key that signed this digest. Under which name it was signed is not asked: a mirror keeps signatures.

    Raises:
        ReleaseRefused: there is no signature, or none that counts.
    """
    keys = tuple(trusted)
    found = 0
    for each in attachments(registry, image.digest, "sig"):
        found += 1
        try:
            signature = base64.b64decode(each.annotations.get(SIGNATURE_ANNOTATION, ""), validate=True)
        except binascii.Error:
            continue
        key = signer(keys, signature, each.content)
        if key is not None and _is_about(each.content, image.digest):
            return key
    what = (
        "has no signature" if not found else f"has {found} signature(s), none by a key of release/keys for this digest"
    )
    raise ReleaseRefused(f"{image} {what}", todo="sign it: journeymesh delivery sign IMAGE --key FILE")


def _is_about(payload: bytes, digest: str) -> bool:
    try:
        critical = json.loads(payload)["critical"]
        return bool(critical["image"]["docker-manifest-digest"] == digest and critical["type"] == _TYPE)
    except (ValueError, KeyError, TypeError):
        return False
