"""The memory twin: a store that lives as long as its process, for tests, trials and one-off runs.

Its state is one value that no one changes; a write builds the next one and puts it in place in a single assignment, so
a read sees whole batches and a fault leaves nothing.
"""

from __future__ import annotations

import operator
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import pyarrow as pa

from journeymesh.stores import rows
from journeymesh.stores.row_kinds import KINDS, Condition, ReadableRows, Row, WritableRows, vehicles_of
from journeymesh.stores.row_store import RowStore
from journeymesh.stores.schema_version import SCHEMA_VERSION

T = TypeVar("T")

_INDEXED: Final = ("policy", "vehicle")
"""Columns by which journeys are found without looking at every one."""
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _State:
    number: int = 0
    position: int = 0
    rows: dict[str, dict[Row, Row]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    """By kind and key."""
    journeys_by: dict[str, dict[Any, list[Row]]] = field(default_factory=dict)
    """Made when they are first asked for."""


class MemoryStore(RowStore):
    """Both ports in memory. Safe for threads."""

    url = "memory://"

    def __init__(self) -> None:
        self._state = _State()
        self._writing = threading.Lock()

    @classmethod
    def connect(cls, url: str) -> MemoryStore:  # noqa: ARG003
        """An empty store; the URL has nothing more to say."""
        return cls()

    def migrate(self) -> None:
        """Nothing to create."""

    def schema_version(self) -> tuple[str | None, str]:
        """Always this code's."""
        return SCHEMA_VERSION, SCHEMA_VERSION

    def close(self) -> None:
        """Nothing to release; what is held goes with the object."""

    def _reading(self) -> AbstractContextManager[ReadableRows]:
        return nullcontext(_MemoryRows(self._state))

    def _write(self, writing: Callable[[WritableRows], T]) -> T:
        with self._writing:
            into = _MemoryRows(replace(self._state, number=self._state.number + 1))
            result = writing(into)
            self._state = into.state
            return result


class _MemoryRows:
    """``WritableRows`` of a state; what is written is in ``state`` afterwards, and in the one that was given not."""

    def __init__(self, state: _State) -> None:
        self.state = state
        self._own: set[str] = set()

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
        """Rows that meet every condition."""
        at = {name: place for place, name in enumerate(KINDS[kind].columns)}
        tests = [_test(at, condition) for condition in where]
        found = [row for row in self._candidates(kind, where) if all(test(row) for test in tests)]
        if order:

            def key(values: Iterable[Any]) -> tuple[tuple[bool, Any], ...]:
                return tuple((value is not None, value) for value in values)

            found.sort(key=lambda row: key(row[at[name]] for name in order), reverse=descending)
            if after is not None:
                behind = operator.lt if descending else operator.gt
                found = [row for row in found if behind(key(row[at[name]] for name in order), key(after))]
        found = found[:limit]
        if columns is None or tuple(columns) == KINDS[kind].columns:
            return iter(found)
        return iter([tuple(row[at[name]] for name in columns) for row in found])

    def count(self, kind: str) -> int:
        """How many rows there are."""
        return len(self.state.rows[kind])

    def spans(self, kind: str, first: str, last: str, vehicles: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
        """A span for each row of these vehicles."""
        return self.select(kind, [("vehicle", "in", vehicles)], columns=("vehicle", first, last))

    def position(self) -> int:
        """The position of the store's last change."""
        return self.state.position

    def put(self, kind: str, put: Sequence[Row] | pa.Table, *, update: Sequence[str] | None = None) -> list[str | None]:
        """Put rows by key; the vehicles of all."""
        places = [KINDS[kind].columns.index(name) for name in KINDS[kind].key]
        given = rows.rows_of(put) if isinstance(put, pa.Table) else put
        kept = self._writable(kind)
        for row in given:
            key = tuple(row[place] for place in places)
            if update is None or key not in kept:
                kept[key] = row
            elif update:
                columns = zip(KINDS[kind].columns, row, kept[key], strict=True)
                kept[key] = tuple(value if name in update else former for name, value, former in columns)
        return vehicles_of(kind, given)

    def delete(self, kind: str, keys: Iterable[Row]) -> list[str | None]:
        """Delete the rows with these keys; the vehicles of those that were there."""
        kept = self._writable(kind)
        gone = [kept.pop(key, None) for key in keys]
        return vehicles_of(kind, [row for row in gone if row is not None])

    def number(self) -> int:
        """The number of this write."""
        return self.state.number

    def advance(self, count: int) -> int:
        """Move the position on."""
        self.state = replace(self.state, position=self.state.position + count)
        return self.state.position

    def _writable(self, kind: str) -> dict[Row, Row]:
        """The rows of a kind: a copy of the former state's."""
        if kind not in self._own:
            copied = {**self.state.rows, kind: dict(self.state.rows[kind])}
            found = {} if kind == "journeys" else self.state.journeys_by
            self.state = replace(self.state, rows=copied, journeys_by=found)
            self._own.add(kind)
        return self.state.rows[kind]

    def _candidates(self, kind: str, where: Sequence[Condition]) -> Iterable[Row]:
        """Rows among which are all that meet the conditions."""
        kept = self.state.rows[kind]
        for name, comparison, value in where:
            wanted = dict.fromkeys([value] if comparison == "=" else value) if comparison in ("=", "in") else None
            if wanted is not None and KINDS[kind].key == (name,):
                return [kept[key,] for key in wanted if (key,) in kept]
            if wanted is not None and kind == "journeys" and name in _INDEXED and kind not in self._own:
                return [row for one in wanted for row in self._journeys_by(name).get(one, ())]
        return kept.values()

    def _journeys_by(self, name: str) -> dict[Any, list[Row]]:
        if name not in self.state.journeys_by:
            found: dict[Any, list[Row]] = defaultdict(list)
            place = rows.COLUMNS.index(name)
            for row in self.state.rows["journeys"].values():
                found[row[place]].append(row)
            self.state.journeys_by[name] = dict(found)
        return self.state.journeys_by[name]


def _test(at: dict[str, int], condition: Condition) -> Callable[[Row], bool]:
    name, comparison, value = condition
    if comparison == "any":
        tests = [_test(at, one) for one in value]
        return lambda row: any(test(row) for test in tests)
    place = at[name]
    if comparison == "=":
        return lambda row: bool(row[place] == value)
    if comparison == "in":
        among = frozenset(value)
        return lambda row: row[place] in among
    compare = _OPERATORS[comparison]
    return lambda row: row[place] is not None and compare(row[place], value)
