"""A digest's way: into the first environment, then from one to the next. Two commits each time: approve, then pin.

The approval comes first, so that the cluster's ledger can know the digest before a workload asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from journeymesh.delivery.images import PLACEHOLDER_DIGEST, PinnedImage, pin, pinned
from journeymesh.delivery.release.approved import ApprovedDigests
from journeymesh.delivery.release.commits import Changes, require_clean, who
from journeymesh.delivery.release.evidence import Passed, evidence_path, passed
from journeymesh.delivery.release.keys import TrustedKey, trusted_keys
from journeymesh.delivery.release.refusal import ReleaseRefused, refuse_if
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.errors import JourneymeshError, UsageError


class ImageCheck(Protocol):
    """Whether an image is what its makers signed: signature, SBOM and provenance."""

    def __call__(self, image: PinnedImage, trusted: tuple[TrustedKey, ...]) -> str:
        """Who signed it, for the message. Raises a JourneymeshError that says what is missing."""
        ...


@dataclass(frozen=True, slots=True)
class ImageMove:
    """One image of a service on its way: what is pinned in the environment and what will be."""

    name: str
    before: PinnedImage
    after: PinnedImage
    because: str


def promotion(tree: Tree, service: str, lower: str, upper: str, check: ImageCheck) -> list[ImageMove]:
    """What promoting would change: every image that both overlays pin, with its digest in the lower one.

    Only digests move: the repository stays each environment's own, and images are verified where it pulls them from.

    Raises:
        ReleaseRefused: an image did not pass in the lower environment, is not approved there or does not verify;
            environments are not neighbours; files that matter are not committed.
    """
    _require_neighbours(lower, upper)
    below, above = (pinned(tree.overlay(service, environment)) for environment in (lower, upper))
    approved_below = ApprovedDigests(tree, lower).digests()
    approved_above = ApprovedDigests(tree, upper).entries()
    _require_committed(tree, service, lower, upper)
    trusted = trusted_keys(tree)
    moves, reasons = [], []
    for name in sorted(below.keys() & above.keys()):
        after = PinnedImage(above[name].repository, below[name].digest)
        if after == above[name] and (after.digest, name) in approved_above:
            continue
        if after.digest == PLACEHOLDER_DIGEST:
            reasons.append(f"{name} was never released in {lower}")
            continue
        if after.digest not in approved_below:
            reasons.append(f"{name}: {after.digest[:19]}… is not approved in {lower}")
        try:
            seen = passed(tree, lower, service, after.digest, trusted)
            moves.append(ImageMove(name, above[name], after, _because(tree, lower, service, after, seen)))
            check(after, trusted)
        except JourneymeshError as error:
            reasons.append(f"{name}: {error.what}")
    missing = sorted(below.keys() - above.keys())
    reasons += [f"{upper} pins no {name}, which {lower} does" for name in missing]
    refuse_if(reasons, f"{service} is not promoted to {upper}", "fix each of these, then promote again")
    return moves


def images_by_name(tree: Tree, service: str, environment: str, references: Iterable[str]) -> dict[str, PinnedImage]:
    """Images under the names that the overlay gives them, from ``NAME=HOST/APP@sha256:…`` or without the name.

    Without one it is the name that the overlay pulls from that repository, else the repository's last part.

    Raises:
        ImageInvalid: one has no digest.
    """
    here = {image.repository: name for name, image in pinned(tree.overlay(service, environment)).items()}
    found = {}
    for each in references:
        name, equals, reference = each.partition("=")
        image = PinnedImage.parse(reference if equals else each)
        found[name if equals else here.get(image.repository, image.repository.rpartition("/")[2])] = image
    return found


def first_release(
    tree: Tree, service: str, environment: str, images: Mapping[str, PinnedImage], check: ImageCheck | None
) -> list[ImageMove]:
    """What releasing these images, by the names that the overlay pins, would change in the first environment.

    ``check`` None: unverified, which no later environment will take.

    Raises:
        ReleaseRefused: it is not the first environment, an image does not verify, or files are not committed.
    """
    if environment != ENVIRONMENTS[0]:
        raise ReleaseRefused(
            f"{service} is not released into {environment}",
            todo=f"release into {ENVIRONMENTS[0]} and promote from there",
        )
    here = pinned(tree.overlay(service, environment))
    unknown = sorted(images.keys() - here.keys())
    if unknown:
        raise UsageError(
            f"{service} pins no {', '.join(unknown)} in {environment}", todo=f"it pins {', '.join(sorted(here))}"
        )
    _require_committed(tree, service, environment, environment)
    approved = ApprovedDigests(tree, environment).entries()
    moves, reasons = [], []
    for name, image in sorted(images.items()):
        if image == here[name] and (image.digest, name) in approved:
            continue
        because = "unverified"
        try:
            if check is not None:
                because = f"signed by {check(image, trusted_keys(tree))}"
        except JourneymeshError as error:
            reasons.append(f"{name}: {error.what}")
        moves.append(ImageMove(name, here[name], image, because))
    refuse_if(
        reasons, f"{service} is not released", "sign and attest it (`journeymesh delivery attest`), then try again"
    )
    return moves


def commit_moves(changes: Changes, service: str, environment: str, moves: list[ImageMove], verb: str) -> list[str]:
    """Make the two commits in the worktree of ``changes``: the approval, then the pin. Returns their ids."""
    ledger = ApprovedDigests(changes.tree, environment)
    ledger.write_kustomization()
    for move in moves:
        ledger.approve(move.after.digest, move.name)
    overlay = changes.tree.overlay(service, environment)
    told = _told(moves, who(changes.home))
    changes.commit(f"Approve {service} for {environment}\n\n{told}")
    for move in moves:
        pin(overlay, move.name, move.after)
    changes.commit(f"{verb} {service} {'into' if verb == 'Release' else 'to'} {environment}\n\n{told}")
    return list(changes.commits)


def _told(moves: list[ImageMove], by: str) -> str:
    blocks = [
        f"Image: {move.name}\nDigest: {move.after.digest}\nBefore: {move.before.digest}\nBecause: {move.because}"
        for move in moves
    ]
    return "\n\n".join([*blocks, f"By: {by}"])


def _because(tree: Tree, lower: str, service: str, image: PinnedImage, seen: Passed) -> str:
    path = tree.relative(evidence_path(tree, lower, service, image.digest))
    return f"{path} (passed at {seen.revision[:12]}, signed by {seen.by})"


def _require_neighbours(lower: str, upper: str) -> None:
    for environment in (lower, upper):
        if environment not in ENVIRONMENTS:
            raise UsageError(f"no environment {environment}", todo=f"they are {', '.join(ENVIRONMENTS)}")
    if ENVIRONMENTS.index(upper) != ENVIRONMENTS.index(lower) + 1:
        steps = ", ".join(f"{one} to {next_}" for one, next_ in pairwise(ENVIRONMENTS))
        raise ReleaseRefused(f"cannot promote from {lower} to {upper}", todo=f"promote one step at a time: {steps}")


def _require_committed(tree: Tree, service: str, lower: str, upper: str) -> None:
    paths: list[Path] = [tree.service(service), tree.root / "release" / "keys"]
    for environment in {lower, upper}:
        paths += [ApprovedDigests(tree, environment).path, tree.release(environment) / "passed" / service]
    require_clean(tree, paths)
