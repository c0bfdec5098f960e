"""What an image is made of: its Python distributions and Debian packages, as CycloneDX 1.6.

The same image gives the same bytes: the serial number comes of its digest, the time of its configuration. Software
that neither pip nor dpkg installed (Node.js modules, jars, what a Go program was linked of) is not seen: give
``attest`` a bill of materials of another tool then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.envelopes import Statement
from journeymesh.delivery.release.image_files import ImageContents, image_contents
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.errors import ExtraMissing, UsageError

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

CYCLONEDX: Final = "https://cyclonedx.org/bom"
"""The predicate's type, as ``cosign attest --type cyclonedx`` writes it."""
_PYTHON: Final = re.compile(r"(?:^|/)[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO)$")
_DEBIAN: Final = re.compile(r"^var/lib/dpkg/(?:status|status\.d/[^/]+)$")
_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")


def is_inventory(path: str) -> bool:
    """Whether a file of an image says what is installed in it."""
    return bool(_PYTHON.search(path) or (_DEBIAN.match(path) and not path.endswith(".md5sums")) or path in _RELEASE)


def image_sbom(image: PinnedImage) -> dict[str, Any]:
    """The bill of materials of an image in its registry."""
    return sbom_of(image, image_contents(image, is_inventory))


def sbom_of(image: PinnedImage, contents: ImageContents) -> dict[str, Any]:
    """The bill of materials of these contents, as a CycloneDX 1.6 document.

    Raises:
        ExtraMissing: cyclonedx-python-lib is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output import make_outputter
        from cyclonedx.schema import OutputFormat, SchemaVersion
    except ImportError as error:
        raise ExtraMissing("cyclonedx-python-lib", "delivery") from error
    from packageurl import PackageURL

    name = image.repository.rpartition("/")[2]
    purl = PackageURL("oci", None, name, image.digest, {"repository_url": image.repository})
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, str(purl)))
    root = Component(name=name, version=image.digest, type=ComponentType.CONTAINER, bom_ref=str(purl), purl=purl)
    bom.metadata = BomMetaData(component=root, timestamp=_created(contents.config))
    for component in sorted(_components(contents.files), key=lambda each: str(each.purl)):
        bom.components.add(component)
    bom.register_dependency(root, bom.components)
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return dict(json.loads(outputter.output_as_string()))


def read_sbom(path: Path) -> dict[str, Any]:
    """A bill of materials that another tool wrote.

    Raises:
        UsageError: it is not CycloneDX in JSON.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a JSON file", todo="give a CycloneDX document in JSON") from error
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise UsageError(f"{path} is not a CycloneDX document", todo="let the tool write CycloneDX JSON")
    return document


def sbom_statement(image: PinnedImage, document: Mapping[str, Any]) -> Statement:
    """That this is what the image is made of."""
    return Statement(CYCLONEDX, document, {image.repository: image.digest})


def check_sbom(statement: Statement) -> None:
    """Refuse what is no bill of materials.

    Raises:
        ReleaseRefused: it is not CycloneDX, or names no component.
    """
    document = statement.predicate
    if document.get("bomFormat") != "CycloneDX" or not document.get("components"):
        raise ReleaseRefused("its SBOM names no component", todo="attest it again: journeymesh delivery attest IMAGE")


def _components(files: Mapping[str, bytes]) -> Iterator[Component]:
    distribution = _os_release(files)
    seen = set()
    for path, content in sorted(files.items()):
        found = (
            [_python(content)]
            if _PYTHON.search(path)
            else _debian(content, distribution)
            if _DEBIAN.match(path)
            else ()
        )
        for component in found:
            if component is not None and component.purl not in seen:
                seen.add(component.purl)
                yield component


def _python(content: bytes) -> Component | None:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    head = BytesHeaderParser().parsebytes(content)
    name, version = str(head["Name"] or ""), str(head["Version"] or "")
    if not name or not version:
        return None
    purl = PackageURL("pypi", None, re.sub(r"[-_.]+", "-", name).lower(), version)
    stated = str(head["License-Expression"] or "")
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        licenses=[LicenseFactory().make_from_string(stated)] if stated else (),
    )


def _debian(content: bytes, distribution: tuple[str, str]) -> Iterator[Component]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    family, release = distribution
    for paragraph in re.split(rb"\n\s*\n", content):
        head = BytesHeaderParser().parsebytes(paragraph.strip() + b"\n\n")
        name, version = str(head["Package"] or ""), str(head["Version"] or "")
        if not name or not version or not (head["Status"] or "install ok installed").endswith(" installed"):
            continue
        qualifiers = {"arch": head["Architecture"] or "", "distro": release}
        purl = PackageURL("deb", family, name, version, {key: value for key, value in qualifiers.items() if value})
        yield Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl))


def _os_release(files: Mapping[str, bytes]) -> tuple[str, str]:
    """The distribution's family and, as package URLs write it, its release: ``debian``, ``debian-12``."""
    text = next((files[path] for path in _RELEASE if path in files), b"").decode("utf-8", "replace")
    held = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    family, version = (held.get(key, "").strip().strip("\"'") for key in ("ID", "VERSION_ID"))
    return family or "debian", f"{family}-{version}" if family and version else ""


def _created(config: Mapping[str, Any]) -> datetime:
    """When the image says it was made; the epoch, where it does not."""
    text = re.sub(r"\.\d+", "", str(config.get("created") or "1970-01-01T00:00:00Z"))
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
