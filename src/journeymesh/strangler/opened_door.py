"""The door with everything behind it, opened and closed as one: what a service holds for as long as it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import VehicleSource
from journeymesh.stores.port import Store
from journeymesh.strangler.asks import Asks
from journeymesh.strangler.control import Control
from journeymesh.strangler.door import Door
from journeymesh.strangler.feeds import feed_of
from journeymesh.strangler.journey_places import JourneyPlace, JourneyPlaces, Locator
from journeymesh.strangler.legacy_cache import AnswerCache, ChangeWatcher
from journeymesh.strangler.legacy_side import LegacySide, ReadLimits
from journeymesh.strangler.plan import LEGACY, Plan
from journeymesh.strangler.policy_book import PoliciesRead, PolicyBook
from journeymesh.strangler.routes import Route, RoutesFollower
from journeymesh.strangler.routing import Routing
from journeymesh.strangler.shadow import ShadowReader
from journeymesh.strangler.sides import Side
from journeymesh.strangler.targets import TargetWatch


class Parts(Protocol):
    """What a door needs of an installation."""

    plan: Plan
    rules: JourneyRules
    control: Control

    def store(self, name: str) -> Store:
        """The plan's store of this name."""

    def legacy(self) -> VehicleSource:
        """The legacy source."""

    def policies_at_hand(self) -> PoliciesRead:
        """Every policy there is, or those that do not need legacy where that cannot be read."""


@contextmanager
def opened_door(parts: Parts, *, cached: bool = True, limits: ReadLimits | None = None) -> Iterator[Door]:
    """The door of this plan, following its routes.

    ``cached``: what legacy answered is kept as long as its stream of changes is heard and says nothing against it.
    ``limits``: what one question may take of legacy; None: as much as a caller's may.

    Raises:
        StoreUnavailable: the control database cannot be reached. SourceUnreadable: the policies cannot be read.
    """
    with ExitStack() as open_parts:
        watch = open_parts.enter_context(TargetWatch(parts.control, parts.store))
        routes = open_parts.enter_context(RoutesFollower(parts.control, corrected=watch.corrected))
        book = open_parts.enter_context(PolicyBook(parts.policies_at_hand))
        routing = Routing(routes)
        places = JourneyPlaces()
        locator = Locator(places, lambda: [(name, parts.store(name)) for name in routing.names() if name != LEGACY])
        legacy = _Legacy(parts, book, locator, open_parts, cached, limits or ReadLimits())

        def side(name: str) -> Side:
            return legacy.side() if name == LEGACY else parts.store(name)

        shadow = ShadowReader(
            control=parts.control,
            routes=routes,
            sides=side,
            plan=parts.plan.shadow,
            fed_until_us=lambda route: fed_until_us(parts.control, route),
            keeps_all_fixes=lambda name: name == LEGACY or parts.plan.stores[name].keep_fixes == "all",
        )
        open_parts.enter_context(shadow)
        asks = open_parts.enter_context(Asks(parts.control))
        yield Door(routing=routing, sides=side, policy_book=book, locator=locator, shadow=shadow, asks=asks)


class _Legacy:
    """The legacy side, made when it is first asked: a slice that is retired does not need legacy to be up."""

    def __init__(
        self,
        parts: Parts,
        book: PolicyBook,
        locator: Locator,
        open_parts: ExitStack,
        cached: bool,
        limits: ReadLimits,
    ) -> None:
        self._parts, self._book, self._locator, self._open_parts = parts, book, locator, open_parts
        self._cached, self._limits = cached, limits
        self._side: LegacySide | None = None
        self._making = threading.Lock()

    def side(self) -> LegacySide:
        """The side."""
        with self._making:
            if self._side is None:
                source = self._parts.legacy()
                cache = AnswerCache() if self._cached else None
                if cache is not None:
                    self._open_parts.enter_context(ChangeWatcher(source, cache))
                self._side = LegacySide(
                    source=source,
                    rules=self._parts.rules,
                    policy_book=self._book,
                    limits=self._limits,
                    cache=cache,
                    locate=self._place,
                    places=self._locator.places,
                )
            return self._side

    def _place(self, journey_id: str) -> JourneyPlace | None:
        found = self._locator.find(journey_id)
        return None if found is None else found.place


def fed_until_us(control: Control, route: Route) -> int | None:
    """Up to which instant (µs) the route's stores hold what upstream has; None: nobody knows."""
    until = []
    for upstream, target in route.feeds:
        feed = feed_of(control, upstream, target)
        known = [] if feed is None else [at for at in (feed.last_event_us, feed.last_empty_us) if at is not None]
        if not known:
            return None
        until.append(max(known))
    return min(until, default=None)
