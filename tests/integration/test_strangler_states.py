"""Whatever operators, applications and faults do: no slice is answered from a side that is not complete for it."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.builders import drive
from tests.support.legacy_double import MemoryLegacy

from journeymesh.engines.port import Retention
from journeymesh.errors import JourneymeshError
from journeymesh.journeys.answers import answer_bytes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.door import Door, PolicyRouting
from journeymesh.strangler.gates import GateClosed
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.journey_index import JourneyIndex, Locator
from journeymesh.strangler.legacy_side import LegacySide
from journeymesh.strangler.plan import Feed, Gates, LegacySource, Plan, PlanInvalid, SlicePlan, TargetStore
from journeymesh.strangler.policy_book import PolicyBook
from journeymesh.strangler.retire import Retiring
from journeymesh.strangler.routes import Routes, read_routes
from journeymesh.strangler.slices import Phase, Selector, SideName, may_follow

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
PRODUCTS = ("car", "van")
VEHICLES = ("V0", "V1", "V2")
POLICIES = [
    Policy(number=f"P{k}", valid_from=BEGIN, device=f"V{k}", product=PRODUCTS[k % 2]) for k in range(len(VEHICLES))
]


class Rehearsal(Installation):
    """An installation that does not wait for replicas: here there is one, and it reads the routes anew."""

    def retiring(self, policies):  # type: ignore[no-untyped-def]
        return Retiring(
            self.control, policies, self.exports, self.open_remover, self.differences,
            fence_s=0.0, sleep=lambda seconds: None,
        )  # fmt: skip


class Following:
    """A follower that is never behind."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def now(self) -> Routes:
        return read_routes(self.control)


class Move(RuleBasedStateMachine):
    """Two slices with a target each, one legacy, one door."""

    @initialize(pre_images=st.booleans())
    def begin(self, pre_images: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="journeymesh-states-"))
        self.legacy = MemoryLegacy(held_policies=list(POLICIES), pre_images=pre_images)
        self.clock = dict.fromkeys(VEHICLES, BEGIN)
        self.stores = {product: MemoryStore() for product in PRODUCTS}
        self.control = Control(f"sqlite:///{self.folder}/control.db")
        self.control.migrate()
        self.phases = dict.fromkeys(PRODUCTS, Phase.LEGACY)
        self.fed: dict[str, bytes] = {}
        self.lost: set[str] = set()
        book = PolicyBook(lambda: list(POLICIES))
        routing = PolicyRouting(Following(self.control))  # type: ignore[arg-type]
        legacy_side = LegacySide(source=self.legacy, rules=ALWAYS_ON, policy_book=book)  # type: ignore[arg-type]
        self.door = Door(
            routing=routing,
            sides=lambda name: legacy_side if name == "legacy" else self.stores[name],
            policy_book=book,
            locator=Locator(JourneyIndex(), lambda: []),
        )
        self._note_fed()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.control.close()
            shutil.rmtree(self.folder)

    # --- what applications do

    @rule(vehicle=st.sampled_from(VEHICLES), minutes=st.integers(1, 4))
    def drive_on(self, vehicle: str, minutes: int) -> None:
        if vehicle in self._retired_vehicles():
            return  # applications no longer write to legacy for a retired slice
        self.clock[vehicle] += timedelta(hours=2)
        self.legacy.put(drive((10.0, 60.0 * minutes), start=self.clock[vehicle], vehicle=vehicle, every_s=20))

    @rule(vehicle=st.sampled_from(VEHICLES), share=st.floats(0, 1))
    def delete_some(self, vehicle: str, share: float) -> None:
        held = sorted(document for document, row in self.legacy.rows.items() if row[0] == vehicle)
        self.legacy.remove(held[: round(share * len(held))])

    @rule()
    def drop_the_collection(self) -> None:
        self.legacy.drop()

    @rule()
    def lose_the_stream(self) -> None:
        self.legacy.forget()

    # --- what operators do

    @rule()
    def feed(self) -> None:
        with self._installation() as installation:
            installation.feeder().run(once=True)
        self._note_fed()

    @rule(product=st.sampled_from(PRODUCTS), feeds=st.booleans())
    def go_on(self, product: str, feeds: bool) -> None:
        if feeds:
            self.feed()
        order = list(Phase)
        at = order.index(self.phases[product])
        self.apply(product, order[min(at + 1, len(order) - 1)])

    @rule(product=st.sampled_from(PRODUCTS), phase=st.sampled_from(list(Phase)))
    def apply(self, product: str, phase: Phase) -> None:
        before = self.phases[product]
        wanted = self.phases | {product: phase}
        with self._installation(wanted) as installation:
            try:
                outcomes = installation.applying("ann").apply("because")
            except PlanInvalid:
                assert before is not phase
                assert not may_follow(before, phase)
                return
            except GateClosed:
                assert phase is Phase.RETIRED
                return
            if all(outcome.moved for outcome in outcomes):
                event(f"{before} → {phase}")
                self.phases = wanted

    # --- what always holds

    @invariant()
    def a_target_that_answers_holds_all_that_was_fed(self) -> None:
        if not hasattr(self, "door"):
            return
        for policy in POLICIES:
            route = self.door.routing.of(policy)
            answer = answer_bytes(self.door.journeys(JourneyQuery(policy=policy.number)))
            if route is None or route.answering is SideName.SOURCE:
                assert answer == self._truth(policy)
            else:
                assert route.complete or route.phase is Phase.RETIRED
                assert answer == self.fed[policy.number]

    # --- the model

    def _truth(self, policy: Policy) -> bytes:
        rows = [row for _, row in sorted(self.legacy.rows.items()) if row[0] == policy.device]
        if not rows:
            return answer_bytes(MemoryStore().journeys(JourneyQuery(policy="none")))
        fixes = self.legacy.read([_all_of(str(policy.device))]).fixes
        made = make_journeys(fixes, ALWAYS_ON, POLICIES, now_us()).journeys
        return answer_bytes(made)

    def _note_fed(self) -> None:
        """What the targets hold after a sync: legacy's content, frozen where the slice is retired."""
        for policy in POLICIES:
            if self.phases[policy.product] is not Phase.RETIRED:
                self.fed[policy.number] = self._truth(policy)

    def _retired_vehicles(self) -> set[str]:
        return {str(p.device) for p in POLICIES if self.phases[p.product] is Phase.RETIRED}

    def _installation(self, phases: dict[str, Phase] | None = None) -> Rehearsal:
        phases = phases or self.phases
        plan = Plan(
            version=1,
            control="unused",
            legacy=LegacySource(source="unused", mapping="unused"),
            stores={product: TargetStore(url=product) for product in PRODUCTS},
            slices=tuple(
                SlicePlan(name=product, policies=Selector(product=product), target=product, phase=phases[product])
                for product in PRODUCTS
            ),
            gates=Gates(max_lag_s=600, shadow_coverage=0, shadow_reads=0, quiet_days=0),
            feed=Feed(chunk_fixes=50),
        )
        return Rehearsal(
            plan=plan,
            rules=ALWAYS_ON,
            control=Control(f"sqlite:///{self.folder}/control.db"),
            open_store=lambda url: self.stores[url],
            open_legacy=lambda: self.legacy,  # type: ignore[arg-type, return-value]
            open_remover=lambda: self.legacy,  # type: ignore[arg-type, return-value]
            open_writer=_no_writer,
            keep_fixes=lambda text: Retention().keep,
            exports=self.folder / "retired",
        )


def _all_of(vehicle: str):  # type: ignore[no-untyped-def]
    from journeymesh.sources.vehicle_port import VehicleTimes

    return VehicleTimes(vehicle)


def _no_writer():  # type: ignore[no-untyped-def]
    raise JourneymeshError("not here")


Move.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
TestMove = Move.TestCase
