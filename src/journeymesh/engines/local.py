"""The engine of this machine: its cores, its memory, its disk."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from journeymesh.engines.grouping import NotClustered, Spill, clustered, given_up
from journeymesh.engines.memory import collect_seldom, keep_freed_memory
from journeymesh.engines.port import OnProgress, Progress, RunOptions, RunReport
from journeymesh.engines.recalculation import Recalculated, Recalculation, joined
from journeymesh.engines.refusals import former_ids
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy, PolicyTerm, replaced_by
from journeymesh.journeys.policy_conflicts import without_conflicts
from journeymesh.journeys.reasons import USED_WITHOUT, Reason
from journeymesh.sources.port import Source, SourceBatch, SourceSize
from journeymesh.stores.port import RefusalQuery, RulesUsed, Run, Store, StoreBatch

_WRITTEN = ("journeys", "journeys_changed", "journeys_removed", "harsh_events")
_NAMES = (
    "read_bytes", "read", "fixes", "accepted", "duplicates", "refused", "values_unreadable", "other_documents",
    "outside_policy", "outside_journey", "speed_doubted", "vehicles", "policies", "policies_refused",
    *_WRITTEN,
)  # fmt: skip
_VALUES = frozenset(reason.code for reason in USED_WITHOUT)
_FLUSH_REFUSALS = 50_000
_JOURNEYS_AT_ONCE = 10_000
_HELD_S = 2.0
"""Without kept fixes batches are small: they are held until they are worth a commit, or so long."""


def run(source: Source, store: Store, options: RunOptions, on_progress: OnProgress | None = None) -> RunReport:
    """Turn a source's fixes into journeys in the store. Idempotent; may be killed and run again.

    Each batch that is written holds whole vehicles, so that what is committed is right as it stands. A source that
    can be taken up again, and whose fixes are kept, is recalculated window by window with its position.

    Raises:
        RulesConflict: the store holds journeys of other rules and ``allow_mixed_rules`` is off.
        SourceUnreadable, StoreUnavailable: as the adapters say; what was committed before stands.
    """
    keep_freed_memory()
    collect_seldom()
    return _Run(source, store, options, on_progress).go()


@dataclass(slots=True)
class _Run:
    source: Source
    store: Store
    options: RunOptions
    on_progress: OnProgress | None
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    counts: Counter[str] = field(default_factory=Counter)
    pending: list[Refusal] = field(default_factory=list)
    held: list[Recalculated] = field(default_factory=list)
    is_held: bool = False
    held_since: float = 0.0
    resume: str | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    phase: str = "reading"
    size: SourceSize = field(default_factory=SourceSize)
    to_write: dict[str, Any] = field(default_factory=dict)
    """Rules and policies, fields of ``StoreBatch``: they go with the next batch that is written."""
    examples: dict[str, Refusal] = field(default_factory=dict)
    has_refusals: bool = False
    """Whether the store had any before this run."""

    def go(self) -> RunReport:
        began = time.perf_counter()
        self.size = self.source.size()
        now = self.options.now or self.started_at
        rules = self._rules()
        self.has_refusals = next(self.store.refusals(RefusalQuery(limit=1)), None) is not None
        policies, withdrawn, ids = self._policies()
        again = self.store.vehicles(sorted(ids)) if ids else {}
        recalculation = Recalculation(
            store=self.store,
            rules=self.options.rules,
            policies=policies,
            retention=self.options.retention,
            now=now,
            describe=self.source.describe,
            jobs=self.options.jobs,
        )
        self.resume = self._last_resume() if self._resumable else None
        is_resumed = self.resume is not None
        # Policies are put once every journey they change is: a run killed before finds them changed again.
        self.to_write["rules"] = rules
        for vehicle in again:
            self._count(recalculated := recalculation.again(vehicle))
            self._write(recalculated.batch)
        self.to_write |= {"policies": policies, "policies_withdrawn": withdrawn}
        for group in self._groups(recalculation):
            self._recalculate(recalculation, group)
            del group  # else its memory would stand beside the next one's
        self._write(self._taken(recalculation), finished=True)
        if self.options.retention.keep is not None and not self.options.retention.keeps_nothing:
            self.store.expire(now - self.options.retention.keep)
        counts = {name: self.counts[name] for name in _NAMES} | {
            name: n for name, n in sorted(self.counts.items()) if name.startswith("refused_")
        }
        return RunReport(self.run_id, counts, time.perf_counter() - began, self.examples, is_resumed)

    @property
    def _resumable(self) -> bool:
        return self.options.resume and not self.options.retention.keeps_nothing

    def _rules(self) -> RulesUsed:
        used = RulesUsed.of(self.options.rules)
        if not self.options.allow_mixed_rules:
            todo = "run `journeymesh store recompute --rules …`, use another store, or allow mixed rules"
            used.require_no_others(self.store.rules(), "the store", todo=todo)
        return used

    def _policies(self) -> tuple[list[Policy], list[PolicyTerm], set[str]]:
        """The policies, the terms that the given ones replace, and the ids whose policies this run changes. Those that
        cannot be used are refused."""
        given = self.source.policies() if self.options.policies is None else self.options.policies
        stored = {policy.term: policy for policy in self.store.policies()}
        replaced = replaced_by(given, stored.values())
        gone = [policy.term for policy in replaced]
        named = {policy.term for policy in given} | set(gone)
        used, contradicting = without_conflicts(given, [p for term, p in stored.items() if term not in named])
        refused = [*getattr(given, "refusals", ()), *(_contradicting(one.policy, one.detail) for one in contradicting)]
        self.pending += refused
        self.counts["policies"], self.counts["policies_refused"] = len(used), len(refused)
        merged = {term: policy for term, policy in stored.items() if term not in set(gone)}
        merged |= {policy.term: policy for policy in used}
        touched: list[Policy | None] = [*replaced]
        touched += [stored.get(p.term) for p in used if stored.get(p.term) != p]
        touched += [p for p in used if stored.get(p.term) != p]
        ids = {name for p in touched if p is not None for name in (p.device, p.vehicle) if name is not None}
        return list(merged.values()), gone, ids

    def _groups(self, recalculation: Recalculation) -> Iterator[list[Fixes]]:
        """Whole vehicles; or windows, from a source that can be taken up again."""
        batches = self.source.batches(self.resume)
        first = next(batches, None)
        if first is None:
            return
        by_window, row_bytes = first.resume is not None and self._resumable, _row_bytes(first)
        batches = chain(given_up([first]), batches)
        del first  # else it would be held as long as the run goes on
        if by_window:
            yield from self._windows(batches)
            return
        if self.resume is not None:
            batches = self.source.batches()
        before = self.counts.copy()
        try:
            yield from clustered(self._fixes(batches), self.options.memory_bytes)
            return
        except NotClustered:
            del batches  # which stand where they were stopped, and hold what they had read
            self._write_held(recalculation)
            # Everything is read again; what is written by now is found unchanged, and counts already.
            self.counts = before + Counter({name: self.counts[name] - before[name] for name in _WRITTEN})
            self.pending.clear()
        with Spill.sized(self.size.fixes, self.options.memory_bytes, row_bytes) as spill:
            self.phase = "sorting"
            for fixes in self._fixes(self.source.batches()):
                spill.add(fixes)
                del fixes
            self.phase = "passing"
            yield from ([part] for part in spill.whole_vehicles())

    def _windows(self, batches: Iterator[SourceBatch]) -> Iterator[list[Fixes]]:
        held: list[Fixes] = []
        bound = self.options.memory_bytes // 4
        position = self.resume
        for batch in batches:
            self._note(batch)
            held.append(batch.fixes)
            position = batch.resume or position
            if sum(fixes.nbytes for fixes in held) >= bound:
                self.resume = position
                yield [Fixes.concat(held)]
                held = []
        self.resume = position
        if held:
            yield [Fixes.concat(held)]

    def _last_resume(self) -> str | None:
        for earlier in reversed(self.store.runs()):
            if earlier.is_of_feed:
                continue
            if earlier.source == self.source.name and earlier.rules_version == self.options.rules.version:
                return earlier.resume
        return None

    def _fixes(self, batches: Iterator[SourceBatch]) -> Iterator[Fixes]:
        for batch in batches:
            self._note(batch)
            if len(batch.fixes):
                yield batch.fixes

    def _note(self, batch: SourceBatch) -> None:
        self.counts["read_bytes"] += batch.read_bytes
        self.counts["fixes"] += len(batch.fixes)
        self.counts["other_documents"] += batch.others
        self.counts["read"] += len(batch.fixes) + sum(one.reason not in _VALUES for one in batch.refusals)
        self._refuse(batch.refusals)
        self.pending += batch.refusals
        if len(self.pending) >= _FLUSH_REFUSALS:
            self._write(StoreBatch())
        if self.on_progress is not None:
            done = self.counts["fixes"], self.counts["read_bytes"]
            self.on_progress(Progress(self.phase, *done, self.size.fixes, self.size.read_bytes))

    def _refuse(self, refusals: Sequence[Refusal]) -> None:
        for refusal in refusals:
            if refusal.reason in _VALUES:
                self.counts["values_unreadable"] += 1
                continue
            self.counts["refused"] += 1
            self.counts[f"refused_{refusal.reason}"] += 1
            self.examples.setdefault(refusal.reason, refusal)

    def _recalculate(self, recalculation: Recalculation, group: Sequence[Fixes]) -> None:
        if not self.is_held:
            self.is_held, self.held_since = True, time.monotonic()
        if (recalculated := recalculation.take(*group)) is not None:
            self.held.append(recalculated)
        journeys = recalculation.journeys_taken + sum(len(one.batch.journeys or ()) for one in self.held)
        enough = journeys >= _JOURNEYS_AT_ONCE or time.monotonic() - self.held_since >= _HELD_S
        if enough or not self.options.retention.keeps_nothing:
            self._write_held(recalculation)

    def _write_held(self, recalculation: Recalculation) -> None:
        if self.is_held:
            self._write(self._taken(recalculation))

    def _taken(self, recalculation: Recalculation) -> StoreBatch:
        """What is held, counted; the next batch to write."""
        if not self.is_held:
            return StoreBatch()
        together = joined([*self.held, recalculation.taken()])
        self.is_held, self.held = False, []
        self._count(together)
        self._refuse(together.refused)
        return together.batch

    def _count(self, recalculated: Recalculated) -> None:
        self.counts["accepted"] += recalculated.counts.accepted
        self.counts["duplicates"] += recalculated.counts.duplicates
        self.counts["outside_policy"] += recalculated.counts.outside_policy
        self.counts["outside_journey"] += recalculated.counts.outside_journey
        self.counts["speed_doubted"] += recalculated.counts.speed_doubted
        self.counts["vehicles"] += recalculated.vehicles
        self.counts["journeys"] += recalculated.journeys
        self.counts["journeys_changed"] += recalculated.changed
        self.counts["journeys_removed"] += recalculated.removed
        self.counts["harsh_events"] += recalculated.harsh_events

    def _write(self, batch: StoreBatch, finished: bool = False) -> None:
        refusals, withdrawn = [*self.pending, *batch.refusals], list(batch.refusals_withdrawn)
        if self.pending and self.has_refusals:
            withdrawn += former_ids(self.pending, self.store)
        self.pending.clear()
        record = Run(
            run_id=self.run_id,
            source=self.source.name,
            rules_version=self.options.rules.version,
            started_at=self.started_at,
            finished_at=datetime.now(UTC) if finished else None,
            counts=dict(self.counts),
            resume=self.resume,
        )
        self.store.write(replace(batch, **self.to_write, refusals=refusals, refusals_withdrawn=withdrawn, run=record))
        self.to_write.clear()


def _contradicting(policy: Policy, why: str) -> Refusal:
    """The refusal of a policy that can be used by itself."""
    held = asdict(policy)
    content = json.dumps(held, default=str, ensure_ascii=False)
    key = "\0".join(("policy", policy.number, policy.tenant, policy.valid_from.isoformat(), content))
    return Refusal(Reason.POLICY_CONTRADICTS.code, f"policy {policy.number}", why, content=content, input_key=key)


def _row_bytes(batch: SourceBatch) -> int:
    return batch.fixes.nbytes // max(len(batch.fixes), 1)
