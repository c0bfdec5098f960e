"""The same job in Polars as a good engineer would write it: one lazy query, streaming where it can.

It does less: of a run of outliers only the jumps are left out, a stop is found by leaving out what stands, nothing is
kept of what was refused, and there is no profile by hour and no store.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

RADIUS_M = 6_371_008.8


def prepare(name: str, folder: Path) -> Callable[[], dict[str, Any]]:  # noqa: ARG001
    """The query over the folder's Parquet."""
    return lambda: _result(folder)


def _result(folder: Path) -> dict[str, Any]:
    months = _months(folder).collect(engine="streaming")
    return {
        "months": len(months),
        "journeys": int(months["journeys"].sum()),
        "distance_m": float(months["distance_m"].sum()),
        "fixes": pl.scan_parquet(folder / "fixes.parquet").select(pl.len()).collect().item(),
    }


def _clean(path: Path) -> pl.LazyFrame:
    at, lat, lon = pl.col("fixed_at"), pl.col("lat_deg"), pl.col("lon_deg")
    columns = ["vehicle", "fixed_at", "lat_deg", "lon_deg", "speed_mps", "speed_limit_mps"]
    return (
        pl.scan_parquet(path)
        .filter(
            at >= datetime(2000, 1, 1, tzinfo=UTC),
            at <= pl.col("received_at") + pl.duration(minutes=5),
            lat.is_between(-90, 90),
            lon.is_between(-180, 180),
            lat != 0,
            lon != 0,
        )
        .select(*columns, "accel_longitudinal_mps2", "accel_lateral_mps2")
        .with_columns(code=pl.col("vehicle").to_physical())
        .sort("code", "fixed_at", "lat_deg", "lon_deg")
        .filter((pl.col("code") != pl.col("code").shift(1).fill_null(2**32 - 1)) | (at != at.shift(1)))
    )


def _step_m() -> pl.Expr:
    lat, lon = pl.col("lat_deg").radians(), pl.col("lon_deg").radians()
    half_lat, half_lon = (lat - lat.shift(1)) / 2, (lon - lon.shift(1)) / 2
    return 2 * RADIUS_M * (half_lat.sin() ** 2 + lat.cos() * lat.shift(1).cos() * half_lon.sin() ** 2).sqrt().arcsin()


def _starts(over: pl.Expr) -> pl.Expr:
    return (over & ~over.shift(1, fill_value=False)).fill_null(False)


def _journeys(path: Path) -> pl.LazyFrame:
    same = pl.col("code") == pl.col("code").shift(1)
    step = _clean(path).with_columns(
        step_m=pl.when(same).then(_step_m()),
        dt_s=pl.when(same).then((pl.col("fixed_at") - pl.col("fixed_at").shift(1)).dt.total_milliseconds() / 1000),
    )
    forward, side = pl.col("accel_longitudinal_mps2"), pl.col("accel_lateral_mps2").abs()
    jumps = pl.col("step_m") > 70 * pl.col("dt_s") + 30
    spike = jumps & jumps.shift(-1)
    moving = (
        step.with_columns(
            spike=spike.fill_null(False),
            step_m=pl.when(jumps).then(0.0).otherwise(pl.col("step_m")),
            braking=_starts(forward < -3.0),
            accelerating=_starts(forward > 2.5),
            cornering=_starts(side > 3.5),
        )
        .filter(~pl.col("spike") & (pl.col("speed_mps") >= 1.0))
        .with_columns(silence_s=(pl.col("fixed_at") - pl.col("fixed_at").shift(1)).dt.total_milliseconds() / 1000)
    )
    first = ((pl.col("code") != pl.col("code").shift(1)) | (pl.col("silence_s") > 300)).fill_null(True)
    hour = pl.col("fixed_at").dt.convert_time_zone("Europe/London").dt.hour()
    night = (hour >= 23) | (hour < 5)
    speeding = pl.col("speed_mps") > pl.col("speed_limit_mps").fill_null(33.7) + 2.5
    return (
        moving.with_columns(
            journey=first.cum_sum(),
            step_m=pl.when(first | (pl.col("dt_s") > 300)).then(0.0).otherwise(pl.col("step_m")),
        )
        .with_columns(
            night_m=pl.when(night).then(pl.col("step_m")).otherwise(0.0),
            speeding_m=pl.when(speeding).then(pl.col("step_m")).otherwise(0.0),
        )
        .group_by("journey")
        .agg(
            pl.col("vehicle").first(),
            pl.col("fixed_at").min().alias("started_at"),
            pl.col("fixed_at").max().alias("ended_at"),
            pl.col("step_m", "night_m", "speeding_m", "braking", "accelerating", "cornering").sum(),
            pl.col("speed_mps").max().alias("max_speed_mps"),
            pl.len().alias("fixes"),
        )
        .filter(pl.col("step_m") >= 60, pl.col("ended_at") - pl.col("started_at") >= pl.duration(seconds=20))
    )


def _policies(folder: Path) -> pl.LazyFrame:
    held = json.loads((folder / "policies.json").read_text())
    instants = [pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC") for name in ("valid_from", "valid_to")]
    names = ("number", "device", "valid_from", "valid_to", "declared_annual_distance_m")
    return pl.LazyFrame([{name: one[name] for name in names} for one in held]).with_columns(instants)


def _months(folder: Path) -> pl.LazyFrame:
    started = pl.col("started_at").dt.convert_time_zone("Europe/London")
    return (
        _journeys(folder / "fixes.parquet")
        .with_columns(pl.col("vehicle").cast(pl.String))
        .join(_policies(folder), left_on="vehicle", right_on="device")
        .filter((pl.col("started_at") >= pl.col("valid_from")) & (pl.col("started_at") < pl.col("valid_to")))
        .group_by("number", month=started.dt.truncate("1mo"))
        .agg(
            pl.len().alias("journeys"),
            pl.col("step_m").sum().alias("distance_m"),
            (pl.col("night_m").sum() / pl.col("step_m").sum()).alias("night_share"),
            (pl.col("speeding_m").sum() / pl.col("step_m").sum()).alias("speeding_share"),
            ((pl.col("braking") + pl.col("accelerating") + pl.col("cornering")).sum() * 1e5 / pl.col("step_m").sum())
            .alias("harsh_events_per_100km"),
            started.dt.date().n_unique().alias("active_days"),
            pl.col("max_speed_mps").max(),
        )
    )  # fmt: skip
