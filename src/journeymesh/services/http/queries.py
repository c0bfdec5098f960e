"""Query strings and JSON bodies as typed values."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from journeymesh.services.http.bodies import BODIES, read_body
from journeymesh.services.http.problems import MALFORMED, UNPROCESSABLE, UNSUPPORTED_MEDIA_TYPE, ProblemRaised
from journeymesh.services.http.requests import HttpRequest, Scope, header

T = TypeVar("T", bound=msgspec.Struct)
B = TypeVar("B")
MOST_JSON_BYTES: Final = 64 << 10
_MOST_PARAMETERS: Final = 32
EARLIEST: Final = datetime(1900, 1, 1)  # noqa: DTZ001 - compared on the clock that was written
LATEST: Final = datetime(9900, 1, 1)  # noqa: DTZ001 - as above
_REMEMBERED_BYTES: Final = 256


def query_of(scope: Scope, kind: type[T]) -> T:
    """The query string as this struct, which is frozen and forbids unknown fields.

    Raises:
        ProblemRaised: a parameter is unknown, there twice, or of another type.
    """
    query_string = bytes(scope["query_string"])
    # A long one, as with a cursor, is seldom sent again, and what is remembered is bounded in bytes.
    parsed: T = (_known if len(query_string) <= _REMEMBERED_BYTES else _parsed)(query_string, kind)
    return parsed


@lru_cache(4096)
def _known(query_string: bytes, kind: type[T]) -> T:
    return _parsed(query_string, kind)


def _parsed(query_string: bytes, kind: type[T]) -> T:
    values: dict[str, str] = {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError as error:
        raise ProblemRaised(MALFORMED, "the query string cannot be read") from error
    for name, value in pairs:
        if name in values:
            raise ProblemRaised(MALFORMED, f"the query parameter {name[:50]!r} is there twice")
        values[name] = value
    try:
        query = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemRaised(MALFORMED, f"query: {error}") from error
    if far := _beyond_reckoning(query):
        raise ProblemRaised(MALFORMED, f"query: {far}")
    return query


async def json_body(request: HttpRequest, kind: type[B], most_bytes: int = MOST_JSON_BYTES) -> B:
    """The request's JSON body as this type. ``most_bytes`` bounds what can be made of it, too: a value takes some
    bytes to be written and some ten times as many in memory.

    Raises:
        ProblemRaised: it is no JSON (400), larger (413), of another media type (415), no such value (422), or the
            process holds too much of bodies (429).
    """
    media = (header(request.scope, b"content-type") or "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise ProblemRaised(UNSUPPORTED_MEDIA_TYPE, "send application/json")
    lease = request.state[BODIES].lease()
    try:
        taken = msgspec.json.decode(await read_body(request, lease, most_bytes), type=kind)
    except msgspec.ValidationError as error:
        raise ProblemRaised(UNPROCESSABLE, f"body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemRaised(MALFORMED, f"body: {error}") from error
    finally:
        lease.release()
    if far := _beyond_reckoning(taken):
        raise ProblemRaised(UNPROCESSABLE, f"body: {far}")
    return taken


def _beyond_reckoning(value: Any, name: str = "") -> str:
    """Which instant is so early or so late that nothing can be reckoned with it; empty: none.

    The calendar ends in 9999: a zone's offset or a lease added to its last days is an overflow, not a date.
    """
    if isinstance(value, datetime):
        naive = value.replace(tzinfo=None)
        return "" if EARLIEST <= naive < LATEST else f"{name} is not between {EARLIEST:%Y} and {LATEST:%Y}"
    if isinstance(value, msgspec.Struct):
        parts = ((field, getattr(value, field)) for field in value.__struct_fields__)
    elif isinstance(value, list | tuple):
        parts = ((name, each) for each in value)
    else:
        return ""
    return next((far for field, part in parts if (far := _beyond_reckoning(part, field))), "")
