"""The columns of the rows that a guess is made of: documents laid flat, arrays within arrays row by row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final

from journeymesh.sources.guess_words import NOT, WORDS, words_of
from journeymesh.sources.units import measured

MOST_DEPTH: Final = 8
BESIDE: Final = "\0beside"
"""Behind the path of an array: the rows are of arrays beside each other in its elements."""
_MOST_VALUES: Final = 16
"""A list of so many single values at most is a row of a table."""
_FEWEST: Final = 5
"""Shorter lists are positions, and other things that belong together."""
MOST_ROWS: Final = 20_000
"""So many elements of arrays show what is in them."""
Row = dict[str, Any]
Columns = dict[str, list[Any]]


def flat(document: Row, before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in a document that is neither a document nor an array of documents."""
    for name, value in document.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and depth < MOST_DEPTH:
            yield from flat(value, f"{path}.", depth + 1)
        elif isinstance(value, list) and 0 < len(value) <= 4 and not any(isinstance(one, dict | list) for one in value):
            yield from ((f"{path}.{number}", one) for number, one in enumerate(value))
        elif not isinstance(value, dict | list):
            yield path, value


def rows_of_arrays(documents: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows that the elements of each array are, with what they share, by path: ``a[].b`` for one within another,
    ``a[]`` for one right inside, and with ``BESIDE`` behind it for arrays beside each other."""
    found: dict[str, list[Row]] = {}
    for document in documents:
        shared = dict(flat(document))
        for path, row in chain(_elements(document, shared, "", 0), _beside(document, shared, "")):
            rows = found.setdefault(path, [])
            if len(rows) < MOST_ROWS:
                rows.append(row)
    return found


def columns_of(rows: Sequence[Row]) -> Columns:
    """The values of each path, without those that are null."""
    columns: Columns = {}
    for row in rows:
        for path, value in row.items():
            if value is not None:
                columns.setdefault(path, []).append(value)
    return columns


def candidates(name: str, columns: Columns) -> dict[str, int]:
    """Weight by path of the columns that may be this field by their names, the best first; the last step of a path
    weighs most."""
    found = []
    for path in columns:
        words, last = words_of(path), words_of(path.rpartition(".")[2])
        if set(words) & NOT.get(name, set()):
            continue
        weight = max((WORDS[name].get(word, 0) * (2 if word in last else 1) for word in words), default=0)
        if name == "lat" and re.search(r"coord\w*\.1$", path.lower()):
            weight = 8
        if name == "lon" and re.search(r"coord\w*\.0$", path.lower()):
            weight = 8
        if weight:
            found.append((weight, path))
    found.sort(key=lambda one: (-one[0], one[1].count("."), one[1]))
    return {path: weight for weight, path in found}


def as_number(value: Any) -> float | None:
    """The number that a value is or writes, perhaps with its unit; None for anything else."""
    if isinstance(value, bool) or value is None or isinstance(value, datetime):
        return None
    try:
        number = float(value.strip().replace(",", ".") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        try:
            number = float(str(value))
        except ValueError:
            found = measured(value) if isinstance(value, str) else None
            if found is None:
                return None
            number = found[0]
    return number if math.isfinite(number) else None


def numbers_of(values: Sequence[Any]) -> list[float]:
    """The numbers among the values."""
    return [number for value in values if (number := as_number(value)) is not None]


def _elements(document: Row, shared: Row, before: str, depth: int) -> Iterator[tuple[str, Row]]:
    for name, value in document.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and depth < MOST_DEPTH:
            yield from _elements(value, shared, f"{path}.", depth + 1)
        elif isinstance(value, list):
            yield from _in_array(value, path, shared, depth)


def _in_array(items: list[Any], path: str, shared: Row, depth: int) -> Iterator[tuple[str, Row]]:
    """The rows that an array's elements are; where they are arrays themselves, those of theirs, or lists of values."""
    if not items:
        return
    if all(isinstance(one, dict) for one in items):
        for item in items:
            row = {**shared, **{f"{path}[].{inner}": one for inner, one in flat(item)}}
            yield path, row
            if depth < MOST_DEPTH:
                yield from _elements(item, row, f"{path}[].", depth + 1)
                yield from _beside(item, row, f"{path}[].")
    elif all(map(_is_list_of_values, items)):
        for item in items:
            yield path, {**shared, **{f"{path}[].{number}": one for number, one in enumerate(item)}}
    elif depth < MOST_DEPTH:
        for item in items:
            if isinstance(item, list):
                yield from _in_array(item, f"{path}[]", shared, depth + 1)


def _beside(document: Row, shared: Row, before: str) -> Iterator[tuple[str, Row]]:
    """The rows of arrays that stand beside each other in a document, as many as most of their elements."""
    arrays = dict(_arrays(document, before, 0))
    lengths = [len(found) for found in arrays.values()]
    usual = max(dict.fromkeys(lengths), key=lengths.count, default=0)
    together = {path: found for path, found in arrays.items() if len(found) == usual}
    if len(together) < 2:
        return
    for number in range(min(usual, MOST_ROWS)):
        row = dict(shared)
        for path, found in together.items():
            one = found[number]
            row |= (
                {f"{path}[].{place}": value for place, value in enumerate(one)}
                if isinstance(one, list)
                else {f"{path}[]": one}
            )
        yield before.removesuffix(".") + BESIDE, row


def _arrays(document: Row, before: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    """(path, elements) of the arrays of single values, or of lists of few, in a document."""
    for name, value in document.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and depth < MOST_DEPTH:
            yield from _arrays(value, f"{path}.", depth + 1)
        elif isinstance(value, list) and len(value) >= _FEWEST and _is_column(value):
            yield path, value


def _is_column(values: list[Any]) -> bool:
    return all(map(_is_list_of_values, values)) or not any(isinstance(one, dict | list) for one in values)


def _is_list_of_values(one: Any) -> bool:
    return isinstance(one, list) and 2 <= len(one) <= _MOST_VALUES and not any(isinstance(v, dict | list) for v in one)
