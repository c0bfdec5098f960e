"""What must hold before a target answers. A gate that cannot be read is closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from journeymesh.errors import JourneymeshError
from journeymesh.strangler.opinions import RecordedOpinion
from journeymesh.strangler.phases import Phase
from journeymesh.strangler.plan import Gates
from journeymesh.strangler.refusals import Refusals, refused_text

DAY_S = 86_400.0


class GateClosed(JourneymeshError):
    """A slice may not move yet; the message names every gate that is closed."""

    exit_code = 7


class NothingCompared(GateClosed):
    """A comparison found no difference because there was nothing to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What is known of a slice at one instant. None means unknown, and closes the gate.

    ``quiet_s`` is how long ago legacy last answered for the slice (or the slice reached its phase, if later);
    ``lag_state`` is the feed's: ``running``, ``idle``, ``behind``, ``stopped``, ``stuck``, ``failed``,
    ``never_started``. Of one that stopped in good order only the lag is judged. ``filled_with`` counts the fixes that
    the target was filled with and the changes since; None: it is not filled from legacy, where alone fixes are sure to
    be kept. ``unreadable`` says why the target cannot be read; None: it can, or nobody tried. ``refusals`` None:
    nothing was fed since they are recorded. ``foreign_runs`` are others' runs in the target, not compared yet.
    """

    unreadable: str | None = None
    complete: bool = False
    incomplete_because: str | None = None
    backfill: str | None = None
    lag_s: float | None = None
    lag_state: str = "never_started"
    open_mismatches: int | None = None
    refusals: Refusals | None = None
    shadow_coverage: float | None = None
    shadow_reads: int | None = None
    quiet_s: float | None = None
    writes_waiting: int | None = None
    third_opinion: RecordedOpinion | None = None
    filled_with: int | None = None
    foreign_runs: Sequence[str] | None = None


def closed_gates(after: Phase, gates: Gates, readings: Readings) -> list[str]:
    """The gates that keep a slice from this phase, each in one line with its figures; empty: it may go."""
    closed = [*_filled(readings), *_fresh(gates, readings), *_readable(readings)]
    closed += [*_equal(gates, readings), *_true(gates, readings)]
    if after is Phase.RETIRED:
        closed += _quiet(gates, readings)
    return closed


def _filled(readings: Readings) -> Sequence[str]:
    if readings.unreadable is not None:
        return [f"the target cannot be read: {readings.unreadable}"]
    if readings.backfill != "complete":
        return [f"backfill is {readings.backfill or 'not begun'}"]
    if not readings.complete:
        return [f"the target is not complete: {readings.incomplete_because or 'its feed has not said so'}"]
    if readings.filled_with == 0:
        return ["the target was filled with nothing: the mapping finds no fix of the slice's vehicles in legacy"]
    if readings.foreign_runs is None:
        return ["whether somebody else writes to the target is unknown: nobody has looked since it was filled"]
    if readings.foreign_runs:
        return [f"somebody else wrote to the target ({len(readings.foreign_runs)} runs): reconcile the slice"]
    return []


def _fresh(gates: Gates, readings: Readings) -> Sequence[str]:
    if readings.lag_s is None:
        return [f"lag is unknown (the feed is {readings.lag_state.replace('_', ' ')})"]
    if readings.lag_s > gates.max_lag_s:
        return [f"lag is {readings.lag_s:.1f} s, the limit is {gates.max_lag_s:g} s"]
    if readings.lag_state in ("stuck", "failed"):
        return [f"the feed is {readings.lag_state}"]
    return []


def _readable(readings: Readings) -> Sequence[str]:
    found = readings.refusals
    if found is None:
        return ["how many documents are refused is unknown: nothing has fed the target since they are counted"]
    if found.question is None:
        return []
    return [f"suddenly refused: {refused_text(found)}; put it right, or accept {found.question}"]


def _equal(gates: Gates, readings: Readings) -> Sequence[str]:
    closed = []
    if readings.open_mismatches is None:
        closed.append("mismatches are unknown")
    elif readings.open_mismatches:
        closed.append(f"{readings.open_mismatches} open mismatches")
    if readings.shadow_reads is None or readings.shadow_reads < gates.shadow_reads:
        closed.append(f"{readings.shadow_reads or 0} shadow reads, the plan asks for {gates.shadow_reads}")
    if readings.shadow_coverage is None or readings.shadow_coverage < gates.shadow_coverage:
        share = 100 * (readings.shadow_coverage or 0)
        closed.append(f"shadow reads cover {share:.1f} % of the policies, the plan asks for "
                      f"{100 * gates.shadow_coverage:g} %")  # fmt: skip
    return closed


def _true(gates: Gates, readings: Readings) -> Sequence[str]:
    """What legacy's own totals say, where the plan asks for them."""
    found = readings.third_opinion
    if gates.third_opinion is None:
        return []
    if found is None:
        return ["there is no third opinion yet: compare with legacy's totals (strangler compare --against TOTALS)"]
    if found.stale is not None:
        return [f"the third opinion no longer counts: {found.stale}"]
    if not found.policies:
        return ["the third opinion compared nothing"]
    if found.share is None:
        return ["in the third opinion nothing agrees by itself"]
    if found.share < gates.third_opinion:
        return [f"legacy's totals bear out {100 * found.share:.1f} % of {found.policies:,} policies, the plan asks for "
                f"{100 * gates.third_opinion:g} %"]  # fmt: skip
    return []


def _quiet(gates: Gates, readings: Readings) -> Sequence[str]:
    closed = []
    if readings.quiet_s is None:
        closed.append("when legacy was last asked is unknown")
    elif readings.quiet_s < gates.quiet_days * DAY_S:
        closed.append(f"legacy answered {readings.quiet_s / DAY_S:.1f} days ago, the plan asks for "
                      f"{gates.quiet_days:g} quiet days")  # fmt: skip
    if readings.writes_waiting is None or readings.writes_waiting:
        closed.append(f"{readings.writes_waiting or 'an unknown number of'} accepted writes are not delivered yet")
    return closed
