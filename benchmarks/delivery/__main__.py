"""``python -m benchmarks.delivery [--only PART …] [--sample N]``: delivery on a real cluster, measured.

It changes what runs in one environment of the cluster that KUBECONFIG names, and pushes commits to the repository that
Argo CD follows there (asked of the cluster unless ``--repo`` names it). Afterwards both are as they were.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import os
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from benchmarks.delivery.bad_releases import BadKind, bad_releases, kinds
from benchmarks.delivery.bootstrap import bootstrap
from benchmarks.delivery.drift import KINDS, Kind, drift
from benchmarks.delivery.good_releases import good_releases
from benchmarks.delivery.load import Ask, Load, Tokens
from benchmarks.delivery.stage import Stage, guarded, say, staged
from benchmarks.results import Result, markdown, write
from journeymesh.delivery.cluster import opened_cluster, repository_of

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "delivery.json"
SAMPLES = ROOT / ".cache" / "bench" / "delivery.json"
GUARD_LOG = ROOT / ".cache" / "bench" / "guard.log"
OTHERS = ("workloads", "admission", "sabotages")
"""Parts in modules of their own: ``measure(stage, sample)`` returns results."""


K = TypeVar("K", Kind, BadKind)


def chosen(every: Sequence[K], options: argparse.Namespace) -> list[K]:
    """The kinds that are named, else as many as are wanted of them by chance, else all."""
    if options.kinds:
        return [kind for kind in every if kind.name in options.kinds]
    return random.Random(options.seed).sample(every, options.sample) if options.sample else list(every)


def measured_drift(stage: Stage, options: argparse.Namespace) -> list[Result]:
    found = [each for _ in range(options.rounds) for each in drift(stage, chosen(KINDS, options))]
    times = sorted(each.heal_s for each in found if each.heal_s is not None)
    not_healed = sorted({each.kind for each in found if each.heal_s is None})
    each_s = "; ".join(f"{each.kind} {each.heal_s:.2f}" for each in found if each.heal_s is not None)
    note = f"not healed: {', '.join(not_healed)}" if not_healed else f"{len(times)} heals: {each_s}"
    p95 = times[math.ceil(0.95 * len(times)) - 1] if times else None
    return [
        Result("drift_kinds", len({each.kind for each in found}.difference(not_healed)), "kinds", least=12, note=note),
        Result("drift_heal_p95_s", p95, "s", least=5),
        Result("drift_heal_max_s", None if not_healed or not times else times[-1], "s", least=15),
    ]


def measured_bad(stage: Stage, options: argparse.Namespace) -> list[Result]:
    wanted = chosen(kinds(options.unapproved), options)
    with load_of(stage, options) as load, guarded(stage, GUARD_LOG, "--attempts", str(options.attempts)):
        found = bad_releases(stage, load, wanted, every_attempt=options.attempts == 0)
    say(f"load: {load.answers}")
    reverts = [each.revert_after_failure_s for each in found if each.revert_after_failure_s is not None]
    pushes = [each.reverted_s for each in found if each.reverted_s is not None]
    heals = [each.healed_s for each in found if each.healed_s is not None]
    note = "; ".join(str(each) for each in found if not each.is_stopped) or ", ".join(each.kind for each in found)
    return [
        Result("bad_release_kinds_stopped", sum(each.is_stopped for each in found), "kinds", least=10, note=note),
        Result("bad_release_failed_requests", sum(each.failed_requests for each in found), "or fewer", least=0,
               note=str(load.answers)),
        Result("revert_s", max(reverts, default=None), "s", least=60, note="the slowest, from the failed sync"),
        Result("revert_after_push_s", max(pushes, default=None), "s", note="the slowest, from the push of the release"),
        Result("healing_after_revert_s", max(heals, default=None), "s", least=60,
               note="the slowest, from the revert until a drift made by hand was healed"),
    ]  # fmt: skip


def measured_good(stage: Stage, options: argparse.Namespace) -> list[Result]:
    with load_of(stage, options) as load:
        found = good_releases(stage, load, options.sample or options.releases, options.digests)
    say(f"load: {load.answers}")
    slowest = max((each.live_s for each in found), default=None)
    return [
        Result("good_releases", len(found), "releases", least=20),
        Result("good_release_failed_requests", load.answers.failed, "or fewer", least=0, note=str(load.answers)),
        Result("good_release_live_s", slowest, "s", note="the slowest, from its push until every pod was of it"),
    ]


def measured_bootstrap(options: argparse.Namespace) -> list[Result]:
    found = bootstrap(options.kubeconfig)
    note = f"{found['applications']} Applications healthy by {found['commands']} commands"
    return [Result("bootstrap_s", found["bootstrap_s"], "s", note=note)]


def measured_elsewhere(name: str) -> Callable[[Stage, argparse.Namespace], list[Result]]:
    def measured(stage: Stage, options: argparse.Namespace) -> list[Result]:
        module = importlib.import_module(f"benchmarks.delivery.{name}")
        found: list[Result] = module.measure(stage, options.sample)
        return found

    return measured


PARTS: dict[str, Callable[[Stage, argparse.Namespace], list[Result]]] = {
    "drift": measured_drift,
    "bad": measured_bad,
    "good": measured_good,
} | {name: measured_elsewhere(name) for name in OTHERS if importlib.util.find_spec(f"benchmarks.delivery.{name}")}


def load_of(stage: Stage, options: argparse.Namespace) -> AbstractContextManager[Load]:
    """What users ask of the bundle through the gateway: summaries, journeys, who they are, and strangers."""
    token_url = f"{stage.gateway}/realms/journeymesh/protocol/openid-connect/token"
    tokens = Tokens(token_url, "e2e-analyst", stage.secret("keycloak-clients", "e2e-analyst"), "pricing")
    policy = f"/v1/policies/{options.policy}"
    asks = (
        Ask(f"{policy}/summary?period=month", headers=tokens.headers),
        Ask(f"{policy}/journeys?limit=5", headers=tokens.headers),
        Ask(f"{policy}/summary?period=month", headers=tokens.headers),
        Ask("/v1/me", headers=tokens.headers),
        Ask(f"{policy}/summary?period=month", expected=401),
    )
    return Load(stage.gateway, asks, options.per_s)


def versions(stage: Stage) -> dict[str, str]:
    """Of what the figures depend on."""
    pods = stage.cluster.items("/api/v1/namespaces/argocd/pods")
    images = {box["image"] for pod in pods for box in pod["spec"]["containers"] if "/argocd:" in box["image"]}
    return {
        "kubernetes": stage.cluster.ask("GET", "/version")["gitVersion"],
        "argocd": min((image.rpartition(":")[2] for image in images), default=""),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=("bootstrap", *PARTS), default=list(PARTS), help="bootstrap wants an empty cluster"
    )
    parser.add_argument("--sample", type=int, default=0, help="so many of each kind; the figures are not kept")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="chooses the sample")
    parser.add_argument("--env", default="dev")
    parser.add_argument("--repo", default="", help="else what Argo CD follows")
    parser.add_argument("--branch", default="")
    parser.add_argument("--gateway", default="https://127.0.0.1:30443")
    parser.add_argument("--policy", default="JM-000001-1")
    parser.add_argument("--per-s", type=float, default=100.0, help="requests a second")
    parser.add_argument("--attempts", type=int, default=0, help="the guard's: so many failed attempts are enough")
    parser.add_argument("--rounds", type=int, default=1, help="so often every kind of drift")
    parser.add_argument("--releases", type=int, default=20)
    parser.add_argument("--digests", nargs="*", default=[], help="alike images that good releases pin in turn")
    parser.add_argument("--unapproved", default="sha256:" + "0bad" * 16, help="digest of an image nobody approved")
    parser.add_argument("--kinds", nargs="*", default=[], help="only these kinds of drift or bad release; not kept")
    parser.add_argument("--sign", default="", help="key that signs commits")
    parser.add_argument("--kubeconfig", type=Path, default=None)
    return parser.parse_args()


def measured_parts(parts: Sequence[str], options: argparse.Namespace, place: Path) -> list[Result]:
    """What is done to a bundle that runs; each part's figures are kept when it is through."""
    with opened_cluster(options.kubeconfig) as cluster:
        repository = options.repo or repository_of(cluster.applications(), options.env)
    results: list[Result] = []
    with staged(
        repository,
        options.env,
        options.gateway,
        kubeconfig=options.kubeconfig,
        sign=options.sign,
        branch=options.branch,
    ) as stage:
        for part in parts:
            say(f"{part} (seed {options.seed})" if options.sample else part)
            results += PARTS[part](stage, options)
            write(results, versions(stage), place)
    return results


def main() -> None:
    options = arguments()
    place = SAMPLES if options.sample or options.kinds else RESULTS
    results: list[Result] = []
    if "bootstrap" in options.only:
        results += measured_bootstrap(options)
        write(results, {}, place)
    parts = [part for part in options.only if part in PARTS]
    if parts:
        results += measured_parts(parts, options, place)
    print(markdown(results))
    if any(one.verdict in ("SHORT", "not measured") for one in results) and place == RESULTS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
