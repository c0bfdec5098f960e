"""Which state of a policy's data is the present one: a store's changes, followed in memory.

A version is at most a quarter of a second behind the store, plus what reading its changes takes: for so long a caller
may be told that nothing changed, or be answered from memory, although something did. Where the store was not heard for
longer than ``MOST_SILENT_S`` nobody claims to know, and every answer is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from journeymesh.errors import JourneymeshError
from journeymesh.following import Follower
from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import StoreChanges
from journeymesh.strangler.policy_book import vehicles_of

REFRESH_S: Final = 0.25
MOST_SILENT_S: Final = 2.0
_PAGE: Final = 10_000
_NEVER: Final = "0"


class FollowedStore(Protocol):
    """The part of a store that is followed."""

    def changes(self, after: str | None, limit: int = 1000) -> StoreChanges:
        """Vehicles that changed after a position, each with the position of its last change."""


@dataclass(slots=True)
class StoreVersions(Follower):
    """Follows one store. Right once it is started."""

    store: FollowedStore
    every_s: float = REFRESH_S
    clock_s: Callable[[], float] = time.monotonic
    _last: dict[str, str] = field(default_factory=dict)
    _position: str | None = None
    _heard_s: float = float("-inf")
    _why: str = "the store's changes were not read yet"

    def of(self, policy: Policy) -> str | None:
        """The positions of the last changes of the policy's vehicle and device; None: the store was not heard."""
        if self.clock_s() - self._heard_s > MOST_SILENT_S:
            return None
        return ".".join([self._last.get(name, _NEVER) for name in vehicles_of(policy)])

    def fault(self) -> str:
        """Why the store is not heard; empty: it is."""
        return self._why if self.clock_s() - self._heard_s > MOST_SILENT_S else ""

    def tick(self) -> None:
        """Read what changed. A fault is remembered, not raised."""
        try:
            complete = False
            while not complete:
                began_s = self.clock_s()
                page = self.store.changes(self._position, _PAGE)
                # Before the position is taken over: who sees one of them sees the newer version, never an older one.
                self._last.update(zip(page.vehicles, page.last, strict=True))
                self._position, complete = page.position, page.complete
            self._heard_s = began_s
        except JourneymeshError as error:
            self._why = type(error).__name__


@dataclass(frozen=True, slots=True)
class RoutedVersions:
    """The versions of whichever side answers for a policy, by the strangler's routes.

    ``answering`` names the side; one that is not among ``stores``, as legacy, has no versions.
    """

    answering: Callable[[Policy], str]
    stores: Mapping[str, StoreVersions]

    def of(self, policy: Policy) -> str | None:
        """The side's version with its name; None: the side has none at this moment."""
        try:
            name = self.answering(policy)
        except JourneymeshError:
            return None
        side = self.stores.get(name)
        version = None if side is None else side.of(policy)
        return None if version is None else f"{name}:{version}"

    def fault(self) -> str:
        """A side that is not heard keeps nobody from answering: what it has is read."""
        return ""
