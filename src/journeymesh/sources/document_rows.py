"""Documents with arrays in them as rows: each element of an array is a fix, what stands beside it is shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

from journeymesh.sources.column_values import Column, as_array
from journeymesh.sources.conditions import Where, meets, of_documents, of_elements
from journeymesh.sources.extended_json import plain
from journeymesh.sources.mapping import FieldMappings
from journeymesh.sources.mapping_fields import BESIDE
from journeymesh.sources.nested_arrays import flattened, nesting_of
from journeymesh.sources.paths import array_of, inside_array, parsed, reach
from journeymesh.sources.tabular import paths_of


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns by path, and of each row its document's and its element's number from 0; the element is -1 where the
    document is the row. ``where`` are the conditions still to be asked of each row. ``others`` counts those left
    out, ``without`` those for us in which none of the arrays is there."""

    columns: dict[str, Column]
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
        return Rows(columns_of(documents, paths), where, range(len(documents)), [-1] * len(documents))
    if (nesting := nesting_of(paths)) is not None:
        documents = [flattened(one, nesting) for one in documents]
    first, others = of_documents(where), 0
    rests = {path: inside_array(path) for path in arrays}
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
    return Rows(_columns(values), of_elements(where), document, element, others, without)


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
    return _columns({path: _values(documents, path) for path in paths})


def _values(documents: Sequence[Any], path: str) -> list[Any]:
    """Each document's value at a path."""
    steps = parsed(path).steps
    if len(steps) > 1 or any(type(one) is not dict for one in documents):
        return [plain(reach(one, path)) for one in documents]
    # Nearly every path is a key of a dict, whose value is a text or a number: no call for each of them.
    found = map(methodcaller("get", steps[0]), documents)
    return [plain(value) if type(value) is dict else value for value in found]


def only_array(fields: FieldMappings, where: Where) -> tuple[str, ...]:
    """The steps to the array that every mapped path goes into; none where some do not, or into another."""
    paths = [path for path in paths_of(fields, where) if path != BESIDE]  # a vehicle that all rows share
    arrays = {array_of(path) for path in paths}
    if len(arrays) != 1:
        return ()
    found = parsed(paths[0])
    return found.steps[: found.array] if found.array is not None else ()


def _columns(values: dict[str, list[Any]]) -> dict[str, Column]:
    return {path: as_array(column) for path, column in values.items() if any(value is not None for value in column)}
