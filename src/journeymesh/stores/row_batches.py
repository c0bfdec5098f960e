"""What a batch means: what is put, superseded and withdrawn, in which order, and which vehicles that changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from journeymesh.stores import records, rows
from journeymesh.stores.figure_changes import score_text, update_figures
from journeymesh.stores.fix_blocks import encode_blocks
from journeymesh.stores.port import StoreBatch, Superseded
from journeymesh.stores.row_kinds import Row, WritableRows, chunks
from journeymesh.stores.rows import ID, JourneyRow
from journeymesh.stores.writers import row_to_put


def batch_writer(batch: StoreBatch, shown: str) -> Callable[[WritableRows], None]:
    """What puts the batch into the rows of the store ``shown``, inside of a transaction. The batch is encoded now.

    It raises ``WriterOvertaken`` as ``JourneyStore.write`` says.
    """
    journeys = None if batch.journeys is None else rows.stored_journeys(batch.journeys)
    blocks = [] if batch.fixes is None else encode_blocks(batch.fixes)

    def write(into: WritableRows) -> None:
        if batch.under is not None:
            stands = [*into.select("runs", [("run_id", "=", batch.under.run_id)])]
            row = row_to_put(batch, stands[0] if stands else None, shown)
            into.put("runs", [] if row is None else [row])
        update_figures(into, batch)
        changed: dict[str | None, None] = {}
        if batch.superseded:
            put = {} if journeys is None else {row[ID]: row for row in rows.rows_of(journeys)}
            changed |= dict.fromkeys(_move_to_history(into, batch.superseded, put))
        if journeys is not None:
            changed |= dict.fromkeys(into.put("journeys", journeys))
        changed |= dict.fromkeys(into.delete("refusals", ((refusal_id,) for refusal_id in batch.refusals_withdrawn)))
        changed |= dict.fromkeys(into.put("refusals", list(map(records.refusal_row, batch.refusals)), update=()))
        into.delete("policies", map(records.term_row, batch.policies_withdrawn))
        into.put("policies", list(map(records.policy_row, batch.policies)))
        into.delete("rules", ((gone.version, gone.digest) for gone in batch.rules_withdrawn))
        if (used := batch.rules) is not None:
            known = ("score",) if used.score is not None else ()
            into.put("rules", [(used.version, used.digest, score_text(used.score))], update=known)
        into.put("runs", [] if batch.run is None else [records.run_row(batch.run)])
        changed |= dict.fromkeys(into.delete("blocks", batch.fixes_withdrawn))
        put_blocks = [(b.vehicle, b.day, b.first_us, b.last_us, b.rows, b.content) for b in blocks]
        changed |= dict.fromkeys(into.put("blocks", put_blocks))
        move_in_feed(into, changed)

    return write


def move_in_feed(into: WritableRows, vehicles: Iterable[str | None]) -> None:
    """Move these vehicles (each once; None: no vehicle) to the end of the feed, and the position in any case.

    Writers take turns, so positions become visible in order.
    """
    known = [vehicle for vehicle in vehicles if vehicle is not None]
    count = max(len(known), 1)
    first = into.advance(count) - count + 1
    into.put("changes", [(vehicle, first + k) for k, vehicle in enumerate(known)])


def _move_to_history(
    into: WritableRows, superseded: Sequence[Superseded], put: Mapping[str, JourneyRow]
) -> Iterable[str | None]:
    """Move live journeys to history, unless the batch puts the very content that is live: it was written before. An
    entry that is there keeps its instant and its position, and is the latest now.

    Returns the vehicles of those moved.
    """
    successors = {moved.journey_id: moved.successor_id for moved in superseded}
    number, now_us = into.number(), time.time_ns() // 1000
    entries: list[Row] = []
    moved: list[str] = []
    for part in chunks(list(successors)):
        for row in into.select("journeys", [("journey_id", "in", part)]):
            content, planned, successor = rows.row_content(row), put.get(row[ID]), successors[row[ID]]
            if planned is not None and rows.row_content(planned) == content:
                continue
            entry_id = rows.history_id(row[ID], successor, content)
            entries.append((entry_id, row[ID], successor, now_us, number, number, content.decode()))
            moved.append(row[ID])
    into.put("history", entries, update=("latest",))
    return into.delete("journeys", ((journey_id,) for journey_id in moved))
