"""Refusals that stand in a store since ids were made of vehicle, instant and position: the ids they have by now.

Several inputs shared such an id, and one of them is in the store. It gets the id of that very input, so that reading it
again adds nothing and the others get in. Rows of files that could not be read are not among them: their file is not
known. They are recognised when they are read again (``engines/refusals.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from journeymesh.journeys.journey import fix_key, id_of_refusal
from journeymesh.journeys.reasons import PASS_REASONS, Reason
from journeymesh.stores.records import REFUSAL_COLUMNS, Row

PASSED: Final = tuple(sorted({reason.code for reason in PASS_REASONS} | {Reason.FIXES_NOT_KEPT.code}))
"""Reasons for which a fix is refused, after it was read."""
ROWS_AT_ONCE: Final = 5_000

_AT: Final = {name: at for at, name in enumerate(REFUSAL_COLUMNS)}


def renamed(rows: Iterable[Sequence[Any]]) -> dict[str, Row]:
    """The rows whose id is another one by now, by their former id, with the one they have now. Of two rows of one input
    the first is renamed: the other keeps its id."""
    found: dict[str, Row] = {}
    taken = set()
    for row in rows:
        present = _present_id(row)
        if present != row[0] and present not in taken:
            taken.add(present)
            found[row[0]] = (present, *row[1:])
    return found


def _present_id(row: Sequence[Any]) -> str:
    reason, vehicle = row[_AT["reason"]], row[_AT["vehicle"]]
    if reason in PASSED:
        reported = _reported(row[_AT["content"]])
        return str(row[0]) if vehicle is None or not reported else id_of_refusal(reason, fix_key(vehicle, reported))
    if vehicle is None or row[_AT["fixed_at_us"]] is None:
        return str(row[0])
    return id_of_refusal(reason, row[_AT["origin"]])


def _reported(content: str | None) -> dict[str, float]:
    """What the fix reported, as the refusal keeps it; empty where it keeps something else."""
    try:
        kept = json.loads(content or "")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(kept, dict) or not isinstance(kept.get("fixed_at_us"), int):
        return {}
    numbers = {name: value for name, value in kept.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if name != "ignition" or value != -1}
