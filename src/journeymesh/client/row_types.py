"""The types of rows of answers, made from the schemas. ``row_types.pyi`` says the same to type checkers: ``make
reference`` writes it.

Every value of a row may be None: a decision's obligations can mask it. A row has the fields that were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypedDict

import pyarrow as pa

from journeymesh.journeys.fields import HARSH_EVENT_TYPE, HOUR_TYPE, SCORE_PART_TYPE, python_type
from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.journey import JOURNEY_SCHEMA, REFUSED_FIX_SCHEMA
from journeymesh.journeys.moves import BOOK_SCHEMA, MOVE_TYPE
from journeymesh.journeys.policy_table import LISTED_POLICIES

POSITION: Final = ("lat_deg", "lon_deg")
"""What is masked inside of harsh events."""


def _value_type(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return list[_INSIDE[kind.value_type]]  # type: ignore[misc]
    return python_type(kind)


def _inside(name: str, fields: Iterable[pa.Field]) -> Any:
    """The type of what an array in a row has, every time all of it."""
    kinds = {field.name: (_value_type(field.type), field.nullable or field.name in POSITION) for field in fields}
    return TypedDict(name, {field: kind | None if null else kind for field, (kind, null) in kinds.items()})


def _row(name: str, fields: Iterable[pa.Field]) -> Any:
    return TypedDict(name, {field.name: _value_type(field.type) | None for field in fields}, total=False)


HarshEvent = _inside("HarshEvent", HARSH_EVENT_TYPE)
HourDriven = _inside("HourDriven", HOUR_TYPE)
ScorePart = _inside("ScorePart", SCORE_PART_TYPE)
Move = _inside("Move", MOVE_TYPE)
_INSIDE: Final = {HARSH_EVENT_TYPE: HarshEvent, HOUR_TYPE: HourDriven, SCORE_PART_TYPE: ScorePart, MOVE_TYPE: Move}
Journey = _row("Journey", JOURNEY_SCHEMA)
Summary = _row("Summary", BOOK_SCHEMA)
ListedPolicy = _row("ListedPolicy", LISTED_POLICIES)
Fix = _row("Fix", FIX_SCHEMA)
RefusedFix = _row("RefusedFix", REFUSED_FIX_SCHEMA)
