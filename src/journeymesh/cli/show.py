"""How people see what the schemas hold: kilometres, minutes, local time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from journeymesh.cli.render import Column, Row


def local(name: str) -> Callable[[Row], str]:
    """The instant on the clock of the row's zone; a Z behind it where that is UTC."""

    def show(row: Row) -> str:
        at: datetime | None = row[name]
        zone = row.get("zone") or "UTC"
        return "" if at is None else f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}{'Z' if zone == 'UTC' else ''}"

    return show


def km(name: str) -> Callable[[Row], str]:
    """Metres as kilometres."""
    return lambda row: f"{row[name] / 1000:,.1f}"


def km_per_h(name: str) -> Callable[[Row], str]:
    """m/s as km/h."""
    return lambda row: f"{row[name] * 3.6:.0f}"


def clock(name: str) -> Callable[[Row], str]:
    """Seconds as h:mm:ss."""

    def show(row: Row) -> str:
        seconds = round(row[name])
        return f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"

    return show


def percent(name: str) -> Callable[[Row], str]:
    """A share as per cent, "not known" for none."""
    return lambda row: "not known" if row[name] is None else f"{row[name]:.1%}"


def text(name: str) -> Callable[[Row], str]:
    """The value itself, nothing for none."""
    return lambda row: "" if row[name] is None else str(row[name])


def count(name: str) -> Callable[[Row], str]:
    """A count with its thousands."""
    return lambda row: f"{row[name]:,}"


def harsh(row: Row) -> str:
    """Braking, acceleration and cornering events as ``b/a/c``."""
    return f"{row['harsh_braking']}/{row['harsh_acceleration']}/{row['harsh_cornering']}"


def field_column(name: str) -> Column:
    """A column for a field that no other column shows."""

    def show(row: Row) -> str:
        value = row[name]
        return "" if value is None else f"{value:,.6g}" if isinstance(value, float) else str(value)

    return Column(name, show, field=name)


JOURNEY_COLUMNS: Final = (
    Column("journey", text("journey_id"), field="journey_id"),
    Column("policy", text("policy"), field="policy", rank=3),
    Column("vehicle", text("vehicle"), field="vehicle", rank=4),
    Column("started (local)", local("started_at"), field="started_at", rank=1),
    Column("ended", local("ended_at"), field="ended_at", rank=6),
    Column("km", km("distance_m"), right=True, field="distance_m", rank=1),
    Column("duration", clock("duration_s"), right=True, field="duration_s", rank=1),
    Column("idle", clock("idle_s"), right=True, field="idle_s", rank=7),
    Column("max km/h", km_per_h("max_speed_mps"), right=True, field="max_speed_mps", rank=5),
    Column("night km", km("night_distance_m"), right=True, field="night_distance_m", rank=7),
    Column("speeding km", km("speeding_distance_m"), right=True, field="speeding_distance_m", rank=7),
    Column("harsh b/a/c", harsh, right=True, field="harsh_braking", rank=5),
    Column("fixes", count("fixes"), right=True, field="fixes", rank=8),
)

SUMMARY_COLUMNS: Final = (
    Column("from", text("period_from"), field="period_from"),
    Column("to", text("period_to"), field="period_to", rank=2),
    Column("journeys", count("journeys"), right=True, field="journeys"),
    Column("days", count("active_days"), right=True, field="active_days", rank=3),
    Column("km", km("distance_m"), right=True, field="distance_m"),
    Column("driving", clock("driving_s"), right=True, field="driving_s", rank=2),
    Column("night", percent("night_share"), right=True, field="night_share", rank=1),
    Column("speeding", percent("speeding_share"), right=True, field="speeding_share", rank=1),
    Column("harsh b/a/c", harsh, right=True, field="harsh_braking", rank=2),
    Column(
        "harsh/100 km",
        lambda row: f"{row['harsh_events_per_100km']:.1f}",
        right=True,
        field="harsh_events_per_100km",
        rank=1,
    ),
    Column("km a year", km("annualised_distance_m"), right=True, field="annualised_distance_m", rank=4),
    Column(
        "declared",
        lambda row: "" if row["declared_annual_distance_m"] is None else km("declared_annual_distance_m")(row),
        right=True,
        field="declared_annual_distance_m",
        rank=4,
    ),
    Column("score", lambda row: f"{row['score']:.0f}", right=True, field="score"),
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

POLICY_COLUMNS: Final = (
    Column("policy", text("number"), field="number"),
    Column("tenant", text("tenant"), field="tenant", rank=1),
    Column("product", text("product"), field="product"),
    Column("status", text("status"), field="status"),
    Column("device", text("device"), field="device", rank=1),
    Column("vehicle", text("vehicle"), field="vehicle", rank=1),
    Column("valid from", local("valid_from"), field="valid_from", rank=2),
    Column("valid to", local("valid_to"), field="valid_to", rank=3),
    Column("zone", text("zone"), field="zone", rank=4),
    Column(
        "declared km a year",
        lambda row: "" if row["declared_annual_distance_m"] is None else km("declared_annual_distance_m")(row),
        right=True,
        field="declared_annual_distance_m",
        rank=5,
    ),
)


def chosen_columns(among: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """The columns of these fields, in this order; none of them is left out before another."""
    by_field = {column.field: column for column in among}
    return [replace(by_field.get(name) or field_column(name), rank=0) for name in names]
