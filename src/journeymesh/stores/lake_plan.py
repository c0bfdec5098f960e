"""What one batch adds to a lake and supersedes in it, found out against the snapshot before it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from journeymesh.instants import from_us
from journeymesh.journeys.journey import Refusal
from journeymesh.stores import records, rows
from journeymesh.stores.digests import POLICY_SCHEMA
from journeymesh.stores.fix_blocks import FixBlock, encode_blocks
from journeymesh.stores.lake_commits import LakeState, Marker
from journeymesh.stores.lake_files import (
    KINDS,
    LakeFile,
    month_of_day,
    remove_files,
    table_of,
    write_table,
)
from journeymesh.stores.lake_queries import LakeQueries
from journeymesh.stores.port import StoreBatch
from journeymesh.stores.rows import ID, STARTED, JourneyRow
from journeymesh.stores.writers import row_to_put

_VEHICLE = rows.COLUMNS.index("vehicle")
_Term = tuple[str, str, int]
"""A policy's term in the order of ``POLICY_KEY``."""


class LakePlan:
    """The rows to add and those that they supersede."""

    def __init__(self, root: Path, queries: LakeQueries, state: LakeState) -> None:
        self._root, self._queries, self.state = root, queries, state
        self._added: dict[str, pa.Table] = {}
        self._removed: dict[str, list[int]] = defaultdict(list)
        self._vehicles: dict[str | None, None] = {}
        self._rules: list[tuple[str, str]] = []
        self._rules_gone: list[tuple[str, str]] = []
        self._runs: list[tuple[Any, ...]] = []

    def put_batch(self, batch: StoreBatch) -> None:
        """Plan everything that the batch changes.

        Raises:
            WriterOvertaken: a later run of the id of ``batch.under`` has written. Decided against the snapshot that
                the commit follows: where another commit comes between, all of it is planned anew.
        """
        if batch.under is not None:
            admitted = row_to_put(batch, self.state.runs.get(batch.under.run_id), str(self._root))
            self._runs += [] if admitted is None else [admitted]
        put: dict[str, JourneyRow] = {}
        if batch.journeys is not None:
            put = {row[ID]: row for row in rows.rows_of(rows.stored_journeys(batch.journeys))}
        self._put_journeys(put, {moved.journey_id: moved.successor_id for moved in batch.superseded})
        self._put_refusals(batch)
        policies = {records.term_row(policy.term): records.policy_row(policy) for policy in batch.policies}
        self._put_policies(policies, [records.term_row(term) for term in batch.policies_withdrawn])
        blocks = [] if batch.fixes is None else encode_blocks(batch.fixes)
        self._put_blocks({(block.vehicle, block.day): block for block in blocks}, batch.fixes_withdrawn)
        gone = [(each.version, each.digest) for each in batch.rules_withdrawn]
        self._rules_gone += [each for each in gone if each in self.state.rules]
        if batch.rules is not None and (used := (batch.rules.version, batch.rules.digest)) not in self.state.rules:
            self._rules.append(used)
        if batch.run is not None and (run := records.run_row(batch.run)) != self.state.runs.get(run[0]):
            self._runs.append(run)

    def expire(self, before_day: int) -> int:
        """Plan to forget the blocks of days before this one; returns how many fixes go."""
        files = [file for file in self.state.of("fixes") if file.part <= month_of_day(before_day)]
        days = self._queries.rows(self.state, "fixes", files, "day < ?", [before_day], columns=("vehicle", "day"))
        found = self._queries.located(self.state, "fixes", files, days, ("vehicle", "fixes"))
        self._remove(found)
        self._vehicles |= dict.fromkeys(sorted({block["vehicle"] for _, _, block in found}))
        return sum(block["fixes"] for _, _, block in found)

    def rename_refusals(self, rows: Mapping[str, records.Row]) -> None:
        """Plan to put these rows in place of those under their former ids, unless one is there under the new id."""
        files = self.state.of("refusals")
        ids = keys_table("refusals", [row[0] for row in rows.values()])
        taken = self._queries.rows(self.state, "refusals", files, among=ids, columns=("refusal_id",))
        left = set(taken["refusal_id"].to_pylist())
        put = {former: row for former, row in rows.items() if row[0] not in left}
        self._remove(self._queries.located(self.state, "refusals", files, keys_table("refusals", put), ("refusal_id",)))
        self._vehicles |= dict.fromkeys(row[2] for row in put.values())
        self._add("refusals", table_of(KINDS["refusals"], list(put.values())))

    def changes(self) -> bool:
        """Whether anything is left to commit."""
        return bool(self._added or self._removed or self._rules or self._rules_gone or self._runs)

    def written(self) -> Marker:
        """Write the files; the marker that would commit them."""
        known = [vehicle for vehicle in self._vehicles if vehicle is not None]
        first, number = self.state.position + 1, self.state.number + 1
        if known:
            positions = pa.array(range(first, first + len(known)), pa.int64())
            self._added["changes"] = pa.table([pa.array(known, pa.string()), positions], KINDS["changes"].schema.names)
        files: list[LakeFile] = []
        try:
            for kind, table in self._added.items():
                files += write_table(self._root, KINDS[kind], table.cast(KINDS[kind].schema), number)
        except BaseException:
            remove_files(self._root, files)
            raise
        position = first + max(len(known), 1) - 1
        gone = {path: sorted(rows) for path, rows in self._removed.items()}
        return Marker(
            number, datetime.now(UTC), position, False, files, gone, self._rules, self._rules_gone, self._runs
        )

    def _put_journeys(self, put: Mapping[str, JourneyRow], successors: Mapping[str, str | None]) -> None:
        """Put journeys, and move superseded ones to history unless the batch puts the very content that is live.

        An id stands for a vehicle and a start, so a journey put is looked for in the month of its start only.
        """
        months = None if successors else {from_us(row[STARTED]).strftime("%Y-%m") for row in put.values()}
        files, wanted = self.state.of("journeys", months), keys_table("journeys", {**put, **successors})
        held = self._queries.located(self.state, "journeys", files, wanted, ("journey_id",))
        found = self._queries.rows(self.state, "journeys", self._files_of(held), among=wanted)
        live = {row[ID]: row for row in rows.rows_of(rows.stored_journeys(found))}
        same = {key for key, row in live.items() if key in put and _equal(row, put[key])}
        gone = [key for key in live if key not in same]
        self._remove(entry for entry in held if entry[2]["journey_id"] not in same)
        changed = [row for key, row in put.items() if key not in same]
        self._vehicles |= dict.fromkeys([*(live[key][_VEHICLE] for key in gone), *(row[_VEHICLE] for row in changed)])
        self._add("journeys", rows.journeys_of(changed))
        self._put_history([(live[key], successors[key]) for key in gone if key in successors])

    def _put_history(self, superseded: Sequence[tuple[JourneyRow, str | None]]) -> None:
        now_us, number = time.time_ns() // 1000, self.state.number + 1
        entries: dict[str, list[Any]] = {}
        for row, successor in superseded:
            content = rows.row_content(row)
            entry_id = rows.history_id(row[ID], successor, content)
            entries[entry_id] = [entry_id, row[ID], successor, now_us, number, number, content.decode()]
        columns = ("entry_id", "superseded_at_us", "position")
        known = self._queries.located(
            self.state, "history", self.state.of("history"), keys_table("history", entries), columns
        )
        for _, _, entry in known:
            entries[entry["entry_id"]][3:5] = entry["superseded_at_us"], entry["position"]
        self._remove(known)
        self._add("history", table_of(KINDS["history"], list(entries.values())))

    def _put_refusals(self, batch: StoreBatch) -> None:
        put: dict[str, Refusal] = {}
        for refusal in batch.refusals:
            put.setdefault(refusal.refusal_id, refusal)
        files, wanted = self.state.of("refusals"), keys_table("refusals", [*put, *batch.refusals_withdrawn])
        held = self._queries.located(self.state, "refusals", files, wanted, ("refusal_id", "vehicle"))
        withdrawn = set(batch.refusals_withdrawn)
        gone = [entry for entry in held if entry[2]["refusal_id"] in withdrawn]
        self._remove(gone)
        kept = {row["refusal_id"] for _, _, row in held} - withdrawn
        fresh = [records.refusal_row(refusal) for key, refusal in put.items() if key not in kept]
        self._vehicles |= dict.fromkeys([*(row["vehicle"] for _, _, row in gone), *(row[2] for row in fresh)])
        self._add("refusals", table_of(KINDS["refusals"], fresh))

    def _put_policies(self, put: Mapping[_Term, records.Row], withdrawn: Sequence[_Term]) -> None:
        if not put and not withdrawn:
            return
        schema = pa.schema([POLICY_SCHEMA.field(name) for name in records.POLICY_KEY])
        wanted = records.table_from_rows(list(dict.fromkeys([*put, *withdrawn])), schema)
        files = self.state.of("policies")
        held = self._queries.located(self.state, "policies", files, wanted, records.POLICY_COLUMNS)
        found = [(entry, tuple(entry[2][name] for name in records.POLICY_KEY)) for entry in held]
        same = {key for (_, _, row), key in found if key in put and _equal(tuple(row.values()), put[key])}
        self._remove([entry for entry, key in found if key not in same])
        self._add("policies", table_of(KINDS["policies"], [row for key, row in put.items() if key not in same]))

    def _put_blocks(self, put: Mapping[tuple[str, int], FixBlock], withdrawn: Sequence[tuple[str, int]]) -> None:
        keys = dict.fromkeys([*put, *withdrawn])
        files = self.state.of("fixes", {month_of_day(day) for _, day in keys})
        wanted = pa.table(
            [pa.array([name for name, _ in keys], pa.string()), pa.array([day for _, day in keys], pa.int32())],
            ["vehicle", "day"],
        )
        held = self._queries.located(self.state, "fixes", files, wanted, ("vehicle", "day"))
        columns = ("vehicle", "day", "content")
        found = self._queries.rows(self.state, "fixes", self._files_of(held), among=wanted, columns=columns)
        kept = {(row["vehicle"], row["day"]): row["content"] for row in found.to_pylist()}
        same = {key for key, content in kept.items() if key in put and put[key].content == content}
        gone = [entry for entry in held if (entry[2]["vehicle"], entry[2]["day"]) not in same]
        self._remove(gone)
        fresh = [
            (b.vehicle, b.day, b.first_us, b.last_us, b.rows, b.content) for key, b in put.items() if key not in same
        ]
        self._vehicles |= dict.fromkeys([*(row["vehicle"] for _, _, row in gone), *(row[0] for row in fresh)])
        self._add("fixes", table_of(KINDS["fixes"], fresh))

    def _files_of(self, found: Iterable[tuple[str, int, Any]]) -> list[LakeFile]:
        return [self.state.files[path] for path in dict.fromkeys(path for path, _, _ in found)]

    def _add(self, kind: str, table: pa.Table) -> None:
        if len(table):
            self._added[kind] = table

    def _remove(self, found: Iterable[tuple[str, int, Any]]) -> None:
        for path, row, _ in found:
            self._removed[path].append(row)


def _equal(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two rows are the same bit by bit: −0.0 is not 0."""
    return rows.row_content(tuple(one)) == rows.row_content(tuple(other))


def keys_table(kind: str, keys: Iterable[str]) -> pa.Table:
    """The keys of a kind with a key of one column, each once, as a table."""
    return pa.table([pa.array(list(dict.fromkeys(keys)), pa.string())], list(KINDS[kind].key))
