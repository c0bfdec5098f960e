"""A move under operators' hands: legacy, stores, a control database, a door, a feeder; and what is true of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from journeymesh.engines.port import Retention
from journeymesh.errors import JourneymeshError, SourceUnreadable
from journeymesh.journeys.answers import answer_bytes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.door import Door, PolicyRouting
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.journey_index import JourneyIndex, Locator
from journeymesh.strangler.legacy_side import LegacySide
from journeymesh.strangler.plan import LEGACY, Feed, Gates, LegacySource, Plan, SlicePlan, TargetStore
from journeymesh.strangler.policy_book import PolicyBook
from journeymesh.strangler.questions import Side
from journeymesh.strangler.retire import Retiring
from journeymesh.strangler.routes import Route, Routes, RoutesFollower, read_routes
from journeymesh.strangler.slices import Phase, Selector
from journeymesh.strangler.targets import TargetWatch
from journeymesh.wiring import open_store
from tests.support.builders import drive
from tests.support.legacy_double import MemoryLegacy, Row
from tests.support.operated_stores import Stores
from tests.support.stepped_feeder import SteppedFeeder

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
CHANGE = BEGIN + timedelta(hours=7)
"""From then on policy P3 is another product's, and so another slice's."""
SLICES = ("bus", "car", "van")
NAMES = ("one", "two", "three")
TARGETS = {"car": "one", "van": "one", "bus": "two"}
POLICIES = (
    Policy(number="P0", valid_from=BEGIN, device="V0", product="car"),
    Policy(number="P1", valid_from=BEGIN, device="V1", product="car"),
    Policy(number="P2", valid_from=BEGIN, device="V2", product="van"),
    Policy(number="P3", valid_from=BEGIN, valid_to=CHANGE, device="V3", product="car"),
    Policy(number="P3", valid_from=CHANGE, device="V3", product="bus"),
    Policy(number="P4", valid_from=BEGIN, device="V4", product="bus"),
)
NUMBERS = tuple(sorted({policy.number for policy in POLICIES}))
VEHICLES = tuple(f"V{number[1:]}" for number in NUMBERS)

Share = tuple[str, str]
"""(slice, number): the journeys of a policy that are one slice's."""


@dataclass(frozen=True)
class Wanted:
    """What the plan says of a slice."""

    source: str
    target: str
    phase: Phase


class Operated(Installation):
    """An installation whose ``apply`` does not wait by the clock for a feeder: it lets the feeder go on."""

    waits: Callable[[float], None] = staticmethod(lambda seconds: None)

    def retiring(self, policies):  # type: ignore[no-untyped-def]
        return Retiring(
            self.control, policies, self.exports, self.open_remover, self.differences,
            fence_s=0.0, feeders_s=2.0, sleep=self.waits,
        )  # fmt: skip


@dataclass
class Replica:
    """A door as a service holds it, but that it looks at routes, targets and policies when it is told to."""

    installation: Installation
    door: Door
    watch: TargetWatch
    routes: RoutesFollower
    book: PolicyBook

    @classmethod
    def opened(cls, installation: Installation) -> Replica:
        """As ``opened_door`` opens it.

        Raises:
            JourneymeshError: it cannot be opened; a service would try again.
        """
        watch = TargetWatch(installation.control, installation.store)
        routes = RoutesFollower(installation.control, stale_s=1e9, corrected=watch.corrected)
        book = PolicyBook(installation.policies_at_hand)
        routing = PolicyRouting(routes)
        journey_index = JourneyIndex()
        locator = Locator(journey_index, lambda: [(n, installation.store(n)) for n in routing.names() if n != LEGACY])

        def side(name: str) -> Side:
            if name != LEGACY:
                return installation.store(name)
            return LegacySide(
                source=installation.legacy(), rules=ALWAYS_ON, policy_book=book, journey_index=journey_index
            )

        found = cls(
            installation, Door(routing=routing, sides=side, policy_book=book, locator=locator), watch, routes, book
        )
        try:
            found.look()
            book.refresh()
        except JourneymeshError:
            installation.close()
            raise
        return found

    def look(self) -> None:
        """What a door does twice a second."""
        self.watch.tick()
        self.watch.record()
        self.routes.tick()
        with suppress(JourneymeshError):
            self.book.refresh()


@dataclass
class Truth:
    """What a fresh run over legacy gives: the journeys of each slice and policy."""

    shares: dict[Share, bytes]
    fixes: dict[str, list[int]]

    @classmethod
    def of(cls, legacy: MemoryLegacy) -> Truth:
        """That of legacy as it is now."""
        alive = replace(legacy, broken=None)
        read = [alive.read([_whole(vehicle)]).fixes for vehicle in VEHICLES]
        shares = {(name, number): _none() for name in SLICES for number in NUMBERS}
        for fixes in read:
            if not len(fixes):
                continue
            made = make_journeys(fixes, ALWAYS_ON, list(POLICIES), now_us()).journeys
            for share in {(policy.product, policy.number) for policy in POLICIES}:
                if len(found := share_of(made, share)):
                    shares[share] = answer_bytes(found)
        return cls(shares, {v: sorted(f.fixed_at_us.tolist()) for v, f in zip(VEHICLES, read, strict=True)})


def share_of(journeys: pa.Table, share: Share) -> pa.Table:
    """The journeys that are this slice's and this policy's."""
    is_ours = pc.and_(pc.equal(journeys["product"], share[0]), pc.equal(journeys["policy"], share[1]))
    return journeys.filter(is_ours).combine_chunks()


def _none() -> bytes:
    from journeymesh.stores.memory import MemoryStore

    return answer_bytes(MemoryStore().journeys(JourneyQuery(policy="none")))


def _whole(vehicle: str):  # type: ignore[no-untyped-def]
    from journeymesh.sources.vehicle_port import VehicleTimes

    return VehicleTimes(vehicle)


@dataclass
class OperatedMove:
    """The move. ``log`` is every truth that legacy ever had; ``drained`` tells since which of them a store may be
    behind; ``frozen`` what was true of a slice when it was retired."""

    stores: Stores
    controls: Stores
    folder: Path
    patch: pytest.MonkeyPatch
    legacy: MemoryLegacy = field(default_factory=lambda: MemoryLegacy(held_policies=list(POLICIES)))
    wanted: dict[str, Wanted] = field(
        default_factory=lambda: {name: Wanted(LEGACY, TARGETS[name], Phase.LEGACY) for name in SLICES}
    )
    log: list[Truth] = field(default_factory=list)
    drained: dict[str, int] = field(default_factory=dict)
    frozen: dict[str, Truth] = field(default_factory=dict)
    unlock: Callable[[], None] | None = None
    replica: Replica | None = None
    running: SteppedFeeder | None = None
    seen: int = -1
    refused: JourneymeshError | None = None
    """Why the last feed came to no end."""

    def note_truth(self) -> None:
        """Write down what is true, where legacy has changed."""
        if self.seen != len(self.legacy.events):
            self.seen = len(self.legacy.events)
            self.log.append(Truth.of(self.legacy))

    def allowed(self, share: Share, name: str) -> set[bytes]:
        """What the side of this name may answer."""
        if share[0] in self.frozen:
            return {self.frozen[share[0]].shares[share]}
        since = len(self.log) - 1 if name == LEGACY else self.drained.get(name, 0)
        return {truth.shares[share] for truth in self.log[since:]}

    # --- what operators have

    def installation(self, *, wanted: dict[str, Wanted] | None = None, urls: dict[str, str] | None = None,
                     plan_id: str = "the-move") -> Operated:  # fmt: skip
        """As a process opens it that has just started."""
        slices = wanted or self.wanted
        urls = {name: self.stores.url(name) for name in NAMES} | (urls or {})
        plan = Plan(
            version=1,
            id=plan_id,
            control="unused",
            legacy=LegacySource(source="unused", mapping="unused"),
            stores={name: TargetStore(url=url) for name, url in urls.items()},
            slices=tuple(
                SlicePlan(name=name, policies=Selector(product=name), source=w.source, target=w.target, phase=w.phase)
                for name, w in slices.items()
            ),
            gates=Gates(max_lag_s=1e6, shadow_coverage=0, shadow_reads=0, quiet_days=0),
            feed=Feed(chunk_fixes=10, max_source_latency_s=1e6),
        )
        found = Operated(
            plan=plan, rules=ALWAYS_ON, control=Control(self.controls.url("control")), open_store=open_store,
            open_legacy=self._opened, open_remover=self._opened, open_writer=self._opened,
            keep_fixes=lambda text: Retention().keep, exports=self.folder / "retired",
        )  # type: ignore[arg-type]  # fmt: skip
        found.waits = self.step_feeder  # type: ignore[method-assign]
        return found

    @contextmanager
    def command(self, **given: object) -> Iterator[Operated]:
        """A command line's installation, with its control database looked at first."""
        with self.installation(**given) as installation:  # type: ignore[arg-type]
            assert isinstance(installation, Operated)
            installation.require_control()
            yield installation

    def _opened(self) -> MemoryLegacy:
        if self.legacy.broken is not None:
            raise self.legacy.broken
        return self.legacy

    def recorded(self) -> Routes:
        """The routes as they are recorded."""
        with ExitStack() as opened:
            control = Control(self.controls.url("control"))
            opened.callback(control.close)
            return read_routes(control)

    def feed(self) -> bool:
        """``strangler run --once``; whether it came to its end. Everything that was fed is up to date then."""
        now = len(self.log) - 1
        try:
            with self.command() as installation:
                installation.feeder().run(once=True)
        except JourneymeshError as error:
            self.refused = error
            return False
        for route in self.recorded().routes:
            for _, target in route.feeds:
                self.drained[target] = now
        return True

    def step_feeder(self, _: float = 0.0, *, looks: bool = True) -> None:
        """Let the feeder that runs on do its next thing."""
        if self.running is not None:
            self.running.step(looks)

    # --- what applications do

    def drive_on(self, vehicle: str, hours: int, minutes: int) -> bool:
        """Write a drive to legacy; False where applications write elsewhere by now."""
        start = BEGIN + timedelta(hours=hours)
        if self._is_retired(vehicle, start):
            return False
        shift = timedelta(seconds=7 * (len(self.legacy.events) % 50))
        self.legacy.put(drive((10.0, 60.0 * minutes), start=start + shift, vehicle=vehicle, every_s=20))
        return True

    def put_again(self, vehicle: str) -> None:
        """Delete a vehicle's documents and insert the same ones, with other ids."""
        rows = {document: row for document, row in self.legacy.rows.items() if row[0] == vehicle}
        self.legacy.remove(list(rows))
        for row in rows.values():
            self._insert(row)

    def _insert(self, row: Row) -> None:
        self.legacy.change(len(self.legacy.events) + 1_000_000, row)

    def _is_retired(self, vehicle: str, at: datetime) -> bool:
        return any(
            p.product in self.frozen and p.device == vehicle and p.valid_from <= at and (p.valid_to or at) >= at
            for p in POLICIES
        )

    def stop_legacy(self) -> None:
        self.legacy.broken = SourceUnreadable("legacy is gone", todo="start it")

    def close(self) -> None:
        """End everything."""
        if self.unlock is not None:
            self.unlock()
        if self.running is not None:
            self.running.close()
        if self.replica is not None:
            self.replica.installation.close()
        self.stores.close()
        self.controls.close()


def names_of(routes: Iterable[Route]) -> set[str]:
    """The stores that routes name."""
    return {name for route in routes for name in (route.source, route.target) if name != LEGACY}
