"""A workload that is not there yet: its Score file, and all that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from journeymesh.delivery.images import PinnedImage, pin
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.delivery.workloads.render import load_workload, rendering, write
from journeymesh.delivery.workloads.score import (
    ANSWERS,
    ASKED_COMPONENTS,
    ASKED_ENVIRONMENTS,
    NO_IMAGE,
    PORT,
    PUBLIC,
    SCORE_FILE,
    SOURCE,
    checked_name,
)
from journeymesh.delivery.workloads.sources import ensure_dockerfile
from journeymesh.delivery.workloads.yaml_text import yaml_text
from journeymesh.errors import JourneymeshError, UsageError


class WorkloadExists(UsageError):
    """The tree has a service of this name already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What is asked of a new workload; what is left at its default does not appear in the Score file.

    Either ``image``, which is pinned in the first environment only, or ``source``, a folder to build from.
    """

    name: str
    image: PinnedImage | None = None
    source: Path | None = None
    port: int = PORT
    answers: str = "/"
    public: bool = False
    environments: tuple[str, ...] = ENVIRONMENTS
    components: tuple[str, ...] = ()


def begin(tree: Tree, wanted: Beginning) -> list[Path]:
    """Write the Score file and everything generated; the paths written.

    Raises:
        WorkloadExists: a service of this name is there. ScoreInvalid: what is asked for cannot be rendered.
        SourceUnknown: nothing says how to build the folder.
    """
    folder = tree.service(checked_name(wanted.name))
    if folder.exists():
        raise WorkloadExists(
            f"{tree.relative(folder)} already exists",
            todo="choose another name, or change its score.yaml and run `journeymesh workload render`",
        )
    written = ensure_dockerfile(wanted.source) if wanted.source else []
    score = folder / SCORE_FILE
    folder.mkdir(parents=True)
    score.write_text(score_text(wanted, _source(tree, wanted)), "utf-8")
    try:
        workload = load_workload(tree, wanted.name)
        planned = rendering(tree, workload)
    except JourneymeshError:
        score.unlink()
        folder.rmdir()
        raise
    written += [score, *write(tree, planned)]
    if wanted.image:
        pin(tree.overlay(wanted.name, workload.environments[0]), workload.image_name, wanted.image)
    return written


def score_text(wanted: Beginning, source: str) -> str:
    """The Score file: at most 15 lines with everything asked for."""
    notes = _annotations(wanted, source)
    head = yaml_text(
        {
            "apiVersion": "score.dev/v1b1",
            "metadata": {"name": wanted.name} | ({"annotations": notes} if notes else {}),
            "containers": {"main": {"image": wanted.image.repository if wanted.image else NO_IMAGE}},
        }
    )
    inside = "" if wanted.port == PORT else f", targetPort: {wanted.port}"
    return f"{head}service:\n  ports:\n    http: {{port: {PORT}{inside}}}\n"


def _annotations(wanted: Beginning, source: str) -> Mapping[str, str]:
    asked = {
        SOURCE: source,
        ANSWERS: "" if wanted.answers == "/" else wanted.answers,
        PUBLIC: "true" if wanted.public else "",
        ASKED_COMPONENTS: " ".join(wanted.components),
        ASKED_ENVIRONMENTS: "" if wanted.environments == ENVIRONMENTS else " ".join(wanted.environments),
    }
    return {key: value for key, value in asked.items() if value}


def _source(tree: Tree, wanted: Beginning) -> str:
    if wanted.source is None:
        return ""
    place = wanted.source.resolve()
    return tree.relative(place) if place.is_relative_to(tree.root) else ""
