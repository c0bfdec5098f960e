"""How an image came about: SLSA provenance (https://slsa.dev/provenance/v1) about source, commit, Dockerfile and bases.

Two ways are told apart by ``buildType``: built here from a Dockerfile, or taken over unchanged from another registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.programs import ProgramFailed, called
from journeymesh.delivery.release.commits import git, revision_of
from journeymesh.delivery.release.envelopes import Statement
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.delivery.tree import Tree
from journeymesh.errors import NotFound, UsageError
from journeymesh.safe_text import shown_url

SLSA: Final = "https://slsa.dev/provenance/v1"
_BUILD_TYPES: Final = "https://journeymesh.example/docs/how-to/release-securely"
BUILT: Final = f"{_BUILD_TYPES}#built-from-a-dockerfile"
TAKEN_OVER: Final = f"{_BUILD_TYPES}#taken-over"
_FROM: Final = re.compile(r"^\s*FROM\s+(?:--platform=\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """What an image was built from. ``repository`` is an address without credentials, ``bases`` is what FROM named."""

    repository: str
    commit: str
    dockerfile: str
    dockerfile_digest: str
    bases: tuple[str, ...]


def source_at(
    tree: Tree, commit: str = "HEAD", dockerfile: str = "Dockerfile", repository: str | None = None
) -> ImageSource:
    """The source as it is at a commit of this repository.

    Raises:
        NotFound: there is no such Dockerfile at the commit. UsageError: there is no such commit.
    """
    revision = revision_of(tree, commit)
    try:
        content = called(["git", "show", f"{revision}:{dockerfile}"], folder=tree.root)
    except ProgramFailed as error:
        raise NotFound(f"no {dockerfile} at {revision[:12]}", todo="name it by --dockerfile") from error
    address = repository or _origin(tree)
    digest = sha256(content.encode()).hexdigest()
    return ImageSource(shown_url(address), revision, dockerfile, f"sha256:{digest}", bases_of(content))


def bases_of(dockerfile: str) -> tuple[str, ...]:
    """The images that its stages start from, stages of its own and ``scratch`` left out, sorted."""
    found, stages = set(), {"scratch"}
    for base, stage in _FROM.findall(dockerfile):
        if base.lower() not in stages:
            found.add(base)
        if stage:
            stages.add(stage.lower())
    return tuple(sorted(found))


def base_digests(bases: Iterable[str]) -> dict[str, str]:
    """From ``NAME@sha256:…`` each: which digest the base image that FROM calls NAME had.

    Raises:
        UsageError: one is not of that form.
    """
    found = {}
    for each in bases:
        name, at, digest = each.partition("@")
        if not at or not digest.startswith("sha256:"):
            raise UsageError(f"--base {each} has no digest", todo="write python:3.11@sha256:…")
        found[name] = digest
    return found


def built(image: PinnedImage, source: ImageSource, builder: str, resolved: dict[str, str]) -> Statement:
    """That ``builder`` (a URI) built the image from this source; ``resolved`` has the digests that bases had then."""
    materials: list[dict[str, Any]] = [
        {"uri": f"git+{source.repository}", "digest": {"gitCommit": source.commit}},
        {"uri": f"git+{source.repository}#{source.dockerfile}", "digest": _digest_set(source.dockerfile_digest)},
    ]
    for base in source.bases:
        digest = resolved.get(base) or base.partition("@")[2]
        materials.append({"uri": f"oci://{base}"} | ({"digest": _digest_set(digest)} if digest else {}))
    asked = {"source": source.repository, "commit": source.commit, "dockerfile": source.dockerfile}
    return _statement(image, BUILT, asked, materials, builder)


def taken_over(image: PinnedImage, upstream: PinnedImage, builder: str) -> Statement:
    """That the image is another registry's, unchanged: its manifest has the same digest."""
    if upstream.digest != image.digest:
        raise ReleaseRefused(f"{image} is not {upstream}", todo="copy it unchanged, so that its digest stays the same")
    materials = [{"uri": f"oci://{upstream.repository}", "digest": _digest_set(upstream.digest)}]
    return _statement(image, TAKEN_OVER, {"from": str(upstream)}, materials, builder)


def check_provenance(statement: Statement) -> None:
    """Refuse provenance that does not say who made the image of what.

    Raises:
        ReleaseRefused: naming what is missing.
    """
    definition = statement.predicate.get("buildDefinition") or {}
    builder = ((statement.predicate.get("runDetails") or {}).get("builder") or {}).get("id")
    materials = definition.get("resolvedDependencies") or ()
    reasons = [] if builder else ["names no builder"]
    if definition.get("buildType") == TAKEN_OVER:
        if not any("sha256" in (each.get("digest") or {}) for each in materials):
            reasons.append("names no image it was taken from")
    elif not any("gitCommit" in (each.get("digest") or {}) for each in materials):
        reasons.append("names no commit")
    if reasons:
        raise ReleaseRefused(f"its provenance {' and '.join(reasons)}", todo="attest it again, with its source")


def _statement(
    image: PinnedImage, build_type: str, asked: dict[str, str], materials: list[dict[str, Any]], builder: str
) -> Statement:
    predicate = {
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": asked,
            "internalParameters": {},
            "resolvedDependencies": materials,
        },
        "runDetails": {"builder": {"id": builder}},
    }
    return Statement(SLSA, predicate, {image.repository: image.digest})


def _origin(tree: Tree) -> str:
    try:
        return git(tree.root, "remote", "get-url", "origin")
    except ProgramFailed as error:
        raise NotFound("the repository has no remote origin", todo="name its address by --source") from error


def _digest_set(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
