"""A feed's session: one upstream, one target, the slices that it syncs, and the position that stands in the target.

Corrections: what a change upstream touched is read again, passed, compared and written as a difference.

Nothing is applied as an increment, so doing it twice, out of order or after being killed gives the same.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from journeymesh.engines.port import Retention
from journeymesh.instants import from_us
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import VehicleTimes
from journeymesh.stores.port import RefusalQuery, RulesUsed, Run, Store, StoreBatch
from journeymesh.strangler.control import Control
from journeymesh.strangler.desired_state import (
    NAMELESS,
    POLICY_REASONS,
    Correction,
    DesiredState,
    Upstream,
    correction_of,
    document_of,
    ids_at_reading,
    is_at_reading,
)
from journeymesh.strangler.document_index import DocumentIndex
from journeymesh.strangler.feeds import FeedLease
from journeymesh.strangler.plan import Feed
from journeymesh.strangler.refusals import put_refused
from journeymesh.strangler.routes import Route
from journeymesh.strangler.slices import Selector
from journeymesh.strangler.target_state import KnownRefusal, TargetState, VehicleState, reaching
from journeymesh.strangler.targets import IDENTITY, WRITES, Mark, feed_id, held_mark, random_identity, target_fault

_TRIES: Final = 8
_MOST_NAMELESS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Corrects one store after one upstream, by vehicle, under one set of policies.

    ``now`` bounds future clocks where the receipt is not reported; None: the present instant.
    """

    source: Upstream
    store: Store
    policies: Sequence[Policy]
    retention: Retention
    now: datetime | None = None
    target_state: TargetState | None = None
    """What the store holds, where that is remembered between corrections."""

    def of(self, wanted: Sequence[VehicleTimes], *, origins: Iterable[str] = (), places: bool = False) -> Correction:
        """What has to be written so that the store is right about these times, grown to silences.

        ``origins`` are documents that changed: what was refused of them is withdrawn unless it is refused again.
        """
        now = self.now or datetime.now(UTC)
        target = self.target_state or TargetState(self.store)
        desired_states: list[DesiredState] = []
        states: list[VehicleState] = []
        for _ in range(_TRIES):
            desired_states = self.source.desired_states(wanted, self.policies, self.retention, now, places=places)
            states = target.of([desired.times for desired in desired_states])
            beyond = [times for state in states for times in reaching(state)]
            if not beyond:
                break
            wanted = [*wanted, *beyond]
        return correction_of(desired_states, states, self.retention, now, frozenset(origins))

    def named(self, origins: Sequence[str], stands: Container[str]) -> list[str]:
        """Ids under which these changed documents may have been refused while they named no vehicle.

        ``stands`` are the ids of what is refused of them now. It has to be all of it: a document that names a vehicle
        and has no clock is refused under the same id, whichever vehicle it names.
        """
        if not origins or next(self.store.refusals(RefusalQuery(without_vehicle=True, limit=1)), None) is None:
            return []
        return [refusal_id for refusal_id in ids_at_reading(origins) if refusal_id not in stands]

    def names_nameless(self, refusal_ids: Sequence[str]) -> bool:
        """Whether the store has a refusal without a vehicle under one of these ids, as far as it is soon looked up."""
        if not refusal_ids:
            return False
        some = self.store.refusals(RefusalQuery(without_vehicle=True, limit=_MOST_NAMELESS))
        return not {refusal_id for refusal_id, _ in some}.isdisjoint(refusal_ids)

    def nameless(self) -> Correction:
        """The difference in refusals of documents that name no vehicle, and of policies."""
        stands = {refusal.refusal_id: refusal for refusal in self.source.nameless()}
        without = RefusalQuery(without_vehicle=True)
        known = {refusal_id: KnownRefusal.of(refusal) for refusal_id, refusal in self.store.refusals(without)}
        fresh = [refusal for refusal_id, refusal in stands.items() if known.get(refusal_id) != KnownRefusal.of(refusal)]
        changed = {refusal.refusal_id for refusal in fresh} & known.keys()
        batch = StoreBatch(refusals=fresh, refusals_withdrawn=sorted((known.keys() - stands.keys()) | changed))
        if not batch.refusals and not batch.refusals_withdrawn:
            return Correction(batch)
        documents = {document_of(each.origin) for each in stands.values() if each.reason not in POLICY_REASONS}
        return Correction(batch, refused={NAMELESS: len(documents)})


_MOST_VEHICLES: Final = 500
_FIRST_VEHICLES: Final = 32


@dataclass(frozen=True, slots=True)
class Scope:
    """The vehicles that are synced. ``names`` None: all of them."""

    names: frozenset[str] | None

    @classmethod
    def of(cls, selectors: Sequence[Selector], policies: Sequence[Policy]) -> Scope:
        """The vehicles and devices of these slices' policies; of a slice without a condition, every vehicle."""
        if any(selector == Selector() for selector in selectors):
            return cls(None)
        held = [policy for policy in policies if any(selector.holds(policy) for selector in selectors)]
        return cls(frozenset(names_of(held)))

    def __contains__(self, vehicle: str) -> bool:
        return self.names is None or vehicle in self.names


@dataclass(slots=True)
class Pace:
    """How many vehicles are read at once so that they have about so many fixes."""

    fixes: int
    vehicles_met: int = 0
    fixes_met: int = 0
    most: int = _MOST_VEHICLES
    first: int = _FIRST_VEHICLES

    @property
    def vehicles(self) -> int:
        """Vehicles for the next read."""
        if not self.vehicles_met:
            return min(self.first, self.most) if self.fixes > self.first else 1
        average = max(self.fixes_met / self.vehicles_met, 1.0)
        return max(1, min(int(self.fixes / average), self.most))

    def too_many(self, vehicles: int) -> None:
        """So many were more than the source gives at once: half of them from now on."""
        self.most = max(vehicles // 2, 1)

    def met(self, vehicles: int, fixes: int) -> None:
        """Learn from a read; older ones count less."""
        self.vehicles_met, self.fixes_met = self.vehicles_met // 2 + vehicles, self.fixes_met // 2 + fixes


@dataclass(slots=True, kw_only=True)
class FeedSession:
    """One upstream and one target."""

    control: Control
    feed: Feed
    source: Upstream
    store: Store
    rules: JourneyRules
    retention: Retention
    upstream: str
    target: str
    lease: FeedLease | None = None
    """The right to feed the target; None: what is written is compared again by whoever wrote it."""
    routes: tuple[Route, ...] = ()
    foreign: tuple[Selector, ...] = ()
    """Whose policies in this target are another upstream's matter."""
    policies: list[Policy] = field(default_factory=list)
    scope: Scope = field(default_factory=lambda: Scope(frozenset()))
    target_state: TargetState = field(init=False)
    _under: Run | None = None
    """In whose name it writes, with the mark that tells the target from any other store."""
    _stands: Run | None = None
    """That as it has to stand in the target before the next write; None: whatever stands there."""

    def __post_init__(self) -> None:
        self.target_state = TargetState(self.store)

    @property
    def keeps_document_index(self) -> bool:
        """Whether it has to be written down where documents are: upstream does not tell where they were."""
        return not self.source.tells_places

    def document_index(self) -> DocumentIndex:
        """Where upstream's documents are."""
        return DocumentIndex(self.upstream, self.target, self.control.reading, self.recording)

    def recording(self) -> AbstractContextManager[sa.Connection]:
        """A transaction of the control database; with a lease it is still held."""
        return self.control.writing() if self.lease is None else self.lease.writing()

    def take_over(self) -> str | None:
        """Have the target refuse what whoever had the lease before may still be about to write. Returns why the target
        is not the store that was fed; None: it is.

        Before anything is read of the target: what is read afterwards is this feed's own to change. One that is not
        the store that was fed loses its mark: what this feed writes to it must not make it look like that store.
        """
        assert self.lease is not None
        self._stands = self.run(feed_id(self.upstream))
        fault = target_fault(self.control, self.store, self.upstream, self.target)
        mark = held_mark(self.store, self.upstream) if fault is None else None
        taken_at = from_us(self.lease.taken_us)
        counts = {} if mark is None else mark.counts
        self._under = Run(feed_id(self.upstream), "feeder", self.rules.version, taken_at, None, counts)
        self.write(StoreBatch())
        return fault

    @property
    def mark(self) -> Mark | None:
        """What tells the target from any other store, as this feed wrote it last; None: nothing does yet."""
        return None if self._under is None else Mark.of(self._under.counts, self.store.url)

    def draw_identity(self) -> None:
        """Give the target another identity, with the next write."""
        assert self._under is not None
        self._under = replace(self._under, counts={IDENTITY: random_identity(), WRITES: 0})

    def record_mark(self) -> None:
        """Record what tells the target from any other store, as it stands there."""
        mark = self.mark
        if self.lease is not None and mark is not None:
            self.lease.know_again(mark)

    def reload(self) -> None:
        """Read the policies of upstream. Legacy gives none that contradict each other; what a store has is copied as
        it stands, and journeys are not made by it again."""
        self.policies = self.source.policies()
        self.rescope()

    def rescope(self) -> None:
        """Find out which vehicles are synced: those of the policies that upstream has and that the target still has."""
        selectors = [route.slice.selector for route in self.routes]
        self.scope = Scope.of(selectors, [*self.policies, *self.store.policies()])

    def corrections(self) -> Corrections:
        """What corrects the target, under the present policies."""
        return Corrections(
            source=self.source,
            store=self.store,
            policies=self.policies,
            retention=self.retention,
            target_state=self.target_state,
        )

    def check_rules(self) -> RulesUsed:
        """The rules, if neither upstream nor the target has journeys of others.

        Raises:
            RulesConflict: one has.
        """
        used = RulesUsed.of(self.rules)
        for name, rules in ((self.upstream, self.source.rules()), (self.target, self.store.rules())):
            todo = "use another store in the plan, or the rules that this one was built with"
            used.require_no_others(rules, f"store {name}", todo=todo)
        return used

    def write(self, batch: StoreBatch, correction: Correction | None = None) -> None:
        """Write to the target while the lease holds; ``correction`` is what the batch makes it hold.

        Raises:
            FeedTaken: another feeder has the lease. WriterOvertaken: it took it since that was asked, or the target is
                not as this feed left it.
        """
        if self.lease is not None:
            self.lease.check()
        if correction is not None and correction.refused:
            put_refused(self.recording(), self.upstream, self.target, correction.refused)
        under = self._under
        if under is not None and IDENTITY in under.counts:
            under = replace(under, counts=under.counts | {WRITES: under.counts[WRITES] + 1})
        self.store.write(replace(batch, under=under, under_after=self._stands))
        self._under = self._stands = under
        taken = {refusal.refusal_id for refusal in batch.refusals if is_at_reading(refusal)}
        self.target_state.written(correction.states if correction is not None else (), taken)

    def run(self, run_id: str) -> Run | None:
        """The run of this id that stands in the target."""
        return self.store.run(run_id)

    def begun(self, run_id: str, started_at: datetime | None = None) -> Run:
        """A run that begins."""
        at = started_at or datetime.now(UTC)
        return Run(run_id, self.source.name, self.rules.version, at, None, {})

    def policy_changes(self) -> tuple[StoreBatch, list[str]]:
        """What has to be written of policies, and the vehicles whose journeys it changes."""
        given = {policy.term: policy for policy in self._ours(self.policies)}
        held = {policy.term: policy for policy in self._ours(self.store.policies())}
        differing = sorted(term for term in given.keys() | held.keys() if given.get(term) != held.get(term))
        touched = [policy for term in differing for policy in (given.get(term), held.get(term)) if policy]
        batch = StoreBatch(
            policies=[given[term] for term in differing if term in given],
            policies_withdrawn=[term for term in differing if term not in given],
        )
        return batch, sorted(names_of(touched))

    def _ours(self, policies: Sequence[Policy]) -> Iterator[Policy]:
        """Those that no other upstream of the target brings."""
        return (each for each in policies if not any(selector.holds(each) for selector in self.foreign))


def names_of(policies: Sequence[Policy]) -> set[str]:
    """The devices and vehicles that policies are about."""
    return {name for policy in policies for name in (policy.device, policy.vehicle) if name is not None}


def in_groups(wanted: Sequence[VehicleTimes], pace: Pace) -> Iterator[list[VehicleTimes]]:
    """The times in groups of as many vehicles as are read at once."""
    ordered = sorted(wanted)
    group: list[VehicleTimes] = []
    names: set[str] = set()
    for each in ordered:
        if each.vehicle not in names and len(names) >= pace.vehicles:
            yield group
            group, names = [], set()
        group.append(each)
        names.add(each.vehicle)
    if group:
        yield group


def advanced(run: Run, resume: str | None, counts: Mapping[str, int], *, finished: bool = False) -> Run:
    """The run further on."""
    return replace(run, resume=resume, counts=dict(counts), finished_at=datetime.now(UTC) if finished else None)
