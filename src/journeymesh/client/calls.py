"""What a call of the two APIs is: a request, and what its answer is read as. No input or output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO, Final, Generic, Literal, TypeVar
from urllib.parse import quote

import msgspec
import pyarrow as pa

from journeymesh.client.answers import Rows
from journeymesh.client.errors import AnswerUnreadable
from journeymesh.client.exchange import Reply, Request
from journeymesh.client.rows import Row
from journeymesh.errors import UsageError
from journeymesh.journeys.answers import rfc3339

T = TypeVar("T")
P = TypeVar("P")
EXPORTS: Final = {
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
}
Format = Literal["arrow", "parquet", "csv", "ndjson"]
Instant = datetime | date | str


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and how its answer is read."""

    request: Request
    read: Callable[[Reply], T]


@dataclass(frozen=True, slots=True)
class Listing(Generic[P]):
    """A call whose answer comes in pages. ``cursor``: the parameter that says behind which page to go on."""

    first: Call[P]
    cursor: str = "cursor"

    def page(self, after: str | None) -> Call[P]:
        """The call for the page behind this cursor; None: the first."""
        if after is None:
            return self.first
        request = self.first.request
        return Call(replace(request, params={**request.params, self.cursor: after}), self.first.read)


@dataclass(frozen=True, slots=True)
class Export:
    """A request whose answer is written into a file."""

    request: Request
    path: str | PathLike[str]

    @contextmanager
    def writing(self) -> Iterator[tuple[Request, BinaryIO]]:
        """(the request, the open file that its answer goes into). On any fault the file is not there."""
        part = Path(f"{fspath(self.path)}.part")
        try:
            with part.open("w+b") as into:
                yield replace(self.request, into=into), into
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a listing. ``next``: the cursor of the one behind it; None: that was all."""

    items: list[T]
    next: str | None = None


def get(template: str, purpose: str | None = None, params: Mapping[str, object] | None = None, **ids: str) -> Request:
    """A request that reads. Parameters that are None are left out; ``ids`` fill the path's template.

    Raises:
        UsageError: an id is empty or would be another path.
    """
    given = {name: str(value) for name, value in (params or {}).items() if value is not None}
    return Request(method="GET", path=path_of(template, **ids), template=template, params=given, purpose=purpose)


def export(request: Request, form: Format, path: str | PathLike[str]) -> Export:
    """What a request answers as a file's bytes.

    Raises:
        UsageError: there is no such format.
    """
    if form not in EXPORTS:
        raise UsageError(f"{form!r} is no format of an export", todo=f"use one of {', '.join(EXPORTS)}")
    return Export(replace(request, accept=EXPORTS[form]), path)


def call(request: Request, kind: type[T]) -> Call[T]:
    """A request whose answer's JSON is of this kind."""
    return Call(request, lambda reply: decoded(reply, request, kind))


def row_call(
    request: Request, kind: type[Row], schema: pa.Schema, fields: tuple[str, ...] | None = None
) -> Call[Rows[Row]]:
    """A request whose answer is a page of rows."""

    def read(reply: Reply) -> Rows[Row]:
        page = decoded(reply, request, Page[kind])  # type: ignore[valid-type]
        return Rows(page.items, schema, fields, page.next, reply.etag)

    return Call(request, read)


def decoded(reply: Reply, request: Request, kind: type[T]) -> T:
    """The answer's JSON as this kind.

    Raises:
        AnswerUnreadable: it is something else.
    """
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise AnswerUnreadable(
            f"{request.place}: the answer is not what this client expects ({type(error).__name__})",
            todo="check the URL, and that client and service are of one version",
            status=reply.status,
        ) from error


def period_params(since: Instant | None, until: Instant | None) -> dict[str, str]:
    """The parameters of a time.

    Raises:
        UsageError: an instant has no time zone.
    """
    return {name: _instant(at) for name, at in (("from", since), ("to", until)) if at is not None}


def _instant(at: Instant) -> str:
    if isinstance(at, str):
        return at
    if not isinstance(at, datetime):
        return rfc3339(datetime(at.year, at.month, at.day, tzinfo=UTC))
    if at.tzinfo is None:
        raise UsageError(f"{at.isoformat()} has no time zone", todo="give an aware datetime")
    return rfc3339(at)


def path_of(template: str, **ids: str) -> str:
    """The template's path with these ids: whatever is in one stays one part of the path.

    Raises:
        UsageError: an id is empty or would be another path.
    """
    for text in ids.values():
        if text in ("", ".", ".."):
            raise UsageError(f"{text!r} is no number or id", todo="give the policy's number or the journey's id")
    return template.format_map({name: quote(text, safe="") for name, text in ids.items()})
