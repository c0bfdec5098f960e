"""MovingPandas: a TrajectoryCollection, split at silences, with lengths. No cleaning, no policies, no summaries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import movingpandas as mpd
import numpy as np
import pandas as pd


def prepare(name: str, folder: Path) -> Callable[[], dict[str, Any]]:  # noqa: ARG001
    """The fixes of ``small.npz`` as a frame, in memory."""
    held = np.load(folder / "small.npz")
    frame = pd.DataFrame({"vehicle": held["vehicle"], "x": held["lon_deg"], "y": held["lat_deg"]})
    frame["t"] = pd.to_datetime(held["fixed_at_us"], unit="us")

    def work() -> dict[str, Any]:
        collection = mpd.TrajectoryCollection(frame, "vehicle", t="t", x="x", y="y", crs="EPSG:4326")
        parts = mpd.ObservationGapSplitter(collection).split(gap=timedelta(seconds=300), min_length=60)
        distance_m = sum(part.get_length() for part in parts.trajectories)
        return {"fixes": len(frame), "journeys": len(parts.trajectories), "distance_m": float(distance_m)}

    return work
