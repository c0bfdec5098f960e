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


def decimal(name: str, digits: int) -> Callable[[Row], str]:
    """A number with so many decimals."""
    return lambda row: f"{row[name]:.{digits}f}"


def where_known(name: str, show: Callable[[Row], str]) -> Callable[[Row], str]:
    """What ``show`` says of the field, nothing where it is null."""
    return lambda row: "" if row[name] is None else show(row)


def harsh(row: Row) -> str:
    """Braking, acceleration and cornering events as ``b/a/c``."""
    return f"{row['harsh_braking']}/{row['harsh_acceleration']}/{row['harsh_cornering']}"


def field_column(name: str) -> Column:
    """A column for a field that no other column shows."""

    def show(row: Row) -> str:
        value = row[name]
        return "" if value is None else f"{value:,.6g}" if isinstance(value, float) else str(value)

    return Column(name, show, field=name)


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
        where_known("declared_annual_distance_m", km("declared_annual_distance_m")),
        right=True,
        field="declared_annual_distance_m",
        rank=5,
    ),
)


def chosen_columns(among: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """The columns of these fields, in this order; none of them is left out before another."""
    by_field = {column.field: column for column in among}
    return [replace(by_field.get(name) or field_column(name), rank=0) for name in names]
