"""``journeymesh policies``: the insurance policies that a store knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from journeymesh.cli.book import ColumnsOption, ProductOption, StatusOption, TenantOption, fields_of, policies_like
from journeymesh.cli.options import Format, FormatOption, LimitOption, OutOption, StoreOption, opened_store
from journeymesh.cli.render import PrintedRows, render, rows_to_read

if TYPE_CHECKING:
    import pyarrow as pa

    from journeymesh.journeys.policies import Policy

PAGE_ROWS = 5_000

app = typer.Typer(help="List the policies of a store.", no_args_is_help=True)


@app.command("list")
def list_policies(
    tenant: TenantOption = None,
    product: ProductOption = None,
    status: StatusOption = None,
    columns: ColumnsOption = None,
    limit: LimitOption = None,
    store: StoreOption = None,
    form: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """List policies by number: tenant, product, status, device, vehicle and validity of each."""
    import pyarrow as pa

    from journeymesh.cli.show import POLICY_COLUMNS, chosen_columns
    from journeymesh.journeys.policy_table import POLICY_SCHEMA

    names = fields_of(columns, POLICY_SCHEMA)
    with opened_store(store) as opened:
        found = policies_like(opened, tenant, product, status)[: rows_to_read(form, limit)]
    shown = POLICY_COLUMNS if columns is None else chosen_columns(POLICY_COLUMNS, names)
    schema = POLICY_SCHEMA if form is Format.table else pa.schema([POLICY_SCHEMA.field(name) for name in names])
    listing = PrintedRows(schema, _pages(found, schema), shown, empty="no policies: give some to preprocess --policies")
    render(listing, form, out, limited=limit is not None)


def _pages(policies: Sequence[Policy], schema: pa.Schema) -> Iterator[pa.Table]:
    from journeymesh.journeys.policy_table import policy_table

    for first in range(0, len(policies), PAGE_ROWS):
        yield policy_table(policies[first : first + PAGE_ROWS]).select(schema.names)
