"""How people see what the schemas hold: kilometres, minutes, local time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from journeymesh.cli.render import Column, Row


def local(name: str) -> Callable[[Row], str]:
    """The instant on the clock of the row's zone."""

    def show(row: Row) -> str:
        at: datetime | None = row[name]
        return "" if at is None else f"{at.astimezone(ZoneInfo(row.get('zone') or 'UTC')):%Y-%m-%d %H:%M:%S}"

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
    """A share as per cent."""
    return lambda row: f"{row[name]:.1%}"


def text(name: str) -> Callable[[Row], str]:
    """The value itself, nothing for none."""
    return lambda row: "" if row[name] is None else str(row[name])


def count(name: str) -> Callable[[Row], str]:
    """A count with its thousands."""
    return lambda row: f"{row[name]:,}"


def harsh(row: Row) -> str:
    """Braking, acceleration and cornering events as ``b/a/c``."""
    return f"{row['harsh_braking']}/{row['harsh_acceleration']}/{row['harsh_cornering']}"


JOURNEY_COLUMNS: Final = (
    Column("journey", text("journey_id")),
    Column("policy", text("policy")),
    Column("vehicle", text("vehicle")),
    Column("started (local)", local("started_at")),
    Column("ended", local("ended_at")),
    Column("km", km("distance_m"), right=True),
    Column("duration", clock("duration_s"), right=True),
    Column("idle", clock("idle_s"), right=True),
    Column("max km/h", km_per_h("max_speed_mps"), right=True),
    Column("night km", km("night_distance_m"), right=True),
    Column("speeding km", km("speeding_distance_m"), right=True),
    Column("harsh b/a/c", harsh, right=True),
    Column("fixes", count("fixes"), right=True),
)

SUMMARY_COLUMNS: Final = (
    Column("from", text("period_from")),
    Column("to", text("period_to")),
    Column("journeys", count("journeys"), right=True),
    Column("days", count("active_days"), right=True),
    Column("km", km("distance_m"), right=True),
    Column("driving", clock("driving_s"), right=True),
    Column("night", percent("night_share"), right=True),
    Column("speeding", percent("speeding_share"), right=True),
    Column("harsh b/a/c", harsh, right=True),
    Column("harsh/100 km", lambda row: f"{row['harsh_events_per_100km']:.1f}", right=True),
    Column("km a year", km("annualised_distance_m"), right=True),
    Column(
        "declared",
        lambda row: "" if row["declared_annual_distance_m"] is None else km("declared_annual_distance_m")(row),
        right=True,
    ),
    Column("score", lambda row: f"{row['score']:.0f}", right=True),
)
