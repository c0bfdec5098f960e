"""scikit-mobility: its filtering of impossible speeds and its stops. No journeys, no policies, no summaries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skmob
from skmob.preprocessing import detection, filtering


def prepare(name: str, folder: Path) -> Callable[[], dict[str, Any]]:  # noqa: ARG001
    """The fixes of ``small.npz`` as a TrajDataFrame, in memory."""
    held = np.load(folder / "small.npz")
    frame = pd.DataFrame({"uid": held["vehicle"], "lat": held["lat_deg"], "lng": held["lon_deg"]})
    frame["datetime"] = pd.to_datetime(held["fixed_at_us"], unit="us")
    fixes = skmob.TrajDataFrame(frame, latitude="lat", longitude="lng", datetime="datetime", user_id="uid")

    def work() -> dict[str, Any]:
        kept = filtering.filter(fixes, max_speed_kmh=252.0)
        stops = detection.stay_locations(kept, minutes_for_a_stop=5.0, spatial_radius_km=0.05, no_data_for_minutes=5.0)
        return {"fixes": len(fixes), "journeys": len(stops)}

    return work
