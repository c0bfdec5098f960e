"""The two ports of a store: journeys (with their policies, quarantine and runs) and the fixes they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import pyarrow as pa

from journeymesh.errors import RulesConflict
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.journeys.rules import JourneyRules, ScoreRules
from journeymesh.stores.figure_port import FigureReads


@dataclass(frozen=True, slots=True)
class Superseded:
    """A journey that a late fix changed. ``successor_id`` is the journey that now covers its time; None: none does.

    ``successor_id == journey_id`` where the start stayed: the id goes on, its former content is history.
    """

    journey_id: str
    successor_id: str | None


@dataclass(frozen=True, slots=True)
class RulesUsed:
    """The rules a store's journeys were made with. Two versions never mix unless asked; ``digest`` sees an edit.
    ``score`` are those of the score, for the figures that the store keeps; None: unknown, as where they are read."""

    version: str
    digest: str
    score: ScoreRules | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, rules: JourneyRules) -> RulesUsed:
        """These rules."""
        return cls(rules.version, rules.digest, rules.score)

    def require_no_others(self, among: Iterable[RulesUsed], store: str, *, todo: str) -> None:
        """Refuse a store that has journeys of other rules; ``among`` are those that it has.

        Raises:
            RulesConflict: it has.
        """
        for other in among:
            if other.version != self.version:
                raise RulesConflict(f"{store} has journeys of rules {other.version}, not {self.version}", todo=todo)
            if other != self:
                raise RulesConflict(
                    f"{store} has journeys of other rules of the same version {self.version}",
                    todo="give the edited rules their own version; in a file from before 2026.2 set base: …-2026.1",
                )


_OF_FEEDS: Final = ("feed:", "sync:", "backfill:")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a pass over a source, as the store remembers it. ``counts`` has the run report's figures."""

    run_id: str
    source: str
    rules_version: str
    started_at: datetime
    finished_at: datetime | None
    counts: dict[str, int]
    resume: str | None = None
    """Where the source can be taken up again (a live MongoDB: the last ``_id`` settled); None: from its beginning."""

    def is_since(self, instant: datetime) -> bool:
        """Whether it has not finished, or began or finished at this instant or later."""
        return self.finished_at is None or self.started_at >= instant or self.finished_at >= instant

    @property
    def is_of_feed(self) -> bool:
        """Whether a feed keeps the store up to date by it: its ``resume`` is a place in a stream of changes or in a
        list of vehicles, and none of a pass over the source."""
        return self.run_id.startswith(_OF_FEEDS)


@dataclass(frozen=True, slots=True)
class StoreBatch:
    """What one atomic write puts into a store. Writing it again changes nothing.

    - ``journeys``: ``JOURNEY_SCHEMA``, new or changed; put by ``journey_id``
    - ``superseded``: journeys to move to history before ``journeys`` are put (their present content is kept there)
    - ``refusals``: put by ``refusal_id``; one that is there stays as it is
    - ``refusals_withdrawn``: ids of refusals that no longer hold; they go before ``refusals`` are put
    - ``fixes``: put into the fix store: for each (vehicle, UTC day) present here, these are *all* the fixes to keep,
      sorted by time, and replace what is kept for that vehicle and day
    - ``fixes_withdrawn``: (vehicle, UTC day since 1970) of which no fixes are to be kept; they go before ``fixes``
    - ``policies``: put by their term: number, tenant and ``valid_from``
    - ``policies_withdrawn``: terms of policies that are no more; they go before ``policies`` are put
    - ``rules_withdrawn``: rules by which no journey here is made any more; they go before ``rules`` are put
    - ``run``: put by ``run_id``
    - ``under``: the run in whose name the batch is written, put by ``run_id``. The whole batch is refused where the
      store has one of this id that started later: another writer has taken over (``stores/writers.py``)
    - ``under_after``: the run of the id of ``under`` that has to stand in the store, to the last count, or the whole
      batch is refused: whoever wrote it last finds out that the store is another one, or an older copy. None: any
    """

    journeys: pa.Table | None = None
    superseded: Sequence[Superseded] = ()
    refusals: Sequence[Refusal] = ()
    refusals_withdrawn: Sequence[str] = ()
    fixes: Fixes | None = None
    fixes_withdrawn: Sequence[tuple[str, int]] = ()
    policies: Sequence[Policy] = ()
    policies_withdrawn: Sequence[PolicyTerm] = ()
    rules: RulesUsed | None = None
    rules_withdrawn: Sequence[RulesUsed] = ()
    run: Run | None = None
    under: Run | None = None
    under_after: Run | None = None


@dataclass(frozen=True, slots=True)
class JourneyQuery:
    """Which journeys. ``started_from``/``started_to`` is half-open over ``started_at``.

    ``policy`` and ``policies`` are numbers: without ``tenant`` they mean the policies of every tenant that uses them.
    ``terms`` keeps those of terms that begin at one of these instants; ``policies`` asks for journeys of any of these
    policies, ``unattributed`` for those outside any policy. The order is ascending, or descending where
    ``newest_first``; ``after`` is the keyset cursor: the (started_at, journey_id) of the last row seen in that order.
    ``columns`` are those of ``JOURNEY_SCHEMA`` that the answer has, in this order; None: all. ``in_any_order`` says
    that whoever asks for all of them sorts them anyway: a store need not, but that without the column ``journey_id``,
    which would order them, those of one policy come in order.
    """

    policy: str | None = None
    policies: tuple[str, ...] | None = None
    terms: tuple[datetime, ...] | None = None
    vehicle: str | None = None
    tenant: str | None = None
    product: str | None = None
    unattributed: bool = False
    started_from: datetime | None = None
    started_to: datetime | None = None
    after: tuple[datetime, str] | None = None
    limit: int | None = None
    columns: tuple[str, ...] | None = None
    in_any_order: bool = False
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class VehicleSpan:
    """What a store holds of a vehicle: the first and last instant of its journeys and kept fixes."""

    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class RefusalQuery:
    """Which refusals. ``after`` is the last ``refusal_id`` seen; ``without_vehicle`` asks for those of no vehicle;
    ``among`` for those with one of these ids. ``by_time`` asks for those of a known instant, by ``fixed_at`` and id:
    ``after_time`` is then the (fixed_at, refusal_id) of the last one seen."""

    reason: str | None = None
    vehicle: str | None = None
    fixed_from: datetime | None = None
    fixed_to: datetime | None = None
    after: str | None = None
    limit: int | None = None
    without_vehicle: bool = False
    among: tuple[str, ...] | None = None
    by_time: bool = False
    after_time: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A former content of a journey: one row of ``JOURNEY_SCHEMA``, as a one-row table."""

    journey_id: str
    superseded_at: datetime
    successor_id: str | None
    journey: pa.Table = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoreChanges:
    """Which vehicles changed after a position. ``position`` is where to ask from next.

    It orders writes of this store only. Callers keep positions, over restarts. Equal positions mean equal content.
    """

    position: str
    vehicles: tuple[str, ...]
    complete: bool
    """False: more are waiting behind ``position``."""
    last: tuple[str, ...] = ()
    """The position of each of these vehicles' last change. Whoever asks from wherever gets the same."""


class JourneyReads(Protocol):
    """The part of a store that listings read; a door has it as well."""

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys in (started_at, journey_id) order, or its reverse."""

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number."""


class JourneyStore(Protocol):
    """Where journeys are kept. Every read is consistent with whole batches; every write is atomic and idempotent.

    Adapters raise ``StoreUnavailable`` for whatever their driver raises, chained.
    """

    url: str

    def migrate(self) -> None:
        """Create or upgrade the schema to this version's. Idempotent; safe to run beside a reader."""

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""

    def write(self, batch: StoreBatch) -> None:
        """Write the batch: all of it or, on any fault, none.

        Raises:
            WriterOvertaken: a later run of the id of ``batch.under`` has written, or ``batch.under_after`` does not
                stand; decided in the write's transaction.
        """

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys in (started_at, journey_id) order, ``JOURNEY_SCHEMA`` or ``query.columns`` of it; at most
        ``query.limit``."""

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table, following ``successor_id`` from a superseded id; None if unknown or gone.

        Where a tenant is given, only a journey of its policies is there: any other takes as long as an unknown one."""

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first."""

    def vehicles(self, among: Sequence[str]) -> dict[str, VehicleSpan]:
        """Those of the vehicles that the store holds journeys or fixes of."""

    def vehicles_after(self, after: str | None, limit: int) -> list[str]:
        """Up to ``limit`` vehicles with journeys, refusals or kept fixes here, by name, behind ``after``."""

    def changes(self, after: str | None, limit: int = 1000) -> StoreChanges:
        """Vehicles whose journeys, refusals or kept fixes were written after ``after`` (None: from the beginning), each
        once, in order of their last change; at most ``limit``.

        The position is never before ``after``. After a restore from a backup, ask from the beginning.

        Raises:
            UsageError: ``after`` is no position, or ``limit`` is not positive.
        """

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number (of every tenant), by number, tenant and beginning."""

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """Quarantined inputs as (refusal_id, refusal), by time where the query says so, else in an order that stays: of
        their ids or, where ids are sealed, of what stands for them."""

    def rules(self) -> list[RulesUsed]:
        """The rules that the journeys here were made with."""

    def runs(self, since: datetime | None = None) -> list[Run]:
        """Runs, oldest first; with ``since``, those that have not finished, or that began or finished then or later."""

    def run(self, run_id: str) -> Run | None:
        """The run of this id; None: there is none."""

    def run_count(self) -> int:
        """How many runs there are."""

    def digest(self) -> dict[str, str]:
        """Canonical digests by part: journeys, refusals, policies, fixes. Equal content gives equal digests on
        every adapter, whatever the order of writing. Run records, history and origins are outside."""

    def close(self) -> None:
        """Release connections. Idempotent."""


class FixStore(Protocol):
    """Where the fixes behind journeys are kept, for as long as retention says."""

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's kept fixes with ``first <= fixed_at <= last``, by time."""

    def expire(self, before: datetime) -> int:
        """Forget kept fixes of UTC days that end at or before ``before``; returns how many fixes went."""


class Store(JourneyStore, FixStore, FigureReads, Protocol):
    """All ports on one connection, so that a batch is one transaction."""
