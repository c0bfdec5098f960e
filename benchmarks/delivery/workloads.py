"""From ``workload new`` to Healthy with its end-to-end tests passed, for a sample in each language."""

from __future__ import annotations

import time

from tests.cluster.bring_up import build, journeymesh, pushed

from benchmarks.delivery.stage import Stage, say, until
from benchmarks.results import Result
from journeymesh.delivery.addresses import addresses
from journeymesh.delivery.cluster import APPLICATIONS
from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.approved import ApprovedDigests
from journeymesh.delivery.tree import Tree

LANGUAGES = ("python", "node", "java", "go")
LIMIT_S = 300.0


def measure(stage: Stage, sample: int) -> list[Result]:
    """Each language after the other; the workloads are gone from tree and cluster afterwards."""
    results = []
    for language in LANGUAGES[: sample or None]:
        say(f"workload in {language}")
        image, build_s = built(stage, language)
        live_s = went_live(stage, f"sample-{language}", image)
        results.append(
            Result(f"workload_to_healthy_s_{language}", live_s, "s", least=LIMIT_S,
                   note=f"image built and pushed before, in {build_s:.0f} s")
        )  # fmt: skip
    return results


def built(stage: Stage, language: str) -> tuple[str, float]:
    """The sample's image by digest, and how long building and pushing it took."""
    began = time.monotonic()
    name = f"journeymesh-sample-{language}"
    registry = addresses(Tree(stage.clone.folder)).registry
    named = pushed(build(name, f"examples/workloads/{language}"), f"{registry}/{name}")
    return named, time.monotonic() - began


def went_live(stage: Stage, name: str, image: str) -> float:
    """Seconds from ``workload new`` until Argo CD calls it healthy, every hook of the sync succeeded."""
    stage.clone.freshen()
    began, before = time.monotonic(), stage.clone.head()
    journeymesh("workload", "new", name, "--image", image, "--env", stage.environment, folder=stage.clone.folder)
    ApprovedDigests(Tree(stage.clone.folder), stage.environment).approve(PinnedImage.parse(image).digest, name)
    stage.push(f"Add {name}")
    child, root = f"{name}-app-{stage.environment}", f"root-appbundle-app-{stage.environment}"
    for application in (root, "root-platform-app"):
        stage.cluster.refresh(application)
    until(f"{child} there", lambda: stage.live(f"{APPLICATIONS}/{child}"), LIMIT_S, 0.5)
    found = stage.settled(child, seconds=LIMIT_S)
    took_s = time.monotonic() - began
    hooks = {outcome.name: outcome for outcome in found.operation.outcomes} if found.operation else {}
    assert f"{name}-e2e" in hooks, f"{child} is healthy and its tests did not run: {sorted(hooks)}"
    _taken_away(stage, name, before, child, root)
    return took_s


def _taken_away(stage: Stage, name: str, before: str, child: str, root: str) -> None:
    stage.clone.freshen()
    stage.clone.git("rm", "-r", "--quiet", f"customization/services/{name}")
    stage.clone.git("rm", "--quiet", f"customization/apps-children/{stage.environment}/{child}.yaml")
    stage.clone.git("checkout", "--quiet", before, "--", f"release/{stage.environment}")
    stage.push(f"Take {name} away")
    stage.cluster.refresh(root)
    until(f"{child} gone", lambda: stage.live(f"{APPLICATIONS}/{child}") is None, LIMIT_S, 0.5)
