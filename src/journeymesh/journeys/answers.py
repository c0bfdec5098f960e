"""Answers as JSON: the one rendering that the command line, the API and the comparison of two sides share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def plain(value: Any) -> Any:
    """The value as JSON has it: instants in RFC 3339 UTC with Z, no NaN."""
    match value:
        case dict():
            return {name: plain(part) for name, part in value.items()}
        case list() | tuple():
            return [plain(part) for part in value]
        case datetime():
            return rfc3339(value)
        case date():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def rfc3339(at: datetime) -> str:
    """The instant in UTC with Z, with microseconds only where there are some."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def json_lines(page: pa.Table) -> Iterator[str]:
    """Each row of the page as a JSON object."""
    import msgspec

    encoder = msgspec.json.Encoder()
    for row in json_rows(page):
        yield encoder.encode(row).decode()


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as dictionaries that msgspec encodes to the same bytes as their ``plain`` ones.

    msgspec itself writes instants in UTC with Z, dates in ISO 8601 and null for NaN: only instants in another zone, or
    in none, are converted here.
    """
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows if all(_is_plain(field.type) for field in table.schema) else [plain(row) for row in rows]


def _is_plain(kind: pa.DataType) -> bool:
    """Whether every timestamp of the type, nested ones too, is in UTC and becomes a ``datetime``."""
    if hasattr(kind, "tz"):
        return bool(kind.tz == "UTC" and kind.unit != "ns")
    if hasattr(kind, "value_type"):  # of a list, a dictionary
        return _is_plain(kind.value_type)
    return all(_is_plain(kind.field(place).type) for place in range(kind.num_fields))


def json_array(lines: Iterable[str]) -> Iterator[str]:
    """The pieces of a JSON array with one object a line."""
    yield "["
    separator = "\n"
    for line in lines:
        yield f"{separator}{line}"
        separator = ",\n"
    yield "\n]\n" if separator != "\n" else "]\n"


def answer_bytes(table: pa.Table) -> bytes:
    """The table as a JSON array in UTF-8. Equal answers give equal bytes, whichever side they come from."""
    return "".join(json_array(json_lines(table))).encode()
