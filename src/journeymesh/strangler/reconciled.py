"""What a comparison of upstream and target found, recorded as mismatches, whichever command made it: `diff` lists
them, `status` counts them, and they close gates until they are repaired or accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.journeys.local_time import DAY_US
from journeymesh.strangler.backfill import ChunkDiffers
from journeymesh.strangler.control import Control
from journeymesh.strangler.control_tables import mismatches
from journeymesh.strangler.differences import Difference
from journeymesh.strangler.foreign_runs import note_compared, runs_of_others
from journeymesh.strangler.mismatches import RESOLVED, Found, record_mismatches, resolve_mismatches
from journeymesh.strangler.reconcile import Chunk, Reconciliation, TargetDifference, journeys_that_differ

RECONCILE: Final = "reconcile"
BACKFILL: Final = "backfill"


def recorded_chunks(run: Reconciliation, *, is_resumed: bool = False) -> Iterator[Chunk]:
    """Every chunk of a comparison, each recorded before it is given out: what differs as open, what was repaired as
    resolved. At the end whatever an earlier comparison found and this one did not is resolved, unless this one was
    resumed and so compared only a part; and if nothing differs any more, what others wrote to the target is compared.
    """
    control, name, session = run.session.control, run.slice.name, run.session
    of_others = runs_of_others(session.store)  # before: what they write from here on may be missed
    standing: list[TargetDifference] = []
    for chunk in run.chunks():
        note_differences(control, name, chunk.differences)
        if run.repair:
            resolve_mismatches(control, {_found(name, each).cause for each in chunk.differences})
        else:
            standing += chunk.differences
        yield chunk
    if not is_resumed:
        note_equal(control, name, standing)
        if not standing:
            note_compared(control, name, session.target, of_others)


def note_differences(
    control: Control, slice_name: str, found: Iterable[TargetDifference], found_by: str = RECONCILE
) -> None:
    """Record differences that were found: each cause once."""
    record_mismatches(control, [_found(slice_name, each) for each in found], found_by)


def note_equal(control: Control, slice_name: str, still_differing: Sequence[TargetDifference] = ()) -> None:
    """Record that a whole comparison found nothing but these: what an earlier one found is resolved, and what a
    backfill did."""
    still = {_found(slice_name, each).cause for each in still_differing}
    resolve_mismatches(control, _unresolved(control, slice_name, (RECONCILE, BACKFILL)) - still)


def note_chunk(control: Control, slice_name: str, fault: ChunkDiffers) -> None:
    """Record what the target held instead of a chunk that a backfill wrote."""
    note_differences(control, slice_name, journeys_that_differ(fault.vehicle, fault.wanted, fault.held), BACKFILL)


def note_filled(control: Control, slice_name: str) -> None:
    """Record that a backfill read every chunk back as it was written: what an earlier one found is resolved."""
    resolve_mismatches(control, _unresolved(control, slice_name, (BACKFILL,)))


def _unresolved(control: Control, slice_name: str, found_by: Sequence[str]) -> set[str]:
    recorded = sa.select(mismatches.c.cause).where(
        mismatches.c.slice == slice_name, mismatches.c.found_by.in_(found_by), mismatches.c.state != RESOLVED
    )
    with control.reading() as connection:
        return set(connection.execute(recorded).scalars())


def _found(slice_name: str, each: TargetDifference) -> Found:
    difference = Difference(
        subject=each.subject,
        classification=each.kind,
        field=each.field,
        source_value=_shown(each.source_value),
        target_value=_shown(each.target_value),
        at_us=each.day * DAY_US,
    )
    return Found(slice_name, each.policy or "", difference)


def _shown(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str, ensure_ascii=False)
