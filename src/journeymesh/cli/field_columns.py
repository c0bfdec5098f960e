"""The columns in which people see journeys and summaries, made from the table of fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa

from journeymesh.cli.render import Column, Row
from journeymesh.cli.show import clock, count, decimal, harsh, km, km_per_h, local, percent, text, where_known
from journeymesh.journeys.fields import FIELDS, Field

_BY_UNIT: Final[dict[str, Callable[[str], Callable[[Row], str]]]] = {
    "m": km,
    "s": clock,
    "mps": km_per_h,
    "share": percent,
    "points": lambda name: decimal(name, 0),
}


def _show(field: Field, name: str) -> Callable[[Row], str]:
    if field.name == "harsh_braking":
        return harsh
    if field.unit in _BY_UNIT:
        return _BY_UNIT[field.unit](name)
    if pa.types.is_timestamp(field.kind):
        return local(name)
    if pa.types.is_integer(field.kind):
        return count(name)
    return decimal(name, 1) if pa.types.is_floating(field.kind) else text(name)


def _column(field: Field, name: str, rank: int) -> Column:
    show = _show(field, name)
    shown = show if field.unit == "share" else where_known(name, show)
    numeric = pa.types.is_integer(field.kind) or pa.types.is_floating(field.kind)
    return Column(field.label, shown, right=numeric, field=name, rank=rank)


_POLICY_BEFORE_VEHICLE: Final = sorted(FIELDS, key=lambda field: field.name not in ("journey_id", "policy"))
JOURNEY_COLUMNS: Final = tuple(
    _column(field, field.name, field.rank) for field in _POLICY_BEFORE_VEHICLE if field.rank is not None
)
SUMMARY_COLUMNS: Final = tuple(
    _column(field, field.summary_name, field.summary_rank) for field in FIELDS if field.summary_rank is not None
)

BOOK_COLUMNS: Final = (
    Column("policy", text("policy"), field="policy"),
    Column("tenant", text("tenant"), field="tenant", rank=3),
    Column("product", text("product"), field="product", rank=2),
    *SUMMARY_COLUMNS,
)
"""Of summaries of many policies."""

GROUP_COLUMNS: Final = (
    Column("tenant", text("tenant"), field="tenant"),
    Column("product", text("product"), field="product"),
    SUMMARY_COLUMNS[0],
    SUMMARY_COLUMNS[1],
    Column("policies", count("policies"), right=True, field="policies"),
    *(column for column in SUMMARY_COLUMNS[2:] if column.field not in ("active_days", "declared_annual_distance_m")),
)
"""Of summaries of groups of policies: those of them that the group has."""
