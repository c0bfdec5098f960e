"""MongoDB's extended JSON, canonical and relaxed: ``{"$date": …}`` and its like as the values that they stand for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from bson.binary import OLD_UUID_SUBTYPE, UUID_SUBTYPE, Binary
from bson.errors import InvalidBSON
from bson.json_util import object_hook
from bson.timestamp import Timestamp

from journeymesh.instants import EPOCH

_NUMBERS: Final = {"$numberLong": int, "$numberInt": int, "$numberDouble": float, "$numberDecimal": float}
_WRAPPED: Final = frozenset(
    ("$date", "$oid", "$binary", "$uuid", "$timestamp", "$symbol", "$regularExpression", "$undefined", *_NUMBERS)
)


def plain(value: Any) -> Any:
    """What an object such as ``{"$numberLong": "5"}`` stands for; any other value as it is."""
    if not isinstance(value, dict) or not value or len(value) > 2:
        return value
    name = next(iter(value))
    if name not in _WRAPPED:
        return value
    inner = plain(value[name])
    try:
        if name in _NUMBERS:
            return _NUMBERS[name](inner)
        if name in ("$oid", "$symbol"):
            return inner
        if name == "$undefined":
            return None
        if name == "$date" and isinstance(inner, int):
            return EPOCH + timedelta(milliseconds=inner)
        return _from_bson({name: inner} if name == "$date" else value)
    except (ValueError, TypeError, OverflowError, KeyError, InvalidBSON):
        return value  # it is refused as what it is: an object where a value is expected


def _from_bson(value: dict[str, Any]) -> Any:
    found = object_hook(value)
    match found:
        case datetime():
            return found.replace(tzinfo=UTC)
        case Timestamp():
            return found.as_datetime()
        case Binary() if found.subtype in (UUID_SUBTYPE, OLD_UUID_SUBTYPE) and len(found) == 16:
            return str(UUID(bytes=bytes(found)))
        case Binary():
            return bytes(found)
        case _:
            return found
