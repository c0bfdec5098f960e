"""Recordings in which everything happens that a recorder may do wrong."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from tests.support.builders import NOON, NOW_US, US, us

_EPISODES = st.tuples(
    st.sampled_from(
        ["drive", "drive", "drive", "stand", "wander", "silence", "long_silence", "spike", "spikes", "zero", "null",
         "nan", "relocate", "ignition_off", "tie", "bad_clock", "future", "no_speed", "brake", "limit", "signs", "hold"]
    ),
    st.integers(1, 40),
)  # fmt: skip


def hostile(episodes: list[tuple[str, int]], vehicle: str, seed: int, every_s: float) -> Fixes:
    """A recording in which everything happens that the episodes say."""
    rng = np.random.default_rng(seed)
    t, lat, lon, speed, heading, limit, ignition = float(us(NOON)) / US, 51.5, -0.01, 10.0, 90.0, 14.0, 1
    rows: list[tuple[float, ...]] = []

    def put(at: float, la: float, lo: float, v: float, on: int = 1, received: float = np.nan) -> None:
        rows.append((at, la, lo, v, heading, limit, on, received))

    for kind, amount in episodes:
        match kind:
            case "silence" | "long_silence":
                t += amount * (3 if kind == "silence" else 40)
            case "relocate":
                lat += amount * 0.05
            case "spike" | "spikes":
                for k in range(1 if kind == "spike" else amount):
                    t += every_s
                    put(t, lat + 1.0 + 0.0001 * k, lon, speed)
            case "zero":
                t += every_s
                put(t, 0.0 if amount % 2 else lat, lon if amount % 2 else 0.0, speed)
            case "null":
                t += every_s
                put(t, 0.0, 0.0, 0.0)
            case "nan":
                t += every_s
                put(t, np.nan, lon, speed)
            case "tie" if rows:
                put(t, lat + amount * 1e-5, lon, speed)
                put(t, lat, lon, np.nan)
            case "signs" if rows:
                put(t, 0.0, -0.0, speed)
                put(t, -0.0, 0.0, speed)
            case "hold":
                for _ in range(amount):
                    t += every_s
                    put(t, lat, lon, speed)
                lat += speed * amount * every_s / 111_250
            case "bad_clock":
                put(amount * 1e6, lat, lon, speed)
            case "future":
                put(NOW_US / US + amount * 100, lat, lon, speed)
                put(t, lat, lon, speed, received=t - amount * 60)
            case "limit":
                limit = float(amount)
            case _:
                if kind == "brake":
                    speed = float(amount) / 2
                for _ in range(amount * 3):
                    t += every_s
                    v = {"stand": 0.2, "wander": 0.5}.get(kind, speed)
                    lat += v * every_s * rng.normal(0.7, 0.3) / 111_250
                    heading += rng.normal(0, 5)
                    put(t, lat, lon + (rng.normal(0, 1e-4) if kind == "wander" else 0.0),
                        np.nan if kind == "no_speed" else v, 0 if kind == "ignition_off" else 1)  # fmt: skip
    columns = np.array(rows or [(t, lat, lon, speed, heading, limit, ignition, np.nan)]).T
    received = np.where(np.isnan(columns[7]), NOT_REPORTED_US, np.nan_to_num(columns[7]) * US).astype(np.int64)
    return Fixes(
        (vehicle,), np.zeros(columns.shape[1], np.int32), np.round(columns[0] * US).astype(np.int64),
        columns[1].copy(), columns[2].copy(), received_at_us=received, speed_mps=columns[3].copy(),
        heading_deg=columns[4] % 360.0, speed_limit_mps=columns[5].copy(), ignition=columns[6].astype(np.int8),
    )  # fmt: skip


@st.composite
def recordings(draw: st.DrawFn) -> Fixes:
    """One to three vehicles' recordings, one after the other, with nothing in order but each one's time."""
    every_s = draw(st.sampled_from([0.1, 1.0, 1.0, 10.0, 45.0]))
    parts = []
    for v in range(draw(st.integers(1, 3))):
        episodes = draw(st.lists(_EPISODES, min_size=1, max_size=12))
        parts.append(hostile(episodes, f"V{v}", draw(st.integers(0, 99)), every_s))
    return Fixes.concat(parts)
