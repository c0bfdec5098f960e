"""The door with everything behind it, opened and closed as one: what a service holds for as long as it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from journeymesh.strangler.control import Control
from journeymesh.strangler.counts import AnswerCounts
from journeymesh.strangler.door import Door, PolicyRouting
from journeymesh.strangler.feeds import feed_of
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.journey_index import JourneyIndex, JourneyLocation, Locator
from journeymesh.strangler.legacy_cache import AnswerCache, ChangeWatcher
from journeymesh.strangler.legacy_side import LegacySide, ReadLimits
from journeymesh.strangler.plan import LEGACY
from journeymesh.strangler.policy_book import PolicyBook
from journeymesh.strangler.questions import Side
from journeymesh.strangler.routes import Route, RoutesFollower
from journeymesh.strangler.shadow import ShadowReader
from journeymesh.strangler.targets import TargetRecorder, TargetWatch


@contextmanager
def opened_door(installation: Installation, *, cached: bool = True, limits: ReadLimits | None = None) -> Iterator[Door]:
    """The door of this plan, following its routes.

    ``cached``: what legacy answered is kept as long as its stream of changes is heard and says nothing against it.
    ``limits``: what one question may take of legacy; None: as much as a caller's may.

    Raises:
        StoreUnavailable: the control database cannot be reached. SourceUnreadable: the policies cannot be read.
    """
    with ExitStack() as opened:
        watch = opened.enter_context(TargetWatch(installation.control, installation.store))
        opened.enter_context(TargetRecorder(watch))
        routes = opened.enter_context(RoutesFollower(installation.control, corrected=watch.corrected))
        tombstones = installation.tombstones
        only = None if tombstones is None else tombstones.without_treated
        book = opened.enter_context(PolicyBook(installation.policies_at_hand, only=only))
        routing = PolicyRouting(routes)
        journey_index = JourneyIndex()
        locator = Locator(
            journey_index, lambda: [(name, installation.store(name)) for name in routing.names() if name != LEGACY]
        )
        legacy = _Legacy(installation, book, locator, opened, cached, limits or ReadLimits())

        def side(name: str) -> Side:
            return legacy.side() if name == LEGACY else installation.store(name)

        shadow = ShadowReader(
            control=installation.control,
            routes=routes,
            sides=side,
            plan=installation.plan.shadow,
            fed_until_us=lambda route: fed_until_us(installation.control, route),
            keeps_all_fixes=lambda name: name == LEGACY or installation.plan.stores[name].keep_fixes == "all",
        )
        opened.enter_context(shadow)
        answer_counts = opened.enter_context(AnswerCounts(installation.control))
        yield Door(
            routing=routing, sides=side, policy_book=book, locator=locator, shadow=shadow, answer_counts=answer_counts
        )


@dataclass(slots=True)
class _Legacy:
    """The legacy side, made when it is first asked: a slice that is retired does not need legacy to be up."""

    installation: Installation
    book: PolicyBook
    locator: Locator
    opened: ExitStack
    cached: bool
    limits: ReadLimits
    _side: LegacySide | None = None
    _making: threading.Lock = field(default_factory=threading.Lock)

    def side(self) -> LegacySide:
        """The side."""
        with self._making:
            if self._side is None:
                source, tombstones = self.installation.legacy(), self.installation.tombstones
                cache = AnswerCache() if self.cached else None
                if cache is not None:
                    self.opened.enter_context(ChangeWatcher(source, cache))
                self._side = LegacySide(
                    source=source,
                    rules=self.installation.rules,
                    policy_book=self.book,
                    limits=self.limits,
                    cache=cache,
                    locate=self._location,
                    revision=_unchanging if tombstones is None else tombstones.revision,
                    journey_index=self.locator.index,
                )
            return self._side

    def _location(self, journey_id: str) -> JourneyLocation | None:
        found = self.locator.find(journey_id)
        return None if found is None else found.location


def _unchanging() -> int:
    return 0


def fed_until_us(control: Control, route: Route) -> int | None:
    """Up to which instant (µs) the route's stores hold what upstream has; None: nobody knows."""
    found = [feed_of(control, *pair) for pair in route.feeds]
    until = [None if feed is None else feed.synced_until_us for feed in found]
    known = [at_us for at_us in until if at_us is not None]
    return min(known) if known and len(known) == len(until) else None
