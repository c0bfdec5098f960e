"""Whether an image may be released: signature, SBOM and provenance, each by a key of ``release/keys``."""

from __future__ import annotations

from dataclasses import dataclass

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.attestations import attested
from journeymesh.delivery.release.keys import TrustedKey
from journeymesh.delivery.release.provenance import SLSA, check_provenance
from journeymesh.delivery.release.refusal import ReleaseRefused, refuse_if
from journeymesh.delivery.release.registry import Registry
from journeymesh.delivery.release.sbom import CYCLONEDX, check_sbom
from journeymesh.delivery.release.signatures import signed_by


@dataclass(frozen=True, slots=True)
class Verified:
    """What an image's signatures say."""

    signed_by: str
    components: int
    builder: str
    source: str


def verify_image(image: PinnedImage, trusted: tuple[TrustedKey, ...]) -> Verified:
    """What is known of the image.

    Raises:
        ReleaseRefused: naming everything that is missing. RegistryUnavailable: the registry does not answer.
    """
    reasons: list[str] = []
    by, components, builder, source = "", 0, "", ""
    with Registry.of(image.repository) as registry:
        registry.manifest(image.digest)
        try:
            by = signed_by(registry, image, trusted).name
        except ReleaseRefused as error:
            reasons.append(_short(error, image))
        try:
            bill, _ = attested(registry, image, CYCLONEDX, trusted)
            check_sbom(bill)
            components = len(bill.predicate["components"])
        except ReleaseRefused as error:
            reasons.append(_short(error, image))
        try:
            provenance, _ = attested(registry, image, SLSA, trusted)
            check_provenance(provenance)
            builder = str(provenance.predicate["runDetails"]["builder"]["id"])
            source = _source(provenance.predicate["buildDefinition"]["resolvedDependencies"][0])
        except ReleaseRefused as error:
            reasons.append(_short(error, image))
    refuse_if(reasons, f"{image} does not verify", "sign and attest it: journeymesh delivery attest IMAGE --key FILE")
    return Verified(by, components, builder, source)


def check_image(image: PinnedImage, trusted: tuple[TrustedKey, ...]) -> str:
    """``verify_image`` as promotion asks: who signed it."""
    return verify_image(image, trusted).signed_by


def _short(error: ReleaseRefused, image: PinnedImage) -> str:
    return error.what.removeprefix(f"{image} ")


def _source(material: dict[str, object]) -> str:
    digest = material.get("digest")
    value = next(iter(digest.values()), "") if isinstance(digest, dict) else ""
    return f"{material.get('uri', '')}@{value}" if value else str(material.get("uri", ""))
