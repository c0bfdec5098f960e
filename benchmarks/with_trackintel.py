"""trackintel: positionfixes → staypoints → triplegs → trips. No cleaning, no policies, no summaries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import trackintel as ti


def prepare(name: str, folder: Path) -> Callable[[], dict[str, Any]]:  # noqa: ARG001
    """The fixes of ``small.npz`` as positionfixes, in memory."""
    held = np.load(folder / "small.npz")
    frame = pd.DataFrame(
        {"user_id": held["vehicle"], "tracked_at": pd.to_datetime(held["fixed_at_us"], unit="us", utc=True)}
    )
    places = gpd.points_from_xy(held["lon_deg"], held["lat_deg"])
    fixes = ti.Positionfixes(gpd.GeoDataFrame(frame, geometry=places, crs="EPSG:4326"))

    def work() -> dict[str, Any]:
        located, stays = fixes.generate_staypoints(
            method="sliding", dist_threshold=50, time_threshold=5.0, gap_threshold=5.0, include_last=True
        )
        stays = stays.create_activity_flag(time_threshold=5.0)
        _, legs = located.generate_triplegs(stays, gap_threshold=5.0)
        _, _, trips = ti.preprocessing.generate_trips(stays, legs, gap_threshold=5.0)
        return {"fixes": len(fixes), "journeys": len(trips)}

    return work
