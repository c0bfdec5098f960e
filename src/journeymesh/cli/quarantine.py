"""``journeymesh quarantine``: what was refused, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.options import (
    Format,
    FormatOption,
    FromOption,
    LimitOption,
    OutOption,
    StoreOption,
    ToOption,
    check_span,
    instant,
    opened_store,
)
from journeymesh.cli.render import Column, PrintedRows, Row, render, rows_to_read
from journeymesh.errors import UsageError
from journeymesh.journeys.answers import rfc3339

if TYPE_CHECKING:
    import pyarrow as pa

    from journeymesh.stores.port import RefusalQuery, Store

PAGE_ROWS = 5_000
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only with this reason code.")]
VehicleOption = Annotated[str | None, typer.Option("--vehicle", help="Only of this vehicle.")]

app = typer.Typer(help="See what was refused, and why.", no_args_is_help=True)


@app.command("list")
def list_refusals(
    reason: ReasonOption = None,
    vehicle: VehicleOption = None,
    first: FromOption = None,
    last: ToOption = None,
    limit: LimitOption = None,
    after: Annotated[str | None, typer.Option("--after", help="Continue after this refusal_id.")] = None,
    store: StoreOption = None,
    form: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """List refused inputs: reason, origin and detail of each."""
    with opened_store(store) as opened:
        query = _query(reason, vehicle, first, last, after, rows_to_read(form, limit))
        render(refusal_listing(opened, query), form, out, limited=limit is not None)


@app.command("export")
def export_refusals(
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file.")] = None,
    reason: ReasonOption = None,
    vehicle: VehicleOption = None,
    first: FromOption = None,
    last: ToOption = None,
    store: StoreOption = None,
    form: FormatOption = Format.ndjson,
) -> None:
    """Write every refused input with its content, to fix and import again."""
    with opened_store(store) as opened:
        render(refusal_listing(opened, _query(reason, vehicle, first, last, None, None)), form, out, limited=True)


def _query(
    reason: str | None, vehicle: str | None, first: str | None, last: str | None, after: str | None, limit: int | None
) -> RefusalQuery:
    from journeymesh.journeys.reasons import Reason
    from journeymesh.stores.port import RefusalQuery

    known = [r.code for r in Reason if r not in (Reason.ACCEPTED, Reason.DUPLICATE, Reason.UNDECIDED)]
    if reason is not None and reason not in known:
        raise UsageError(f"--reason {reason}: unknown reason", todo=f"use one of {', '.join(known)}")
    span = instant("--from", first), instant("--to", last)
    check_span(*span)
    return RefusalQuery(reason, vehicle, *span, after=after, limit=limit)


def refusal_listing(store: Store, query: RefusalQuery) -> PrintedRows:
    """The refusals asked for, by page."""
    return PrintedRows(
        _schema(),
        _pages(store, query),
        (
            Column("reason", lambda row: row["reason"]),
            Column("origin", lambda row: row["origin"]),
            Column("vehicle", lambda row: row["vehicle"] or "", rank=1),
            Column("fixed at (UTC)", _fixed_at, rank=2),
            Column("detail", lambda row: row["detail"], wraps=True),
        ),
        empty="nothing was refused",
        more="more rows: use --limit, or `journeymesh quarantine export` for all",
    )


def _fixed_at(row: Row) -> str:
    return rfc3339(row["fixed_at"]) if row["fixed_at"] else ""


def _schema() -> pa.Schema:
    import pyarrow as pa

    from journeymesh.journeys.fields import INSTANT

    text, number = pa.string(), pa.float64()
    names = ("refusal_id", "reason", "origin", "detail", "vehicle")
    places = [("fixed_at", INSTANT), ("lat_deg", number), ("lon_deg", number), ("content", text)]
    return pa.schema([*((name, text) for name in names), *places])


def _pages(store: Store, query: RefusalQuery) -> Iterator[pa.Table]:
    import pyarrow as pa

    schema = _schema()
    rows: list[Row] = []
    for refusal_id, refusal in store.refusals(query):
        row = {name: getattr(refusal, name) for name in schema.names[1:]}
        rows.append({"refusal_id": refusal_id, **row})
        if len(rows) == PAGE_ROWS:
            yield pa.Table.from_pylist(rows, schema)
            rows = []
    if rows:
        yield pa.Table.from_pylist(rows, schema)
