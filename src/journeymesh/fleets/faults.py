"""What goes wrong with a recorder's fixes: planted where the truth stays certain, each with the reason it must get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from journeymesh.fleets.life import VehicleLife
from journeymesh.fleets.spec import FaultRates
from journeymesh.journeys.fixes import F64, I64, NOT_REPORTED_US
from journeymesh.journeys.reasons import Reason

_SLOT_ROWS: Final = 128
_EDGE_ROWS: Final = 40
_LONGEST_GAP_S: Final = 76
_US: Final = 1_000_000
_YEAR_S: Final = 31_557_600
_GPS_EPOCH_S: Final = 315_964_800

KINDS: Final = (
    "spikes", "duplicates", "conflicts", "reordered", "late_runs", "clock_impossible", "clock_future",
    "clock_unparseable", "null_island", "zero_coordinate", "positions_missing", "tunnels", "receiver_jitter",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """A stretch of 128 fixes of one drive with room for one fault, from ``row`` on."""

    kind: str
    row: int


@dataclass(frozen=True, slots=True)
class FaultFound:
    """A fault's truth. Instants in µs; NaN and ``NOT_REPORTED_US`` where nothing is known."""

    fault: str
    reason: str | None
    happened_us: int
    until_us: int
    fixed_us: int
    lat_deg: float
    lon_deg: float
    fixes: int


@dataclass(slots=True)
class Reported:
    """What a recorder reports, by true time, as columns that faults change. ``extra``: rows (source row, its changes)
    that are delivered besides."""

    at_s: I64
    fixed_us: I64
    received_us: I64
    lat: F64
    lon: F64
    interval_s: int
    rng: np.random.Generator
    gone: set[int] = field(default_factory=set)
    extra: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    found: list[FaultFound] = field(default_factory=list)

    def note(self, fault: str, reason: Reason | None, first: int, last: int) -> None:
        """Write down a fault over rows first..last as they are now."""
        one = first == last
        self.found.append(
            FaultFound(
                fault, reason.code if reason else None, int(self.at_s[first]) * _US, int(self.at_s[last]) * _US,
                int(self.fixed_us[first]), float(self.lat[first]) if one else np.nan,
                float(self.lon[first]) if one else np.nan, last - first + 1,
            )
        )  # fmt: skip


def plan_slots(rng: np.random.Generator, life: VehicleLife, rates: FaultRates) -> list[Slot]:
    """Where faults will be: at most one to a slot, none near the ends of a drive."""
    edges = np.cumsum([getattr(rates, kind) * _SLOT_ROWS for kind in KINDS])
    if edges[-1] == 0.0:
        return []
    starts = [np.arange(d.rows[0] + _EDGE_ROWS, d.rows[1] - _EDGE_ROWS - _SLOT_ROWS, _SLOT_ROWS) for d in life.drives]
    rows = np.concatenate([np.empty(0, np.int64), *starts])
    kinds = np.searchsorted(edges, rng.random(len(rows)), side="right")
    offsets = rng.integers(0, 32, len(rows))
    return [Slot(KINDS[kinds[k]], int(rows[k] + offsets[k])) for k in np.flatnonzero(kinds < len(KINDS))]


def noise_of(rng: np.random.Generator, slots: list[Slot], n: int) -> F64:
    """How much worse than usual the receiver is at each fix."""
    noise = np.ones(n)
    for slot in slots:
        if slot.kind == "receiver_jitter":
            noise[slot.row : slot.row + int(rng.integers(30, _LONGEST_GAP_S))] = 3.0
    return noise


def spoil(reported: Reported, slots: list[Slot], noise: F64) -> None:
    """Make the planned faults, in place, and write down their truth."""
    for slot in slots:
        if slot.kind == "receiver_jitter":
            last = slot.row + int(np.argmax(noise[slot.row :] == 1.0)) - 1
            reported.note("receiver_jitter", None, slot.row, last)
        else:
            _SPOILERS[slot.kind](reported, slot.row)


def _spike(r: Reported, row: int) -> None:
    u = r.rng.random(3)
    length = 1 + int(5 * u[0])
    away_deg = 0.15 + 2.5 * u[1]
    north, east = (away_deg, 0.3) if u[2] < 0.5 else (-0.2, away_deg)
    for k in range(row, row + length):
        r.lat[k] = np.round(r.lat[k] + north, 7)
        r.lon[k] = np.round(r.lon[k] + east, 7)
        r.note("spike", Reason.POSITION_SPIKE, k, k)


def _duplicate(r: Reported, row: int) -> None:
    r.extra.append((row, {}))
    r.note("duplicate", Reason.DUPLICATE, row, row)


def _conflict(r: Reported, row: int) -> None:
    lat = np.round(r.lat[row] + 3e-5 + 5e-5 * r.rng.random(), 7)
    r.extra.append((row, {"lat": float(lat), "received_us": float(r.received_us[row] + 50_000)}))
    r.note("conflict", Reason.CONFLICTING_FIX, row, row)


def _reordered(r: Reported, row: int) -> None:
    r.received_us[row] += int(r.rng.integers(3, 20)) * r.interval_s * _US
    r.note("reordered", None, row, row)


def _late_run(r: Reported, row: int) -> None:
    last = row + int(r.rng.integers(5, 60))
    r.received_us[row : last + 1] += int(r.rng.integers(600, 172_800)) * _US
    r.note("late_run", None, row, last)


def _clock(name: str, reason: Reason) -> Callable[[Reported, int], None]:
    def spoil_clock(r: Reported, row: int) -> None:
        at_s = int(r.at_s[row])
        match reason:
            case Reason.CLOCK_IMPOSSIBLE:
                r.fixed_us[row] = (_GPS_EPOCH_S + at_s % 10_000_000) * _US
            case Reason.CLOCK_FUTURE:
                r.fixed_us[row] = (at_s + int(r.rng.integers(20, 60)) * _YEAR_S) * _US
            case _:
                r.fixed_us[row] = NOT_REPORTED_US
        r.note(name, reason, row, row)

    return spoil_clock


def _null_island(r: Reported, row: int) -> None:
    r.lat[row] = r.lon[row] = 0.0
    r.note("null_island", Reason.POSITION_NULL_ISLAND, row, row)


def _zero_coordinate(r: Reported, row: int) -> None:
    if abs(r.lon[row]) > 2.0 and r.rng.random() < 0.5:
        r.lon[row] = 0.0
    else:
        r.lat[row] = 0.0
    r.note("zero_coordinate", Reason.POSITION_ZERO, row, row)


def _position_missing(r: Reported, row: int) -> None:
    r.lat[row] = r.lon[row] = np.nan
    r.note("position_missing", Reason.POSITION_MISSING, row, row)


def _tunnel(r: Reported, row: int) -> None:
    rows = int(r.rng.integers(20, _LONGEST_GAP_S + 1)) // r.interval_s - 1
    if rows < 1:
        return
    r.gone.update(range(row, row + rows))
    r.note("tunnel", None, row, row + rows - 1)


_SPOILERS: Final[dict[str, Callable[[Reported, int], None]]] = {
    "spikes": _spike,
    "duplicates": _duplicate,
    "conflicts": _conflict,
    "reordered": _reordered,
    "late_runs": _late_run,
    "clock_impossible": _clock("clock_impossible", Reason.CLOCK_IMPOSSIBLE),
    "clock_future": _clock("clock_future", Reason.CLOCK_FUTURE),
    "clock_unparseable": _clock("clock_unparseable", Reason.CLOCK_UNPARSEABLE),
    "null_island": _null_island,
    "zero_coordinate": _zero_coordinate,
    "positions_missing": _position_missing,
    "tunnels": _tunnel,
}
