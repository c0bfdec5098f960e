"""Who may write: the run in whose name a batch comes, until a later one of the same name has written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from journeymesh.errors import JourneymeshError
from journeymesh.stores import records
from journeymesh.stores.port import StoreBatch

_STARTED: Final = records.RUN_COLUMNS.index("started_at_us")


class WriterOvertaken(JourneymeshError):
    """A batch came in the name of a run that a later one has taken over from: nothing of it was written."""

    exit_code = 8


def row_to_put(batch: StoreBatch, held: Sequence[Any] | None, shown: str) -> records.Row | None:
    """The row of ``batch.under`` if it has to be put; None: it stands. ``held``: the row of its id that the store has.

    Called inside the transaction that writes the batch, or it fences nothing.

    Raises:
        WriterOvertaken: a later run of this id has written to the store ``shown``, or ``batch.under_after`` does not
            stand in it.
    """
    under, after = batch.under, batch.under_after
    assert under is not None
    row = records.run_row(under)
    if held is not None and held[_STARTED] > row[_STARTED]:
        raise WriterOvertaken(
            f"{shown}: {under.run_id} was taken over by another writer", todo="it goes on; this one takes up after it"
        )
    if after is not None and (held is None or tuple(held) != tuple(records.run_row(after))):
        raise WriterOvertaken(
            f"{shown} is not as {under.run_id} left it: another store, or an older copy", todo="it is looked at again"
        )
    return None if held is not None and tuple(held) == tuple(row) else row
