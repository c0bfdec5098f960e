"""A journeyapi over a store in memory, for tests."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.logs import structured_log
from journeymesh.services.journeyapi.app import build_app
from journeymesh.services.journeyapi.config import JourneyapiConfig
from journeymesh.services.journeyapi.kept_answers import KeptAnswers
from journeymesh.services.journeyapi.ports import FixTaker, ServedData
from journeymesh.services.journeyapi.product import StoreProduct
from journeymesh.services.journeyapi.versions import StoreVersions
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import HistoryEntry, JourneyQuery, RefusalQuery, Store, StoreBatch
from journeymesh.strangler.policy_book import PolicyBook
from tests.support import records
from tests.support.asgi_client import AsgiClient
from tests.support.deciding import Told

NOON = records.NOON
KEY = bytes(range(32))
POLICY = Policy(number="P-1", valid_from=records.BEGIN, vehicle="car-1", zone="Europe/London")
FOREIGN = Policy(number="P-2", valid_from=records.BEGIN, vehicle="car-2", tenant="other")


class Counted:
    """A store whose reads are counted."""

    def __init__(self, store: Store) -> None:
        self.store, self.reads = store, 0
        self.fault: Exception | None = None

    def _ask(self) -> Store:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return self.store

    def journeys(self, query: JourneyQuery) -> pa.Table:
        return self._ask().journeys(query)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        return self._ask().journey(journey_id, tenant)

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        return self._ask().fixes(vehicle, first, last)

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        return self._ask().refusals(query)

    def history(self, journey_id: str) -> list[HistoryEntry]:
        return self._ask().history(journey_id)


def filled(rows: int = 3) -> MemoryStore:
    """Two policies; the first has ``rows`` journeys, a day apart, the second one."""
    store = MemoryStore()
    put = [records.journey(start=NOON + timedelta(days=n)) for n in range(rows)]
    put.append(records.journey("car-2", policy="P-2", tenant="other"))
    store.write(StoreBatch(journeys=records.journeys(*put), policies=[POLICY, FOREIGN]))
    return store


@dataclass
class Served:
    """The application and what is behind it. A context manager."""

    store: Store = field(default_factory=filled)
    decisions: Told = field(default_factory=Told)
    taker: FixTaker | None = None
    kept: KeptAnswers | None = None
    config: dict[str, Any] = field(default_factory=dict)
    http: dict[str, Any] = field(default_factory=dict)
    token: str = "analyst"
    keeps_figures: bool = False

    def __enter__(self) -> Served:
        self.reads = Counted(self.store)
        self.lines = io.BytesIO()
        self._open = ExitStack()
        self.versions = self._open.enter_context(StoreVersions(self.store, every_s=3600.0))
        self.book = self._open.enter_context(PolicyBook(self.store.policies, every_s=3600.0))
        unlimited = {"burst": 10**6, "requests_per_s": 1e6, "strangers_burst": 10**6}
        http = HttpConfig(**{**unlimited, **self.http})
        self.app = build_app(
            JourneyapiConfig(cursor_key=KEY, http=http, **self.config),
            self.decisions,
            ServedData(
                reads=self.reads,
                policies=self.book,
                versions=self.versions,
                product=StoreProduct({"id": "journeys", "version": "1.2.0"}, self.store),
                figures=self.store if self.keeps_figures else None,
                taker=self.taker,
                kept=self.kept,
            ),
            log=structured_log("journeyapi", self.lines),
        )
        self.client = self._open.enter_context(AsgiClient(self.app))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def get(self, path: str, **headers: str) -> Any:
        named = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return self.client.get(path, headers={**named, **headers})

    def write(self, batch: StoreBatch) -> None:
        """Write to the store, and let what follows it know."""
        self.store.write(batch)
        self.versions.tick()
        self.book.refresh()


def day(number: int) -> datetime:
    """Midnight of a day of March 2024."""
    return datetime(2024, 3, number, tzinfo=UTC)
