"""Small drives for tests: fixes on the WGS84 ellipsoid, and what may happen to them on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from geographiclib.geodesic import Geodesic

from journeymesh.journeys.fixes import OPTIONAL_FLOATS, Fixes
from journeymesh.journeys.pipeline import JourneyPass, PassResult, make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import JourneyRules

US = 1_000_000
NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)  # a Monday
NOW_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * US
_EARTH = Geodesic.WGS84


def us(at: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return int(at.timestamp()) * US


def drive(
    *segments: tuple[float, ...],
    start: datetime = NOON,
    lat: float = 52.0,
    lon: float = 5.0,
    heading: float = 90.0,
    every_s: float = 1.0,
    vehicle: str = "V1",
    speeds: bool = True,
    headings: bool = False,
) -> Fixes:
    """Fixes every ``every_s`` of a drive along segments ``(speed_mps, seconds[, turn_deg_per_s])``.

    Each step is a geodesic, so their lengths add up to speed × time on the ellipsoid.
    """
    rows: list[tuple[float, ...]] = [(0.0, lat, lon, segments[0][0], heading)]
    t = 0.0
    for speed, seconds, *turn in segments:
        for _ in range(round(seconds / every_s)):
            heading += (turn[0] if turn else 0.0) * every_s
            there = _EARTH.Direct(lat, lon, heading, speed * every_s)
            lat, lon = there["lat2"], there["lon2"]
            t += every_s
            rows.append((t, lat, lon, speed, heading % 360.0))
    seconds_at, lats, lons, speed_column, heading_column = (np.array(column) for column in zip(*rows, strict=True))
    return Fixes(
        (vehicle,),
        np.zeros(len(rows), np.int32),
        us(start) + np.round(seconds_at * US).astype(np.int64),
        lats,
        lons,
        speed_mps=speed_column if speeds else None,
        heading_deg=heading_column if headings else None,
    )


def parked(
    seconds: float,
    *,
    noise_m: float,
    correlation_s: float,
    seed: int = 1,
    every_s: float = 1.0,
    speeds: bool = True,
    start: datetime = NOON,
) -> Fixes:
    """A vehicle that does not move: its positions wander (first-order correlated noise, ``noise_m`` per axis)."""
    rng = np.random.default_rng(seed)
    n = round(seconds / every_s)
    keep = math.exp(-every_s / correlation_s)
    kick = noise_m * math.sqrt(1 - keep * keep)
    east, north = np.empty(n), np.empty(n)
    east[0], north[0] = noise_m * rng.standard_normal(2)
    for k in range(1, n):
        east[k], north[k] = keep * east[k - 1] + kick * rng.normal(), keep * north[k - 1] + kick * rng.normal()
    fixes = drive((0.0, seconds - every_s), every_s=every_s, start=start)
    return replace(
        fixes,
        lat_deg=fixes.lat_deg + north / 111_250.0,
        lon_deg=fixes.lon_deg + east / 68_680.0,
        speed_mps=rng.uniform(0.0, 0.8, n) if speeds else None,
    )


def with_column(fixes: Fixes, name: str, value: Any) -> Fixes:
    """The fixes with a column set, from an array or one value for all."""
    dtype = {"ignition": np.int8, "received_at_us": np.int64}.get(name, np.float64)
    return replace(fixes, **{name: np.broadcast_to(np.asarray(value, dtype), len(fixes)).copy()})


def changed(fixes: Fixes, rows: Any, **values: Any) -> Fixes:
    """The fixes with values changed in some rows."""
    columns = {}
    for name, value in values.items():
        column = np.array(getattr(fixes, name))
        column[rows] = value
        columns[name] = column
    return replace(fixes, **columns)


def moved(fixes: Fixes, rows: Any, *, north_m: float = 0.0, east_m: float = 0.0) -> Fixes:
    """The fixes with some positions shifted."""
    lat, lon = np.array(fixes.lat_deg), np.array(fixes.lon_deg)
    lat[rows] += north_m / 111_250.0
    lon[rows] += east_m / (111_320.0 * np.cos(np.radians(lat[rows])))
    return replace(fixes, lat_deg=lat, lon_deg=lon)


def after(*parts: Fixes, pause_s: float | Sequence[float] = 1.0) -> Fixes:
    """The parts one after the other in time, each ``pause_s`` after the end of the one before."""
    pauses = [pause_s] * len(parts) if isinstance(pause_s, int | float) else pause_s
    placed = [parts[0]]
    for part, pause in zip(parts[1:], pauses, strict=False):
        shift = placed[-1].fixed_at_us[-1] + round(pause * US) - part.fixed_at_us[0]
        placed.append(replace(part, fixed_at_us=part.fixed_at_us + shift))
    return Fixes.concat(placed)


def onwards(fixes: Fixes, *segments: tuple[float, ...], pause_s: float = 1.0, **options: Any) -> Fixes:
    """The fixes, and a drive that goes on from the last one's position."""
    part = drive(*segments, lat=float(fixes.lat_deg[-1]), lon=float(fixes.lon_deg[-1]), **options)
    return after(fixes, part, pause_s=pause_s)


def without(fixes: Fixes, rows: Any) -> Fixes:
    """The fixes without some rows."""
    kept = np.ones(len(fixes), np.bool_)
    kept[rows] = False
    return fixes.take(kept)


def shuffled(fixes: Fixes, seed: int = 0) -> Fixes:
    """The fixes in any order."""
    return fixes.take(np.random.default_rng(seed).permutation(len(fixes)))


def duplicated(fixes: Fixes, rows: Any) -> Fixes:
    """The fixes, and some of them again at the end."""
    return Fixes.concat([fixes, fixes.take(np.asarray(rows, np.int64))])


def by_time(fixes: Fixes) -> Fixes:
    """The fixes of all vehicles in one stream by time."""
    return fixes.take(np.argsort(fixes.fixed_at_us, kind="stable"))


def chunked(fixes: Fixes, cuts: Iterable[int]) -> Iterator[Fixes]:
    """The fixes cut into chunks before these rows."""
    bounds = [0, *sorted({c for c in cuts if 0 < c < len(fixes)}), len(fixes)]
    for first, last in pairwise(bounds):
        yield fixes.take(slice(first, last))


def in_chunks(
    fixes: Fixes, cuts: Iterable[int], rules: JourneyRules, policies: Sequence[Policy] = ()
) -> list[PassResult]:
    """What the pass makes of the chunks, one after the other."""
    passing = JourneyPass(rules, policies, NOW_US)
    parts = list(chunked(fixes, cuts))
    return [passing.feed(part, final=k == len(parts) - 1) for k, part in enumerate(parts)]


def made(fixes: Fixes, rules: JourneyRules, *policies: Policy) -> list[dict[str, Any]]:
    """The journeys of the fixes, as dicts."""
    rows: list[dict[str, Any]] = make_journeys(fixes, rules, policies, NOW_US).journeys.to_pylist()
    return rows


def refusals(fixes: Fixes, rules: JourneyRules) -> list[tuple[str, float]]:
    """(reason code, seconds since the first noon) of each refused fix, by time."""
    result = make_journeys(fixes, rules, (), NOW_US)
    found = zip(result.reasons.tolist(), result.refused.fixed_at_us.tolist(), strict=True)
    return [(Reason(reason).code, (at - us(NOON)) / US) for reason, at in sorted(found, key=lambda pair: pair[1])]


def in_order(tables: Sequence[pa.Table]) -> pa.Table:
    """Journey tables as one, by vehicle and start."""
    return pa.concat_tables(tables).sort_by([("vehicle", "ascending"), ("started_at", "ascending")]).combine_chunks()


def refused_rows(results: Sequence[PassResult]) -> list[tuple[object, ...]]:
    """Every refused fix with its reason and all its values, in one order."""
    rows = []
    for result in results:
        fixes = result.refused
        columns = [fixes.fixed_at_us, fixes.lat_deg, fixes.lon_deg]
        columns += [c for name in OPTIONAL_FLOATS if (c := getattr(fixes, name)) is not None]
        for k, code in enumerate(fixes.vehicle.tolist()):
            values = (repr(float(column[k])) for column in columns)
            rows.append((fixes.vehicles[code], int(result.reasons[k]), *values))
    return sorted(rows)


def geodesic_m(fixes: Fixes) -> float:
    """The length of the line through the fixes: Karney's geodesics on WGS84."""
    points = zip(fixes.lat_deg.tolist(), fixes.lon_deg.tolist(), strict=True)
    return sum(_EARTH.Inverse(*a, *b)["s12"] for a, b in pairwise(points))
