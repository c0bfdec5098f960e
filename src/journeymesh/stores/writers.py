"""Who may write: the run in whose name a batch comes, until a later one of the same name has written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from journeymesh.errors import JourneymeshError
from journeymesh.stores import records
from journeymesh.stores.port import Run

_STARTED: Final = records.RUN_COLUMNS.index("started_at_us")


class WriterOvertaken(JourneymeshError):
    """A batch came in the name of a run that a later one has taken over from: nothing of it was written."""

    exit_code = 8


def row_to_put(under: Run, held: Sequence[Any] | None, shown: str) -> records.Row | None:
    """The run's row if it has to be put; None: it stands. ``held`` is the row of its id that the store has.

    Called inside the transaction that writes the batch, or it fences nothing.

    Raises:
        WriterOvertaken: a later run of this id has written to the store ``shown``.
    """
    row = records.run_row(under)
    if held is None or held[_STARTED] < row[_STARTED]:
        return row
    if held[_STARTED] > row[_STARTED]:
        raise WriterOvertaken(
            f"{shown}: {under.run_id} was taken over by another writer", todo="it goes on; this one takes up after it"
        )
    return None
