"""What must hold before a target answers. A gate that cannot be read is closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from journeymesh.errors import JourneymeshError
from journeymesh.strangler.opinion import RecordedOpinion
from journeymesh.strangler.plan import Gates
from journeymesh.strangler.refusals import Refusals, refused_text
from journeymesh.strangler.slices import Phase

DAY_S = 86_400.0


class GateClosed(JourneymeshError):
    """A slice may not move yet; the message names every gate that is closed."""

    exit_code = 7


class NothingCompared(GateClosed):
    """A comparison found no difference because there was nothing to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInputs:
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


def closed_gates(after: Phase, gates: Gates, inputs: GateInputs) -> list[str]:
    """The gates that keep a slice from this phase, each in one line with its figures; empty: it may go."""
    closed = [*_filled(inputs), *_fresh(gates, inputs), *_readable(inputs)]
    closed += [*_equal(gates, inputs), *_true(gates, inputs)]
    if after is Phase.RETIRED:
        closed += _quiet(gates, inputs)
    return closed


def _filled(inputs: GateInputs) -> Sequence[str]:
    if inputs.unreadable is not None:
        return [f"the target cannot be read: {inputs.unreadable}"]
    if inputs.backfill != "complete":
        return [f"backfill is {inputs.backfill or 'not started'}"]
    if not inputs.complete:
        return [f"the target is not complete: {inputs.incomplete_because or 'its feed has not reported it complete'}"]
    if inputs.filled_with == 0:
        return ["the backfill wrote no fixes: the mapping finds none of the slice's vehicles in legacy"]
    if inputs.foreign_runs is None:
        return ["other writers of the target are unknown: not checked since the backfill"]
    if inputs.foreign_runs:
        return [f"another writer wrote to the target ({len(inputs.foreign_runs)} runs): reconcile the slice"]
    return []


def _fresh(gates: Gates, inputs: GateInputs) -> Sequence[str]:
    if inputs.lag_s is None:
        return [f"lag is unknown (the feed is {inputs.lag_state.replace('_', ' ')})"]
    if inputs.lag_s > gates.max_lag_s:
        return [f"lag is {inputs.lag_s:.1f} s, the limit is {gates.max_lag_s:g} s"]
    if inputs.lag_state in ("stuck", "failed"):
        return [f"the feed is {inputs.lag_state}"]
    return []


def _readable(inputs: GateInputs) -> Sequence[str]:
    found = inputs.refusals
    if found is None:
        return ["the number of refused documents is unknown: no feed has counted them yet"]
    if found.question is None:
        return []
    return [f"sudden rise in refused documents: {refused_text(found)}; fix the cause, or accept {found.question}"]


def _equal(gates: Gates, inputs: GateInputs) -> Sequence[str]:
    closed = []
    if inputs.open_mismatches is None:
        closed.append("mismatches are unknown")
    elif inputs.open_mismatches:
        closed.append(f"{inputs.open_mismatches} open mismatches")
    if inputs.shadow_reads is None or inputs.shadow_reads < gates.shadow_reads:
        closed.append(f"{inputs.shadow_reads or 0} shadow reads, the plan requires {gates.shadow_reads}")
    if inputs.shadow_coverage is None or inputs.shadow_coverage < gates.shadow_coverage:
        share = 100 * (inputs.shadow_coverage or 0)
        closed.append(f"shadow reads cover {share:.1f} % of the policies, the plan requires "
                      f"{100 * gates.shadow_coverage:g} %")  # fmt: skip
    return closed


def _true(gates: Gates, inputs: GateInputs) -> Sequence[str]:
    """What legacy's own totals say, where the plan asks for them."""
    found = inputs.third_opinion
    if gates.third_opinion is None:
        return []
    if found is None:
        return ["no third opinion is recorded: compare with legacy's totals (strangler compare --against TOTALS)"]
    if found.stale is not None:
        return [f"the third opinion is out of date: {found.stale}"]
    if not found.policies:
        return ["the third opinion compared nothing"]
    if found.share is None:
        return ["in the third opinion no policy agrees without an explanation"]
    if found.share < gates.third_opinion:
        return [f"legacy's totals confirm {100 * found.share:.1f} % of {found.policies:,} policies, the plan requires "
                f"{100 * gates.third_opinion:g} %"]  # fmt: skip
    return []


def _quiet(gates: Gates, inputs: GateInputs) -> Sequence[str]:
    closed = []
    if inputs.quiet_s is None:
        closed.append("the time of legacy's last answer is unknown")
    elif inputs.quiet_s < gates.quiet_days * DAY_S:
        closed.append(f"legacy answered {inputs.quiet_s / DAY_S:.1f} days ago, the plan requires "
                      f"{gates.quiet_days:g} quiet days")  # fmt: skip
    if inputs.writes_waiting is None or inputs.writes_waiting:
        closed.append(f"{inputs.writes_waiting or 'an unknown number of'} accepted writes are not yet delivered")
    return closed
