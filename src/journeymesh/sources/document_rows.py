"""Documents with arrays in them as rows: each element of an array is a fix, what stands beside it is shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np

from journeymesh.sources.clocks import clock_us, interval_us, joined
from journeymesh.sources.column_values import Column, as_array
from journeymesh.sources.conditions import Where, meets, of_documents, of_elements
from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.extended_json import plain
from journeymesh.sources.mapping import BaseClock, ClockField, FieldMappings
from journeymesh.sources.mapping_fields import BESIDE
from journeymesh.sources.nested_arrays import flattened, nesting_of
from journeymesh.sources.paths import array_of, parsed, quoted, reach
from journeymesh.sources.tabular import paths_of

_COUNTED: Final = "\0fixed_at"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns by path, and of each row its document's and its element's number from 0; the element is -1 where the
    document is the row. ``where`` are the conditions still to be asked of each row. ``others`` counts those left
    out, ``without`` those for us in which none of the arrays is there."""

    columns: dict[str, Column]
    fields: FieldMappings
    where: Where
    document: Sequence[int]
    element: Sequence[int]
    others: int = 0
    without: Sequence[int] = ()


def rows_of(documents: Sequence[Any], fields: FieldMappings, where: Where) -> Rows:
    """The documents' rows; where no path goes into an array, each document is one."""
    paths = paths_of(fields, where)
    arrays = {path: array for path in paths if (array := array_of(path)) is not None}
    if not arrays:
        return Rows(columns_of(documents, paths), fields, where, range(len(documents)), [-1] * len(documents))
    if (nesting := nesting_of(paths)) is not None:
        documents = [flattened(one, nesting) for one in documents]
    first, others = of_documents(where), 0
    rests = {path: _rest(path) for path in arrays}
    values: dict[str, list[Any]] = {path: [] for path in paths}
    document: list[int] = []
    element: list[int] = []
    without: list[int] = []
    for number, one in enumerate(documents):
        found = {array: reach(one, array) for array in dict.fromkeys(arrays.values())}
        lists = {array: value if isinstance(value, list) else [] for array, value in found.items()}
        rows, is_without = max(map(len, lists.values())), not any(isinstance(value, list) for value in found.values())
        if first and not meets(lambda path, one=one: plain(reach(one, path)), first):  # type: ignore[misc]
            others += rows > 0 or is_without
            continue
        if is_without:
            without.append(number)
            continue
        document += [number] * rows
        element += range(rows)
        for path in paths:
            values[path] += _cells(one, path, arrays.get(path), rests.get(path), lists, rows)
    if fields.fixed_at.base is not None:
        fields, values[_COUNTED] = _counted(documents, fields, values, document, element)
    return Rows(_columns(values), fields, of_elements(where), document, element, others, without)


def _cells(
    one: Any, path: str, array: str | None, rest: str | None, lists: dict[str, list[Any]], rows: int
) -> list[Any]:
    """A document's values at a path, one for each of its rows."""
    if array is None:
        return [plain(reach(one, path))] * rows
    items = lists[array]
    found = [plain(item if rest is None else reach(item, rest)) for item in items]
    return found + [None] * (rows - len(items))


def columns_of(documents: Sequence[Any], paths: Iterable[str]) -> dict[str, Column]:
    """The columns at these paths; one without a value is left out."""
    return _columns({path: [plain(reach(one, path)) for one in documents] for path in paths})


def only_array(fields: FieldMappings, where: Where) -> tuple[str, ...]:
    """The steps to the array that every mapped path goes into; none where some do not, or into another."""
    paths = [path for path in paths_of(fields, where) if path != BESIDE]  # a vehicle that all rows share
    arrays = {array_of(path) for path in paths}
    base = fields.fixed_at.base
    if len(arrays) != 1 or base is not None:
        return ()
    found = parsed(paths[0])
    return found.steps[: found.array] if found.array is not None else ()


def _rest(path: str) -> str | None:
    """The path from an element of the array on; None for the element itself."""
    found = parsed(path)
    rest = found.steps[found.array :]
    return ".".join(quoted(step) for step in rest) or None


def _columns(values: dict[str, list[Any]]) -> dict[str, Column]:
    return {path: as_array(column) for path, column in values.items() if any(value is not None for value in column)}


def _counted(
    documents: Sequence[Any],
    fields: FieldMappings,
    values: dict[str, list[Any]],
    document: Sequence[int],
    element: Sequence[int],
) -> tuple[FieldMappings, list[Any]]:
    """The fields with instants instead of offsets, and the instants: each document's base and what is counted on it,
    the offset or the interval times the element's number. What cannot be counted is left as it is, for its row to be
    refused."""
    clock = fields.fixed_at
    base = clock.base
    assert base is not None
    bases = [_base_of(one, base) for one in documents]
    counted: list[Any] = []
    is_interval = clock.clock == "interval"
    steps = interval_us(np.asarray(element, np.int64), clock).tolist() if is_interval else []
    offsets = [] if is_interval else values[clock.all_paths[0]]
    for row, number in enumerate(document):
        start = bases[number]
        if not isinstance(start, int):
            counted.append(start)
            continue
        try:
            at_us = start + steps[row] if is_interval else clock_us(offsets[row], clock, None, start)
            counted.append(None if at_us is None else _EPOCH + timedelta(microseconds=at_us))
        except (Unconvertible, OverflowError):
            counted.append(f"element {element[row]}" if is_interval else str(offsets[row]))
    return msgspec.structs.replace(
        fields, fixed_at=ClockField(path=_COUNTED, clock="bson_date", corrections=clock.corrections)
    ), counted


def _base_of(document: Any, base: BaseClock) -> int | str | None:
    """The instant that a document's clocks count from; the text of what cannot be read as one."""
    texts = [plain(reach(document, path)) for path in base.all_paths]
    zone = None if base.zone_path is None else reach(document, base.zone_path)
    try:
        return clock_us(texts[0] if len(texts) == 1 else joined(texts), base, zone)
    except Unconvertible:
        return " ".join(map(str, texts))
