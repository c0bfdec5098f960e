"""A slice of every policy between a legacy in memory and a SQLite file, with the commands over it, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from journeymesh.cli.main import outcome
from journeymesh.engines.port import Retention
from journeymesh.instants import to_us
from journeymesh.journeys.journey import journey_id
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import Store, StoreBatch, Superseded
from journeymesh.strangler.control import Control
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.plan import Gates, Plan, Shadow, SlicePlan, TargetStore
from journeymesh.strangler.slices import Phase, Selector
from journeymesh.wiring import open_store
from tests.support.builders import NOON, drive
from tests.support.legacy_double import MemoryLegacy
from tests.support.plans import plan_of

POLICIES = [Policy(number=f"P{k}", valid_from=NOON - timedelta(days=1), device=f"V{k}") for k in range(3)]
LOST = journey_id("V1", to_us(NOON))
OPEN_GATES = Gates(max_lag_s=600, shadow_coverage=0, shadow_reads=0, quiet_days=0)


class Losing:
    """A store that loses one journey of every batch that has it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, batch: StoreBatch) -> None:
        self._store.write(batch)
        self._store.write(StoreBatch(superseded=[Superseded(LOST, None)]))


class World:
    """A slice of every policy, filled and moved to a phase; and the commands over it."""

    def __init__(self, folder: Path, policies: Sequence[Policy] = POLICIES) -> None:
        self.folder, self.legacy, self.loses = folder, MemoryLegacy(held_policies=list(policies)), False
        self.phase = Phase.SHADOW
        for policy in policies:
            self.legacy.put(drive((10.0, 300), start=NOON, vehicle=str(policy.device), every_s=10))

    def go(self, phase: Phase) -> None:
        """Fill the target and move the slice there."""
        order = list(Phase)
        for step in order[order.index(Phase.SHADOW) : order.index(phase) + 1]:
            self.phase = step
            assert outcome(["strangler", "apply", "plan.yaml", "--why", "test"]) == 0
            assert outcome(["strangler", "run", "plan.yaml", "--once"]) == 0

    def spoil(self) -> None:
        """Take a journey from the target."""
        store = open_store(f"sqlite:///{self.folder}/target.db")
        store.write(StoreBatch(superseded=[Superseded(LOST, None)]))
        store.close()

    def open_store(self, url: str) -> Store:
        store = open_store(url)
        return Losing(store) if self.loses else store  # type: ignore[return-value]

    def installation(self, *_: object, **__: object) -> Installation:
        opened = lambda: self.legacy  # noqa: E731
        return Installation(
            plan=self.plan, rules=ALWAYS_ON, control=Control(f"sqlite:///{self.folder}/control.db"),
            open_store=self.open_store, open_legacy=opened, open_remover=opened, open_writer=opened,
            keep_fixes=lambda text: Retention().keep, exports=self.folder / "retired",
        )  # type: ignore[arg-type]  # fmt: skip

    @property
    def plan(self) -> Plan:
        wanted = SlicePlan(name="all", policies=Selector(), target="embedded", phase=self.phase)
        stores = {"embedded": TargetStore(url=f"sqlite:///{self.folder}/target.db")}
        shadow = Shadow(reread_after_s=(0.02, 0.02))
        return msgspec.structs.replace(plan_of(wanted, gates=OPEN_GATES), stores=stores, shadow=shadow)
