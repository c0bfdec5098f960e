"""How the journeys of some time differ between what a store holds and what the pass gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from journeymesh.stores import rows
from journeymesh.stores.port import Superseded
from journeymesh.stores.rows import COLUMNS, ID, STARTED, JourneyRow

_ENDED = COLUMNS.index("ended_at_us")


@dataclass(frozen=True, slots=True)
class JourneyDifference:
    """What has to be done to ``before`` so that it is ``after``.

    - ``put``: ids of journeys that are new or changed; ``changed``: those among them that were there
    - ``grown``: those among ``changed`` that end later than before, as journeys under way do
    - ``gone``: journeys that are no more, each with the one that shares most of its time
    """

    put: Sequence[str]
    changed: Sequence[str]
    grown: frozenset[str]
    gone: Sequence[Superseded]


def difference(before: pa.Table, after: pa.Table) -> JourneyDifference:
    """Compare two tables in ``JOURNEY_SCHEMA`` to the last bit."""
    old = {row[ID]: row for row in rows.rows_of(rows.stored_journeys(before))}
    fresh = {row[ID]: row for row in rows.rows_of(rows.stored_journeys(after))}
    put = [i for i, row in fresh.items() if i not in old or rows.row_content(old[i]) != rows.row_content(row)]
    changed = [i for i in put if i in old]
    grown = frozenset(i for i in changed if fresh[i][_ENDED] > old[i][_ENDED])
    gone = [Superseded(i, _successor(row, fresh)) for i, row in old.items() if i not in fresh]
    return JourneyDifference(put, changed, grown, gone)


def _successor(row: JourneyRow, after: Mapping[str, JourneyRow]) -> str | None:
    """The journey that shares most time with one that is gone."""
    best, longest = None, 0
    for journey_id, other in after.items():
        shared = min(row[_ENDED], other[_ENDED]) - max(row[STARTED], other[STARTED])
        if shared > longest:
            best, longest = journey_id, shared
    return best
