"""Every file that follows from a Score file: written, or compared with what is there.

People's own are the Score file, the data contract, ``overlays/<environment>/patches/*.yaml`` and further tests under
``e2e/``: rendering includes them and never writes over them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from journeymesh.delivery.addresses import Addresses, addresses
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.delivery.workloads.contract import CONTRACT_FILE, contract_stub
from journeymesh.delivery.workloads.gate import (
    candidate_job,
    route_job,
    test_file,
    tests_kustomization,
    tests_text,
)
from journeymesh.delivery.workloads.placing import PATCHES, application, overlay_kustomization
from journeymesh.delivery.workloads.pods import deployment
from journeymesh.delivery.workloads.score import SCORE_FILE, ScoreInvalid, Workload, read_score
from journeymesh.delivery.workloads.serving import account, budget, network_policies, route, service
from journeymesh.delivery.workloads.shape import CANDIDATE, CANDIDATE_WAVE, STABLE, STABLE_WAVE
from journeymesh.delivery.workloads.yaml_text import Manifest, generated, is_generated, yaml_text
from journeymesh.errors import JourneymeshError

INSTEAD: Final = "Change that file, or patch overlays/<environment>/patches/: what is changed here is written over."
PIN: Final = "Only the digests under images are decided here, by promotions."

Fault = Literal["differs", "missing", "superfluous"]


class RenderingStale(JourneymeshError):
    """Files of the tree are not what their Score files render to."""


@dataclass(frozen=True, slots=True)
class StaleFile:
    """A file that is not as rendered, with the unified diff that would make it so."""

    path: Path
    fault: Fault
    diff: str


@dataclass(frozen=True, slots=True)
class RenderedWorkload:
    """What a workload's Score file renders to: its texts by path. ``once``: begun here, people's from then on."""

    workload: Workload
    files: Mapping[Path, str]
    once: Mapping[Path, str]


def workload_names(tree: Tree) -> tuple[str, ...]:
    """The services of the tree that a Score file describes."""
    services = tree.customization / "services"
    return tuple(sorted(path.parent.name for path in services.glob(f"*/{SCORE_FILE}")))


def load_workload(tree: Tree, name: str) -> Workload:
    """The workload of this name.

    Raises:
        WorkloadMissing: it has no Score file. ScoreInvalid: the file cannot be rendered.
    """
    path = tree.service(name) / SCORE_FILE
    workload = read_score(path)
    if workload.name != name:
        raise ScoreInvalid(f"{path}: metadata.name is {workload.name}", todo=f"write {name}, as its folder is called")
    return workload


def rendering(tree: Tree, workload: Workload, told: Addresses | None = None) -> RenderedWorkload:
    """Every file that follows from this workload in this tree. ``told``: the tree's addresses, if read before."""
    name = workload.name
    folder = tree.service(name)
    files = {folder / "base" / file: _text(name, *manifests) for file, manifests in _base(workload).items()}
    tests = folder / "e2e" / test_file(workload)
    files[tests] = generated(name, tests_text(workload), (INSTEAD,))
    own = {path.name for path in tests.parent.glob("test_*.py")}
    every = tuple(sorted(own | {tests.name}))
    files[tests.parent / "kustomization.yaml"] = _text(name, tests_kustomization(workload, every))
    held = told or addresses(tree)
    for environment in workload.environments:
        overlay = overlay_kustomization(tree, workload, environment, held)
        place = folder / "overlays" / environment / "kustomization.yaml"
        files[place] = generated(name, yaml_text(overlay), (INSTEAD, PIN))
        files[tree.application(name, environment)] = _text(name, application(workload, environment, held))
    return RenderedWorkload(workload, files, {folder / CONTRACT_FILE: contract_stub(workload)})


def write(tree: Tree, rendered: RenderedWorkload) -> list[Path]:
    """Write what differs or is missing and remove what earlier renderings left; the paths that changed."""
    changed = []
    for finding in findings(tree, rendered):
        if finding.fault == "superfluous":
            changed += remove([finding])
            continue
        finding.path.parent.mkdir(parents=True, exist_ok=True)
        finding.path.write_text((dict(rendered.files) | dict(rendered.once))[finding.path], "utf-8")
        changed.append(finding.path)
    return changed


def remove(superfluous: Iterable[StaleFile]) -> list[Path]:
    """Remove those of the files that rendering wrote, and leave people's; the paths that are gone."""
    gone = [each.path for each in superfluous if is_generated(each.path.read_text("utf-8", "replace"))]
    for path in gone:
        path.unlink()
    return gone


def findings(tree: Tree, rendered: RenderedWorkload) -> list[StaleFile]:
    """How the tree differs from the rendering, by path."""
    found = [_finding(tree, path, text) for path, text in rendered.files.items()]
    found += [_finding(tree, path, text) for path, text in rendered.once.items() if not path.exists()]
    wanted = set(rendered.files) | set(rendered.once)
    found += [_superfluous(tree, path) for path in _held(tree, rendered.workload) if path not in wanted]
    return sorted((each for each in found if each), key=lambda finding: finding.path)


def orphans(tree: Tree) -> list[StaleFile]:
    """Applications that rendering once wrote, of workloads that have no Score file any more."""
    known = set(workload_names(tree))
    left = []
    for environment in ENVIRONMENTS:
        for path in sorted(tree.applications(environment).glob(f"*-app-{environment}.yaml")):
            name = path.name.removesuffix(f"-app-{environment}.yaml")
            if name not in known and is_generated(path.read_text("utf-8")):
                left.append(_superfluous(tree, path))
    return left


def _base(workload: Workload) -> dict[str, tuple[Manifest, ...]]:
    """The base's files. Each is a step of the sync."""
    steps: dict[str, tuple[Manifest, ...]] = {
        "account.yaml": (account(workload), *network_policies(workload)),
        "candidate.yaml": (
            deployment(workload, CANDIDATE, CANDIDATE_WAVE),
            service(workload, CANDIDATE, CANDIDATE_WAVE),
        ),
        "gate.yaml": (candidate_job(workload), route_job(workload)),
        "stable.yaml": (
            deployment(workload, STABLE, STABLE_WAVE),
            service(workload, STABLE, STABLE_WAVE),
            budget(workload),
        ),
        "route.yaml": (route(workload),),
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*steps, "../e2e"],
    }
    return {"kustomization.yaml": (kustomization,), **steps}


def _text(name: str, *manifests: Manifest) -> str:
    return generated(name, yaml_text(*manifests), (INSTEAD,))


def _finding(tree: Tree, path: Path, wanted: str) -> StaleFile | None:
    if not path.exists():
        return StaleFile(path, "missing", _diff(tree, path, "", wanted))
    held = path.read_text("utf-8")
    return None if held == wanted else StaleFile(path, "differs", _diff(tree, path, held, wanted))


def _superfluous(tree: Tree, path: Path) -> StaleFile:
    return StaleFile(path, "superfluous", _diff(tree, path, path.read_text("utf-8", "replace"), ""))


def _held(tree: Tree, workload: Workload) -> Iterator[Path]:
    """The files that are there in places where only rendering writes, people's own left out."""
    folder = tree.service(workload.name)
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not _peoples(inside):
            yield path
    for environment in ENVIRONMENTS:
        path = tree.application(workload.name, environment)
        if path.is_file():
            yield path


def _peoples(inside: tuple[str, ...]) -> bool:
    match inside:
        case ("base", *_) | ("overlays", _, "kustomization.yaml"):
            return False
        case ("overlays", _, folder, *_):
            return folder == PATCHES
        case ("e2e", name):
            return name.startswith("test_") and name.endswith(".py")
        case ("overlays" | "e2e", *_):
            return "__pycache__" in inside
        case _:
            return True


def _diff(tree: Tree, path: Path, held: str, wanted: str) -> str:
    name = tree.relative(path)
    return "".join(
        difflib.unified_diff(
            held.splitlines(keepends=True), wanted.splitlines(keepends=True), f"tree/{name}", f"rendered/{name}"
        )
    )
