"""Good releases in a row under load: each goes through the whole gate, and no request fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.delivery.bad_releases import SERVICE, patched, pinned
from benchmarks.delivery.load import Load
from benchmarks.delivery.stage import Stage, say, until


@dataclass(frozen=True, slots=True)
class Released:
    """One good release: seconds until its sync had succeeded, requests that failed meanwhile."""

    number: int
    live_s: float
    failed_requests: int
    requests: int


def good_releases(stage: Stage, load: Load, count: int, digests: Sequence[str] = ()) -> list[Released]:
    """Release so many times: the digests in turn where there are some, and always another pod template.

    Afterwards the overlay is what it was before.
    """
    stage.clone.freshen()
    before = stage.clone.head()
    found = []
    try:
        for number in range(1, count + 1):
            found.append(one_good_release(stage, load, number, digests))
            last = found[-1]
            told = f"live in {last.live_s:.0f} s, {last.failed_requests} of {last.requests:,} failed"
            say(f"good release {number}: {told}")
    finally:
        stage.take_back(before, SERVICE, "End the series of releases")
    return found


def one_good_release(stage: Stage, load: Load, number: int, digests: Sequence[str]) -> Released:
    """Push it; wait until the gate let it through and every pod of the stable Deployment is of it."""
    failed, asked = load.answers.failed, load.answers.asked
    note = {
        "op": "add",
        "path": "/spec/template/metadata/annotations",
        "value": {"journeymesh.io/release": str(number)},
    }

    def change(overlay: dict[str, Any]) -> None:
        held = overlay.get("patches", [])
        overlay["patches"] = [each for each in held if "journeymesh.io/release" not in str(each.get("patch"))]
        patched("Deployment", f"{SERVICE}.*", note)(overlay)
        if digests:
            pinned(digests[number % len(digests)])(overlay)

    commit = stage.edit(SERVICE, change, f"Release {SERVICE}, {number} of the series")
    began = time.monotonic()
    stage.settled(f"{SERVICE}-app-{stage.environment}", commit, 300)
    until("the rollout", lambda: _is_rolled_out(stage, number), 120, 0.25)
    live_s = time.monotonic() - began
    return Released(number, live_s, load.answers.failed - failed, load.answers.asked - asked)


def _is_rolled_out(stage: Stage, number: int) -> bool:
    live = stage.live(f"/apis/apps/v1/namespaces/{stage.environment}/deployments/{SERVICE}")
    if live is None:
        return False
    notes = live["spec"]["template"]["metadata"].get("annotations") or {}
    status = live.get("status", {})
    wanted = live["spec"]["replicas"]
    settled = status.get("observedGeneration") == live["metadata"]["generation"]
    counts = [status.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "replicas")]
    return notes.get("journeymesh.io/release") == str(number) and settled and counts == [wanted] * 3
