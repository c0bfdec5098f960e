"""Obligations met on Arrow tables: what must not leave is taken out before the table is rendered.

Applied to whole rows, before fields are chosen: what an obligation looks at has to be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.errors import JourneymeshError
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.journeys.policies import Policy

BEGINS: Final = ("started_at", "fixed_at", "period_from")
"""The columns that say when a row of journeys, of fixes or of summaries began, the first that there is."""

_EARLIEST_MIDNIGHT: Final = timedelta(hours=14)
"""A local date begins this long before its UTC date where clocks are furthest ahead."""


class ObligationUnmet(JourneymeshError):
    """An obligation cannot be met on this table, so nothing of it may leave."""


def admits(obligations: Obligations, policy: Policy) -> bool:
    """Whether an answer about this one policy may leave at all."""
    return obligations.minimum_group_size <= 1 and obligations.rows.admits(policy)


def applied(
    table: pa.Table,
    obligations: Obligations,
    *,
    now: datetime,
    policies: Mapping[str, Policy] | None = None,
    of: Policy | None = None,
) -> pa.Table:
    """The table with nothing in it that may not leave; its columns and their types stay, masked ones become nullable.

    Each row is of one insurance policy: ``of`` where the whole table is about one (a track's fixes have no column for
    it), else the one among ``policies`` that its ``policy`` column names. A row of none, or of one that is not known,
    is nobody's to give. Then retention, then the size of the group that is left, then the mask.

    Raises:
        ObligationUnmet: the table lacks a column that an obligation looks at.
    """
    rows = (
        _of_one(table, obligations.rows, of) if of is not None else _of_known(table, obligations.rows, policies or {})
    )
    rows = _young(rows, obligations.retention_days, now)
    if obligations.minimum_group_size > 1 and _group_size(rows, of) < obligations.minimum_group_size:
        rows = rows.slice(0, 0)
    return masked(rows, obligations.mask)


def masked(table: pa.Table, mask: frozenset[str]) -> pa.Table:
    """The table with the values of these fields null, wherever a field of that name stands: also inside of structs
    and lists. A name that the table does not have masks nothing in it."""
    if not mask:
        return table
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        if not _touches(field, mask):
            fields.append(field)
            columns.append(column)
            continue
        hidden = _hidden_field(field, mask)
        fields.append(hidden)
        columns.append(pa.chunked_array([_hidden(chunk, field, hidden, mask) for chunk in column.chunks], hidden.type))
    return pa.table(columns, schema=pa.schema(fields, table.schema.metadata))


def _of_one(table: pa.Table, rows: RowPredicate, policy: Policy) -> pa.Table:
    if not rows.admits(policy):
        return table.slice(0, 0)
    if "policy" not in table.column_names:
        return table
    return table.filter(pc.fill_null(pc.equal(table["policy"], policy.number), False))


def _of_known(table: pa.Table, rows: RowPredicate, policies: Mapping[str, Policy]) -> pa.Table:
    """Rows of admitted policies. What the row says of tenant and product has to be admitted as well: it was written
    when the journey was made, and may differ from the policy of today."""
    numbers = pc.unique(_column(table, ("policy",))).to_pylist()
    admitted = [number for number in numbers if number in policies and rows.admits(policies[number])]
    kept = pc.is_in(table["policy"], pa.array(admitted, pa.string()))
    for name, values in (("tenant", rows.tenants), ("product", rows.products)):
        if values is not None and name in table.column_names:
            kept = pc.and_(kept, pc.is_in(table[name], pa.array(sorted(values), pa.string())))
    return table.filter(kept)


def _young(table: pa.Table, retention_days: int | None, now: datetime) -> pa.Table:
    if retention_days is None:
        return table
    began = _column(table, BEGINS)
    oldest = now.astimezone(UTC) - timedelta(days=retention_days)
    if pa.types.is_date(began.type):
        # A date is dropped where, on any clock on Earth, it may have begun too long ago.
        began = began.cast(pa.timestamp("us")).cast(pa.int64())
        return table.filter(pc.greater_equal(began, _us(oldest + _EARLIEST_MIDNIGHT)))
    return table.filter(pc.greater_equal(began.cast(pa.int64()), _us(oldest)))


def _us(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _group_size(table: pa.Table, of: Policy | None) -> int:
    if of is not None:
        return min(1, len(table))
    return len(pc.unique(table["policy"]))


def _column(table: pa.Table, names: tuple[str, ...]) -> pa.ChunkedArray:
    for name in names:
        if name in table.column_names:
            return table[name]
    raise ObligationUnmet(f"a table without {' or '.join(names)} cannot be cut to what may leave", todo="read it whole")


def _touches(field: pa.Field, mask: frozenset[str]) -> bool:
    """Whether the field or one inside of it is masked."""
    inner = (field.type.field(number) for number in range(field.type.num_fields))
    return field.name in mask or any(_touches(each, mask) for each in inner)


def _whole(field: pa.Field, mask: frozenset[str]) -> bool:
    """Whether all of the field is masked: by its name, or because what is inside of it cannot be masked alone."""
    return field.name in mask or not (pa.types.is_struct(field.type) or pa.types.is_list(field.type))


def _hidden_field(field: pa.Field, mask: frozenset[str]) -> pa.Field:
    """The field as it is after masking: it and what it holds can be null where it is masked."""
    if not _touches(field, mask):
        return field
    if _whole(field, mask):
        return field.with_nullable(True)
    if pa.types.is_struct(field.type):
        return field.with_type(pa.struct([_hidden_field(each, mask) for each in field.type]))
    return field.with_type(pa.list_(_hidden_field(field.type.value_field, mask)))


def _hidden(array: pa.Array, field: pa.Field, hidden: pa.Field, mask: frozenset[str]) -> pa.Array:
    if not _touches(field, mask):
        return array
    if _whole(field, mask):
        return pa.nulls(len(array), hidden.type)
    if pa.types.is_struct(field.type):
        parts = [
            _hidden(part, inner, outer, mask)
            for part, inner, outer in zip(array.flatten(), field.type, hidden.type, strict=True)
        ]
        return pa.StructArray.from_arrays(parts, fields=list(hidden.type), mask=array.is_null())
    return _hidden_list(array, field, hidden, mask)


def _hidden_list(array: pa.Array, field: pa.Field, hidden: pa.Field, mask: frozenset[str]) -> pa.Array:
    inner = _hidden(array.flatten(), field.type.value_field, hidden.type.value_field, mask)
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    ends = pc.cumulative_sum(lengths.cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, inner, type=hidden.type, mask=array.is_null())
