"""What journeyapi reads from and hands fixes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA, Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.stores.figure_port import FigureReads
from journeymesh.stores.policy_summaries import JourneysOfMany
from journeymesh.stores.port import HistoryEntry, JourneyQuery, RefusalQuery

if TYPE_CHECKING:
    from journeymesh.services.journeyapi.kept_answers import KeptAnswers


class Reads(Protocol):
    """What is read: a store, or the strangler's door. Safe for several threads."""

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys of ``query.policy`` in (started_at, journey_id) order."""

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table, following a late fix to its successor; None if unknown or gone, or, where a
        tenant is given, of no policy of that tenant: it then takes as long as an unknown one."""

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's kept fixes with ``first <= fixed_at <= last``, by time."""

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """What was refused of ``query.vehicle`` in ``[fixed_from, fixed_to)``, by time (``query.by_time``)."""

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first."""


class Policies(Protocol):
    """The policies at hand, in memory. The strangler's policy book is one."""

    def known(self, number: str, tenant: str | None = None) -> Sequence[Policy]:
        """The terms of the policies with this number, of this tenant or of every one, by tenant and beginning."""

    def look_again(self) -> None:
        """Let the policies be read anew soon: one that was asked for is not there. At once."""

    def every(self) -> Sequence[Policy]:
        """All of them. While they are the same policies it is the same object."""

    def of_vehicles(self, names: Sequence[str]) -> list[Policy]:
        """Every policy that names one of these vehicles."""


@dataclass(frozen=True, slots=True)
class EachPolicy:
    """Journeys of many policies from where only one policy is asked about at a time, as from the strangler's door."""

    reads: Reads

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys of ``query.policies``, policy by policy."""
        found = [self.reads.journeys(replace(query, policies=None, policy=number)) for number in query.policies or ()]
        names = JOURNEY_SCHEMA.names if query.columns is None else query.columns
        return pa.concat_tables(found) if found else JOURNEY_SCHEMA.empty_table().select(list(names))


class Versions(Protocol):
    """Which state of a policy's data is the present one, from memory."""

    def of(self, policy: Policy) -> str | None:
        """The version: while it is the same, so is the data. None: nobody knows, so that the data has to be read."""

    def fault(self) -> str:
        """What is wrong with knowing it; empty: nothing."""


@dataclass(frozen=True, slots=True)
class RefusedFix:
    """A fix that is not taken: its row in the batch from 0, the reason's code, and in words."""

    row: int
    reason: str
    detail: str = ""


class FixTaker(Protocol):
    """Where fixes go. Taking a batch twice changes nothing."""

    def take(self, fixes: Fixes, key: str) -> Sequence[RefusedFix]:
        """Take them durably under this key; ``fixes.origin`` are their rows. Returns those that it refuses.

        Raises:
            UsageError: it takes none at this time. StoreUnavailable: it cannot.
        """


class Product(Protocol):
    """What the service says about the data product it serves."""

    def contract(self) -> Mapping[str, Any]:
        """The data contract, as ODCS has it."""

    def freshness(self) -> Mapping[str, Any]:
        """How recent the data is."""

    def quality(self) -> Mapping[str, Any]:
        """What was accepted and refused, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedData:
    """What journeyapi answers from and hands fixes to.

    - ``book_reads``: asked for journeys of many policies at once; None: ``reads`` is
    - ``figures``: keeps what a book is sorted by; None: that is computed
    - ``taker`` and ``kept`` together take fixes; None: they are not taken here
    """

    reads: Reads
    policies: Policies
    versions: Versions
    product: Product
    book_reads: JourneysOfMany | None = None
    figures: FigureReads | None = None
    taker: FixTaker | None = None
    kept: KeptAnswers | None = None
