"""The same job in DuckDB as a good engineer would write it: one statement over the Parquet file, doing what the Polars
query does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

MONTHS = """
with clean as (
  select vehicle, fixed_at, lat_deg as lat, lon_deg as lon, speed_mps, speed_limit_mps,
         accel_longitudinal_mps2 as forward, abs(accel_lateral_mps2) as side
  from read_parquet('{fixes}')
  where fixed_at >= timestamptz '2000-01-01 00:00:00+00' and fixed_at <= received_at + interval 5 minutes
    and lat_deg between -90 and 90 and lon_deg between -180 and 180 and lat_deg <> 0 and lon_deg <> 0
), beside as (
  select *, lag(fixed_at) over w as before_at, lag(lat) over w as before_lat, lag(lon) over w as before_lon,
         coalesce(forward < -3.0 and not lag(forward < -3.0, 1, false) over w, false) as braking,
         coalesce(forward > 2.5 and not lag(forward > 2.5, 1, false) over w, false) as accelerating,
         coalesce(side > 3.5 and not lag(side > 3.5, 1, false) over w, false) as cornering
  from clean window w as (partition by vehicle order by fixed_at)
), steps as (
  select *, epoch_us(fixed_at) / 1e6 - epoch_us(before_at) / 1e6 as dt_s,
         2 * 6371008.8 * asin(sqrt(pow(sin(radians(lat - before_lat) / 2), 2)
           + cos(radians(lat)) * cos(radians(before_lat)) * pow(sin(radians(lon - before_lon) / 2), 2))) as step_m
  from beside where before_at is null or fixed_at <> before_at
), flagged as (
  select *, step_m > 70 * dt_s + 30 as jumps, lead(step_m > 70 * dt_s + 30, 1, false) over w as jumps_back
  from steps window w as (partition by vehicle order by fixed_at)
), moving as (
  select vehicle, fixed_at, speed_mps, braking, accelerating, cornering,
         case when jumps or dt_s > 300 then 0.0 else step_m end as step_m,
         coalesce(speed_mps > coalesce(speed_limit_mps, 33.7) + 2.5, false) as speeding,
         hour(fixed_at at time zone 'Europe/London') as local_hour,
         coalesce(epoch_us(fixed_at) - epoch_us(lag(fixed_at) over w) > 300e6, true) as begins
  from flagged where speed_mps >= 1.0 and not coalesce(jumps and jumps_back, false)
  window w as (partition by vehicle order by fixed_at)
), numbered as (
  select *, sum(begins::int) over (partition by vehicle order by fixed_at rows unbounded preceding) as journey
  from moving
), journeys as (
  select vehicle, journey, min(fixed_at) as started_at, max(fixed_at) as ended_at,
         sum(step_m) filter (not begins) as distance_m,
         sum(step_m) filter (not begins and (local_hour >= 23 or local_hour < 5)) as night_m,
         sum(step_m) filter (not begins and speeding) as speeding_m, max(speed_mps) as max_speed_mps,
         count_if(braking) + count_if(accelerating) + count_if(cornering) as harsh, count(*) as fixes
  from numbered group by vehicle, journey
  having sum(step_m) filter (not begins) >= 60 and max(fixed_at) - min(fixed_at) >= interval 20 seconds
)
select number, date_trunc('month', started_at at time zone 'Europe/London') as month, count(*) as journeys,
       sum(distance_m) as distance_m, sum(night_m) / sum(distance_m) as night_share,
       sum(speeding_m) / sum(distance_m) as speeding_share, sum(harsh) * 1e5 / sum(distance_m) as harsh_per_100km,
       count(distinct (started_at at time zone 'Europe/London')::date) as active_days, max(max_speed_mps) as fastest
from journeys join (
  select number, device, valid_from::timestamptz as valid_from, valid_to::timestamptz as valid_to
  from read_json('{policies}')
) on vehicle = device and started_at >= valid_from and started_at < valid_to
group by number, month
"""


def prepare(name: str, folder: Path) -> Callable[[], dict[str, Any]]:  # noqa: ARG001
    """The statement over the folder's Parquet, in an empty database in memory."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'; set preserve_insertion_order = false")
    fixes, policies = folder / "fixes.parquet", folder / "policies.json"

    def work() -> dict[str, Any]:
        months = connection.execute(MONTHS.format(fixes=fixes, policies=policies)).fetchall()
        read = connection.execute(f"select count(*) from read_parquet('{fixes}')").fetchall()[0][0]
        journeys, distance_m = sum(row[2] for row in months), sum(row[3] for row in months)
        return {"months": len(months), "journeys": journeys, "distance_m": distance_m, "fixes": read}

    return work
