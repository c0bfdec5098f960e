"""A store over a database's row primitives: every question and every write of the port, once."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, TypeVar

import pyarrow as pa

from journeymesh.errors import StoreUnavailable
from journeymesh.instants import from_us, to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import rules_conflict
from journeymesh.stores import records, rows
from journeymesh.stores.digests import POLICY_SCHEMA, REFUSAL_DIGEST_SCHEMA, fixes_digest, table_digest
from journeymesh.stores.erasing import Erased, Erasure, eraser, last_journey_ended_us
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.figure_rows import figures_of, mixed_versions
from journeymesh.stores.figures import first_rows
from journeymesh.stores.fix_blocks import DAY_US, decoded, fixes_of
from journeymesh.stores.port import (
    HistoryEntry,
    JourneyQuery,
    RefusalQuery,
    RulesUsed,
    Run,
    StoreBatch,
    StoreChanges,
    VehicleSpan,
)
from journeymesh.stores.positions import changes_page
from journeymesh.stores.protected_kinds import STATE
from journeymesh.stores.row_batches import batch_writer, move_in_feed
from journeymesh.stores.row_conditions import figure_conditions, journey_conditions, refusal_conditions
from journeymesh.stores.row_kinds import KINDS, Condition, ReadableRows, Row, WritableRows, chunks

T = TypeVar("T")

_PAGE: Final = 20_000
_BLOCK_PAGE: Final = 200
_FIGURES_AT_ONCE: Final = 200
_NAMES_AT_ONCE: Final = 1_000
_BY_START: Final[tuple[str, ...]] = ("started_at_us", "journey_id")
_BY_FIX: Final[tuple[str, ...]] = ("fixed_at_us", "refusal_id")
SEALED_SEEN_WITHIN_S: Final = 1.0
"""How long a program that reads in clear may go on after another one began to seal the store."""
_UNSEAL: Final = "set sealed = true beside key_store and key_provider, or JOURNEYMESH_SEALED=true"
_SPANS: Final = (("journeys", "started_at_us", "ended_at_us"), ("blocks", "first_us", "last_us"))
_NAMING: Final = (*_SPANS, ("refusals", "fixed_at_us", "fixed_at_us"))


class RowStore(ABC):
    """Both ports. An adapter adds what is abstract here."""

    url: str
    _clear_at_s: float = -math.inf
    """When the store was last seen to have no protected rows."""

    @abstractmethod
    def migrate(self) -> None:
        """Create or upgrade the schema to this version's. Idempotent; safe to run beside a reader."""

    @abstractmethod
    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""

    @abstractmethod
    def close(self) -> None:
        """Release connections. Idempotent."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[ReadableRows]:
        """The rows as they are now, for as long as that lasts."""

    @abstractmethod
    def _write(self, writing: Callable[[WritableRows], T]) -> T:
        """What ``writing`` returns; all that it writes is committed, or, on any fault, nothing."""

    def _read(self, reading: Callable[[ReadableRows], T]) -> T:
        """What ``reading`` returns, from one state of the store."""
        with self._reading() as now:
            return reading(now)

    def prepare_sealed(self) -> None:  # noqa: B027 - most have it with their schema
        """Make what sealed rows need beside the schema. Idempotent."""

    def retoken(self) -> None:  # noqa: B027 - a store in clear has no tokens
        """Give what is sealed tokens of the newest index key, where the store is sealed. It can be stopped anywhere and
        goes on when it is called again."""

    def scrub(self) -> bool:
        """Write over what deleted rows left in the database's own files; False: some of it stays, for the database is
        in use, or cannot do it."""
        return False

    def _answer(self, reading: Callable[[ReadableRows], T]) -> T:
        """What ``reading`` returns of rows that are all here in clear."""

        def checked(now: ReadableRows) -> T:
            self._require_readable(now)
            return reading(now)

        return self._read(checked)

    def _change(self, writing: Callable[[WritableRows], T]) -> T:
        """What ``writing`` returns, of rows that are all here in clear."""

        def checked(into: WritableRows) -> T:
            self._require_clear(into)
            return writing(into)

        return self._write(checked)

    def _require_readable(self, rows: ReadableRows) -> None:
        """``_require_clear``, at most once in ``SEALED_SEEN_WITHIN_S``: reads are many."""
        now_s = time.monotonic()
        if now_s - self._clear_at_s > SEALED_SEEN_WITHIN_S:
            self._require_clear(rows)
            self._clear_at_s = now_s

    def _require_clear(self, rows: ReadableRows) -> None:
        """Refuse to read past protected rows, and to write rows in clear beside them.

        Raises:
            StoreUnavailable: the store is sealed.
        """
        if next(iter(rows.select(STATE, limit=1)), None) is not None:
            raise StoreUnavailable(f"{self.url}: is sealed by a key store", todo=_UNSEAL)

    def write(self, batch: StoreBatch) -> None:
        """Write the batch: all of it or, on any fault, none."""
        self._change(batch_writer(batch, self.url))

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys in (started_at, journey_id) order or its reverse, ``JOURNEY_SCHEMA``; at most ``query.limit``."""
        names, order = rows.stored_names(query.columns), _BY_START
        after = None if query.after is None else (to_us(query.after[0]), query.after[1])
        if query.in_any_order and query.limit is None and after is None:
            order = () if "journey_id" in names else ("policy", *order)

        def read(now: ReadableRows) -> pa.Table:
            where = journey_conditions(query)
            found = now.select(
                "journeys", where, order=order, after=after, limit=query.limit, columns=names,
                descending=query.newest_first,
            )  # fmt: skip
            return rows.journeys_of(found, query.columns)

        return self._answer(read)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table, following ``successor_id`` from a superseded id; None if unknown or gone, or
        not of the tenant that is given."""
        whose: list[Condition] = [] if tenant is None else [("tenant", "=", tenant)]

        def follow(now: ReadableRows) -> list[Row]:
            current: str | None = journey_id
            passed: set[str] = set()
            while current is not None and current not in passed:
                if found := list(now.select("journeys", [("journey_id", "=", current), *whose])):
                    return found
                passed.add(current)
                entries = now.select("history", [("journey_id", "=", current)], columns=("latest", "successor_id"))
                current = max(entries, key=lambda entry: int(entry[0]), default=(0, None))[1]
            return []

        found = self._answer(follow)
        return rows.journeys_of(found) if found else None

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first."""
        found = self._all(
            "history", [("journey_id", "=", journey_id)], ("position", "entry_id"),
            ("successor_id", "superseded_at_us", "content"),
        )  # fmt: skip
        return [
            HistoryEntry(journey_id, from_us(at), successor, rows.journeys_of([rows.row_from_content(content)]))
            for successor, at, content in found
        ]

    def vehicles(self, among: Sequence[str]) -> dict[str, VehicleSpan]:
        """Those of the vehicles that the store holds journeys or fixes of."""

        def read(now: ReadableRows) -> dict[str, tuple[int, int]]:
            spans: dict[str, tuple[int, int]] = {}
            for part in chunks(list(dict.fromkeys(among))):
                for span in _SPANS:
                    for name, low, high in now.spans(*span, part):
                        known = spans.get(name, (low, high))
                        spans[name] = min(low, known[0]), max(high, known[1])
            return spans

        return {name: VehicleSpan(from_us(low), from_us(high)) for name, (low, high) in self._answer(read).items()}

    def vehicles_after(self, after: str | None, limit: int) -> list[str]:
        """Up to ``limit`` vehicles with journeys, refusals or kept fixes here, by name, behind ``after``."""

        def read(now: ReadableRows) -> list[str]:
            """The feed also knows vehicles of which nothing is left."""
            found: list[str] = []
            last = None if after is None else (after,)
            while len(found) < limit:
                size = min(limit - len(found), _NAMES_AT_ONCE)
                page = list(now.select("changes", order=("vehicle",), after=last, limit=size, columns=("vehicle",)))
                names = [name for (name,) in page]
                left = {name for span in _NAMING if names for name, *_ in now.spans(*span, names)}
                found += [name for name in names if name in left]
                if len(page) < size:
                    break
                last = page[-1]
            return found

        return self._answer(read)

    def changes(self, after: str | None, limit: int = 1000) -> StoreChanges:
        """Vehicles written after a position (None: the beginning), each once, in order of their last change."""

        def read(now: ReadableRows) -> StoreChanges:
            def later(first: int, size: int) -> tuple[int, list[Any]]:
                return now.position(), list(
                    now.select("changes", [("position", ">", first)], order=("position",), limit=size)
                )

            return changes_page(after, limit, later)

        return self._answer(read)

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number, by number, tenant and beginning."""
        where: list[Condition] = [] if number is None else [("number", "=", number)]
        return list(map(records.policy_of, self._all("policies", where, records.POLICY_KEY)))

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """Quarantined inputs as (refusal_id, refusal), by time where the query says so, else in the order of keys."""
        after: Sequence[Any] | None = None if query.after is None else (query.after,)
        order = None
        if query.by_time:
            order, last = _BY_FIX, query.after_time
            after = None if last is None else (to_us(last[0]), last[1])
        with self._reading() as now:
            self._require_readable(now)
            for page in _pages(now, "refusals", refusal_conditions(query), after, query.limit, order=order):
                yield from map(records.refusal_of, page)

    def rules(self) -> list[RulesUsed]:
        """The rules that the journeys here were made with."""
        return [RulesUsed(*used) for used in self._all("rules", (), *[("version", "digest")] * 2)]

    def runs(self, since: datetime | None = None) -> list[Run]:
        """Runs, oldest first; with ``since``, those that have not finished, or that began or finished then or later."""
        where: list[Condition] = []
        if since is not None:
            later = [(name, ">=", to_us(since)) for name in ("started_at_us", "finished_at_us")]
            where = [("", "any", [("finished_at_us", "=", None), *later])]
        return list(map(records.run_of, self._all("runs", where, ("started_at_us", "run_id"))))

    def run(self, run_id: str) -> Run | None:
        """The run of this id; None: there is none."""
        return next(map(records.run_of, self._all("runs", [("run_id", "=", run_id)])), None)

    def run_count(self) -> int:
        """How many runs there are."""
        return self._answer(lambda now: now.count("runs"))

    def digest(self) -> dict[str, str]:
        """Canonical digests by part: journeys, refusals, policies, fixes, of one state of the store."""
        return self._answer(_digest)

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's kept fixes with ``first <= fixed_at <= last``, by time."""
        first_us, last_us = to_us(first), to_us(last)
        days: list[Condition] = [("day", ">=", first_us // DAY_US), ("day", "<=", last_us // DAY_US)]
        found = self._all("blocks", [("vehicle", "=", vehicle), *days], ("day",), ("content",))
        return fixes_of(vehicle, [bytes(content) for (content,) in found], first_us, last_us)

    def expire(self, before: datetime) -> int:
        """Forget kept fixes of UTC days that end at or before ``before``; returns how many fixes went."""
        old: list[Condition] = [("day", "<", to_us(before) // DAY_US)]
        columns = ("vehicle", "day", "fixes")

        def forget(into: WritableRows) -> int:
            count, gone = 0, dict[str | None, None]()
            for page in _pages(into, "blocks", old, columns=columns):
                count += sum(fixes for *_, fixes in page)
                gone |= dict.fromkeys(into.delete("blocks", [(vehicle, day) for vehicle, day, _ in page]))
            if gone:
                move_in_feed(into, gone)
            return count

        return self._change(forget)

    def erase(self, erasure: Erasure) -> Erased:
        """Erase a term, or what an interval covers of vehicles, in one transaction; returns how many rows went."""
        return self._change(eraser(erasure))

    def last_journey_ended_us(self, policy: Policy) -> int | None:
        """When the last journey of this term ended; None: it has none."""
        return self._answer(lambda now: last_journey_ended_us(now, policy))

    def figures(self, query: FiguresQuery, rules: ScoreRules) -> pa.Table | None:
        """``FIGURE_SCHEMA`` in the query's order, at most ``query.limit`` rows; None: their score is by other rules."""
        order, last = (query.sort, "number", "valid_from_us"), query.after
        after = None if last is None else (last[0], last[1], to_us(last[2]))

        def read(now: ReadableRows) -> list[Row]:
            where = figure_conditions(query)
            if query.numbers is None:
                limit, down = query.limit, query.descending
                return list(now.select("figures", where, order=order, after=after, limit=limit, descending=down))
            # Of a known period, or of many numbers at once, SQLite takes an index of the period and goes through all of
            # its rows: 22 ms of 100,000 terms for one number. So it finds them by their key, in 0.02 ms.
            name = where.pop(0)[2]
            where += [("period", ">=", name), ("period", "<=", name)]
            numbers = chunks(query.numbers, _FIGURES_AT_ONCE)
            return [row for some in numbers for row in now.select("figures", [*where, ("number", "in", some)])]

        found = self._answer(read)
        if not query.marks_mixed and (mixed := mixed_versions(found)) is not None:
            raise rules_conflict(*mixed)
        table = figures_of(found, query.period, rules)
        return table if table is None or query.numbers is None else first_rows(table, query)

    def _all(
        self, kind: str, where: Sequence[Condition], order: Sequence[str] = (), columns: Sequence[str] | None = None
    ) -> list[Row]:
        return self._answer(lambda now: list(now.select(kind, where, order=order, columns=columns)))


def _pages(
    now: ReadableRows,
    kind: str,
    where: Sequence[Condition] = (),
    after: Sequence[Any] | None = None,
    limit: int | None = None,
    *,
    columns: Sequence[str] | None = None,
    size: int = _PAGE,
    order: Sequence[str] | None = None,
) -> Iterator[list[Row]]:
    """Rows in the order of their key, or in one that ends with it, page by page. ``columns``: of each row, those of the
    order among them; None: all."""
    key, left = order or KINDS[kind].key, limit
    places = [(columns or KINDS[kind].columns).index(name) for name in key]
    while left is None or left > 0:
        wanted = size if left is None else min(left, size)
        page = list(now.select(kind, where, order=key, after=after, limit=wanted, columns=columns))
        if page:
            yield page
        if len(page) < wanted:
            return
        after, left = [page[-1][place] for place in places], None if left is None else left - len(page)


def _digest(now: ReadableRows) -> dict[str, str]:
    def digest_of(kind: str, schema: pa.Schema) -> str:
        return table_digest(schema, (records.table_from_rows(page, schema) for page in _pages(now, kind)))

    blocks = (block for page in _pages(now, "blocks", size=_BLOCK_PAGE) for block in page)
    return {
        "journeys": digest_of("journeys", rows.STORED_SCHEMA),
        "refusals": digest_of("refusals", REFUSAL_DIGEST_SCHEMA),
        "policies": digest_of("policies", POLICY_SCHEMA),
        "fixes": fixes_digest(decoded((vehicle, day, bytes(content)) for vehicle, day, *_, content in blocks)),
    }
