"""Rows of answers, and the schemas of their tables. Units are in the names; instants are aware, in UTC.

Every value may be None: a decision's obligations can mask it. A row has the fields that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import pyarrow as pa

from journeymesh.client.row_types import (
    Fix,
    HarshEvent,
    HourDriven,
    Journey,
    ListedPolicy,
    Move,
    RefusedFix,
    ScorePart,
    Summary,
)
from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.journey import JOURNEY_SCHEMA, REFUSED_FIX_SCHEMA
from journeymesh.journeys.moves import BOOK_SCHEMA
from journeymesh.journeys.policy_table import LISTED_POLICIES

__all__ = [
    "FIXES", "JOURNEYS", "POLICIES", "REFUSED_FIXES", "SUMMARIES", "Fix", "HarshEvent", "HourDriven", "Journey",
    "ListedPolicy", "Move", "RefusedFix", "Row", "ScorePart", "Summary", "table_of",
]  # fmt: skip

Row = TypeVar("Row", bound=Mapping[str, object])


def _nullable(schema: pa.Schema) -> pa.Schema:
    plain = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in schema
    ]
    return pa.schema([field.with_nullable(True) for field in plain])


JOURNEYS: Final = _nullable(JOURNEY_SCHEMA)
SUMMARIES: Final = _nullable(BOOK_SCHEMA)
FIXES: Final = _nullable(FIX_SCHEMA)
POLICIES: Final = _nullable(LISTED_POLICIES)
REFUSED_FIXES: Final = _nullable(REFUSED_FIX_SCHEMA)
"""The schemas of answers: those of the columns inside, any of them null where it is masked."""


def table_of(rows: list[Any], schema: pa.Schema, fields: tuple[str, ...] | None = None) -> pa.Table:
    """The rows as an Arrow table with the named columns, or those that any of the rows has; all, where there is none.

    Nested harsh events may be masked in part, so nested fields are nullable as well.
    """
    present = set(fields) if fields is not None else {name for row in rows for name in row}
    kept = [_loose(field) for field in schema if not present or field.name in present]
    return pa.Table.from_pylist(rows, schema=pa.schema(kept))


def _loose(field: pa.Field) -> pa.Field:
    """The field with nothing required inside it."""
    if not pa.types.is_list(field.type):
        return field
    inside = [part.with_nullable(True) for part in field.type.value_type]
    return field.with_type(pa.list_(pa.struct(inside)))
