"""The Applications that rules look at: children as files, roots as they are rendered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from journeymesh.delivery.checks.subject import Rendered, Subject
from journeymesh.delivery.documents import Document

SERVER: Final = "https://kubernetes.default.svc"

Held = Document | Rendered
"""An Application: as a file, under apps-children, or as rendered, of what is applied once."""


def children(subject: Subject) -> Iterator[tuple[str, Document]]:
    """The Applications under apps-children, each with its environment."""
    for environment, held in subject.children.items():
        yield from ((environment, each) for each in held if each.kind == "Application")


def roots(subject: Subject) -> Iterator[Rendered]:
    """The Applications that are applied once."""
    yield from subject.every("Application", part="bootstrap")


def root(subject: Subject, name: str) -> Rendered | None:
    """The root of this name."""
    return next((held for held in roots(subject) if held.name == name), None)


def applications(subject: Subject) -> Iterator[Held]:
    """Every Application of the tree, roots first."""
    yield from roots(subject)
    for _, held in children(subject):
        yield held


def service_of(name: str, environment: str) -> str:
    """Whose Application this is, ``""`` where the name does not say."""
    return name.removesuffix(f"-app-{environment}") if name.endswith(f"-app-{environment}") else ""
