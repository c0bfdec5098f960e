"""The map of a page: journeys as SVG paths in a local projection, harsh events as markers. No tiles, no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from journeymesh.journeys.fixes import F64, Fixes
from journeymesh.journeys.geodesy import metres_per_degree
from journeymesh.reports.lines import simplify

Row = dict[str, Any]
Tracks = Callable[[Row], Fixes | None]
"""The kept fixes of a journey (a row of ``JOURNEY_SCHEMA``), by time; None where they are not kept."""

_FIRST_TOLERANCE_M: Final = 3.0
_MOST_MPS: Final = 70.0
_NOISE_M: Final = 60.0
_LONGEST_EXCURSION: Final = 64
_MARGIN: Final = 0.06
_SEVERITIES: Final = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class MapLine:
    """A journey on the map: an SVG path in metres, ``start``, ``end`` (x, y), ``box`` (left, top, right, bottom)."""

    number: int
    path: str
    start: tuple[int, int]
    end: tuple[int, int]
    box: tuple[int, int, int, int]
    straight: bool


@dataclass(frozen=True, slots=True)
class MapMarker:
    """A harsh event on the map. ``row`` is its row of ``harsh_events``."""

    number: int
    x: int
    y: int
    row: Row


@dataclass(frozen=True, slots=True)
class Plane:
    """A flat map around a point, right to a few per mille over a region's size. ``north`` and ``east`` are the metres
    of a degree there."""

    lat_deg: float
    lon_deg: float
    north: float
    east: float

    @classmethod
    def around(cls, lat_deg: float, lon_deg: float) -> Plane:
        """The map around this point."""
        return cls(lat_deg, lon_deg, *metres_per_degree(lat_deg))

    def x(self, lon_deg: F64) -> F64:
        """Metres east of the point."""
        apart = (lon_deg - self.lon_deg + 180.0) % 360.0 - 180.0
        metres: F64 = apart * self.east
        return metres

    def y(self, lat_deg: F64) -> F64:
        """Metres south of the point."""
        metres: F64 = (self.lat_deg - lat_deg) * self.north
        return metres


@dataclass(slots=True)
class JourneyMap:
    """Everything to draw. x grows east, y south, in metres; ``view`` is (left, top, width, height)."""

    view: tuple[int, int, int, int]
    plane: Plane
    lines: list[MapLine] = field(default_factory=list)
    markers: list[MapMarker] = field(default_factory=list)
    straight: int = 0
    markers_left_out: int = 0


def draw_map(journeys: Sequence[Row], tracks: Tracks, *, most_points: int, most_markers: int) -> JourneyMap:
    """The map of these journeys (rows of ``JOURNEY_SCHEMA``), with about ``most_points`` points in all its lines.

    A journey whose fixes are not kept is a straight line from start to end.
    """
    if not journeys:
        return JourneyMap((0, 0, 1000, 625), Plane.around(0.0, 0.0))
    plane = Plane.around(_median(journeys, "start_lat_deg"), _median(journeys, "start_lon_deg"))
    budget = max(8, most_points // len(journeys))
    drawn = JourneyMap((0, 0, 0, 0), plane)
    for number, row in enumerate(journeys):
        drawn.lines.append(_line(number, row, tracks(row), plane, budget))
    drawn.straight = sum(line.straight for line in drawn.lines)
    _put_markers(drawn, journeys, plane, most_markers)
    drawn.view = _frame(drawn.lines)
    return drawn


def _median(journeys: Sequence[Row], name: str) -> float:
    return float(np.median([row[name] for row in journeys]))


def _line(number: int, row: Row, fixes: Fixes | None, plane: Plane, budget: int) -> MapLine:
    straight = fixes is None or len(fixes) < 2
    lat = np.array([row["start_lat_deg"], row["end_lat_deg"]])
    lon = np.array([row["start_lon_deg"], row["end_lon_deg"]])
    at_s = np.zeros(2)
    if fixes is not None and not straight:
        good = np.isfinite(fixes.lat_deg) & np.isfinite(fixes.lon_deg)
        lat = np.concatenate([lat[:1], fixes.lat_deg[good], lat[1:]])
        lon = np.concatenate([lon[:1], fixes.lon_deg[good], lon[1:]])
        known_s = fixes.fixed_at_us[good] / 1e6
        at_s = np.concatenate([known_s[:1], known_s, known_s[-1:]])
    x, y = plane.x(lon), plane.y(lat)
    if not straight:
        keep = _believable(x, y, at_s)
        x, y = x[keep], y[keep]
        tolerance = _FIRST_TOLERANCE_M
        kept = simplify(x, y, tolerance)
        while np.count_nonzero(kept) > budget and tolerance < 2_000.0:
            tolerance *= 1.6
            kept = simplify(x, y, tolerance)
        x, y = x[kept], y[kept]
    whole_x, whole_y = np.rint(x).astype(int), np.rint(y).astype(int)
    ends = [(int(whole_x[k]), int(whole_y[k])) for k in (0, -1)]
    box = (int(whole_x.min()), int(whole_y.min()), int(whole_x.max()), int(whole_y.max()))
    return MapLine(number, _path(whole_x.tolist(), whole_y.tolist()), ends[0], ends[1], box, straight)


def _believable(x: F64, y: F64, at_s: F64) -> npt.NDArray[np.bool_]:
    """Which points do not imply an impossible speed (bool[n]): refused fixes may be kept beside the others.

    The first point is believed; so is a run of more than ``_LONGEST_EXCURSION`` points that agree with each other.
    """
    step, seconds = np.hypot(np.diff(x), np.diff(y)), np.maximum(np.diff(at_s), 0.0)
    kept = np.ones(len(x), bool)
    if not np.any(step > _MOST_MPS * seconds + _NOISE_M):
        return kept
    last, left_out = 0, 0
    for k in range(1, len(x)):
        away = math.hypot(x[k] - x[last], y[k] - y[last])
        if away <= _MOST_MPS * (at_s[k] - at_s[last]) + _NOISE_M or left_out >= _LONGEST_EXCURSION:
            last, left_out = k, 0
        else:
            kept[k] = False
            left_out += 1
    return kept


def _path(x: list[int], y: list[int]) -> str:
    """Relative whole metres: about seven bytes a point."""
    parts = [f"M{x[0]} {y[0]}l"]
    for k in range(1, len(x)):
        dy = y[k] - y[k - 1]
        gap = "" if k == 1 else " "
        parts.append(f"{gap}{x[k] - x[k - 1]}{'' if dy < 0 else ' '}{dy}")
    return "".join(parts)


def _put_markers(drawn: JourneyMap, journeys: Sequence[Row], plane: Plane, most: int) -> None:
    events = [(number, event) for number, row in enumerate(journeys) for event in row["harsh_events"]]
    events.sort(key=lambda pair: (_SEVERITIES.index(pair[1]["severity"]), -pair[1]["peak_mps2"]))
    drawn.markers_left_out = max(0, len(events) - most)
    for number, event in reversed(events[:most]):  # the most severe last, on top
        x = float(plane.x(np.float64(event["lon_deg"])))  # type: ignore[arg-type]
        y = float(plane.y(np.float64(event["lat_deg"])))  # type: ignore[arg-type]
        drawn.markers.append(MapMarker(number, round(x), round(y), event))


def _frame(lines: Sequence[MapLine]) -> tuple[int, int, int, int]:
    """A view in which everything is to be seen, 16:10, at least one kilometre wide."""
    left, top = (min(line.box[k] for line in lines) for k in (0, 1))
    right, bottom = (max(line.box[k] for line in lines) for k in (2, 3))
    wide = math.ceil(max(right - left, (bottom - top) * 1.6, 1000) * (1 + 2 * _MARGIN))
    high = math.ceil(wide / 1.6)
    return (left + right - wide) // 2, (top + bottom - high) // 2, wide, high
