"""``journeymesh journeys``: what was driven."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from journeymesh.cli.options import (
    Format,
    FormatOption,
    FromOption,
    LimitOption,
    OutOption,
    StoreOption,
    TenantOption,
    ToOption,
    check_span,
    instant,
    opened_store,
    terms_of,
)
from journeymesh.cli.output import say
from journeymesh.cli.render import Column, PrintedRows, Row, render, render_object, rows_to_read
from journeymesh.cli.tables import write_table
from journeymesh.errors import NotFound, UsageError
from journeymesh.journeys.answers import rfc3339
from journeymesh.safe_text import on_terminal

if TYPE_CHECKING:
    import pyarrow as pa

    from journeymesh.stores.port import JourneyQuery, JourneyReads, Store

PAGE_ROWS = 5_000

app = typer.Typer(help="List and show journeys.", no_args_is_help=True)


@app.command("list")
def list_journeys(
    policy: Annotated[str | None, typer.Option("--policy", help="Only of this policy.")] = None,
    vehicle: Annotated[str | None, typer.Option("--vehicle", help="Only of this vehicle.")] = None,
    tenant: TenantOption = None,
    unattributed: Annotated[bool, typer.Option("--unattributed", help="Only those outside any policy.")] = False,
    first: FromOption = None,
    last: ToOption = None,
    limit: LimitOption = None,
    after: Annotated[str | None, typer.Option("--after", help="Continue after the journey with this id.")] = None,
    store: StoreOption = None,
    form: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """List journeys by their start."""
    from journeymesh.cli.field_columns import JOURNEY_COLUMNS
    from journeymesh.journeys.journey import JOURNEY_SCHEMA
    from journeymesh.stores.port import JourneyQuery

    if policy and unattributed:
        raise UsageError("--policy and --unattributed exclude each other", todo="leave one of them out")
    with opened_store(store) as opened:
        found = terms_of(opened, policy, tenant)[-1] if policy else None
        zone = found.zone if found else "UTC"
        query = JourneyQuery(
            policy=policy,
            tenant=found.tenant if found else tenant,
            vehicle=vehicle,
            unattributed=unattributed,
            started_from=instant("--from", first, zone),
            started_to=instant("--to", last, zone),
            after=None if after is None else _cursor(opened, after),
        )
        check_span(query.started_from, query.started_to)
        pages = paged(opened, query, rows_to_read(form, limit))
        listing = PrintedRows(JOURNEY_SCHEMA, pages, JOURNEY_COLUMNS, empty="no journeys")
        render(listing, form, out, limited=limit is not None)


@app.command("show")
def show_journey(
    journey_id: Annotated[str, typer.Argument(help="Id of a journey; a former id finds its successor.")],
    store: StoreOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Show one journey in full, with its harsh events and its hours."""
    with opened_store(store) as opened:
        found = opened.journey(journey_id)
        if found is None or not found.num_rows:
            raise NotFound(f"journey {journey_id} is not in the store", todo="see `journeymesh journeys list`")
        former = len(opened.history(journey_id))
    row: Row = found.to_pylist()[0]
    render_object(row, form, lambda row: _show(row, former))


def paged(store: JourneyReads, query: JourneyQuery, limit: int | None = None) -> Iterator[pa.Table]:
    """The journeys, page by page, so that a large listing is never held."""
    left = limit
    while left is None or left > 0:
        size = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
        page = store.journeys(replace(query, limit=size))
        if page.num_rows:
            yield page
        if page.num_rows < size:
            return
        last = page.slice(page.num_rows - 1).select(["started_at", "journey_id"]).to_pylist()[0]
        query = replace(query, after=(last["started_at"], last["journey_id"]))
        left = None if left is None else left - page.num_rows


def _cursor(store: Store, journey_id: str) -> tuple[datetime, str]:
    found = store.journey(journey_id)
    if found is None or not found.num_rows:
        raise NotFound(f"--after {journey_id}: no such journey", todo="give the id of the last journey seen")
    row = found.select(["started_at", "journey_id"]).to_pylist()[0]
    return row["started_at"], row["journey_id"]


def _show(row: Row, former: int) -> None:
    from journeymesh.cli.show import local

    told: dict[str, str] = {}
    for name, value in row.items():
        if name not in ("hours", "harsh_events"):
            shown = f"{value:.6g}" if isinstance(value, float) and not name.endswith("_deg") else value
            if name in ("started_at", "ended_at"):
                shown = f"{rfc3339(value)}  ({local(name)(row)} {row['zone']})"
            told[name] = "" if shown is None else on_terminal(str(shown))
    if former:
        told["former contents"] = str(former)
    wide = max(map(len, told))
    for name, text in told.items():
        say(f"{name:<{wide}}  {text}".rstrip())
    if row["harsh_events"]:
        say()
        write_table(sys.stdout, _EVENTS, row["harsh_events"], title="harsh events", else_by="use --format json")


_EVENTS: Final = (
    Column("kind", lambda event: str(event["kind"])),
    Column("severity", lambda event: str(event["severity"])),
    Column("peak at", lambda event: rfc3339(event["peak_at"])),
    Column("m/s²", lambda event: f"{event['peak_mps2']:.2f}", right=True),
    Column("lat", lambda event: f"{event['lat_deg']:.5f}", right=True, rank=1),
    Column("lon", lambda event: f"{event['lon_deg']:.5f}", right=True, rank=1),
)
