"""Where handed-in fixes go: to the strangler where a plan says so, else into the store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from journeymesh.engines.port import Retention
from journeymesh.engines.recalculation import FROM_STORE, Recalculation
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.rules import JourneyRules
from journeymesh.services.journeyapi.ports import RefusedFix
from journeymesh.stores.port import RulesUsed, Store
from journeymesh.strangler.accepted import Accepted

ORIGIN: Final = "api"


class Acceptor(Protocol):
    """The part of an installation that takes fixes."""

    def accept(self, fixes: Fixes, key: str) -> Accepted:
        """Journal the fixes under this key."""


@dataclass(frozen=True, slots=True)
class PlanTaker:
    """Takes fixes for the strangler: journaled at once, delivered to where each slice's truth is.

    What the pass refuses of them is in the quarantine of the store that they are delivered to.
    """

    installation: Acceptor

    def take(self, fixes: Fixes, key: str) -> Sequence[RefusedFix]:
        """Journal them. Nothing is refused here.

        Raises:
            UsageError: a slice takes none while legacy lives; or the key is empty, longer than 200 characters or was
                used for other fixes.
            StoreUnavailable: the journal cannot be written.
        """
        self.installation.accept(fixes, key)
        return ()


@dataclass(frozen=True, slots=True)
class StoreTaker:
    """Takes fixes into one store, where they are journeys at once.

    One batch at a time, so that two batches of one vehicle do not miss each other. Only one process may take fixes
    into a store so; several need a plan, whose journal has one deliverer.
    """

    store: Store
    rules: JourneyRules
    retention: Retention = field(default_factory=Retention)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def take(self, fixes: Fixes, key: str) -> Sequence[RefusedFix]:  # noqa: ARG002 - what is there already changes nothing
        """Recalculate the store with them; returns what the pass refuses.

        Raises:
            RulesConflict: the store's journeys were made with other rules. StoreUnavailable: it cannot be written.
        """
        with self._turn:
            used = RulesUsed.of(self.rules)
            used.require_no_others(self.store.rules(), "the store", todo="start the service with the store's rules")
            recalculation = Recalculation(
                store=self.store,
                rules=self.rules,
                policies=self.store.policies(),
                retention=self.retention,
                now=datetime.now(UTC),
                describe=_described,
            )
            recalculated = recalculation.recalculate(fixes)
            self.store.write(replace(recalculated.batch, rules=used))
        refused = []
        for refusal in recalculated.batch.refusals:
            row = refusal.origin.removeprefix(f"{ORIGIN}:")
            if row.isdecimal():
                refused.append(RefusedFix(int(row), refusal.reason, refusal.detail))
        return sorted(refused, key=lambda each: each.row)


def _described(origins: I64) -> list[str]:
    return [ORIGIN if origin in (FROM_STORE, -1) else f"{ORIGIN}:{origin}" for origin in origins.tolist()]
