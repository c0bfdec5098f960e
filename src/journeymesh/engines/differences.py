"""How the journeys of some time differ between what a store holds and what the pass gives."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from journeymesh.stores import rows
from journeymesh.stores.port import Superseded
from journeymesh.stores.rows import COLUMNS, ID, STARTED, JourneyRow

ENDED: Final = COLUMNS.index("ended_at_us")


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

    def superseded(self, unless: Container[str]) -> list[Superseded]:
        """The journeys that are no more, and the former states of changed ones, unless these only grow."""
        return [*self.gone, *(Superseded(i, i) for i in self.changed if i not in unless)]


def difference(before: Iterable[JourneyRow], after: Iterable[JourneyRow]) -> JourneyDifference:
    """Compare journeys, as stores keep them, to the last bit."""
    old, fresh = {row[ID]: row for row in before}, {row[ID]: row for row in after}
    put = [i for i, row in fresh.items() if i not in old or not _is_same(old[i], row)]
    changed = [i for i in put if i in old]
    grown = frozenset(i for i in changed if fresh[i][ENDED] > old[i][ENDED])
    gone = [Superseded(i, _successor(row, fresh)) for i, row in old.items() if i not in fresh]
    return JourneyDifference(put, changed, grown, gone)


def stored_rows(journeys: pa.Table) -> list[JourneyRow]:
    """Journeys in ``JOURNEY_SCHEMA`` as stores keep them."""
    return rows.rows_of(rows.stored_journeys(journeys))


def _is_same(one: JourneyRow, other: JourneyRow) -> bool:
    """Whether nothing differs, the sign of a zero included."""
    return one == other and rows.row_content(one) == rows.row_content(other)


def _successor(row: JourneyRow, after: Mapping[str, JourneyRow]) -> str | None:
    """The journey that shares most time with one that is gone."""
    best, longest = None, 0
    for journey_id, other in after.items():
        shared = min(row[ENDED], other[ENDED]) - max(row[STARTED], other[STARTED])
        if shared > longest:
            best, longest = journey_id, shared
    return best
