"""Rules on schemas: every object is of a known kind and has that kind's fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from journeymesh.delivery.checks.findings import Fault, rule
from journeymesh.delivery.checks.schemas import Breach, breaches
from journeymesh.delivery.checks.subject import Subject


@rule(
    "schema",
    "Every object has the fields of its kind and no others: Kubernetes 1.34, Argo CD, Gateway API, Traefik, Testkube, "
    "Prometheus Operator, External Secrets.",
    fix="correct the field; an unknown one would be dropped silently",
)
def schema(subject: Subject) -> Iterator[Fault]:
    for held in subject.every():
        for breach in _breaches(subject, held.content):
            yield Fault(held, f"{held}: {breach.what}", breach.at)
    for documents in subject.children.values():
        for document in documents:
            if document.kind == "Application":  # another kind there is a fault of its own
                for breach in _breaches(subject, document.content):
                    yield Fault(document, f"Application {document.name}: {breach.what}", breach.at)
    for document in subject.unrendered:
        if document.kind not in ("Kustomization", "Component"):
            for breach in _breaches(subject, document.content):
                yield Fault(document, f"{document.kind} {document.name}: {breach.what}", breach.at)


def _breaches(subject: Subject, content: dict[str, Any]) -> list[Breach]:
    """What an object breaks; asked once for the same content, however many runs and environments show it."""
    key = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    if key not in subject.memory.verdicts:
        subject.memory.verdicts[key] = list(breaches(content))
    return subject.memory.verdicts[key]
