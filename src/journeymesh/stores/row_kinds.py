"""The rows that a store keeps, kind by kind, and the primitives by which a database reads and writes them.

A database needs no more than these: what a batch and a question mean is said once (``row_batches``, ``row_store``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import pyarrow as pa

from journeymesh.journeys.fields import SORTS
from journeymesh.stores import records, rows
from journeymesh.stores.protected_kinds import INDEX, PROTECTED, STATE

T = TypeVar("T")

Row = tuple[Any, ...]
Condition = tuple[str, str, Any]
"""A column, an operator and a value. Operators: ``=`` (null included), ``<``, ``<=``, ``>``, ``>=``, which null never
meets, and ``in``. ``("", "any", conditions)`` is met where one of these is."""

_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class RowKind:
    """Columns in the order of a row's values, and those of them that are the key."""

    columns: tuple[str, ...]
    key: tuple[str, ...]


KINDS: Final = {
    "journeys": RowKind(rows.COLUMNS, ("journey_id",)),
    "history": RowKind(
        ("entry_id", "journey_id", "successor_id", "superseded_at_us", "position", "latest", "content"), ("entry_id",)
    ),
    "refusals": RowKind(records.REFUSAL_COLUMNS, ("refusal_id",)),
    "policies": RowKind(records.POLICY_COLUMNS, records.POLICY_KEY),
    "rules": RowKind(("version", "digest", "score"), ("version", "digest")),
    "runs": RowKind(records.RUN_COLUMNS, ("run_id",)),
    "blocks": RowKind(("vehicle", "day", "first_us", "last_us", "fixes", "content"), ("vehicle", "day")),
    "changes": RowKind(("vehicle", "position"), ("vehicle",)),
    "figures": RowKind((*records.POLICY_KEY, "period", *SORTS, "content"), (*records.POLICY_KEY, "period")),
    **{kind.name: RowKind(kind.columns, (kind.id,)) for kind in PROTECTED.values()},
    INDEX: RowKind(("token", "sealed"), ("token",)),
    STATE: RowKind(("name", "value"), ("name",)),
}
OF_VEHICLES: Final = ("journeys", "refusals", "blocks")
"""Kinds whose rows are each of one vehicle, or of none: a change of such a row is a change of its vehicle."""


class ReadableRows(Protocol):
    """The rows of one state of a store."""

    def select(
        self,
        kind: str,
        where: Sequence[Condition] = (),
        *,
        order: Sequence[str] = (),
        after: Sequence[Any] | None = None,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Iterator[Row]:
        """Rows that meet every condition, ascending by ``order`` (or descending) and only those behind ``after``,
        values of the columns of ``order``; at most ``limit``. ``columns`` are the values of each; None: all."""

    def count(self, kind: str) -> int:
        """How many rows there are."""

    def spans(self, kind: str, first: str, last: str, vehicles: Sequence[str]) -> Iterable[tuple[str, Any, Any]]:
        """(vehicle, least ``first``, greatest ``last``) of those of the vehicles that have rows; several of one vehicle
        where a database cannot group."""

    def position(self) -> int:
        """The position of the store's last change."""


class WritableRows(ReadableRows, Protocol):
    """The rows within a write that nobody else writes beside."""

    def put(
        self, kind: str, put: Sequence[Row] | pa.Table, *, update: Sequence[str] | None = None
    ) -> Iterable[str | None]:
        """Put rows by key. Of a row that is there, only the columns ``update`` change; None: all. Returns the vehicles
        of the rows that changed, or of all."""

    def delete(self, kind: str, keys: Iterable[Row]) -> list[str | None]:
        """Delete the rows with these keys, each the values of the kind's key columns. Returns the vehicles of those
        that were there, each once; none of a kind that is of no vehicle."""

    def number(self) -> int:
        """A number for this write, above those of all before."""

    def advance(self, count: int) -> int:
        """Move the store's position on by so many; the new one."""


def vehicles_of(kind: str, put: Sequence[Row] | pa.Table) -> list[str | None]:
    """The vehicles that these rows name; none of a kind that is of no vehicle."""
    if isinstance(put, pa.Table):
        vehicles: list[str | None] = put["vehicle"].unique().to_pylist()
        return vehicles
    if kind not in OF_VEHICLES:
        return []
    place = KINDS[kind].columns.index("vehicle")
    return list(dict.fromkeys(row[place] for row in put))


def chunks(items: Sequence[T], size: int = _AT_ONCE) -> Iterator[Sequence[T]]:
    """The items in pieces that fit into one condition."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
