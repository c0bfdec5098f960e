"""Rules on images: pinned, from the tree's registry, approved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from journeymesh.delivery.checks.findings import Fault, rule
from journeymesh.delivery.checks.places import Step
from journeymesh.delivery.checks.pods import CONTAINERS, pods
from journeymesh.delivery.checks.subject import Rendered, Subject
from journeymesh.delivery.documents import text_of
from journeymesh.delivery.images import PLACEHOLDER_DIGEST, PLACEHOLDER_REGISTRY

_PINNED: Final = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_TESTKUBE: Final = ("TestWorkflow", "TestWorkflowTemplate")


@rule(
    "image-pinned",
    "Every image, of init and ephemeral containers and of test workflows too, is named by its digest.",
    fix="pin it under images in the overlay's kustomization.yaml, with a digest: sha256:…",
)
def image_pinned(subject: Subject) -> Iterator[Fault]:
    for held, at, image in _images(subject):
        if not _PINNED.fullmatch(image):
            yield Fault(held, f"{held} runs {image or 'no image'}, which is not a digest", at)


@rule(
    "image-registry",
    "Every image comes from the registry of the tree, one and the same.",
    fix="copy the image to the tree's registry and pin it there",
)
def image_registry(subject: Subject) -> Iterator[Fault]:
    images = list(_images(subject))
    ours = _most_named([_registry(image) for _, _, image in images if _PINNED.fullmatch(image)])
    for held, at, image in images:
        if _PINNED.fullmatch(image) and not image.startswith(f"{ours}/"):
            yield Fault(held, f"{held} pulls {_repository(image)}, the tree's registry is {ours}", at)


@rule(
    "image-released",
    "Once the tree has its registry, no image has the placeholder's digest.",
    fix="promote a released image into this environment",
)
def image_released(subject: Subject) -> Iterator[Fault]:
    for held, at, image in _images(subject):
        if image.endswith(PLACEHOLDER_DIGEST) and _registry(image) != PLACEHOLDER_REGISTRY:
            yield Fault(held, f"{_repository(image)} has the digest of an image that was never released", at)


@rule(
    "image-approved",
    "Every image of a service is on its environment's list release/<env>/approved-digests, or the cluster refuses it.",
    fix="promote the image; promotion adds the digest",
)
def image_approved(subject: Subject) -> Iterator[Fault]:
    for held, at, image in _images(subject):
        listed = subject.tree.release(held.unit.environment) / "approved-digests"
        digest = image.rpartition("@")[2]
        if held.unit.service and _PINNED.fullmatch(image) and digest != PLACEHOLDER_DIGEST:
            known = text_of(listed).split() if listed.is_file() else []
            if digest not in known:
                what = f"{_repository(image)}@{digest[:19]}… is not in {subject.tree.relative(listed)}"
                yield Fault(held, what, at)


@rule(
    "approved-list-form",
    "Each line of approved-digests is a digest and an image's name; comments begin with #.",
    fix="write the line as sha256:<64 digits>, two spaces, the image's name",
)
def approved_list_form(subject: Subject) -> Iterator[Fault]:
    for environment in subject.environments:
        listed = subject.tree.release(environment) / "approved-digests"
        if not listed.is_file():
            folder = listed.parent if listed.parent.is_dir() else subject.tree.customization
            yield Fault(folder, f"{environment} has no list {subject.tree.relative(listed)}")
            continue
        for number, line in enumerate(text_of(listed).splitlines(), start=1):
            if line.strip() and not re.fullmatch(r"\s*#.*|sha256:[0-9a-f]{64}\s+\S+\s*", line):
                yield Fault(listed, f"{line.strip()[:60]!r} is not a digest with a name", (number,))


def _images(subject: Subject) -> Iterator[tuple[Rendered, tuple[Step, ...], str]]:
    for pod in pods(subject):
        for container in pod.containers(*CONTAINERS):
            yield pod.owner, (*container.at, "image"), str(container.content.get("image", ""))
    for held in subject.every(*_TESTKUBE):
        for at, image in _inner_images(held.spec, ("spec",)):
            yield held, at, image


def _inner_images(value: Any, at: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "image" and isinstance(inner, str):
                yield (*at, key), inner
            else:
                yield from _inner_images(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _inner_images(inner, (*at, index))


def _repository(image: str) -> str:
    return image.partition("@")[0]


def _registry(image: str) -> str:
    return _repository(image).rpartition("/")[0]


def _most_named(registries: list[str]) -> str:
    return max(sorted(set(registries)), key=registries.count, default=PLACEHOLDER_REGISTRY)
