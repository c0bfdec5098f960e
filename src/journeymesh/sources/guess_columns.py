"""The columns of the rows that a guess is made of: documents laid flat, arrays within arrays row by row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from journeymesh.sources.guess_words import NOT, WORDS, words_of

MOST_DEPTH: Final = 8
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
    """The rows that the elements of each array are, with what they share, by path: ``a[].b`` for one within another."""
    found: dict[str, list[Row]] = {}
    for document in documents:
        for path, row in _elements(document, dict(flat(document)), "", 0):
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
    """The number that a value is or writes; None for anything else."""
    if isinstance(value, bool) or value is None or isinstance(value, datetime):
        return None
    try:
        number = float(value.strip().replace(",", ".") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        try:
            number = float(str(value))
        except ValueError:
            return None
    return number if math.isfinite(number) else None


def numbers_of(values: Sequence[Any]) -> list[float]:
    """The numbers among the values."""
    return [number for value in values if (number := as_number(value)) is not None]


def _elements(document: Row, shared: Row, before: str, depth: int) -> Iterator[tuple[str, Row]]:
    for name, value in document.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and depth < MOST_DEPTH:
            yield from _elements(value, shared, f"{path}.", depth + 1)
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for item in value:
                row = {**shared, **{f"{path}[].{inner}": one for inner, one in flat(item)}}
                yield path, row
                if depth < MOST_DEPTH:
                    yield from _elements(item, row, f"{path}[].", depth + 1)
