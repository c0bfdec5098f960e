"""Pod templates and containers of every kind that has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from journeymesh.delivery.checks.places import Step
from journeymesh.delivery.checks.subject import Rendered, Subject, entries, mapping

TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where each kind keeps its pod."""
SERVING: Final = ("Deployment", "StatefulSet", "DaemonSet")
"""The kinds whose pods are meant to stay."""
CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True, eq=False)
class Pod:
    """A pod as its owner would make it; ``at`` leads to it."""

    owner: Rendered
    template: dict[str, Any]
    at: tuple[Step, ...]

    @property
    def spec(self) -> dict[str, Any]:
        return mapping(self.template.get("spec"))

    @property
    def labels(self) -> dict[str, str]:
        return mapping(mapping(self.template.get("metadata")).get("labels"))

    def containers(self, *kinds: str) -> Iterator[Container]:
        """Its containers: of all three lists, or of these."""
        for kind in kinds or CONTAINERS:
            for content in entries(self.spec.get(kind)):
                name = str(content.get("name", ""))
                yield Container(self, kind, name, content, (*self.at, "spec", kind, name))


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """One container; ``at`` leads to it."""

    pod: Pod
    list: str
    name: str
    content: dict[str, Any]
    at: tuple[Step, ...]

    def __str__(self) -> str:
        return f"{self.pod.owner}, container {self.name}"


def pod_of(held: Rendered) -> Pod | None:
    """The pod that an object makes; None where it makes none."""
    if held.kind not in TEMPLATES:
        return None
    content: Any = held.content
    for step in TEMPLATES[held.kind]:
        content = mapping(content).get(step)
    return Pod(held, mapping(content), TEMPLATES[held.kind])


def pods(subject: Subject, *kinds: str) -> Iterator[Pod]:
    """The pods of everything that the tree renders, of these kinds of owners."""
    for held in subject.every(*(kinds or tuple(TEMPLATES))):
        pod = pod_of(held)
        if pod is not None:
            yield pod


def selects(selector: Any, labels: dict[str, str]) -> bool:
    """Whether a label selector (``matchLabels``, ``matchExpressions``) holds for these labels; an empty one does."""
    held = mapping(selector)
    wanted = mapping(held.get("matchLabels"))
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in entries(held.get("matchExpressions"))
    )


def _holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = str(expression.get("key")), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
