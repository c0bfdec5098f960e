"""Attestations of an image in its registry, in cosign's format: signed statements under the tag ``sha256-….att``.

(sigstore/cosign, specs/ATTESTATION_SPEC.md: each layer is a DSSE envelope.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.attached import SIGNATURE_ANNOTATION, Attachment, attach, attachments
from journeymesh.delivery.release.envelopes import EnvelopeInvalid, Statement, canonical, seal, unseal
from journeymesh.delivery.release.keys import SigningKey, TrustedKey
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.delivery.release.registry import Registry

ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"


def attest(image: PinnedImage, statement: Statement, key: SigningKey) -> bool:
    """Attach the statement, in place of an earlier one of its type. False: it was there already."""
    with Registry.of(image.repository) as registry:
        registry.manifest(image.digest)
        sealed = Attachment(
            ENVELOPE,
            canonical(seal(statement, key)),
            {SIGNATURE_ANNOTATION: "", "predicateType": statement.predicate_type},
        )
        return attach(registry, image.digest, "att", sealed, instead_of=statement.predicate_type)


def attested(
    registry: Registry, image: PinnedImage, predicate_type: str, trusted: Iterable[TrustedKey]
) -> tuple[Statement, TrustedKey]:
    """What a trusted key says of this digest, by the type of what is said.

    Raises:
        ReleaseRefused: nobody who is trusted says anything of that type about it.
    """
    keys = tuple(trusted)
    reasons = []
    for each in attachments(registry, image.digest, "att"):
        try:
            statement, by = unseal(json.loads(each.content), keys)
        except (ValueError, EnvelopeInvalid) as error:
            if each.annotations.get("predicateType") == predicate_type:
                reasons.append(error.what if isinstance(error, EnvelopeInvalid) else "not JSON")
            continue
        if statement.predicate_type != predicate_type:
            continue
        if statement.about(image.digest):
            return statement, by
        reasons.append("is about another digest")
    because = f" ({'; '.join(reasons)})" if reasons else ""
    raise ReleaseRefused(
        f"{image} has no trusted attestation {predicate_type}{because}",
        todo="attest it: journeymesh delivery attest IMAGE --key FILE",
    )
