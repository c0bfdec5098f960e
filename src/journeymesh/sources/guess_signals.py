"""Rows of one signal each, as loggers of cars write them: which column names the signal, and which has its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from journeymesh.sources.guess_columns import Row, as_number, columns_of
from journeymesh.sources.guess_words import NOT, WORDS, words_of

_MOST_SIGNALS: Final = 500
_SURE: Final = 3
"""What a word must weigh at least to name a position."""


def signal_columns(rows: Sequence[Row]) -> tuple[str, str] | None:
    """(the column of the signals' names, that of their values) where some signals are a latitude and a longitude; None
    where rows are no signals."""
    columns = columns_of(rows)
    for path, values in columns.items():
        if not all(isinstance(value, str) for value in values):
            continue
        names = dict.fromkeys(values)
        lat, lon = ({name for name in names if _names(axis, name)} for axis in ("lat", "lon"))
        if not lat or not lon or len(names) > _MOST_SIGNALS:
            continue
        positions = [row for row in rows if row.get(path) in lat | lon]
        numeric = {
            other: sum(as_number(row.get(other)) is not None for row in positions) for other in columns if other != path
        }
        numeric = {other: count for other, count in numeric.items() if count * 10 >= len(positions) * 9}
        value = max(numeric, key=lambda other: ("val" in other.lower(), _differing(positions, other)), default=None)
        if value is not None:
            return path, value
    return None


def gathered(rows: Sequence[Row], name: str, value: str) -> list[Row]:
    """A row for each latitude, with the last value of every signal before it and of each longitude."""
    state: Row = {}
    found = []
    for row in rows:
        signal = row.get(name)
        if not isinstance(signal, str):
            continue
        state[signal] = row.get(value)
        if _names("lon", signal):  # it stands behind its latitude, most often
            found.append({key: one for key, one in row.items() if key not in (name, value)} | state)
    return found


def _names(axis: str, signal: str) -> bool:
    words = words_of(signal)
    return not set(words) & NOT.get(axis, set()) and any(WORDS[axis].get(word, 0) >= _SURE for word in words)


def _differing(rows: Sequence[Row], path: str) -> int:
    return len({str(row.get(path)) for row in rows})
