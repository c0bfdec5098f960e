"""Values of one batch of rows, in columns as Arrow has them or as Python's values, and what is wrong with the rows."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.journeys.fixes import F64, I32, I64, NOT_REPORTED_US, Fixes
from journeymesh.journeys.reasons import USED_WITHOUT, Reason
from journeymesh.sources.clocks import FIRST_US, LAST_US, is_local, is_number
from journeymesh.sources.conditions import Mask
from journeymesh.sources.conversions import Markers, kind_of
from journeymesh.sources.field_tally import Fault
from journeymesh.sources.mapping_fields import BaseClock, ClockField

Column: TypeAlias = "pa.Array | list[Any]"
"""A column: an Arrow array, or Python's values where their types are mixed."""
ColumnOf = Callable[[str], "Column | None"]
"""The column at a path; None where the input has none."""
Details: TypeAlias = dict[int, str]
"""What is wrong with a row's value, by row."""
BulkInstants: TypeAlias = tuple[I64, Mask | bool, Sequence[int]]
"""(int64[n] in µs, ``NOT_REPORTED_US`` where missing; which are local times; the rows to convert one by one)."""
_BLOCK_ROWS: Final = 4096
_TEXT_INSTANTS: Final = (pa.timestamp("us", tz="UTC"), pa.timestamp("us"))


class RowValues(Protocol):
    """The values of n rows at paths, as a source has them: what it converts at once, and single ones for the rest."""

    untyped: bool
    """Whether the source has nothing but texts."""

    def __len__(self) -> int:
        """How many rows there are."""

    def has(self, path: str) -> bool:
        """Whether rows may have a value there."""

    def kinds(self, path: str) -> Counter[str]:
        """How many of the values are of each type."""

    def value(self, row: int, path: str, expected: str) -> Any:
        """One value; None where there is none.

        Raises:
            Unconvertible: its type is none that a field may have; the text names it and what was ``expected``.
        """

    def distinct(self, path: str) -> tuple[list[Any], I32, Details]:
        """(the values that there are; int32[n] codes into them, -1 for none; the rows that cannot be decoded)."""

    def numbers(self, path: str, markers: Markers) -> tuple[F64, Sequence[int]]:
        """(float64[n], NaN where missing; the rows to convert one by one)."""

    def instants(self, clock: ClockField | BaseClock) -> BulkInstants | None:
        """The values of a clock of dates or texts; None where they are numbers."""


@dataclass(slots=True)
class Faults:
    """Rows that cannot be read, each with its first reason. ``met`` has every row, with what could be read of it."""

    reasons: dict[int, tuple[Reason, str]] = field(default_factory=dict)
    every: list[Fault] | None = None
    """All of them, where they are counted."""
    others: int = 0
    """Rows that the mapping's conditions leave to somebody else."""
    met: Fixes | None = None

    def add(self, row: int, reason: Reason, detail: str) -> None:
        """Refuse the row, unless it is already; or only note its value, where the fix is used without it."""
        if self.every is not None:
            self.every.append((row, reason, detail))
        before = self.reasons.get(row)
        if before is None or (before[0] in USED_WITHOUT and reason not in USED_WITHOUT):
            self.reasons[row] = (reason, detail)
        elif before[0] in USED_WITHOUT:
            self.reasons[row] = (reason, f"{before[1]}; {detail}")

    def add_all(self, faults: Iterable[tuple[int, str]], reason: Reason) -> None:
        """The same for each of these rows and what is wrong with it."""
        for row, detail in faults:
            self.add(row, reason, detail)


class ColumnValues:
    """The values in these columns, ``rows`` in each; see ``RowValues``."""

    def __init__(self, column: ColumnOf, rows: int, *, untyped: bool = False) -> None:
        self._column = cache(column)
        self._rows = rows
        self.untyped = untyped
        self._blocks: dict[tuple[str, int], list[Any]] = {}

    def __len__(self) -> int:
        return self._rows

    def has(self, path: str) -> bool:
        """Whether there is such a column."""
        return self._column(path) is not None

    def kinds(self, path: str) -> Counter[str]:
        """How many of the values are of each type, without those that are null."""
        values = self._column(path)
        if isinstance(values, list):
            return Counter(kind_of(value) for value in values if value is not None)
        if values is None or len(values) == values.null_count:
            return Counter()
        return Counter({str(plain(values).type): len(values) - values.null_count})

    def value(self, row: int, path: str, expected: str) -> Any:  # noqa: ARG002 - the conversions say what they expect
        """One value; None where there is none. Values are made Python's some rows at a time."""
        values = self._column(path)
        if values is None or isinstance(values, list):
            return None if values is None else values[row]
        block, at = divmod(row, _BLOCK_ROWS)
        if (path, block) not in self._blocks:
            self._blocks[path, block] = listed(plain(values[block * _BLOCK_ROWS :][:_BLOCK_ROWS]))
        return self._blocks[path, block][at]

    def distinct(self, path: str) -> tuple[list[Any], I32, Details]:
        """The values that there are, and each row's."""
        values = self._column(path)
        if values is None:
            return [], np.full(self._rows, -1, np.int32), {}
        return *distinct(values), {}

    def numbers(self, path: str, markers: Markers) -> tuple[F64, Sequence[int]]:
        """All at once where each can be converted, else none."""
        values = self._column(path)
        if isinstance(values, pa.Array):
            with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
                return whole_numbers(values, markers), ()
        return np.full(self._rows, np.nan), () if values is None else range(self._rows)

    def instants(self, clock: ClockField | BaseClock) -> BulkInstants | None:
        """All at once where they are dates or ISO 8601 texts of one form, else none."""
        parts = [self._column(path) for path in clock.all_paths]
        if any(part is None for part in parts):
            return np.full(self._rows, NOT_REPORTED_US), False, ()
        if len(parts) == 1 and isinstance(parts[0], pa.Array):
            values = plain(parts[0])
            are_dates = pa.types.is_timestamp(values.type)
            are_texts = pa.types.is_string(values.type) and clock.clock in ("iso8601", "bson_date")
            kinds = [pa.timestamp("us", tz=values.type.tz)] if are_dates else _TEXT_INSTANTS if are_texts else ()
            for kind in kinds:
                with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
                    read = np.array(values.cast(kind, safe=are_texts).cast(pa.int64()).fill_null(int(NOT_REPORTED_US)))
                    outside = (read != NOT_REPORTED_US) & ((read < FIRST_US) | (read > LAST_US))
                    local = kind.tz is None or (are_dates and is_local(clock))
                    return read, local, np.flatnonzero(outside).tolist()
        return None if is_number(clock) else (np.full(self._rows, NOT_REPORTED_US), False, range(self._rows))


def as_array(values: list[Any]) -> Column:
    """Python values as an Arrow array; as they are where their types are mixed."""
    try:
        read = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return values
    return values if pa.types.is_nested(read.type) else read


def listed(values: Column) -> list[Any]:
    """The values as Python has them; one that Python has not, as an instant in the year 20,000 or a text in no UTF-8,
    is the text of its number or of its bytes, which no field takes for a value."""
    if isinstance(values, list):
        return values
    try:
        return list(values.to_pylist())
    except (OverflowError, ValueError):
        return [_as_python(value) for value in values]


def _as_python(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return f"{value.type} {getattr(value, 'value', '')}" if not hasattr(value, "as_buffer") else "not UTF-8"


def distinct(values: Column) -> tuple[list[Any], I32]:
    """(the values that there are, int32[rows] codes into them, -1 where null)."""
    if isinstance(values, list):
        return _distinct_objects(values)
    is_uuid = isinstance(values, pa.ExtensionArray) and values.type.extension_name == "arrow.uuid"
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if not pa.types.is_dictionary(values.type):
        values = plain(values)
        try:
            values = values.dictionary_encode()
        except pa.ArrowNotImplementedError:
            return _distinct_objects(listed(values))
    codes: I32 = values.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    present = listed(plain(values.dictionary))
    return [UUID(bytes=value) for value in present] if is_uuid else present, codes


def _distinct_objects(values: list[Any]) -> tuple[list[Any], I32]:
    known: dict[tuple[str, str], int] = {}
    present: list[Any] = []
    codes = np.full(len(values), -1, np.int32)
    for row, value in enumerate(values):
        if value is None:
            continue
        code = codes[row] = known.setdefault((type(value).__name__, repr(value)), len(known))
        if code == len(present):
            present.append(value)
    return present, codes


def whole_numbers(values: pa.Array, markers: Markers) -> F64:
    """float64[rows] of a column of numbers or of their texts: NaN for null, for blank texts and for texts that are one
    of ``markers.words``. Numbers that are markers stay.

    Raises:
        ArrowInvalid: a value is neither, or the column is of another type.
    """
    held = plain(values)
    kind = held.type
    if pa.types.is_decimal(kind):
        held = held.cast(pa.string())  # from text to the nearest double, as everywhere
    elif pa.types.is_string(kind):
        held = pc.utf8_trim_whitespace(held)
        none = pc.equal(held, "")
        if markers.words:
            none = pc.or_(none, pc.is_in(pc.utf8_lower(held), pa.array(markers.words)))
        held = pc.if_else(none, None, held)
    elif not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise pa.ArrowInvalid("not a number")
    return _with_nan(held.cast(pa.float64(), safe=False))


def plain(values: pa.Array) -> pa.Array:
    """Values without a dictionary; bytes as the text that they hold, for some writers mark no column as text."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        with contextlib.suppress(pa.ArrowInvalid):
            return values.cast(pa.string())
    return values


def _with_nan(values: pa.Array) -> F64:
    if values.null_count:
        values = values.fill_null(float("nan"))
    read: F64 = values.to_numpy(zero_copy_only=False)
    return read
