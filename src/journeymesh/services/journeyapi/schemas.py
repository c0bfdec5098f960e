"""The answers' types for the OpenAPI document, made from the Arrow schemas so that they cannot drift apart."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final

import msgspec
import pyarrow as pa

from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.policy_table import POLICY_SCHEMA
from journeymesh.journeys.summaries import SUMMARY_SCHEMA


def _struct(name: str, schema: Any, told: str) -> type[msgspec.Struct]:
    """A struct with a field for each of the schema's. Any may be absent (not chosen) or null (masked, or none)."""
    fields = [(field.name, _kind(field.name, field.type) | None | msgspec.UnsetType, msgspec.UNSET) for field in schema]
    return msgspec.defstruct(name, fields, module=__name__, namespace={"__doc__": told})


def _kind(name: str, kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return _struct("".join(part.title() for part in name.rstrip("s").split("_")), kind, "")
    if pa.types.is_list(kind):
        return list[_kind(name, kind.value_type)]  # type: ignore[misc]
    for is_kind, python in (
        (pa.types.is_timestamp, datetime),
        (pa.types.is_date, date),
        (pa.types.is_floating, float),
        (pa.types.is_integer, int),
        (pa.types.is_boolean, bool),
    ):
        if is_kind(kind):
            return python
    return str


Journey: Final = _struct("Journey", JOURNEY_SCHEMA, "One drive of one vehicle. SI units; instants in UTC.")
Summary: Final = _struct("Summary", SUMMARY_SCHEMA, "What a policy's journeys add up to in one period of its zone.")
Fix: Final = _struct("Fix", FIX_SCHEMA, "One timestamped position report.")


LISTED_POLICIES: Final = pa.schema(
    [field.with_name("policy") if field.name == "number" else field for field in POLICY_SCHEMA]
)
ListedPolicy: Final = _struct(
    "ListedPolicy", LISTED_POLICIES, "An insurance policy, in force in [valid_from, valid_to)."
)


class ListedPolicyPage(msgspec.Struct):
    """Policies by number. ``next`` is the cursor behind them; null: there are no more."""

    items: list[ListedPolicy]  # type: ignore[valid-type]
    next: str | None


class JourneyPage(msgspec.Struct):
    """Journeys by start. ``next`` is the cursor behind them; null: there are no more."""

    items: list[Journey]  # type: ignore[valid-type]
    next: str | None


class SummaryPage(msgspec.Struct):
    """Summaries, the oldest period first; all of them."""

    items: list[Summary]  # type: ignore[valid-type]
    next: None


class SummariesPage(msgspec.Struct):
    """Summaries by policy and period, or by rank. ``next`` is the cursor behind them; null: there are no more."""

    items: list[Summary]  # type: ignore[valid-type]
    next: str | None


class FixPage(msgspec.Struct):
    """A journey's fixes by time; all of them."""

    items: list[Fix]  # type: ignore[valid-type]
    next: None


class GivenFix(msgspec.Struct, kw_only=True):
    """A fix that is handed in. SI units, WGS84 degrees, instants in RFC 3339 with a time zone."""

    vehicle: str
    fixed_at: str
    lat_deg: float | None = None
    lon_deg: float | None = None
    received_at: str | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    accel_longitudinal_mps2: float | None = None
    accel_lateral_mps2: float | None = None
    speed_limit_mps: float | None = None
    ignition: bool | None = None
    accuracy_m: float | None = None


class GivenFixes(msgspec.Struct):
    """A batch of fixes."""

    fixes: list[GivenFix]


class RefusedRow(msgspec.Struct):
    """A fix that was not taken: its row in the batch from 0, the reason's code, and in words."""

    row: int
    reason: str
    detail: str


class TakenFixes(msgspec.Struct):
    """What came of a batch. ``again``: the key was answered before, and this is that answer."""

    accepted: int
    refused: list[RefusedRow]
    again: bool


class ProductTold(msgspec.Struct):
    """The data product: its contract as ODCS has it, how recent its data is, and what was accepted and refused."""

    product: str
    contract: dict[str, Any]
    freshness: dict[str, Any]
    quality: dict[str, Any]
