"""A store's journeys made anew by other rules, out of the fixes that it keeps.

Vehicle by vehicle, each in one write with the position behind it, so that it may be killed at any moment and goes on
where it was, unless another run wrote since: then it begins anew. Nothing is read but kept fixes; what they no longer
hold cannot be recomputed, and is found before anything is changed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from journeymesh.engines.port import Retention
from journeymesh.engines.recalculation import Recalculation
from journeymesh.errors import RulesConflict
from journeymesh.journeys.fixes import I64
from journeymesh.journeys.rules import JourneyRules
from journeymesh.stores.port import RulesUsed, Run, Store, StoreBatch

SOURCE: Final = "store recompute"
"""``Run.source`` of a recomputing run."""
_PAGE: Final = 1000


@dataclass(slots=True)
class RecomputeReport:
    """What a recomputing run did. ``lost``: journeys that stay as they are, for their fixes are not kept."""

    version: str
    before: list[str] = field(default_factory=list)
    vehicles: int = 0
    journeys: int = 0
    changed: int = 0
    removed: int = 0
    lost: int = 0
    lost_vehicles: int = 0


def recompute(
    store: Store,
    rules: JourneyRules,
    *,
    allow_mixed_rules: bool = False,
    now: datetime | None = None,
    on_vehicle: Callable[[int], None] | None = None,
) -> RecomputeReport:
    """Make every journey of the store by these rules. Idempotent; may be killed and run again.

    Raises:
        RulesConflict: journeys whose fixes are not kept would stay by other rules, and ``allow_mixed_rules`` is off.
    """
    used = RulesUsed.of(rules)
    others = [other for other in store.rules() if other != used]
    report = RecomputeReport(rules.version, [other.version for other in others])
    if not others:
        return report
    at = now or datetime.now(UTC)
    recalculation = Recalculation(
        store=store, rules=rules, policies=store.policies(), retention=Retention(), now=at, describe=_described
    )
    for vehicle in _vehicles(store, None):
        lost = recalculation.not_recomputable(vehicle)
        report.lost += lost
        report.lost_vehicles += lost > 0
    if report.lost and not allow_mixed_rules:
        raise RulesConflict(
            f"{report.lost:,} journeys of {report.lost_vehicles:,} vehicles cannot be recomputed: their fixes are not "
            "kept; nothing was changed",
            todo="preprocess their source into a new store, or let them stay as they are with --allow-mixed-rules",
        )
    run = _begun(store, rules, at)
    store.write(StoreBatch(rules=used, run=run))
    for vehicle in _vehicles(store, run.resume):
        recalculated = recalculation.again(vehicle)
        report.vehicles += 1
        report.journeys += recalculated.journeys
        report.changed += recalculated.changed
        report.removed += recalculated.removed
        run = replace(run, resume=vehicle)
        store.write(replace(recalculated.batch, run=run))
        if on_vehicle is not None:
            on_vehicle(report.vehicles)
    counts = {"vehicles": report.vehicles, "journeys": report.journeys, "journeys_changed": report.changed,
              "journeys_removed": report.removed, "not_recomputable": report.lost}  # fmt: skip
    done = replace(run, finished_at=datetime.now(UTC), counts=counts, resume=None)
    store.write(StoreBatch(rules_withdrawn=[] if report.lost else others, run=done))
    return report


def _begun(store: Store, rules: JourneyRules, at: datetime) -> Run:
    """The run by these very rules that was broken off, where no other run has written since; or a new one.

    Its ``run_id`` begins with the rules' digest: an edited file may have kept its version.
    """
    runs = store.runs()
    mark = f"{rules.digest[:16]}-"
    for earlier in reversed(runs):
        if earlier.source != SOURCE or earlier.finished_at is not None or not earlier.run_id.startswith(mark):
            continue
        if any(_wrote_since(other, earlier) for other in runs):
            break
        return earlier
    return Run(f"{mark}{uuid.uuid4().hex[:16]}", SOURCE, rules.version, at, None, {})


def _wrote_since(other: Run, broken_off: Run) -> bool:
    """Whether another run began, or ended, after this one began: what lies behind its position may be its work."""
    if other.run_id == broken_off.run_id:
        return False
    return max(other.started_at, other.finished_at or other.started_at) > broken_off.started_at


def _vehicles(store: Store, after: str | None) -> Iterator[str]:
    while page := store.vehicles_after(after, _PAGE):
        held = store.vehicles(page)  # the others have refusals only
        yield from (vehicle for vehicle in dict.fromkeys(page) if vehicle in held)
        after = page[-1]


def _described(origins: I64) -> list[str]:
    return ["kept fixes"] * len(origins)
