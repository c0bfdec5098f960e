"""The plan: a YAML file in git that says where every slice should be. ``strangler apply`` moves them there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from journeymesh.databases.database import url_beside
from journeymesh.errors import UsageError
from journeymesh.safe_text import place_of
from journeymesh.strangler.slices import Phase, Selector, Slice
from journeymesh.yaml_files import read_yaml

LEGACY: Final = "legacy"
"""The name of the side that is computed from the legacy collections."""


class PlanInvalid(UsageError):
    """A plan file cannot be followed."""


class LegacySource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The legacy MongoDB: ``source`` URL (``${VARIABLE}`` is taken from the environment), ``mapping``, ``rules``.

    ``reverse_sync`` lets fixes that the door accepts be written to legacy as documents; the mapping must be
    invertible. Paths are relative to the plan file.
    """

    source: str
    mapping: str
    rules: str = "always-on"
    reverse_sync: bool = False


class TargetStore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A store: its URL (``${VARIABLE}`` is taken from the environment) and how long it keeps fixes."""

    url: str
    keep_fixes: str = "all"


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must hold before a target answers.

    ``shadow_coverage`` is the share of the slice's policies that were compared at least once since the last mismatch
    was dealt with; ``shadow_reads`` the least number of comparisons. ``quiet_days`` is how long nothing may have asked
    legacy before it is retired. ``third_opinion`` is the share of the policies that legacy's own totals have to agree
    with, or be explained; None, for there are not such totals everywhere: it is not asked for. Of the documents that a
    feed read in ``refused_window_s`` at most ``refused_share`` may be refused beyond the share before; fewer than
    ``refused_documents`` are never too many.
    """

    max_lag_s: float = 30.0
    shadow_coverage: float = 0.95
    shadow_reads: int = 100
    quiet_days: float = 14.0
    third_opinion: float | None = None
    refused_share: float = 0.05
    refused_documents: int = 20
    refused_window_s: float = 3600.0


class Shadow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is compared: a share of the reads, by so many threads, each within a time; then read again."""

    sample: float = 1.0
    concurrency: int = 2
    budget_s: float = 5.0
    waiting: int = 1000
    reread_after_s: tuple[float, ...] = (0.2, 1.0, 5.0)


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a target is fed: fixes in a chunk of the backfill, and the source's latency above which it waits."""

    chunk_fixes: int = 200_000
    max_source_latency_s: float = 0.25
    batch_events: int = 2000


class SlicePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A slice: its policies, the store it moves to and the phase it should be in.

    ``source`` is what it moves from: ``legacy``, or one of the stores, to swap one store for another.
    """

    name: str
    policies: Selector
    target: str
    phase: Phase
    source: str = LEGACY

    @property
    def slice(self) -> Slice:
        """The name and the set."""
        return Slice(self.name, self.policies)


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The desired state. ``control`` is the URL of the database that records the present one (SQLite, PostgreSQL), of
    this plan alone. ``id`` names the plan; where it is not given, legacy's place does.
    """

    version: Literal[1]
    id: str | None = None
    control: str
    legacy: LegacySource
    stores: dict[str, TargetStore]
    slices: tuple[SlicePlan, ...] = ()
    gates: Gates = Gates()
    shadow: Shadow = Shadow()
    feed: Feed = Feed()

    @property
    def identity(self) -> str:
        """What tells the plan from another one."""
        return self.id or place_of(self.legacy.source)

    def slice(self, name: str) -> SlicePlan:
        """The slice of this name.

        Raises:
            PlanInvalid: there is none.
        """
        for each in self.slices:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.slices) or "none"
        raise PlanInvalid(f"the plan has no slice {name!r}, only {known}", todo="name one of them")


def load_plan(path: str | Path) -> Plan:
    """The plan in this file, variables and relative paths resolved.

    Raises:
        PlanInvalid: naming the file, the place in it and what to do.
    """
    where = f"plan {path}"
    plan = read_yaml(path, Plan, called="plan", invalid=PlanInvalid, see="docs/reference/plan")
    _check(where, plan)
    return _beside(plan, Path(path).parent)


def with_phases(plan: Plan, phases: Mapping[str, str]) -> Plan:
    """The plan with other phases for some slices: what an operator asks for before it is committed.

    Raises:
        PlanInvalid: no such slice, or no such phase.
    """
    for name, phase in phases.items():
        plan.slice(name)
        if phase not in list(Phase):
            known = ", ".join(Phase)
            raise PlanInvalid(f"slice {name!r}: there is no phase {phase!r}", todo=f"use one of {known}")
    slices = tuple(
        msgspec.structs.replace(each, phase=Phase(phases[each.name])) if each.name in phases else each
        for each in plan.slices
    )
    return msgspec.structs.replace(plan, slices=slices)


def with_swap(plan: Plan, name: str, store: str) -> Plan:
    """The plan with the slice's target as its source and another store as its target, in phase shadow.

    Raises:
        PlanInvalid: no such slice or store.
    """
    held = plan.slice(name)
    if store not in plan.stores:
        raise PlanInvalid(f"the plan has no store {store!r}", todo=f"use one of {', '.join(plan.stores)}")
    if store == held.target:
        raise PlanInvalid(f"slice {name!r} is already answered by {store!r}", todo="name another store")
    swapped = msgspec.structs.replace(held, source=held.target, target=store, phase=Phase.SHADOW)
    return msgspec.structs.replace(plan, slices=tuple(swapped if each.name == name else each for each in plan.slices))


def plan_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a plan file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://journeymesh.example/schemas/plan-1.json",
        "title": "Journeymesh strangler plan",
        **msgspec.json.schema(Plan),
    }


_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _check(where: str, plan: Plan) -> None:
    """Refuse what the types allow and nobody could follow."""

    def refuse(fault: str, todo: str) -> PlanInvalid:
        return PlanInvalid(f"{where}: {fault}", todo=todo)

    if LEGACY in plan.stores:
        raise refuse("stores: 'legacy' is the name of the legacy side", "give the store another name")
    seen: set[str] = set()
    for each in plan.slices:
        at = f"slice {each.name!r}"
        if not _NAME.fullmatch(each.name):
            raise refuse(f"{at}: invalid name", "use lower-case letters, digits and hyphens, at most 63")
        if each.name in seen:
            raise refuse(f"{at} is defined twice", "give each slice its own name")
        seen.add(each.name)
        for role, store in (("target", each.target), ("source", each.source)):
            if store not in plan.stores and not (role == "source" and store == LEGACY):
                known = ", ".join(plan.stores) or "none"
                raise refuse(f"{at}: {role} {store!r} is not one of the stores ({known})", "add it under stores")
        if each.source == each.target:
            raise refuse(f"{at}: source and target are both {each.target!r}", "name two stores")
        fault = each.policies.fault()
        if fault is not None:
            raise refuse(f"{at}: policies: {fault}", "fix it")
    for name, low, value, high in (
        ("gates.shadow_coverage", 0.0, plan.gates.shadow_coverage, 1.0),
        ("shadow.sample", 0.0, plan.shadow.sample, 1.0),
        ("shadow.concurrency", 1, plan.shadow.concurrency, 64),
        ("gates.max_lag_s", 0.001, plan.gates.max_lag_s, 86_400.0),
        ("gates.quiet_days", 0.0, plan.gates.quiet_days, 3650.0),
        ("gates.third_opinion", 0.5, 1.0 if plan.gates.third_opinion is None else plan.gates.third_opinion, 1.0),
        ("gates.refused_share", 0.0001, plan.gates.refused_share, 1.0),
        ("gates.refused_documents", 1, plan.gates.refused_documents, 1_000_000_000),
        ("gates.refused_window_s", 1.0, plan.gates.refused_window_s, 31_536_000.0),
    ):
        if not low <= value <= high:
            raise refuse(f"{name} is {value:g}", f"use a number from {low:g} to {high:g}")


def _beside(plan: Plan, folder: Path) -> Plan:
    """Relative paths, and relative SQLite and lake files, are beside the plan file."""
    legacy = plan.legacy
    rules = legacy.rules
    if "/" in rules or rules.endswith((".yaml", ".yml")):
        rules = str(folder / rules)
    return msgspec.structs.replace(
        plan,
        control=url_beside(plan.control, folder),
        legacy=msgspec.structs.replace(legacy, mapping=str(folder / legacy.mapping), rules=rules),
        stores={
            name: msgspec.structs.replace(store, url=url_beside(store.url, folder))
            for name, store in plan.stores.items()
        },
    )
