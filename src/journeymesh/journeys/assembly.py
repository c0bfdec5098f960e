"""From what the kernels found to the journey table: order, ids, names, and which event belongs to which journey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from journeymesh.journeys.doubting import FIRST_COMPARED_M
from journeymesh.journeys.fields import HARSH_EVENT_TYPE, HOUR_TYPE, INSTANT
from journeymesh.journeys.fixes import I64
from journeymesh.journeys.harsh import EVENT, KINDS, SEVERITIES
from journeymesh.journeys.journey import JOURNEY_SCHEMA, journey_id
from journeymesh.journeys.local_time import US_PER_S
from journeymesh.journeys.movement_state import SUMS
from journeymesh.journeys.one_pass import FOUND_HOUR
from journeymesh.journeys.policies import PolicyTimeline
from journeymesh.journeys.rules import JourneyRules

_KIND_NAMES = pa.array(KINDS, pa.string())
_SEVERITY_NAMES = pa.array(SEVERITIES, pa.string())
_DECIMALS = 3
"""Metres, seconds and metres per second are rounded to a thousandth when a journey is put out."""


@dataclass(frozen=True, slots=True)
class PassOutput:
    """What the kernels put out: ``journeys`` (SUMS[n]), ``hours`` (FOUND_HOUR[m]), ``events`` (EVENT[k]).

    After ``journeys_of``: journeys by (vehicle, start), hours by journey, events by journey and start, each event's
    journey in ``event_journey``, and how many refusals fall into each journey in ``quarantined``.
    """

    journeys: npt.NDArray[Any]
    hours: npt.NDArray[Any]
    events: npt.NDArray[Any]
    event_journey: I64 | None = None
    quarantined: I64 | None = None


def found_together(parts: Sequence[PassOutput]) -> PassOutput:
    """What several runs of the kernels put out, as if one had."""
    if len(parts) == 1:
        return parts[0]
    journeys, hours, events = (
        np.concatenate([getattr(part, name) for part in parts] or [np.empty(0, dtype)])
        for name, dtype in (("journeys", SUMS), ("hours", FOUND_HOUR), ("events", EVENT))
    )
    before = np.cumsum([0, *(len(part.journeys) for part in parts)])[:-1]
    hours["journey"] += np.repeat(before, [len(part.hours) for part in parts])
    return PassOutput(journeys, hours, events)


def journeys_of(found: PassOutput, refused_at: npt.NDArray[Any]) -> PassOutput:
    """Bring journeys into order and give them the events and refusals of their time."""
    order = np.lexsort((found.journeys["started_at_us"], found.journeys["vehicle"]))
    journeys = found.journeys[order]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    hours = found.hours.copy()
    hours["journey"] = rank[hours["journey"]]
    hours = hours[np.lexsort((hours["hour_of_week"], hours["journey"]))]
    owner = _owner(journeys, found.events["vehicle"], found.events["started_at_us"])
    kept = np.flatnonzero(owner >= 0)
    kept = kept[np.lexsort((found.events["kind"][kept], found.events["started_at_us"][kept], owner[kept]))]
    refusal_owner = _owner(journeys, refused_at["vehicle"], refused_at["at_us"])
    quarantined = np.bincount(refusal_owner[refusal_owner >= 0], minlength=len(journeys))
    return PassOutput(journeys, hours, found.events[kept], owner[kept], quarantined)


def _owner(journeys: npt.NDArray[Any], vehicle: npt.NDArray[np.int32], at_us: I64) -> I64:
    """For each (vehicle, instant) the journey (sorted by vehicle and start) that covers it, or -1."""
    if not len(journeys) or not len(vehicle):
        return np.full(len(vehicle), -1, np.int64)
    keys = np.concatenate([journeys["vehicle"], vehicle])
    times = np.concatenate([journeys["started_at_us"], at_us])
    is_item = np.r_[np.zeros(len(journeys), np.int8), np.ones(len(vehicle), np.int8)]
    order = np.lexsort((is_item, times, keys))
    before = np.cumsum(is_item[order] == 0) - 1
    items = is_item[order] == 1
    owner = np.empty(len(vehicle), np.int64)
    owner[order[items] - len(journeys)] = before[items]
    candidate = journeys[np.maximum(owner, 0)]
    covered = (owner >= 0) & (candidate["vehicle"] == vehicle) & (candidate["ended_at_us"] >= at_us)
    return np.where(covered, owner, -1)


def journey_table(
    found: PassOutput, vehicles: tuple[str, ...], timeline: PolicyTimeline, rules: JourneyRules
) -> pa.Table:
    """The journeys as ``JOURNEY_SCHEMA``."""
    rows = found.journeys
    assert found.quarantined is not None
    ids = [
        journey_id(vehicles[v], at)
        for v, at in zip(rows["vehicle"].tolist(), rows["started_at_us"].tolist(), strict=True)
    ]
    duration_s = np.round((rows["ended_at_us"] - rows["started_at_us"]) / US_PER_S, _DECIMALS)
    driving_s = np.minimum(np.round(rows["driving_s"], _DECIMALS), duration_s)
    distance_m = np.round(rows["distance_m"], _DECIMALS)
    mean_mps = np.round(np.divide(distance_m, driving_s, out=np.zeros(len(rows)), where=driving_s > 0), _DECIMALS)
    columns: dict[str, Any] = {
        "journey_id": pa.array(ids, pa.string()),
        "vehicle": pa.array(vehicles, pa.string()).take(pa.array(rows["vehicle"])),
        "zone": pa.array(timeline.zones.names, pa.string()).take(pa.array(rows["zone"])),
        "started_at": _instants(rows["started_at_us"]),
        "ended_at": _instants(rows["ended_at_us"]),
        "distance_m": distance_m,
        "duration_s": duration_s,
        "driving_s": driving_s,
        "idle_s": np.round(duration_s - driving_s, _DECIMALS),
        "mean_speed_mps": mean_mps,
        "quarantined": found.quarantined.astype(np.int32),
        "rules_version": pa.repeat(pa.scalar(rules.version, pa.string()), len(rows)),
        "hours": _hours(found),
        "harsh_events": _events(found, rules),
        "speed_doubted": _doubted(rows, rules),
        **_policy_columns(rows["policy"], timeline),
    }
    if rules.sensors.speed_ratio > 0.0:
        fastest = np.maximum(rows["max_speed_mps"], 0.0)
        fastest = np.where(columns["speed_doubted"], rows["max_by_way_mps"], fastest)
        columns["max_speed_mps"] = np.maximum(np.round(fastest, _DECIMALS), mean_mps)
    for kind, name in enumerate(KINDS):
        of_kind = found.event_journey[found.events["kind"] == kind]  # type: ignore[index]
        columns[f"harsh_{name}"] = np.bincount(of_kind, minlength=len(rows)).astype(np.int32)
    for name in JOURNEY_SCHEMA.names:
        if name not in columns:
            values = np.ascontiguousarray(rows[name])
            columns[name] = values if name.endswith("_deg") else np.round(values, _DECIMALS)
    return pa.table([columns[name] for name in JOURNEY_SCHEMA.names], schema=JOURNEY_SCHEMA)


def _doubted(rows: npt.NDArray[Any], rules: JourneyRules) -> npt.NDArray[np.bool_]:
    """Whether the reported speed of each journey is not believed: its speeds are by positions then."""
    said, way, ratio = rows["said_m"], rows["way_m"], rules.sensors.speed_ratio
    if ratio == 0.0:
        return np.zeros(len(rows), np.bool_)
    far = way >= FIRST_COMPARED_M
    return np.where(far, (said > ratio * way) | (way > ratio * said), rows["doubted_s"] > 0.5 * rows["driving_s"])


def _policy_columns(policy: npt.NDArray[np.int32], timeline: PolicyTimeline) -> dict[str, pa.Array]:
    index = pa.array(policy, mask=policy < 0)
    return {
        "policy": pa.array([p.number for p in timeline.policies], pa.string()).take(index),
        "tenant": pa.array([p.tenant for p in timeline.policies], pa.string()).take(index),
        "product": pa.array([p.product for p in timeline.policies], pa.string()).take(index),
        "policy_from": pa.array([p.valid_from for p in timeline.policies], INSTANT).take(index),
    }


def _instants(at_us: I64) -> pa.Array:
    return pa.array(np.ascontiguousarray(at_us)).cast(INSTANT)


def _offsets(owner: I64, n: int) -> pa.Array:
    return pa.array(np.searchsorted(owner, np.arange(n + 1)).astype(np.int32))


def _hours(found: PassOutput) -> pa.ListArray:
    values = pa.StructArray.from_arrays(
        [
            pa.array(found.hours["hour_of_week"].astype(np.int16)),
            pa.array(np.round(found.hours["distance_m"], _DECIMALS)),
            pa.array(np.round(found.hours["driving_s"], _DECIMALS)),
        ],
        fields=list(HOUR_TYPE),
    )
    return pa.ListArray.from_arrays(_offsets(found.hours["journey"], len(found.journeys)), values)


def _events(found: PassOutput, rules: JourneyRules) -> pa.ListArray:
    assert found.event_journey is not None
    events = found.events
    bands = np.array([getattr(rules.harsh, f"{kind}_mps2") for kind in KINDS])[events["kind"]]
    severity = (events["peak_mps2"] >= bands[:, 1]).astype(np.int64) + (events["peak_mps2"] >= bands[:, 2])
    values = pa.StructArray.from_arrays(
        [
            _KIND_NAMES.take(pa.array(events["kind"])),
            _SEVERITY_NAMES.take(pa.array(severity)),
            _instants(events["started_at_us"]),
            _instants(events["ended_at_us"]),
            _instants(events["peak_at_us"]),
            pa.array(np.round(events["peak_mps2"], _DECIMALS)),
            pa.array(np.ascontiguousarray(events["lat_deg"])),
            pa.array(np.ascontiguousarray(events["lon_deg"])),
            pa.array(np.ascontiguousarray(events["fixes"])),
        ],
        fields=list(HARSH_EVENT_TYPE),
    )
    return pa.ListArray.from_arrays(_offsets(found.event_journey, len(found.journeys)), values)
