"""Every call of the two APIs: what is sent, and what its answer is read as. No input or output.

This is where the wire contract is; both clients go through it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, BinaryIO, Final, Generic, Literal, TypeVar, cast
from urllib.parse import quote

import msgspec
import pyarrow as pa

from journeymesh.client.answers import Rows
from journeymesh.client.errors import AnswerUnreadable
from journeymesh.client.exchange import Reply, Request
from journeymesh.client.rows import FIXES, JOURNEYS, SUMMARIES, Fix, Journey, Row, Summary
from journeymesh.errors import UsageError
from journeymesh.journeys.answers import rfc3339
from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.summaries import Period

T = TypeVar("T")
ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"
EXPORTS: Final = {
    "arrow": ARROW_STREAM,
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


class _Page(msgspec.Struct, Generic[Row]):
    items: list[Row]
    next: str | None = None


def journeys(
    policy: str,
    since: Instant | None,
    until: Instant | None,
    fields: Sequence[str] | None,
    page_size: int | None,
    purpose: str | None,
    after: str | None,
) -> Call[Rows[Journey]]:
    """A page of a policy's journeys."""
    params = period_params(since, until)
    if fields is not None:
        params["fields"] = ",".join(known_fields(fields))
    if page_size is not None:
        params["limit"] = str(page_size)
    if after is not None:
        params["cursor"] = after
    request = Request(
        method="GET",
        path=f"/v1/policies/{part(policy)}/journeys",
        template="/v1/policies/{policy}/journeys",
        params=params,
        purpose=purpose,
    )
    named = tuple(fields) if fields is not None else None
    return Call(request, lambda reply: rows_of(reply, request, Journey, JOURNEYS, named))


def known_fields(fields: Sequence[str]) -> Sequence[str]:
    """The names of columns, checked.

    Raises:
        UsageError: a journey has no such field.
    """
    unknown = [name for name in fields if name not in JOURNEYS.names]
    if unknown:
        raise UsageError(f"a journey has no field {unknown[0]!r}", todo=f"use some of {', '.join(JOURNEYS.names)}")
    return fields


def export(
    policy: str, since: Instant | None, until: Instant | None, form: Format, purpose: str | None, into: BinaryIO
) -> Call[Reply]:
    """A policy's journeys as a file's bytes."""
    if form not in EXPORTS:
        raise UsageError(f"{form!r} is no format of an export", todo=f"use one of {', '.join(EXPORTS)}")
    request = Request(
        method="GET",
        path=f"/v1/policies/{part(policy)}/journeys",
        template="/v1/policies/{policy}/journeys",
        params=period_params(since, until),
        accept=EXPORTS[form],
        purpose=purpose,
        into=into,
    )
    return Call(request, lambda reply: reply)


def summary(
    policy: str, period: Period, since: Instant | None, until: Instant | None, purpose: str | None
) -> Call[Rows[Summary]]:
    """A policy's summaries."""
    request = Request(
        method="GET",
        path=f"/v1/policies/{part(policy)}/summary",
        template="/v1/policies/{policy}/summary",
        params={"period": period, **period_params(since, until)},
        purpose=purpose,
    )
    return Call(request, lambda reply: rows_of(reply, request, Summary, SUMMARIES, None))


def journey(journey_id: str, purpose: str | None) -> Call[Journey]:
    """One journey."""
    request = Request(
        method="GET",
        path=f"/v1/journeys/{part(journey_id)}",
        template="/v1/journeys/{journey}",
        purpose=purpose,
    )
    return Call(request, lambda reply: decoded(reply, request, Journey))


def track(journey_id: str, purpose: str | None) -> Call[Rows[Fix]]:
    """Where a journey went, fix by fix."""
    request = Request(
        method="GET",
        path=f"/v1/journeys/{part(journey_id)}/track",
        template="/v1/journeys/{journey}/track",
        purpose=purpose,
    )
    return Call(request, lambda reply: rows_of(reply, request, Fix, FIXES, None))


class Product(msgspec.Struct, frozen=True):
    """The data product: its contract as ODCS has it, how recent its data is, what was accepted and refused."""

    product: str
    contract: dict[str, Any] = {}
    freshness: dict[str, Any] = {}
    quality: dict[str, Any] = {}


def product() -> Call[Product]:
    """The data product."""
    request = Request(method="GET", path="/v1/products/journeys", template="/v1/products/journeys")
    return Call(request, lambda reply: decoded(reply, request, Product))


class FixRefused(msgspec.Struct, frozen=True):
    """A fix that was not taken: its row in the batch (from 0), one of the quarantine's reasons, and in words."""

    row: int
    reason: str
    detail: str = ""


class FixesTaken(msgspec.Struct, frozen=True):
    """What came of a batch of fixes. ``again``: its key had been taken before, and nothing was done twice."""

    accepted: int
    refused: list[FixRefused] = []
    again: bool = False


def put_fixes(fixes: Any, idempotency_key: str | None, purpose: str | None) -> Call[FixesTaken]:
    """A batch of fixes. Its key is the batch's digest where none is given: the same batch counts once."""
    table = fix_table(fixes)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue()
    key = idempotency_key or hashlib.blake2b(body, digest_size=16).hexdigest()
    request = Request(
        method="POST",
        path="/v1/fixes",
        template="/v1/fixes",
        headers={"idempotency-key": key, "content-type": ARROW_STREAM},
        purpose=purpose,
        body=body,
    )
    return Call(request, lambda reply: decoded(reply, request, FixesTaken))


def fix_table(fixes: Any) -> pa.Table:
    """Fixes as an Arrow table in ``FIX_SCHEMA``: from Arrow, from anything that speaks its C stream (Polars, pandas,
    DuckDB), or from rows.

    Raises:
        UsageError: they have a column that no fix has, lack one that every fix has, or hold other types.
    """
    if isinstance(fixes, pa.RecordBatch):
        table = pa.Table.from_batches([fixes])
    elif isinstance(fixes, pa.Table):
        table = fixes
    elif hasattr(fixes, "__arrow_c_stream__"):
        table = pa.table(fixes)
    else:
        rows = [dict(row) for row in cast("Iterable[Mapping[str, Any]]", fixes)]
        names = {name for row in rows for name in row}
        table = _from_rows(rows, names)
    names = set(table.column_names)
    if unknown := sorted(names - set(FIX_SCHEMA.names)):
        raise UsageError(f"a fix has no column {unknown[0]!r}", todo=f"use some of {', '.join(FIX_SCHEMA.names)}")
    if missing := [name for name in ("vehicle", "fixed_at", "lat_deg", "lon_deg") if name not in names]:
        raise UsageError(f"the fixes have no column {missing[0]!r}", todo="add it: a fix is nothing without it")
    wanted = [FIXES.field(name) for name in FIX_SCHEMA.names if name in names]
    columns = []
    for field in wanted:
        try:
            columns.append(table[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _unfit(field) from error
    return pa.Table.from_arrays(columns, schema=pa.schema(wanted))


def _from_rows(rows: list[dict[str, Any]], names: set[str]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in names:
        held = [row.get(name) for row in rows]
        if name not in FIXES.names:
            columns[name] = pa.nulls(len(rows))  # named as unknown where columns are checked
            continue
        field = FIXES.field(name)
        try:
            if pa.types.is_timestamp(field.type):
                held = [_aware(value) for value in held]
            columns[name] = pa.array(held, field.type)
        except (ValueError, TypeError) as error:  # Arrow's own errors are both of these
            raise _unfit(field) from error
    return pa.table(columns)


def _aware(value: Any) -> Any:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(at, datetime) and at.tzinfo is None:
        raise ValueError("an instant has no time zone")
    return at


def _unfit(field: pa.Field) -> UsageError:
    """Without the value: it may be where somebody was."""
    zoned = " with a time zone" if pa.types.is_timestamp(field.type) else ""
    return UsageError(f"the fixes' {field.name} cannot be read as {field.type}", todo=f"give it as that type{zoned}")


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


def rows_of(
    reply: Reply, request: Request, kind: type[Row], schema: pa.Schema, fields: tuple[str, ...] | None
) -> Rows[Row]:
    """The answer's page as rows."""
    page = decoded(reply, request, _Page[kind])  # type: ignore[valid-type]
    return Rows(page.items, schema, fields, page.next, reply.etag)


def period_params(since: Instant | None, until: Instant | None) -> dict[str, str]:
    """The parameters of a time."""
    return {name: _instant(at) for name, at in (("from", since), ("to", until)) if at is not None}


def _instant(at: Instant) -> str:
    if isinstance(at, str):
        return at
    if not isinstance(at, datetime):
        return rfc3339(datetime(at.year, at.month, at.day, tzinfo=UTC))
    if at.tzinfo is None:
        raise UsageError(f"{at.isoformat()} has no time zone", todo="give an aware datetime")
    return rfc3339(at)


def part(text: str) -> str:
    """One part of a path: whatever is in it stays one part.

    Raises:
        UsageError: it is empty or would be another path.
    """
    if text in ("", ".", ".."):
        raise UsageError(f"{text!r} is no number or id", todo="give the policy's number or the journey's id")
    return quote(text, safe="")
