"""The memory twin: a store that lives as long as its process, for tests, trials and one-off runs.

Its state is one immutable value; a write builds the next one and puts it in place in a single assignment, so a read
sees whole batches and a fault leaves nothing.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.stores import records, rows
from journeymesh.stores.digests import (
    POLICY_SCHEMA,
    REFUSAL_DIGEST_SCHEMA,
    fixes_digest,
    table_digest,
)
from journeymesh.stores.fix_blocks import DAY_US, FixBlock, decoded, encode_blocks, fixes_of
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
from journeymesh.stores.records import from_us, to_us
from journeymesh.stores.rows import COLUMNS, ID, STARTED, JourneyRow
from journeymesh.stores.writers import row_to_put

SCHEMA_VERSION = "0005"
_POLICY, _TERM, _VEHICLE, _TENANT, _PRODUCT, _ENDED = (
    COLUMNS.index(name) for name in ("policy", "policy_from_us", "vehicle", "tenant", "product", "ended_at_us")
)

_REFUSED_VEHICLE = records.REFUSAL_COLUMNS.index("vehicle")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A history entry. ``position`` orders entries; ``latest`` says which successor was named last."""

    journey_id: str
    successor_id: str | None
    superseded_at: datetime
    position: int
    latest: int
    row: JourneyRow


@dataclass(frozen=True, slots=True)
class _State:
    sequence: int = 0
    position: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    journeys: dict[str, JourneyRow] = field(default_factory=dict)
    history: dict[str, _Entry] = field(default_factory=dict)
    refusals: dict[str, records.Row] = field(default_factory=dict)
    policies: dict[tuple[str, str, int], records.Row] = field(default_factory=dict)
    rules: frozenset[RulesUsed] = frozenset()
    runs: dict[str, records.Row] = field(default_factory=dict)
    blocks: dict[tuple[str, int], FixBlock] = field(default_factory=dict)
    by_policy: dict[str | None, list[JourneyRow]] = field(default_factory=dict)
    by_vehicle: dict[str, list[JourneyRow]] = field(default_factory=dict)


class MemoryStore:
    """Both ports in memory. Safe for threads."""

    url = "memory://"

    def __init__(self) -> None:
        self._state = _State()
        self._writing = threading.Lock()

    @classmethod
    def connect(cls, url: str) -> MemoryStore:  # noqa: ARG003
        """An empty store; the URL has nothing more to say."""
        return cls()

    def migrate(self) -> None:
        """Nothing to create."""

    def schema_version(self) -> tuple[str | None, str]:
        """Always this code's."""
        return SCHEMA_VERSION, SCHEMA_VERSION

    def write(self, batch: StoreBatch) -> None:
        """Write the batch: all of it or, on any fault, none."""
        with self._writing:
            state = self._state
            if batch.under is not None:
                row = row_to_put(batch, state.runs.get(batch.under.run_id), self.url)
                state = state if row is None else replace(state, runs=state.runs | {batch.under.run_id: row})
            self._state = _next_state(state, batch)

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys in (started_at, journey_id) order, ``JOURNEY_SCHEMA``; at most ``query.limit``."""
        state = self._state
        candidates = _candidates(state, query)
        after = None if query.after is None else (to_us(query.after[0]), query.after[1])
        first = None if query.started_from is None else to_us(query.started_from)
        last = None if query.started_to is None else to_us(query.started_to)
        terms = None if query.terms is None else {to_us(at) for at in query.terms}
        found = [
            row
            for row in candidates
            if (query.policy is None or row[_POLICY] == query.policy)
            and (query.policies is None or row[_POLICY] in query.policies)
            and (terms is None or row[_TERM] in terms)
            and (query.vehicle is None or row[_VEHICLE] == query.vehicle)
            and (query.tenant is None or row[_TENANT] == query.tenant)
            and (query.product is None or row[_PRODUCT] == query.product)
            and not (query.unattributed and row[_POLICY] is not None)
            and (first is None or row[STARTED] >= first)
            and (last is None or row[STARTED] < last)
            and (after is None or _key(row) > after)
        ]
        return rows.selected(rows.journeys_of(found[: query.limit]), query.columns)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table, following ``successor_id`` from a superseded id; None if unknown or gone, or
        not of the tenant that is given."""
        state = self._state
        seen: set[str] = set()
        current: str | None = journey_id
        while current is not None and current not in seen:
            row = state.journeys.get(current)
            if row is not None and tenant in (None, row[_TENANT]):
                return rows.journeys_of([row])
            seen.add(current)
            entries = [entry for entry in state.history.values() if entry.journey_id == current]
            current = max(entries, key=lambda entry: entry.latest).successor_id if entries else None
        return None

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first."""
        entries = [entry for entry in self._state.history.values() if entry.journey_id == journey_id]
        entries.sort(key=lambda entry: entry.position)
        return [
            HistoryEntry(journey_id, entry.superseded_at, entry.successor_id, rows.journeys_of([entry.row]))
            for entry in entries
        ]

    def vehicles(self, among: Sequence[str]) -> dict[str, VehicleSpan]:
        """Those of the vehicles that the store holds journeys or fixes of."""
        state, wanted = self._state, set(among)
        spans: dict[str, list[int]] = defaultdict(list)
        for row in state.journeys.values():
            if row[_VEHICLE] in wanted:
                spans[row[_VEHICLE]] += (row[STARTED], row[_ENDED])
        for block in state.blocks.values():
            if block.vehicle in wanted:
                spans[block.vehicle] += (block.first_us, block.last_us)
        return {vehicle: VehicleSpan(from_us(min(span)), from_us(max(span))) for vehicle, span in spans.items()}

    def vehicles_after(self, after: str | None, limit: int) -> list[str]:
        """Up to ``limit`` vehicles with journeys, refusals or kept fixes here, by name, behind ``after``."""
        state = self._state
        held = {row[_VEHICLE] for row in state.journeys.values()} | {vehicle for vehicle, _ in state.blocks}
        held |= {row[_REFUSED_VEHICLE] for row in state.refusals.values()} - {None}
        return sorted(vehicle for vehicle in held if after is None or vehicle > after)[:limit]

    def changes(self, after: str | None, limit: int = 1000) -> StoreChanges:
        """Vehicles written after a position (None: the beginning), each once, in order of their last change."""
        state = self._state

        def read(first: int, size: int) -> tuple[int, list[tuple[str, int]]]:
            later = [change for change in state.changes.items() if change[1] > first]
            return state.position, sorted(later, key=lambda change: change[1])[:size]

        return changes_page(after, limit, read)

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number, by number, tenant and beginning."""
        held = self._state.policies
        return [records.policy_of(held[key]) for key in sorted(held) if number is None or key[0] == number]

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """Quarantined inputs as (refusal_id, refusal), in refusal_id order."""
        held, left = self._state.refusals, query.limit
        for refusal_id in sorted(held if query.among is None else held.keys() & set(query.among)):
            if left is not None and left <= 0:
                return
            _, refusal = found = records.refusal_of(held[refusal_id])
            if _matches(query, refusal_id, refusal):
                left = None if left is None else left - 1
                yield found

    def rules(self) -> list[RulesUsed]:
        """The rules that the journeys here were made with."""
        return sorted(self._state.rules, key=lambda used: (used.version, used.digest))

    def runs(self) -> list[Run]:
        """Runs, oldest first."""
        held = [records.run_of(row) for row in self._state.runs.values()]
        return sorted(held, key=lambda run: (run.started_at, run.run_id))

    def digest(self) -> dict[str, str]:
        """Canonical digests by part: journeys, refusals, policies, fixes."""
        state = self._state
        journeys = rows.table_of([state.journeys[key] for key in sorted(state.journeys)])
        refusals = [state.refusals[key] for key in sorted(state.refusals)]
        policies = [state.policies[key] for key in sorted(state.policies)]
        blocks = ((key[0], key[1], state.blocks[key].content) for key in sorted(state.blocks))
        return {
            "journeys": table_digest(rows.STORED_SCHEMA, [journeys]),
            "refusals": table_digest(REFUSAL_DIGEST_SCHEMA, [records.table_from_rows(refusals, REFUSAL_DIGEST_SCHEMA)]),
            "policies": table_digest(POLICY_SCHEMA, [records.table_from_rows(policies, POLICY_SCHEMA)]),
            "fixes": fixes_digest(decoded(blocks)),
        }

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's kept fixes with ``first <= fixed_at <= last``, by time."""
        blocks, first_us, last_us = self._state.blocks, to_us(first), to_us(last)
        found = sorted(
            (key[1], block.content)
            for key, block in blocks.items()
            if key[0] == vehicle and first_us // DAY_US <= key[1] <= last_us // DAY_US
        )
        return fixes_of(vehicle, [content for _, content in found], first_us, last_us)

    def expire(self, before: datetime) -> int:
        """Forget kept fixes of UTC days that end at or before ``before``; returns how many fixes went."""
        first_kept = to_us(before) // DAY_US
        with self._writing:
            state = self._state
            kept = {key: block for key, block in state.blocks.items() if key[1] >= first_kept}
            gone = {key: block.rows for key, block in state.blocks.items() if key[1] < first_kept}
            if gone:
                position, changes = _moved(state, {vehicle: None for vehicle, _ in sorted(gone)})
                self._state = replace(state, blocks=kept, position=position, changes=changes)
        return sum(gone.values())

    def close(self) -> None:
        """Nothing to release; what is held goes with the object."""


def _next_state(state: _State, batch: StoreBatch) -> _State:
    sequence = state.sequence + 1
    put = {} if batch.journeys is None else {r[ID]: r for r in rows.rows_of(rows.stored_journeys(batch.journeys))}
    journeys, history = dict(state.journeys), dict(state.history)
    changed: dict[str | None, None] = {row[_VEHICLE]: None for row in put.values()}
    now = datetime.now(UTC)
    for moved in batch.superseded:
        row = journeys.get(moved.journey_id)
        if row is None or rows.row_content(row) == _content(put.get(moved.journey_id)):
            continue
        del journeys[moved.journey_id]
        changed[row[_VEHICLE]] = None
        key = rows.history_id(moved.journey_id, moved.successor_id, rows.row_content(row))
        entry = history.get(key)
        if entry is None:
            entry = _Entry(moved.journey_id, moved.successor_id, now, sequence, sequence, row)
        history[key] = replace(entry, latest=sequence)
    journeys.update(put)
    refusals = dict(state.refusals)
    for refusal_id in batch.refusals_withdrawn:
        if (withdrawn := refusals.pop(refusal_id, None)) is not None:
            changed[withdrawn[_REFUSED_VEHICLE]] = None
    for refusal in batch.refusals:
        changed[refusal.vehicle] = None
        refusals.setdefault(refusal.refusal_id, records.refusal_row(refusal))
    blocks = dict(state.blocks)
    for day in batch.fixes_withdrawn:
        if blocks.pop(day, None) is not None:
            changed[day[0]] = None
    for block in encode_blocks(batch.fixes) if batch.fixes is not None else ():
        blocks[block.vehicle, block.day] = block
        changed[block.vehicle] = None
    gone = {records.term_row(term) for term in batch.policies_withdrawn}
    policies = {term: row for term, row in state.policies.items() if term not in gone}
    position, changes = _moved(state, changed)
    return _State(
        sequence=sequence,
        position=position,
        changes=changes,
        journeys=journeys,
        history=history,
        refusals=refusals,
        policies=policies | {records.term_row(p.term): records.policy_row(p) for p in batch.policies},
        rules=(state.rules - set(batch.rules_withdrawn)) | ({batch.rules} if batch.rules else set()),
        runs=state.runs | ({batch.run.run_id: records.run_row(batch.run)} if batch.run else {}),
        blocks=blocks,
    )


def _moved(state: _State, vehicles: Iterable[str | None]) -> tuple[int, dict[str, int]]:
    """The position after a write that changes these vehicles (or nothing of any), and each vehicle's last change."""
    known = [vehicle for vehicle in vehicles if vehicle is not None]
    changes = state.changes | {vehicle: state.position + k for k, vehicle in enumerate(known, 1)}
    return state.position + max(len(known), 1), changes


def _candidates(state: _State, query: JourneyQuery) -> list[JourneyRow]:
    """The rows that may match, in order; the indexes of a state are made when they are first asked for."""
    if not state.by_policy and state.journeys:
        by_policy: dict[str | None, list[JourneyRow]] = defaultdict(list)
        by_vehicle: dict[str, list[JourneyRow]] = defaultdict(list)
        for row in sorted(state.journeys.values(), key=_key):
            by_policy[row[_POLICY]].append(row)
            by_vehicle[row[_VEHICLE]].append(row)
        state.by_vehicle.update(by_vehicle)
        state.by_policy.update(by_policy)
    if query.policy is not None or query.unattributed:
        return state.by_policy.get(query.policy, [])
    if query.vehicle is not None:
        return state.by_vehicle.get(query.vehicle, [])
    if query.policies is not None:
        return sorted((row for number in set(query.policies) for row in state.by_policy.get(number, [])), key=_key)
    return sorted(state.journeys.values(), key=_key)


def _key(row: JourneyRow) -> tuple[int, str]:
    return row[STARTED], row[ID]


def _content(row: JourneyRow | None) -> bytes | None:
    return None if row is None else rows.row_content(row)


def _matches(query: RefusalQuery, refusal_id: str, refusal: Refusal) -> bool:
    at = refusal.fixed_at
    return (
        (query.reason is None or refusal.reason == query.reason)
        and (query.vehicle is None or refusal.vehicle == query.vehicle)
        and not (query.without_vehicle and refusal.vehicle is not None)
        and (query.fixed_from is None or (at is not None and at >= query.fixed_from))
        and (query.fixed_to is None or (at is not None and at < query.fixed_to))
        and (query.after is None or refusal_id > query.after)
    )
