"""How two answers to one question differ: bytes first, then row by row, then field by field."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum, unique
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.instants import to_us
from journeymesh.journeys.answers import plain
from journeymesh.strangler.questions import JourneysAsked, Question

_SHOWN_CHARS: Final = 2_000
Row = dict[str, Any]
Key = tuple[str, int]


@unique
class Classification(StrEnum):
    """What kind of difference it is."""

    MISSING = "missing"
    """The target lacks a row."""
    EXTRA = "extra"
    """The target has a row that the source has not, or has it twice."""
    VALUE = "value"
    """A field of a row differs."""
    TYPE = "type"
    """A column is of another type, is not there or should not be."""
    ORDER = "order"
    """The same rows in another order."""
    LATE_WRITE = "late_write"
    """The target's journey was made before fixes came that the source has."""
    RULES_VERSION = "rules_version"
    """The target's journey was made with other rules."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. Values are JSON text; None: the side has no such row.

    ``subject`` is the row's id where it has one (a journey's), else the question; ``at_us`` is when the row begins.
    """

    subject: str
    classification: Classification
    field: str
    source_value: str | None
    target_value: str | None
    at_us: int | None = None

    def cause(self, slice_name: str, policy: str) -> str:
        """The identity of what is wrong: seen again it is the same, whatever the values have become."""
        key = "\0".join((slice_name, policy, self.subject, self.classification, self.field))
        return hashlib.blake2b(key.encode(), digest_size=13).hexdigest()


def same(source: pa.Table, target: pa.Table) -> bool:
    """Whether both have the same columns, rows and order, to the last bit: their JSON has the same bytes."""
    if source is target:
        return True
    if source.num_rows != target.num_rows or source.column_names != target.column_names:
        return False
    return all(
        one.type == other.type and _same_array(_one_chunk(one), _one_chunk(other))
        for one, other in zip(source.columns, target.columns, strict=True)
    )


def differences(question: Question, source: pa.Table, target: pa.Table) -> list[Difference]:
    """How the target's answer differs from the source's; empty: it does not."""
    if same(source, target):
        return []
    found = list(_column_differences(question.subject, source, target))
    retyped = {each.field for each in found}
    names = [name for name in source.column_names if name not in retyped]
    ours, theirs = _keyed(question.key, source), _keyed(question.key, target)
    _cut_to_page(question, ours, theirs)
    common = [key for key in ours if key in theirs]
    found += _order(question, common, [key for key in theirs if key in ours])
    lacking = {key: row for key, row in ours.items() if key not in theirs}
    beyond = {key: row for key, row in theirs.items() if key not in ours}
    found += _changed_starts(question, lacking, beyond)
    found += (_one_sided(question, key, row, Classification.MISSING) for key, row in lacking.items())
    found += (_one_sided(question, key, row, Classification.EXTRA) for key, row in beyond.items())
    for key in common:
        found += _row_differences(_subject(question, key), ours[key], theirs[key], names)
    if not found:  # the bytes differ: say so even where no row does, as when one side gives more than was asked for
        rows = shown(source.num_rows), shown(target.num_rows)
        found.append(Difference(question.subject, Classification.VALUE, "rows", *rows))
    return found


def found_elsewhere(missing: Difference, source: pa.Table, target: pa.Table | None) -> list[Difference]:
    """What a journey that is missing from the target's answer differs in, where the target has it by its id.

    ``source`` holds the source's journeys, ``target`` the target's journey of this id, if it has one.
    """
    if target is None or not len(target):
        return [missing]
    ours = source.filter(pc.equal(source["journey_id"], missing.subject)).to_pylist()
    theirs = [row for row in target.to_pylist() if row["journey_id"] == missing.subject]
    if not ours or not theirs:
        return [missing]
    names = [name for name in source.column_names if name in target.column_names]
    return list(_row_differences(missing.subject, ours[0], theirs[0], names)) or [missing]


def shown(value: Any) -> str:
    """The value as JSON text, exact; cut where it is very long."""
    text = _exact(value).decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _exact(value: Any) -> bytes:
    return msgspec.json.encode(plain(value))


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _same_array(one: pa.Array, other: pa.Array) -> bool:
    if pa.types.is_float64(one.type):
        return bool(one.view(pa.int64()).equals(other.view(pa.int64())))
    if pa.types.is_list(one.type):
        if not pc.list_value_length(one).equals(pc.list_value_length(other)):
            return False
        return _same_array(one.flatten(), other.flatten())
    if pa.types.is_struct(one.type):
        pairs = zip(one.flatten(), other.flatten(), strict=True)
        return all(_same_array(mine, theirs) for mine, theirs in pairs)
    return bool(one.equals(other))


def _column_differences(subject: str, source: pa.Table, target: pa.Table) -> Iterator[Difference]:
    ours = {name: source.schema.field(name).type for name in source.column_names}
    theirs = {name: target.schema.field(name).type for name in target.column_names}
    for name in dict.fromkeys([*ours, *theirs]):
        mine, other = ours.get(name), theirs.get(name)
        if mine != other:
            values = (None if mine is None else str(mine)), (None if other is None else str(other))
            yield Difference(subject, Classification.TYPE, name, *values)


def _keyed(key: str, table: pa.Table) -> dict[Key, Row]:
    """The rows by (key as text, how many with this key came before)."""
    seen: Counter[str] = Counter()
    keyed = {}
    for row in table.to_pylist():
        text = str(plain(row.get(key)))
        keyed[text, seen[text]] = row
        seen[text] += 1
    return keyed


def _cut_to_page(question: Question, ours: dict[Key, Row], theirs: dict[Key, Row]) -> None:
    """Where a full page of one side ends earlier, the other's rows behind that end say nothing."""
    limit = question.query.limit if isinstance(question, JourneysAsked) else None
    if limit is None:
        return
    for page, other in ((ours, theirs), (theirs, ours)):
        if len(page) < limit or not page:
            continue
        try:
            end = max(_place(row) for row in page.values())
            behind = [key for key, row in other.items() if _place(row) > end]
        except TypeError:  # the sides do not agree on what an instant or an id is
            return
        for key in behind:
            del other[key]


def _place(row: Row) -> tuple[Any, Any]:
    return row.get("started_at"), row.get("journey_id")


def _order(question: Question, ours: list[Key], theirs: list[Key]) -> Iterator[Difference]:
    for mine, other in zip(ours, theirs, strict=True):
        if mine != other:
            yield Difference(question.subject, Classification.ORDER, question.key, shown(mine[0]), shown(other[0]))
            return


def _changed_starts(question: Question, lacking: dict[Key, Row], beyond: dict[Key, Row]) -> Iterator[Difference]:
    """Journeys of both sides that share time and not their start: one was made before the other's fixes came."""
    if question.key != "journey_id":
        return
    for key, row in list(lacking.items()):
        for other_key, other in list(beyond.items()):
            try:
                shares = row["started_at"] <= other["ended_at"] and other["started_at"] <= row["ended_at"]
            except TypeError:
                return
            if shares and row["vehicle"] == other["vehicle"] and row["journey_id"] != other["journey_id"]:
                kind, field = _kind_of_change(row, other) or (Classification.LATE_WRITE, "started_at")
                yield replace(_one_sided(question, key, row, kind), field=field, target_value=shown(other[field]),
                              source_value=shown(row[field]))  # fmt: skip
                del lacking[key], beyond[other_key]
                break


def _kind_of_change(ours: Row, theirs: Row) -> tuple[Classification, str] | None:
    """The one thing that explains every other difference of these rows, if there is one."""
    if ours.get("rules_version") != theirs.get("rules_version"):
        return Classification.RULES_VERSION, "rules_version"
    mine, other = ours.get("fixes"), theirs.get("fixes")
    if isinstance(mine, int) and isinstance(other, int) and mine > other:
        return Classification.LATE_WRITE, "fixes"
    return None


def _one_sided(question: Question, key: Key, row: Row, kind: Classification) -> Difference:
    subject, value = _subject(question, key), shown(row)
    ours, theirs = (value, None) if kind is not Classification.EXTRA else (None, value)
    return Difference(subject, kind, question.key, ours, theirs, _at_us(row))


def _subject(question: Question, key: Key) -> str:
    return key[0] if question.key == "journey_id" else f"{question.subject} {question.key}={key[0]}"


def _row_differences(subject: str, ours: Row, theirs: Row, names: Iterable[str]) -> Iterator[Difference]:
    at_us = _at_us(ours)
    explained = _kind_of_change(ours, theirs)
    if explained is not None:
        kind, field = explained
        yield Difference(subject, kind, field, shown(ours[field]), shown(theirs[field]), at_us)
        return
    for name in names:
        for field, mine, other in _value_differences(name, ours[name], theirs[name]):
            yield Difference(subject, Classification.VALUE, field, shown(mine), shown(other), at_us)


def _value_differences(name: str, ours: Any, theirs: Any) -> Iterator[tuple[str, Any, Any]]:
    """(field, source's value, target's value) down to the first entry of a list that differs."""
    if _exact(ours) == _exact(theirs):
        return
    lists = isinstance(ours, list) and isinstance(theirs, list)
    if not lists or len(ours) != len(theirs):
        yield name, ours, theirs
        return
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if _exact(mine) == _exact(other):
            continue
        if isinstance(mine, dict) and isinstance(other, dict) and mine.keys() == other.keys():
            for part in mine:
                if _exact(mine[part]) != _exact(other[part]):
                    yield f"{name}[{number}].{part}", mine[part], other[part]
        else:
            yield f"{name}[{number}]", mine, other
        return


def _at_us(row: Row) -> int | None:
    at = row.get("started_at", row.get("fixed_at"))
    return to_us(at) if isinstance(at, datetime) and at.tzinfo is not None else None
