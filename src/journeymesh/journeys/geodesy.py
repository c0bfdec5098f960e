"""Distance on the WGS84 ellipsoid, for the short steps between fixes, and positions in metres around a point."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from journeymesh.kernels.compiled import compiled

SEMI_MAJOR_M: Final = 6_378_137.0
ECCENTRICITY_2: Final = 6.694379990141316e-3
"""WGS84: NIMA TR8350.2."""

_CELLS_PER_DEG: Final = 50.0


@compiled
def metres_per_degree(lat_deg: float) -> tuple[float, float]:
    """Metres per degree of latitude and of longitude at a latitude: the ellipsoid's meridional radius M and its
    prime-vertical radius N times the cosine of the latitude (Snyder, Map Projections, USGS PP 1395, eq. 4-18, 4-20).
    """
    phi = math.radians(lat_deg)
    sin = math.sin(phi)
    w2 = 1.0 - ECCENTRICITY_2 * sin * sin
    w = math.sqrt(w2)
    meridional = SEMI_MAJOR_M * (1.0 - ECCENTRICITY_2) / (w2 * w)
    return math.radians(meridional), math.radians(SEMI_MAJOR_M / w * math.cos(phi))


_KEPT_CELLS: Final = 16
SCALE: Final = 5 * (1 + _KEPT_CELLS)


@compiled
def forget(scale):
    """Make ``scale`` (float64[SCALE]), scratch for ``step_m``, hold nothing."""
    scale[:] = np.nan


@compiled
def _look_up(scale, cell):
    """Make the first five of ``scale`` hold for this cell of latitude: the cell, the latitude in its middle, metres per
    degree of latitude, of longitude there, and the latter's change per degree. What was looked up before is behind
    them, for two places between whose cells the pass goes to and fro.

    The cell depends on the latitude alone, so the distance between two fixes does not depend on the fixes before them.
    """
    kept = 5 * (1 + int(cell) % _KEPT_CELLS)
    if scale[kept] != cell:
        middle = (cell + 0.5) / _CELLS_PER_DEG
        half = 0.5 / _CELLS_PER_DEG
        scale[kept], scale[kept + 1] = cell, middle
        scale[kept + 2], scale[kept + 3] = metres_per_degree(middle)
        change = metres_per_degree(middle + half)[1] - metres_per_degree(middle - half)[1]
        scale[kept + 4] = change * _CELLS_PER_DEG
    for k in range(5):
        scale[k] = scale[kept + k]


@compiled
def step_squared(scale, lat1_deg, lon1_deg, lat2_deg, lon2_deg):
    """The square of ``step_m``, for comparisons."""
    middle = 0.5 * (lat1_deg + lat2_deg)
    cells = middle * _CELLS_PER_DEG
    if not scale[0] <= cells < scale[0] + 1.0:
        _look_up(scale, math.floor(cells))
    dlon = lon2_deg - lon1_deg
    if abs(dlon) > 180.0:
        dlon -= math.copysign(360.0, dlon)
    north = (lat2_deg - lat1_deg) * scale[2]
    east = dlon * (scale[3] + scale[4] * (middle - scale[1]))
    return north * north + east * east


@compiled
def step_m(scale, lat1_deg, lon1_deg, lat2_deg, lon2_deg):
    """Metres between two near positions: flat, with the ellipsoid's radii at the middle latitude.

    Against the WGS84 geodesic (Karney) it errs by less than 0.01 % up to 100 km and ±85°.
    """
    return math.sqrt(step_squared(scale, lat1_deg, lon1_deg, lat2_deg, lon2_deg))
