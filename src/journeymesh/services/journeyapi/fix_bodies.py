"""Bodies of handed-in fixes: JSON or an Arrow stream becomes columns, and a list of rows that cannot be read.

What a body would become in memory is bounded before it is made: rows are counted while they are read, values that are
none of a fix are skipped, and what an Arrow stream means is reckoned first (``arrow_bodies``).
"""

from __future__ import annotations

import dataclasses
import threading
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from journeymesh.journeys.fixes import Fixes
from journeymesh.services.http.problems import (
    MALFORMED,
    TOO_LARGE,
    UNPROCESSABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemRaised,
)
from journeymesh.services.journeyapi.arrow_bodies import LONGEST_TEXT, arrow_columns
from journeymesh.services.journeyapi.ports import RefusedFix
from journeymesh.services.journeyapi.rendering import ARROW, JSON
from journeymesh.sources.column_values import Column, ColumnOf, as_array
from journeymesh.sources.row_reading import RowReading
from journeymesh.sources.tabular import OWN_FIELDS, paths_of

TAKEN_TYPES: Final = (JSON, ARROW)


@dataclasses.dataclass(slots=True)
class _Object:
    """A JSON object where a value belongs: what is in it is skipped."""


class _Array(msgspec.Struct, array_like=True, gc=False):
    """A JSON array where a value belongs: what is in it is skipped."""


_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_Value = _Text | int | float | bool | None | _Object | _Array
_INSTEAD: Final[dict[type, Any]] = {_Object: {}, _Array: []}
_left = threading.local()
"""``rows``: how many more rows this thread's decoding may make."""


class _TooManyRows(Exception):
    """There are more rows than may be."""


class _Counted(msgspec.Struct, gc=False):
    """A row: made one at a time, so that a body of countless rows ends at the first that is too many."""

    def __post_init__(self) -> None:
        _left.rows -= 1
        if _left.rows < 0:
            raise _TooManyRows


_Row: Final = msgspec.defstruct(
    "_Row", [(path, _Value, None) for path in paths_of(OWN_FIELDS)], bases=(_Counted,), gc=False
)
_Body: Final = msgspec.defstruct("_Body", [("fixes", list[_Row])])  # type: ignore[valid-type]
_DECODER: Final[Any] = msgspec.json.Decoder(_Body)


def read_fixes(media: str, body: bytes | bytearray, most: int) -> tuple[Fixes, list[RefusedFix]]:
    """The fixes, ``origin`` being their row in the batch, and the rows that cannot be read.

    Raises:
        ProblemRaised: the body is of another media type, cannot be read as what it says it is, or has more than
            ``most`` fixes, or more text than is taken.
    """
    media = media.partition(";")[0].strip().lower()
    if media == JSON:
        column, rows = _json_columns(body, most)
    elif media == ARROW:
        column, rows = arrow_columns(body, most)
    else:
        raise ProblemRaised(UNSUPPORTED_MEDIA_TYPE, f"send {' or '.join(TAKEN_TYPES)}")
    if not rows:
        return Fixes.empty(), []
    fixes, faults = RowReading(OWN_FIELDS).fixes(column, np.arange(rows, dtype=np.int64))
    return fixes, [RefusedFix(row, reason.code, detail) for row, (reason, detail) in sorted(faults.reasons.items())]


def _json_columns(body: bytes | bytearray, most: int) -> tuple[ColumnOf, int]:
    _left.rows = most
    try:
        rows: list[Any] = _DECODER.decode(body).fixes
    except _TooManyRows:
        raise ProblemRaised(TOO_LARGE, f"at most {most} fixes at once") from None
    except msgspec.ValidationError as error:
        raise ProblemRaised(UNPROCESSABLE, f"body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemRaised(MALFORMED, "the body is not JSON") from error
    columns: dict[str, Column] = {}
    for path in paths_of(OWN_FIELDS):
        values = list(map(attrgetter(path), rows))
        if any(value is not None for value in values):
            columns[path] = _column(values)
    return columns.get, len(rows)


def _column(values: list[Any]) -> Column:
    kinds = set(map(type, values))
    if kinds & _INSTEAD.keys():
        return [_INSTEAD.get(type(value), value) for value in values]
    return as_array(values)
