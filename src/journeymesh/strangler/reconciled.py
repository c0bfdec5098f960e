"""What a reconciliation found, recorded as mismatches: they close gates until they are repaired or accepted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from journeymesh.journeys.local_time import DAY_US
from journeymesh.strangler import differences
from journeymesh.strangler.control import Control
from journeymesh.strangler.control_tables import mismatches
from journeymesh.strangler.mismatches import RESOLVED, Found, record_mismatches, resolve_mismatches
from journeymesh.strangler.reconcile import Difference

FOUND_BY = "reconcile"


def note_differences(control: Control, slice_name: str, found: Iterable[Difference]) -> None:
    """Record differences that were found and not repaired: each cause once."""
    record_mismatches(control, [_found(slice_name, each) for each in found], FOUND_BY)


def note_equal(control: Control, slice_name: str, still_differing: Sequence[Difference] = ()) -> None:
    """Record that a whole comparison found nothing but these: what an earlier one found is resolved."""
    still = {_found(slice_name, each).cause for each in still_differing}
    recorded = sa.select(mismatches.c.cause).where(
        mismatches.c.slice == slice_name, mismatches.c.found_by == FOUND_BY, mismatches.c.state != RESOLVED
    )
    with control.reading() as connection:
        causes = set(connection.execute(recorded).scalars())
    resolve_mismatches(control, causes - still)


def _found(slice_name: str, each: Difference) -> Found:
    difference = differences.Difference(
        subject=each.subject,
        classification=differences.Classification(each.kind.value),
        field=each.field,
        source_value=_shown(each.source_value),
        target_value=_shown(each.target_value),
        at_us=each.day * DAY_US,
    )
    return Found(slice_name, each.policy or "", difference)


def _shown(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str, ensure_ascii=False)
