"""A door before a legacy in memory and a store, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.engines import local
from journeymesh.engines.port import RunOptions
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON, JourneyRules
from journeymesh.sources.port import Source
from journeymesh.stores.port import Store
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.counts import AnswerCounts
from journeymesh.strangler.door import Door, PolicyRouting
from journeymesh.strangler.journey_index import JourneyIndex, Locator
from journeymesh.strangler.legacy_side import LegacySide
from journeymesh.strangler.plan import LEGACY
from journeymesh.strangler.policy_book import PolicyBook
from journeymesh.strangler.questions import Side
from journeymesh.strangler.routes import Route, RouteChange, RoutesFollower, record
from journeymesh.strangler.shadow import ShadowReader
from journeymesh.strangler.slices import Phase, Selector, Slice
from tests.support.builders import NOON, after, drive
from tests.support.legacy_double import MemoryLegacy

STORE = "embedded"
RENEWED = (
    Policy(number="P1", device="V0", valid_from=NOON - timedelta(days=9), valid_to=NOON + timedelta(minutes=7)),
    Policy(number="P2", device="V0", valid_from=NOON + timedelta(minutes=7), zone="Asia/Kolkata"),
)


def several(count: int, vehicle: str = "V0", every_s: float = 2.0) -> Fixes:
    """So many drives of 260 s from noon on, an hour of silence between them."""
    trip = [(0.0, 10), (12.0, 240), (0.0, 10)]
    return after(*(drive(*trip, vehicle=vehicle, every_s=every_s) for _ in range(count)), pause_s=3600.0)


def made_of(fixes: Fixes, number: str, policies: Sequence[Policy] = RENEWED) -> pa.Table:
    """The policy's journeys that the pass makes of the fixes."""
    made = make_journeys(fixes, ALWAYS_ON, policies, now_us()).journeys
    return made.filter(pc.fill_null(pc.equal(made["policy"], number), False)).combine_chunks()


def fill(store: Store, source: Source, rules: JourneyRules = ALWAYS_ON) -> Store:
    """Put into the store what a run over the source gives."""
    store.migrate()
    local.run(source, store, RunOptions(rules=rules, policies=source.policies()))
    return store


def route(name: str = "all", phase: Phase = Phase.SHADOW, selector: Selector | None = None, **changed: Any) -> Route:
    """A route from legacy to the store; its target is complete."""
    values: dict[str, Any] = {
        "source": LEGACY, "target": STORE, "upstream": LEGACY, "complete": True, "detail": None, "since_us": now_us(),
    }  # fmt: skip
    return Route(slice=Slice(name, selector or Selector()), phase=phase, **(values | changed))


def put_routes(control: Control, *routes: Route) -> None:
    """Record these routes."""
    with control.writing() as connection:
        for each in routes:
            record(connection, each, RouteChange("test", "test", "moved", None, each.phase))


def a_control(folder: Path, *routes: Route) -> Control:
    """A control database with these routes."""
    control = Control(f"sqlite:///{folder}/control.db")
    control.migrate()
    put_routes(control, *routes)
    return control


@contextmanager
def following(control: Control, poll_s: float = 0.05) -> Iterator[RoutesFollower]:
    """The routes, followed on a machine that may be busy."""
    with RoutesFollower(control, every_s=poll_s, stale_s=60.0) as follower:
        yield follower


def a_door(
    follower: RoutesFollower,
    source: MemoryLegacy,
    stores: dict[str, Side],
    shadow: ShadowReader | None = None,
    answer_counts: AnswerCounts | None = None,
    rules: JourneyRules = ALWAYS_ON,
    clock_us: Callable[[], int] = now_us,
) -> Door:
    """A door before this legacy and these stores."""
    book, journey_index = PolicyBook(source.policies), JourneyIndex()
    locator = Locator(journey_index, lambda: list(stores.items()))
    legacy = LegacySide(
        source=source,
        rules=rules,
        policy_book=book,
        journey_index=journey_index,
        locate=locator.stored_location,
        clock_us=clock_us,
    )
    sides: dict[str, Side] = {LEGACY: legacy, **stores}
    return Door(
        routing=PolicyRouting(follower),
        sides=sides.__getitem__,
        policy_book=book,
        locator=locator,
        shadow=shadow,
        answer_counts=answer_counts,
    )
