"""Roads between two places: straight and bent legs, right-angled turns, lights, and a speed limit by kind of road."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from journeymesh.fleets.driving import (
    ACCELERATION,
    BRAKING,
    CORNER,
    CRUISE,
    HEADING,
    LEG_COLUMNS,
    LENGTH,
    LIMIT,
    STOP_S,
    TURN,
    WIGGLE,
)

F64 = npt.NDArray[np.float64]

_LIMITS: Final = ((300.0, 30 / 3.6), (1500.0, 50 / 3.6), (6000.0, 80 / 3.6), (math.inf, 110 / 3.6))
"""The limit of a road by the length of its leg: residential, urban, rural, motorway."""
_TURN_MPS2: Final = 1.9
_LEAST_AXIS_M: Final = 160.0
_LIGHT_EVERY_M: Final = 700.0
_CORNER_MPS: Final = 12.5
_NOTHING_PLANTED: Final = (-1.0, 0.0, 0.0, 0.0)


def _split(rng: np.random.Generator, metres: float) -> list[float]:
    """Legs that add up to the distance along one axis; a long way has one leg of most of it."""
    if metres > 12_000.0:
        main = metres * rng.uniform(0.6, 0.8)
        side = _split(rng, min(metres - main, 11_000.0) / 2)
        return [*side, main, *side]
    n = max(1, min(6, round(metres / rng.uniform(400.0, 1600.0))))
    shares = rng.uniform(0.6, 1.4, n)
    return list(shares / shares.sum() * metres)


def plan_route(rng: np.random.Generator, east_m: float, north_m: float, tilt: float, style: float) -> F64:
    """Legs (float64[m, 8], columns as in ``driving``) that lead about that far east and north.

    ``tilt`` turns the town's grid of streets, in radians; ``style`` is how the driver takes limits (1: keeps them).
    """
    cos, sin = math.cos(tilt), math.sin(tilt)
    along, aside = round(east_m * cos + north_m * sin, 3), round(north_m * cos - east_m * sin, 3)
    axes: list[list[tuple[float, float]]] = []  # per axis: (metres, heading)
    for metres, axis_heading in ((along, math.pi / 2 - tilt), (aside, -tilt)):
        heading = axis_heading if metres >= 0 else axis_heading + math.pi
        axes.append([(length, heading) for length in _split(rng, max(abs(metres), _LEAST_AXIS_M))])
    straights: list[tuple[float, float]] = []
    while axes[0] or axes[1]:
        axis = axes[0] if axes[0] and (not axes[1] or len(straights) % 2 == 0) else axes[1]
        straights.append(axis.pop(0))
    return _with_turns(rng, straights, style)


def _with_turns(rng: np.random.Generator, straights: list[tuple[float, float]], style: float) -> F64:
    rows: list[F64] = []
    u = rng.random((len(straights), 6))
    for k, (metres, heading) in enumerate(straights):
        limit = next(speed for most, speed in _LIMITS if metres < most)
        if k in (0, len(straights) - 1):
            limit = min(limit, _LIMITS[1][1])
        turn = 0.0
        if k + 1 < len(straights):
            turn = math.remainder(straights[k + 1][1] - heading, 2 * math.pi)
        lights = int(metres / _LIGHT_EVERY_M * u[k, 0]) if limit < 15.0 else 0
        for part in range(lights + 1):
            waits = part < lights and u[k, 1] < 0.6
            last_of_route = k + 1 == len(straights) and part == lights
            before_turn = part == lights and turn != 0.0 and limit < 15.0 and u[k, 2] < 0.25
            stop_s = float(10 + int(80 * u[k, 3])) if waits or before_turn else -1.0
            rows.append(_leg(metres / (lights + 1), heading, limit, style, 0.0 if last_of_route else stop_s, u[k, 4]))
        if turn != 0.0:
            radius = 14.0 + 14.0 * u[k, 5]
            arc = np.zeros(LEG_COLUMNS)
            arc[[LENGTH, HEADING, TURN, LIMIT, STOP_S]] = radius * abs(turn), heading, turn, limit, -1.0
            arc[CRUISE] = math.sqrt(_TURN_MPS2 * radius)
            rows.append(arc)
    return np.array(rows)


def _leg(metres: float, heading: float, limit: float, style: float, stop_s: float, bend: float) -> F64:
    leg = np.zeros(LEG_COLUMNS)
    cruise = limit * style
    most_bend = 0.9 * metres / (2 * math.pi * cruise * cruise)  # sideways at most 0.9 m/s²
    leg[[LENGTH, HEADING, LIMIT, CRUISE, STOP_S]] = metres, heading, limit, cruise, stop_s
    leg[WIGGLE] = (bend - 0.5) * 2.0 * min(0.25, most_bend)
    return leg


def plant_harsh(rng: np.random.Generator, legs: F64, per_100km: float) -> F64:
    """Plant harsh events where the road allows them: corners into ``legs``, the others as the rows returned
    (float64[k, 4]: leg, kind, peak m/s², seconds; the last row is (-1, …)), by leg."""
    planted: list[tuple[float, ...]] = []
    expected = legs[:, LENGTH].sum() / 100_000.0 * per_100km
    wanted = int(expected) + int(rng.random() < expected % 1.0)
    if wanted == 0 or len(legs) < 3:
        return np.array([_NOTHING_PLANTED])
    for i in sorted(rng.choice(np.arange(1, len(legs) - 1), min(wanted, len(legs) - 2), replace=False).tolist()):
        peak, lasts = 3.3 + 3.0 * rng.random() ** 2, 2.0 + (rng.random() < 0.5)
        if legs[i, TURN] != 0.0:
            _plant_corner(legs, i, peak + 0.5)
        elif legs[i, LENGTH] > 250.0:
            kind = BRAKING if rng.random() < 0.6 else ACCELERATION
            planted.append((float(i), kind, peak - (0.4 if kind == ACCELERATION else 0.0), lasts))
    return np.array([*planted, _NOTHING_PLANTED])


def _plant_corner(legs: F64, i: int, peak: float) -> None:
    before, after = legs[i - 1], legs[i + 1]
    long_enough = before[LENGTH] > 150.0 and after[LENGTH] > 60.0 and before[STOP_S] < 0.0
    if long_enough and min(before[CRUISE], after[CRUISE]) > _CORNER_MPS:
        legs[i, CRUISE] = _CORNER_MPS
        legs[i, LENGTH] = _CORNER_MPS**2 / peak * abs(legs[i, TURN])
        legs[i, CORNER] = 1.0
