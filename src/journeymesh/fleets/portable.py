"""Sine, cosine and chance that give the same bits on every machine.

A C library's or a vector unit's sine may differ in its last bit from another's. Here are only additions,
multiplications, divisions and integer arithmetic, which IEEE 754 fixes, in a fixed order.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from journeymesh.journeys.geodesy import ECCENTRICITY_2, SEMI_MAJOR_M
from journeymesh.kernels.compiled import compiled

_HALF_PI: Final = math.pi / 2.0
_RAD_PER_DEG: Final = math.pi / 180.0
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_GOLDEN, _MIX1, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LOW16, _S16, _S32, _S48 = np.uint64(0xFFFF), np.uint64(16), np.uint64(32), np.uint64(48)
_SPREAD: Final = math.sqrt(3.0) / 65536.0


@compiled
def sine_cosine(angle: float) -> tuple[float, float]:
    """(sin, cos) of an angle in radians, to about 1e-12, by Taylor's series on ±π/4."""
    quarter = math.floor(angle / _HALF_PI + 0.5)
    x = angle - quarter * _HALF_PI
    q = x * x
    sin = x * (1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0 * (1.0 - q / 110.0)))))
    cos = 1.0 - q / 2.0 * (1.0 - q / 12.0 * (1.0 - q / 30.0 * (1.0 - q / 56.0 * (1.0 - q / 90.0 * (1.0 - q / 132.0)))))
    turn = int(quarter) % 4
    if turn == 0:
        return sin, cos
    if turn == 1:
        return cos, -sin
    if turn == 2:
        return -sin, -cos
    return -cos, sin


@compiled
def metres_per_degree_at(lat_deg: float) -> tuple[float, float]:
    """Metres per degree of latitude and longitude on WGS84, as ``journeys.geodesy`` has them, in portable bits."""
    sin, cos = sine_cosine(lat_deg * _RAD_PER_DEG)
    w2 = 1.0 - ECCENTRICITY_2 * sin * sin
    w = math.sqrt(w2)
    return SEMI_MAJOR_M * (1.0 - ECCENTRICITY_2) / (w2 * w) * _RAD_PER_DEG, SEMI_MAJOR_M / w * cos * _RAD_PER_DEG


@compiled
def chance(state):  # type: ignore[no-untyped-def]
    """The next 64 random bits of ``state`` (uint64[1]): splitmix64 (Steele, Lea, Flood 2014)."""
    state[0] += _GOLDEN
    z = state[0]
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@compiled
def bell(state):  # type: ignore[no-untyped-def]
    """A nearly normal number, mean 0, deviation 1, never beyond ±3.5: the sum of four uniform ones."""
    z = chance(state)
    total = (z & _LOW16) + ((z >> _S16) & _LOW16) + ((z >> _S32) & _LOW16) + (z >> _S48)
    return (float(total) - 131070.0) * _SPREAD
