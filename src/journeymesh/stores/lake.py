"""The lake store: journeys at rest in Parquet files, for whoever reads them with tools of their own.

See ``lake_commits`` for how a batch is committed, ``lake_files`` for what lies where. A read is of one commit.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import pyarrow as pa

from journeymesh.databases.faults import MIGRATE
from journeymesh.errors import StoreCorrupt, StoreUnavailable, UsageError
from journeymesh.instants import from_us, to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.stores import records, rows
from journeymesh.stores.digests import POLICY_SCHEMA, REFUSAL_DIGEST_SCHEMA, fixes_digest, table_digest
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.fix_blocks import DAY_US, decoded, fixes_of
from journeymesh.stores.former_refusals import ROWS_AT_ONCE, renamed
from journeymesh.stores.lake_commits import FOLDER, LakeCommits, LakeState, NumberTaken
from journeymesh.stores.lake_compaction import Compaction, merge, remove_old
from journeymesh.stores.lake_current import write_current
from journeymesh.stores.lake_files import month_of, month_of_day, remove_files, replace_text, sync_folder
from journeymesh.stores.lake_plan import LakePlan, keys_table
from journeymesh.stores.lake_queries import LakeQueries, lake_faults, require_duckdb
from journeymesh.stores.lake_upgrade import upgrade_files
from journeymesh.stores.port import (
    HistoryEntry,
    JourneyQuery,
    RefusalQuery,
    RulesUsed,
    Run,
    StoreBatch,
    StoreChanges,
    VehicleSpan,
)
from journeymesh.stores.positions import changes_page
from journeymesh.stores.schema_version import SCHEMA_VERSION

T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 60.0
GRACE_S: Final = 3600.0
"""How long a compaction leaves files that it replaced to readers that began before."""
_HEAD: Final = "lake.json"
_POLICY_ORDER: Final = ", ".join(records.POLICY_KEY)
_ATTEMPTS: Final = 20
_BLOCKS_AT_ONCE: Final = 256


class LakeStore:
    """Both ports on a folder of Parquet files. Safe for threads; a forked child must connect anew."""

    def __init__(self, root: Path, url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.url = url
        self._root = root
        self._writing = threading.Lock()
        self._commits = LakeCommits(root, url, busy_timeout_s)
        self._queries = LakeQueries(root, url)

    @classmethod
    def connect(cls, url: str) -> LakeStore:
        """The lake at ``lake:///folder`` or ``lake:////absolute/folder``. Nothing is opened before the first call.

        Raises:
            ExtraMissing: DuckDB is not installed.
            UsageError: the URL names no folder.
        """
        prefix = "lake:///"
        if not url.startswith(prefix) or not url.removeprefix(prefix).strip("/"):
            raise UsageError(f"{url} names no folder", todo="use lake:///FOLDER or lake:////ABSOLUTE/FOLDER")
        require_duckdb()
        return cls(Path(os.path.abspath(url.removeprefix(prefix))), url)

    def migrate(self) -> None:
        """Make the folder a lake, or bring it to this version's. Idempotent; safe to run beside a reader."""
        found, _ = self.schema_version()
        if found is not None and found >= SCHEMA_VERSION:
            self._require_lake()
            return
        with lake_faults(self.url):
            (self._root / FOLDER).mkdir(parents=True, exist_ok=True)
            if found is not None:
                self._upgrade(found)
            replace_text(self._root / _HEAD, msgspec.json.encode({"schema": SCHEMA_VERSION}))
            for folder in (self._root, self._root.parent):
                sync_folder(folder)

    def _rename_refusals(self) -> None:
        """Give refusals the id of their input, as many as are read at once in a commit."""
        state = self._commits.current()
        found = self._queries.stream(state, "refusals", state.of("refusals"), order="refusal_id", size=ROWS_AT_ONCE)
        for page in found:
            rows = renamed(tuple(row.values()) for row in page.to_pylist())
            self._write(lambda plan, rows=rows: plan.rename_refusals(rows), upgrading=True)  # type: ignore[misc]

    def _upgrade(self, found: str) -> None:
        """Step by step; one that was stopped is done again, for the head names the version last."""
        if found < "0002":
            self._rename_refusals()
        with self._writing, self._commits.writing():
            self._until_first(lambda: upgrade_files(self._root, self._queries, self._commits, found))
            write_current(self._root, self._commits.current())

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""
        with lake_faults(self.url):
            try:
                head = msgspec.json.decode((self._root / _HEAD).read_bytes(), type=dict[str, str])
            except FileNotFoundError:
                return None, SCHEMA_VERSION
            except msgspec.DecodeError as error:
                raise StoreCorrupt(
                    f"{self.url}: {_HEAD} is damaged", todo="restore it or use another folder"
                ) from error
        return head.get("schema"), SCHEMA_VERSION

    def write(self, batch: StoreBatch) -> None:
        """Write the batch: all of it or, on any fault, none."""
        self._write(lambda plan: plan.put_batch(batch))

    def compact(self, grace_s: float = GRACE_S) -> Compaction:
        """Merge small files, drop superseded rows, and remove files that no commit of the last ``grace_s`` names.

        Nothing of the content changes; readers go on undisturbed for the grace period.
        """
        with self._writing, lake_faults(self.url):
            self._require_lake()
            with self._commits.writing():
                merged, made, dropped = self._until_first(lambda: merge(self._root, self._queries, self._commits))
                write_current(self._root, self._commits.current())
                return Compaction(merged, made, dropped, remove_old(self._root, self._commits, grace_s))

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys in (started_at, journey_id) order or its reverse, ``JOURNEY_SCHEMA`` or ``query.columns`` of it.

        Reads the months of the period only, and with a limit no month behind the one that fulfils it.
        """
        state, (where, values) = self._state(), _journey_condition(query)
        files = [file for file in state.of("journeys") if _may_hold(file.part, query)]
        order = "started_at DESC, journey_id DESC" if query.newest_first else "started_at, journey_id"
        if query.limit is None:
            return self._queries.rows(state, "journeys", files, where, values, order=order, columns=query.columns)
        found = [self._queries.rows(state, "journeys", [], columns=query.columns)]
        left = query.limit
        for month in sorted({file.part for file in files}, reverse=query.newest_first):
            part = [file for file in files if file.part == month]
            found.append(
                self._queries.rows(
                    state, "journeys", part, where, values, order=order, limit=left, columns=query.columns
                )
            )
            left -= len(found[-1])
            if left <= 0:
                break
        return pa.concat_tables(found)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table, following ``successor_id`` from a superseded id; None if unknown or gone, or
        not of the tenant that is given."""
        state, seen = self._state(), set[str]()
        where, whose = ("journey_id = ?", []) if tenant is None else ("journey_id = ? AND tenant = ?", [tenant])
        current: str | None = journey_id
        while current is not None and current not in seen:
            found = self._queries.rows(state, "journeys", state.of("journeys"), where, [current, *whose])
            if len(found):
                return found
            seen.add(current)
            named = self._history(state, current, "latest DESC")
            current = named[0]["successor_id"] if named else None
        return None

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first."""
        return [
            HistoryEntry(
                journey_id,
                from_us(entry["superseded_at_us"]),
                entry["successor_id"],
                rows.journeys_of([rows.row_from_content(entry["content"])]),
            )
            for entry in self._history(self._state(), journey_id, "position, entry_id")
        ]

    def vehicles(self, among: Sequence[str]) -> dict[str, VehicleSpan]:
        """Those of the vehicles that the store holds journeys or fixes of."""
        state, spans = self._state(), dict[str, tuple[int, int]]()
        names = list(dict.fromkeys(among))
        for kind, first, last in (
            ("journeys", "epoch_us(started_at)", "epoch_us(ended_at)"),
            ("fixes", "first_us", "last_us"),
        ):
            if not (files := state.of(kind)) or not names:
                continue
            sql = f"SELECT vehicle, min({first}) AS low, max({last}) AS high FROM {{0}}"  # noqa: S608
            sql += " WHERE vehicle IN (SELECT unnest(?)) GROUP BY vehicle"
            for row in self._queries.ask(state, [(kind, files)], sql, names).to_pylist():
                low, high = spans.get(row["vehicle"], (row["low"], row["high"]))
                spans[row["vehicle"]] = min(low, row["low"]), max(high, row["high"])
        return {name: VehicleSpan(from_us(low), from_us(high)) for name, (low, high) in spans.items()}

    def vehicles_after(self, after: str | None, limit: int) -> list[str]:
        """Up to ``limit`` vehicles with journeys, refusals or kept fixes here, by name, behind ``after``."""
        state = self._state()
        parts = [(kind, files) for kind in ("journeys", "refusals", "fixes") if (files := state.of(kind))]
        if not parts or limit < 1:
            return []
        condition = "vehicle IS NOT NULL" if after is None else "vehicle > ?"
        named = [f"SELECT DISTINCT vehicle FROM {{{k}}} WHERE {condition}" for k in range(len(parts))]  # noqa: S608
        sql = f"{' UNION '.join(named)} ORDER BY vehicle LIMIT {limit:d}"
        found = self._queries.ask(state, parts, sql, *([] if after is None else [after] * len(parts)))
        return list(found["vehicle"].to_pylist())

    def changes(self, after: str | None, limit: int = 1000) -> StoreChanges:
        """Vehicles written after a position (None: the beginning), each once, in order of their last change."""
        state = self._state()

        def read(first: int, size: int) -> tuple[int, list[tuple[str, int]]]:
            files = [file for file in state.of("changes") if file.last > first]
            if not files:
                return state.position, []
            sql = "SELECT vehicle, max(position) AS last FROM {0} WHERE position > ? GROUP BY vehicle"
            found = self._queries.ask(state, [("changes", files)], f"{sql} ORDER BY last LIMIT {size:d}", first)
            return state.position, [(row["vehicle"], row["last"]) for row in found.to_pylist()]

        return changes_page(after, limit, read)

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number, by number, tenant and beginning."""
        state = self._state()
        where, values = ("true", []) if number is None else ("number = ?", [number])
        found = self._queries.rows(state, "policies", state.of("policies"), where, values, order=_POLICY_ORDER)
        return [records.policy_of(tuple(row.values())) for row in found.to_pylist()]

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """Quarantined inputs as (refusal_id, refusal), in refusal_id order, or by time where the query says so, all
        from one state of the store."""
        state, (where, values) = self._state(), _refusal_condition(query)
        found = self._queries.stream(
            state,
            "refusals",
            state.of("refusals"),
            where,
            values,
            order="fixed_at_us, refusal_id" if query.by_time else "refusal_id",
            limit=query.limit,
            among=None if query.among is None else keys_table("refusals", query.among),
        )
        for batch in found:
            for row in batch.to_pylist():
                yield records.refusal_of(tuple(row.values()))

    def rules(self) -> list[RulesUsed]:
        """The rules that the journeys here were made with."""
        return [RulesUsed(version, digest) for version, digest in sorted(self._state().rules)]

    def runs(self, since: datetime | None = None) -> list[Run]:
        """Runs, oldest first; with ``since``, those that have not finished, or that began or finished then or later."""
        held = [records.run_of(row) for row in self._state().runs.values()]
        found = held if since is None else [run for run in held if run.is_since(since)]
        return sorted(found, key=lambda run: (run.started_at, run.run_id))

    def run(self, run_id: str) -> Run | None:
        """The run of this id; None: there is none."""
        row = self._state().runs.get(run_id)
        return None if row is None else records.run_of(row)

    def run_count(self) -> int:
        """How many runs there are."""
        return len(self._state().runs)

    def figures(self, query: FiguresQuery, rules: ScoreRules) -> pa.Table | None:  # noqa: ARG002
        """None: a lake keeps none."""
        return None

    def digest(self) -> dict[str, str]:
        """Canonical digests by part: journeys, refusals, policies, fixes. Reads batch by batch, of one commit."""
        state = self._state()

        def tables(kind: str, order: str, schema: pa.Schema) -> Iterator[pa.Table]:
            for batch in self._queries.stream(
                state, kind, state.of(kind), order=order, columns=None if kind == "journeys" else schema.names
            ):
                yield pa.Table.from_batches([batch])

        blocks = self._queries.stream(
            state,
            "fixes",
            state.of("fixes"),
            order="vehicle, day",
            columns=("vehicle", "day", "content"),
            size=_BLOCKS_AT_ONCE,
        )
        contents = (tuple(row.values()) for batch in blocks for row in batch.to_pylist())
        journeys = map(rows.stored_journeys, tables("journeys", "journey_id", rows.STORED_SCHEMA))
        return {
            "journeys": table_digest(rows.STORED_SCHEMA, journeys),
            "refusals": table_digest(REFUSAL_DIGEST_SCHEMA, tables("refusals", "refusal_id", REFUSAL_DIGEST_SCHEMA)),
            "policies": table_digest(POLICY_SCHEMA, tables("policies", _POLICY_ORDER, POLICY_SCHEMA)),
            "fixes": fixes_digest(decoded(contents)),
        }

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's kept fixes with ``first <= fixed_at <= last``, by time."""
        state, first_us, last_us = self._state(), to_us(first), to_us(last)
        days = first_us // DAY_US, last_us // DAY_US
        low, high = map(month_of_day, days)
        files = [file for file in state.of("fixes") if low <= file.part <= high]
        where, values = "vehicle = ? AND day BETWEEN ? AND ?", [vehicle, *days]
        found = self._queries.rows(state, "fixes", files, where, values, order="day", columns=("content",))
        return fixes_of(vehicle, found["content"].to_pylist(), first_us, last_us)

    def expire(self, before: datetime) -> int:
        """Forget kept fixes of UTC days that end at or before ``before``; returns how many fixes went.

        They are out of every answer at once; their bytes go with the first compaction after its grace period.
        """
        return self._write(lambda plan: plan.expire(to_us(before) // DAY_US))

    def close(self) -> None:
        """Release what DuckDB holds. Idempotent."""
        self._queries.close()

    def _write(self, planned: Callable[[LakePlan], T], *, upgrading: bool = False) -> T:
        def once() -> T:
            plan = LakePlan(self._root, self._queries, self._commits.current())
            result = planned(plan)
            if not plan.changes():
                return result
            marker = plan.written()
            try:
                state = self._commits.commit(marker, plan.state)
            except BaseException:
                if not self._commits.names(marker):
                    remove_files(self._root, marker.added)
                raise
            with contextlib.suppress(OSError):  # the batch is in; the next one writes them anew
                write_current(self._root, state)
            return result

        with self._writing, lake_faults(self.url):
            if not upgrading:
                self._require_lake()
            with self._commits.writing():
                return self._until_first(once)

    def _until_first(self, attempt: Callable[[], T]) -> T:
        """Attempt again where a writer of another machine, which no lock keeps out, was first."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(NumberTaken):
                return attempt()
        raise StoreUnavailable(f"{self.url}: another writer is always first", todo="run again when it has ended")

    def _state(self) -> LakeState:
        with lake_faults(self.url):
            self._require_lake()
            return self._commits.current()

    def _require_lake(self) -> None:
        found, _ = self.schema_version()
        if found is None:
            raise StoreUnavailable(f"{self.url}: has no journeymesh schema", todo=MIGRATE)
        if found > SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self.url}: was made by a newer journeymesh (schema {found}, this one knows {SCHEMA_VERSION})",
                todo="upgrade journeymesh, or use another store",
            )
        if found < SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self.url}: has the older schema {found}, {SCHEMA_VERSION} is needed", todo=MIGRATE
            )

    def _history(self, state: LakeState, journey_id: str, order: str) -> list[dict[str, Any]]:
        files = state.of("history")
        found = self._queries.rows(state, "history", files, "journey_id = ?", [journey_id], order=order)
        entries: list[dict[str, Any]] = found.to_pylist()
        return entries


def _may_hold(month: str, query: JourneyQuery) -> bool:
    last_seen = None if query.after is None else query.after[0]
    first = [query.started_from, None if query.newest_first else last_seen]
    last = [query.started_to, last_seen if query.newest_first else None]
    return all(at is None or month >= month_of(at) for at in first) and all(
        at is None or month <= month_of(at) for at in last
    )


def _journey_condition(query: JourneyQuery) -> tuple[str, list[Any]]:
    conditions = ["policy IS NULL"] if query.unattributed else []
    values: list[Any] = []
    for condition, value in (
        ("policy = ?", query.policy),
        ("vehicle = ?", query.vehicle),
        ("tenant = ?", query.tenant),
        ("product = ?", query.product),
        ("started_at >= ?", query.started_from),
        ("started_at < ?", query.started_to),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if query.policies is not None:
        conditions.append(f"policy IN ({', '.join('?' * len(query.policies))})" if query.policies else "false")
        values += query.policies
    if query.terms is not None:
        conditions.append(f"policy_from IN ({', '.join('?' * len(query.terms))})" if query.terms else "false")
        values += query.terms
    if query.after is not None:
        at, journey_id = query.after
        behind = "<" if query.newest_first else ">"
        conditions.append(f"started_at {behind}= ? AND (started_at {behind} ? OR journey_id {behind} ?)")
        values += [at, at, journey_id]
    return " AND ".join(conditions) or "true", values


def _refusal_condition(query: RefusalQuery) -> tuple[str, list[Any]]:
    conditions = ["vehicle IS NULL"] if query.without_vehicle else []
    values: list[Any] = []
    for condition, value in (
        ("reason = ?", query.reason),
        ("vehicle = ?", query.vehicle),
        ("fixed_at_us >= ?", None if query.fixed_from is None else to_us(query.fixed_from)),
        ("fixed_at_us < ?", None if query.fixed_to is None else to_us(query.fixed_to)),
        ("refusal_id > ?", query.after),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if query.by_time:
        conditions.append("fixed_at_us IS NOT NULL")
    if query.after_time is not None:
        conditions.append("(fixed_at_us, refusal_id) > (?, ?)")
        values += (to_us(query.after_time[0]), query.after_time[1])
    return " AND ".join(conditions) or "true", values
