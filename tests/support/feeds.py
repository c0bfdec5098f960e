"""A legacy double, a SQLite or memory target and a feeder between them, for tests of backfill and live sync."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from journeymesh.engines.local import run
from journeymesh.engines.port import Retention, RunOptions
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON, JourneyRules
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import Store
from journeymesh.strangler.control import Control
from journeymesh.strangler.feeder import Feeder
from journeymesh.strangler.plan import Feed, LegacySource, Plan, TargetStore
from journeymesh.strangler.routes import Route, RouteChange, read_routes, record
from journeymesh.strangler.slices import Phase, Selector, Slice
from journeymesh.wiring import open_store
from tests.support.legacy_double import MemoryLegacy

START = datetime(2024, 1, 1, tzinfo=UTC)


def policy_of(vehicle: str, **changes: object) -> Policy:
    """A policy without end for one vehicle."""
    values: dict[str, object] = {"number": f"P-{vehicle}", "valid_from": START, "vehicle": vehicle}
    return Policy(**(values | changes))  # type: ignore[arg-type]


def plan_for(url: str, **feed: object) -> Plan:
    """A plan with one target, ``embedded``."""
    return Plan(
        version=1,
        control="sqlite:///unused.db",
        legacy=LegacySource(source="mongodb://unused/legacy", mapping="unused.yaml"),
        stores={"embedded": TargetStore(url=url)},
        feed=Feed(**feed),  # type: ignore[arg-type]
    )


@dataclass
class Bench:
    """A move under way: legacy, the control database in a folder, and the store it goes to."""

    folder: Path
    legacy: MemoryLegacy = field(default_factory=MemoryLegacy)
    rules: JourneyRules = ALWAYS_ON
    retention: Retention = field(default_factory=Retention)
    chunk_fixes: int = 2_000

    def __post_init__(self) -> None:
        self.control = Control(f"sqlite:///{self.folder}/control.db")
        self.control.migrate()
        self.url = f"sqlite:///{self.folder}/target.db"
        store = self.open_store("embedded")
        store.migrate()
        store.close()

    def open_store(self, name: str) -> Store:
        """The target."""
        assert name == "embedded"
        return open_store(self.url)

    def route(self, name: str = "pilot", phase: Phase = Phase.SHADOW, **selector: object) -> None:
        """Record a route from legacy to the target."""
        route = Route(Slice(name, Selector(**selector)), "legacy", "embedded", "legacy", phase, False, None, 1)  # type: ignore[arg-type]
        with self.control.writing() as connection:
            record(connection, route, RouteChange("test", "test", "moved", None, route.phase))

    def feeder(self, **feed: object) -> Feeder:
        """A feeder of this move."""
        return Feeder(
            plan=plan_for(self.url, **({"chunk_fixes": self.chunk_fixes} | feed)),
            control=self.control,
            open_store=self.open_store,
            open_source=lambda: self.legacy,
            rules=self.rules,
            retention_of=lambda _: self.retention,
        )

    def feed(self, **feed: object) -> None:
        """Feed until everything is there."""
        self.feeder(**feed).run(once=True)

    def digest(self) -> dict[str, str]:
        """What the target holds."""
        store = self.open_store("embedded")
        try:
            return store.digest()
        finally:
            store.close()

    def expected(self, policies: Sequence[Policy] | None = None) -> dict[str, str]:
        """What one run over all of legacy would have put into an empty store."""
        store = MemoryStore()
        wanted = self.legacy.policies() if policies is None else policies
        run(self.legacy, store, RunOptions(rules=self.rules, policies=wanted, retention=self.retention))
        return store.digest()

    def is_complete(self, name: str = "pilot") -> bool:
        """Whether the slice's target is recorded as complete."""
        route = read_routes(self.control).get(name)
        return route is not None and route.complete
