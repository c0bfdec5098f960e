"""Pictures made on the server, as numbers for templates: bars of periods, an hour-of-week map, a track."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np

from journeymesh.reports.journey_map import Plane

SHADES: Final = 6
SILENCE: Final = timedelta(seconds=120)
"""Between two fixes: longer ones are drawn dashed."""


@dataclass(frozen=True, slots=True)
class HourCell:
    """An hour of the week: the distance driven in it and how dark it is drawn, 0 to 6."""

    distance_m: float
    shade: int


def week(journeys: Iterable[Any]) -> list[list[HourCell]]:
    """Seven days of 24 hours on the policy's clock. Journeys whose hours are masked are left out."""
    metres = [0.0] * 168
    for row in journeys:
        for hour in row.get("hours") or ():
            metres[hour["hour_of_week"]] += hour["distance_m"]
    most = max(metres) or 1.0
    cells = [HourCell(each, 0 if each <= 0 else max(1, round(SHADES * each / most))) for each in metres]
    return [cells[24 * k : 24 * k + 24] for k in range(7)]


@dataclass(frozen=True, slots=True)
class Bar:
    """A period's bar. ``height``: of 100."""

    label: str
    value: float
    height: float


def bars(rows: Sequence[Any], field: str) -> list[Bar]:
    """A bar for each summary, oldest first; a value that is masked or missing is left out."""
    known = [row for row in rows if row.get(field) is not None]
    most = max((row[field] for row in known), default=0.0) or 1.0
    return [Bar(f"{row['period_from']}", row[field], round(100.0 * row[field] / most, 1)) for row in known]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a track: an SVG path in metres, and how fast it was, 0 (standing) to 6; ``silent``: there were no
    fixes in between."""

    path: str
    shade: int
    silent: bool


@dataclass(frozen=True, slots=True)
class Track:
    """A track to draw. ``view`` is SVG's viewBox in metres; ``top_mps`` the speed of the darkest shade."""

    view: str
    pieces: list[Piece]
    start: tuple[int, int]
    end: tuple[int, int]
    top_mps: float
    harsh: list[tuple[int, int, str]]
    radius: float
    refused: list[tuple[int, int, str]]


def track(fixes: Sequence[Any], harsh_events: Sequence[Any], refused: Sequence[Any] = ()) -> Track | None:
    """The track of these fixes, coloured by speed, with marks where something was harsh or a fix was refused; None:
    fewer than two fixes have a position."""
    known = [row for row in fixes if row.get("lat_deg") is not None and row.get("lon_deg") is not None]
    if len(known) < 2:
        return None
    plane = Plane.around(known[0]["lat_deg"], known[0]["lon_deg"])
    x = np.rint(plane.x(np.array([row["lon_deg"] for row in known]))).astype(int)
    y = np.rint(plane.y(np.array([row["lat_deg"] for row in known]))).astype(int)
    top_mps = max((row["speed_mps"] or 0.0 for row in known), default=0.0) or 1.0

    def marks(rows: Sequence[Any], named: Callable[[Any], str]) -> list[tuple[int, int, str]]:
        return [
            (round(float(plane.x(row["lon_deg"]))), round(float(plane.y(row["lat_deg"]))), named(row))
            for row in rows
            if _is_on_earth(row.get("lat_deg"), row.get("lon_deg"))
        ]

    wide, high = int(x.max() - x.min()), int(y.max() - y.min())
    side = max(wide, high, 200)
    margin = side // 12
    view = (
        f"{int(x.min()) - margin} {int(y.min()) - margin} {max(wide, 200) + 2 * margin} {max(high, 120) + 2 * margin}"
    )
    pieces = _pieces(known, x.tolist(), y.tolist(), top_mps)
    ends = [(int(x[k]), int(y[k])) for k in (0, -1)]
    harsh = marks(harsh_events, _named)
    refusals = marks(refused, lambda row: f"refused: {row['explanation'] or row['reason']}")
    return Track(view, pieces, ends[0], ends[1], top_mps, harsh, round(side / 90, 1), refusals)


def _is_on_earth(lat_deg: float | None, lon_deg: float | None) -> bool:
    """Whether it can be drawn. A refused fix says whatever its device said, 1e308 too."""
    return lat_deg is not None and lon_deg is not None and abs(lat_deg) <= 90 and abs(lon_deg) <= 180


def _pieces(rows: Sequence[Any], x: Sequence[int], y: Sequence[int], top_mps: float) -> list[Piece]:
    """Neighbours of one speed class are one path."""
    found: list[Piece] = []
    points, shade, silent = f"M{x[0]} {y[0]}", -1, False
    for k in range(1, len(rows)):
        apart = rows[k]["fixed_at"] - rows[k - 1]["fixed_at"] > SILENCE
        now = 0 if apart else round(SHADES * min(1.0, (rows[k]["speed_mps"] or 0.0) / top_mps))
        if (now, apart) != (shade, silent) and shade >= 0:
            found.append(Piece(points, shade, silent))
            points = f"M{x[k - 1]} {y[k - 1]}"
        points += f"L{x[k]} {y[k]}"
        shade, silent = now, apart
    found.append(Piece(points, shade, silent))
    return found


def _named(event: Any) -> str:
    return f"{event['kind']} ({event['severity']})"
