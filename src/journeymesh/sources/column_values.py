"""Columns of one batch of rows, as Arrow has them or as Python's values, and what is wrong with the rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.journeys.fixes import F64, I32, Fixes
from journeymesh.journeys.reasons import USED_WITHOUT, Reason
from journeymesh.sources.conversions import Markers
from journeymesh.sources.field_tally import Fault

Column: TypeAlias = "pa.Array | list[Any]"
"""A column: an Arrow array, or Python's values where their types are mixed."""
ColumnOf = Callable[[str], "Column | None"]
"""The column at a path; None where the input has none."""


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
    """float64[rows] of a column all of which is numbers, NaN where missing.

    Raises:
        ArrowInvalid: some of it is none.
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
