"""Fixes to hand in: whatever they come as, an Arrow table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

import pyarrow as pa

from journeymesh.client.rows import FIXES
from journeymesh.errors import UsageError
from journeymesh.journeys.fixes import FIX_SCHEMA


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
        values = [row.get(name) for row in rows]
        if name not in FIXES.names:
            columns[name] = pa.nulls(len(rows))  # named as unknown where columns are checked
            continue
        field = FIXES.field(name)
        try:
            if pa.types.is_timestamp(field.type):
                values = [_aware(value) for value in values]
            columns[name] = pa.array(values, field.type)
        except (ValueError, TypeError) as error:  # Arrow's own errors are both of these
            raise _unfit(field) from error
    return pa.table(columns)


def _aware(value: Any) -> Any:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(at, datetime) and at.tzinfo is None:
        raise ValueError("an instant has no time zone")
    return at


def _unfit(field: pa.Field) -> UsageError:
    """Without the value: it may be a position."""
    zoned = " with a time zone" if pa.types.is_timestamp(field.type) else ""
    return UsageError(f"the fixes' {field.name} cannot be read as {field.type}", todo=f"give it as that type{zoned}")
