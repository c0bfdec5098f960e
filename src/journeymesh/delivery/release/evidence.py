"""Evidence that a digest passed the e2e suite in an environment: ``release/<env>/passed/<service>/<digest>.json``.

An in-toto statement with the test-result predicate (https://in-toto.io/attestation/test-result/v0.1) in an envelope
that the delivery controller signed. Its first ``configuration`` names the overlay and the commit that was tested, so
that evidence of one service or environment does not serve another.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from journeymesh.delivery.images import PLACEHOLDER_DIGEST, PinnedImage, pinned
from journeymesh.delivery.programs import ProgramFailed, called
from journeymesh.delivery.release.commits import revision_of
from journeymesh.delivery.release.envelopes import EnvelopeInvalid, Statement, seal, unseal
from journeymesh.delivery.release.keys import SigningKey, TrustedKey
from journeymesh.delivery.tree import Tree, UnknownService
from journeymesh.errors import UsageError

TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"


class NeverReleased(UsageError):
    """An overlay pins the placeholder: nothing ran that could have passed."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Which commit's overlay was tested, and who vouches for it."""

    revision: str
    by: str


class PinnedAt(NamedTuple):
    """A commit in full, and the images that an overlay pinned there."""

    commit: str
    images: dict[str, PinnedImage]


def images_at(tree: Tree, environment: str, service: str, revision: str) -> PinnedAt:
    """The commit of this name, and the images that the overlay pinned there.

    Raises:
        UnknownService: there was no such overlay.
    """
    commit = revision_of(tree, revision)
    path = f"{_overlay(service, environment)}/kustomization.yaml"
    try:
        text = called(["git", "show", f"{commit}:{path}"], folder=tree.root)
    except ProgramFailed as error:
        raise UnknownService(f"no {path} at {commit[:12]}", todo="name a service and a commit that has it") from error
    with tempfile.TemporaryDirectory(prefix="journeymesh-overlay-") as folder:
        (Path(folder) / "kustomization.yaml").write_text(text, "utf-8")
        return PinnedAt(commit, pinned(Path(folder)))


def evidence_path(tree: Tree, environment: str, service: str, digest: str) -> Path:
    """Where the evidence of a digest stands, whether or not it is there."""
    return tree.release(environment) / "passed" / service / f"{digest.removeprefix('sha256:')}.json"


def is_recorded(tree: Tree, environment: str, service: str, digest: str, key: SigningKey) -> bool:
    """Whether this key's evidence that the digest passed there stands in the tree."""
    mine = TrustedKey("", key.key.public_key())
    try:
        statement, _ = unseal(json.loads(evidence_path(tree, environment, service, digest).read_text("utf-8")), [mine])
        _revision(statement, environment, service, digest)
    except (OSError, ValueError, EnvelopeInvalid):
        return False
    return True


def record_passed(
    tree: Tree,
    environment: str,
    service: str,
    at: PinnedAt,
    key: SigningKey,
    tests: Iterable[str] = (),
) -> list[Path]:
    """Write evidence for each of the images that the overlay pinned at this commit. Returns the files that are written.

    Evidence that is there and that this key signed is left as it is: a digest has passed once.

    Raises:
        NeverReleased: one of the images is the placeholder.
    """
    written = []
    for name, image in sorted(at.images.items()):
        if image.digest == PLACEHOLDER_DIGEST:
            raise NeverReleased(
                f"{service} in {environment} pins no released {name}",
                todo="release one with `journeymesh delivery release`",
            )
        path = evidence_path(tree, environment, service, image.digest)
        if is_recorded(tree, environment, service, image.digest, key):
            continue
        statement = Statement(
            TEST_RESULT,
            {
                "result": "PASSED",
                "configuration": [
                    {"name": _overlay(service, environment), "digest": {"gitCommit": at.commit}},
                    *(
                        {"name": other.repository, "digest": {"sha256": other.digest.removeprefix("sha256:")}}
                        for each, other in sorted(at.images.items())
                        if each != name
                    ),
                ],
                "passedTests": sorted(tests),
            },
            {image.repository: image.digest},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(seal(statement, key), indent=2, sort_keys=True) + "\n", "utf-8")
        written.append(path)
    return written


def passed(tree: Tree, environment: str, service: str, digest: str, trusted: Iterable[TrustedKey]) -> Passed:
    """The evidence that this digest passed there.

    Raises:
        EnvelopeInvalid: there is none, nobody who is trusted signed it, or it speaks of something else.
    """
    path = evidence_path(tree, environment, service, digest)
    if not path.is_file():
        raise EnvelopeInvalid(f"no e2e evidence of {digest[:19]}… in {environment}", todo=_RUN_E2E)
    try:
        statement, by = unseal(json.loads(path.read_text("utf-8")), trusted)
        return Passed(_revision(statement, environment, service, digest), by.name)
    except (ValueError, EnvelopeInvalid) as error:
        what = error.what if isinstance(error, EnvelopeInvalid) else "not JSON"
        raise EnvelopeInvalid(f"{tree.relative(path)}: {what}", todo=_RUN_E2E) from error


_RUN_E2E: Final = "let the e2e suite pass there; the delivery controller then records it"


def _revision(statement: Statement, environment: str, service: str, digest: str) -> str:
    """The commit that was tested.

    Raises:
        EnvelopeInvalid: the statement does not say that this digest passed there.
    """
    predicate: Mapping[str, Any] = statement.predicate
    tested: Mapping[str, Any] = next(iter(predicate.get("configuration") or ()), {})
    for holds, what in (
        (statement.predicate_type == TEST_RESULT, f"a statement of type {statement.predicate_type}"),
        (statement.about(digest), "is about another digest"),
        (predicate.get("result") == "PASSED", f"has result {predicate.get('result')}"),
        (tested.get("name") == _overlay(service, environment), f"is about {tested.get('name')}"),
    ):
        if not holds:
            raise EnvelopeInvalid(what, todo=_RUN_E2E)
    return str((tested.get("digest") or {}).get("gitCommit", ""))


def _overlay(service: str, environment: str) -> str:
    return f"customization/services/{service}/overlays/{environment}"
