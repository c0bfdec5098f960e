"""What some vehicles' fixes change in a store: one batch, written as one.

A vehicle that the store does not know is new: its journeys are put. For a known one the kept fixes around the ones
that arrived are read back, both are passed together, and only what came out differently is written. The window read
back ends at silences, across which the pass compares nothing; so the result is what one pass over everything would
have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.engines.port import Retention
from journeymesh.engines.refusals import Describe, refusals_of
from journeymesh.engines.windows import Window, difference, journeys_touching, of_vehicles, read_windows, stored_rows
from journeymesh.instants import from_us, to_us
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA, Refusal
from journeymesh.journeys.local_time import DAY_US, US_PER_S
from journeymesh.journeys.ordering import in_canonical_order
from journeymesh.journeys.pipeline import JourneyPass, PassCounts, PassResult, make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import PASS_REASONS, Reason
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import VehicleRead, VehicleTimes
from journeymesh.stores.port import RefusalQuery, Store, StoreBatch

Mask = npt.NDArray[np.bool_]

FROM_STORE: Final = -2
"""``origin`` of fixes that were kept by the store."""
_RECOMPUTED: Final = {reason.code for reason in PASS_REASONS} - {
    Reason.CLOCK_FUTURE.code,
    Reason.CLOCK_IMPOSSIBLE.code,
}


@dataclass(slots=True)
class Recalculated:
    """A batch to write, and what it counts. ``refused`` are its refusals of fixes that arrived, not of kept ones."""

    batch: StoreBatch
    counts: PassCounts = field(default_factory=PassCounts)
    refused: Sequence[Refusal] = ()
    vehicles: int = 0
    journeys: int = 0
    changed: int = 0
    removed: int = 0
    harsh_events: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalculation:
    """Recalculates whole vehicles of one store under one set of rules and policies."""

    store: Store
    rules: JourneyRules
    policies: Sequence[Policy]
    retention: Retention
    now: datetime
    describe: Describe
    jobs: int = 1
    put_by_this_run: set[str] = field(default_factory=set)
    """Known vehicles' journeys written by this run: that they grow is no history."""
    _passes: list[JourneyPass] = field(default_factory=list)
    _threads: list[ThreadPoolExecutor] = field(default_factory=list)
    _under_way: list[Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        now_us, timeline = to_us(self.now), not self.retention.keeps_nothing
        for _ in range(self.jobs):
            self._passes.append(JourneyPass(self.rules, self.policies, now_us, timeline))
        if self.jobs > 1:
            self._threads.append(ThreadPoolExecutor(self.jobs))

    def recalculate(self, fixes: Fixes) -> Recalculated:
        """What these fixes change. They are all that the run has of their vehicles, or the run goes on later."""
        known = self.take(fixes)
        taken = self.taken()
        return taken if known is None else joined([known, taken])

    def take(self, *parts: Fixes) -> Recalculated | None:
        """Take the fixes of whole vehicles; what they change comes out with the next ``taken``, so that what a batch
        costs is paid once for several. Vehicles that the store knows are recalculated at once: what they change."""
        known = self.store.vehicles([name for fixes in parts for name in fixes.vehicles])
        recalculated = []
        for fixes in parts:
            is_known = np.array([name in known for name in fixes.vehicles], np.bool_)[fixes.vehicle]
            if is_known.any():
                recalculated += [self._known(each) for each in of_vehicles(fixes.take(is_known)).values()]
            if not is_known.all():
                self._fresh(fixes.take(~is_known) if is_known.any() else fixes)
        return joined(recalculated) if recalculated else None

    @property
    def journeys_taken(self) -> int:
        """How many journeys the next ``taken`` has, as far as they are found."""
        return sum(each.journeys_found for each in self._passes)

    def taken(self) -> Recalculated:
        """What the vehicles taken since the last call, as far as the store did not know them, change."""
        self._wait_for(0)
        return joined([self._recalculated(each.result()) for each in self._passes])

    def _recalculated(self, result: PassResult) -> Recalculated:
        refused = refusals_of(result.refused, result.reasons, self.describe)
        return Recalculated(
            StoreBatch(journeys=result.journeys, refusals=refused, fixes=self._to_keep(result.timeline, None)),
            result.counts,
            refused,
            vehicles=result.vehicles,
            journeys=len(result.journeys),
            harsh_events=pc.sum(pc.list_value_length(result.journeys["harsh_events"])).as_py() or 0,
        )

    def again(self, vehicle: str) -> Recalculated:
        """What the vehicle's kept fixes give under the present policies."""
        return self._known(Fixes.empty((vehicle,)), everything=True)

    def not_recomputable(self, vehicle: str) -> int:
        """How many journeys of a vehicle that the store knows cannot be made again: their fixes are not kept."""
        window = self._window(vehicle, Fixes.empty((vehicle,)), True)
        before = journeys_touching(self.store, window.times)
        return len(self._not_recomputable(before, JOURNEY_SCHEMA.empty_table(), window.fixes))

    def _fresh(self, fixes: Fixes) -> None:
        """Take vehicles that the store does not know, on as many threads as there are jobs."""
        if self.jobs == 1:
            self._passes[0].take(fixes, final=True)
            return
        if (fixes.vehicle[1:] < fixes.vehicle[:-1]).any():
            fixes = in_canonical_order(fixes)
        cuts = np.searchsorted(fixes.vehicle, fixes.vehicle[len(fixes) * np.arange(1, self.jobs) // self.jobs])
        for first, last in pairwise(np.unique(np.r_[0, cuts, len(fixes)])):
            self._wait_for(self.jobs - 1)
            each = self._passes.pop(0)  # the one whose work is done longest
            self._passes.append(each)
            part = fixes.take(slice(first, last))
            self._under_way.append(self._threads[0].submit(each.take, part, final=True))

    def _wait_for(self, left: int) -> None:
        """Wait until no more than so many parts are being passed, the oldest first."""
        while len(self._under_way) > left:
            self._under_way.pop(0).result()

    def _known(self, arrived: Fixes, everything: bool = False) -> Recalculated:
        """Recalculate one vehicle that the store knows; ``arrived.vehicles`` is that one name."""
        vehicle = arrived.vehicles[0]
        window = self._window(vehicle, arrived, everything)
        kept = window.fixes
        before = journeys_touching(self.store, window.times)
        result = self._one(_beside(kept, arrived))
        refused: list[Refusal] = []
        again = 0
        lost = self._not_recomputable(before, result.journeys, kept)
        if len(lost):
            touching = _touching(arrived.fixed_at_us, lost, round(self.rules.max_silence_s * US_PER_S))
            turned_away = arrived.take(touching)
            reasons = np.full(len(turned_away), Reason.FIXES_NOT_KEPT, np.uint8)
            once = {each.refusal_id: each for each in refusals_of(turned_away, reasons, self.describe)}
            refused, again = list(once.values()), len(turned_away) - len(once)
            arrived = arrived.take(~touching)
            result = self._one(_beside(kept, arrived))
            result = replace(result, journeys=_apart_from(result.journeys, lost))
            before = before.filter(pc.invert(pc.is_in(before["journey_id"], lost["journey_id"].combine_chunks())))
        counts = _counts_of_arrived(arrived, result, len(kept)) + PassCounts(duplicates=again)
        new_rows = _arrived_rows(result.timeline)
        if new_rows.any() or everything:
            return self._difference(window.times, before, result, new_rows, refused, counts)
        only = _arrived_rows(result.refused)
        refused += refusals_of(result.refused.take(only), result.reasons[only], self.describe)
        return Recalculated(StoreBatch(refusals=refused), counts, refused, vehicles=1)

    def _difference(
        self,
        times: VehicleTimes,
        before: pa.Table,
        result: PassResult,
        new_rows: Mask,
        refused: list[Refusal],
        counts: PassCounts,
    ) -> Recalculated:
        found = difference(stored_rows(before), stored_rows(result.journeys))
        put = found.put
        superseded = found.superseded(self.put_by_this_run)
        self.put_by_this_run.update(put)
        refusals = refusals_of(result.refused, result.reasons, self.describe)
        has_arrived = _arrived_rows(result.refused).tolist()
        stands = {refusal.refusal_id for refusal in refusals}
        first_at, end_at = from_us(times.first_us), from_us(times.last_us + 1)
        query = RefusalQuery(vehicle=times.vehicle, fixed_from=first_at, fixed_to=end_at)
        withdrawn = [
            refusal_id
            for refusal_id, refusal in self.store.refusals(query)
            if refusal.reason in _RECOMPUTED and refusal_id not in stands
        ]
        written = result.journeys.filter(pc.is_in(result.journeys["journey_id"], pa.array(put, pa.string())))
        return Recalculated(
            StoreBatch(
                journeys=written,
                superseded=superseded,
                refusals=[*refused, *refusals],
                refusals_withdrawn=withdrawn,
                fixes=self._to_keep(result.timeline, new_rows),
            ),
            counts,
            [*refused, *(each for each, arrived in zip(refusals, has_arrived, strict=True) if arrived)],
            vehicles=1,
            journeys=len(put) - len(found.changed),
            changed=len(found.changed),
            removed=len(found.gone),
            harsh_events=pc.sum(pc.list_value_length(written["harsh_events"])).as_py() or 0,
        )

    def _one(self, fixes: Fixes) -> PassResult:
        return make_journeys(fixes, self.rules, self.policies, to_us(self.now))

    def _window(self, vehicle: str, arrived: Fixes, everything: bool) -> Window:
        """The kept fixes around those that arrived, or all of the vehicle's."""
        if everything:
            span = self.store.vehicles([vehicle])[vehicle]
            times = VehicleTimes(vehicle, to_us(span.first_at), to_us(span.last_at))
        else:
            at = self._possible(arrived)
            if not len(at):
                return Window(VehicleTimes(vehicle, 0, -1), Fixes.empty((vehicle,)))
            times = VehicleTimes(vehicle, int(at.min()), int(at.max()))
        [window] = read_windows(self._kept, [times], self.rules)
        return window

    def _possible(self, arrived: Fixes) -> I64:
        """The instants of fixes whose clock the pass does not refuse."""
        result = self._one(arrived)
        return result.timeline.fixed_at_us

    def _kept(self, wanted: Sequence[VehicleTimes]) -> VehicleRead:
        """The fixes that the store keeps of these times."""
        kept = Fixes.concat(
            [self.store.fixes(each.vehicle, from_us(each.first_us), from_us(each.last_us)) for each in wanted]
        )
        return VehicleRead(replace(kept, origin=np.full(len(kept), FROM_STORE, np.int64)))

    def _to_keep(self, timeline: Fixes, new_rows: Mask | None) -> Fixes | None:
        """The fixes of those UTC days that changed, as far as retention keeps them."""
        if self.retention.keeps_nothing or not len(timeline):
            return None
        keep = np.ones(len(timeline), np.bool_)
        if new_rows is not None:
            days = timeline.fixed_at_us // DAY_US
            keep = np.isin(days, np.unique(days[new_rows]))
        if self.retention.keep is not None:
            keep &= timeline.fixed_at_us >= self.retention.first_day(self.now) * DAY_US
        if not keep.any():
            return None
        return timeline if keep.all() else timeline.take(keep)

    def _not_recomputable(self, before: pa.Table, after: pa.Table, kept: Fixes) -> pa.Table:
        """Stored journeys of which neither the store nor this run has all fixes, and which the pass would change."""
        lost = []
        starts = after["started_at"].cast(pa.int64()).to_numpy()
        ends = after["ended_at"].cast(pa.int64()).to_numpy()
        fixes = after["fixes"].to_numpy()
        for row, (start, end, need) in enumerate(
            zip(
                before["started_at"].cast(pa.int64()).to_pylist(),
                before["ended_at"].cast(pa.int64()).to_pylist(),
                before["fixes"].to_pylist(),
                strict=True,
            )
        ):
            held = np.count_nonzero((kept.fixed_at_us >= start) & (kept.fixed_at_us <= end))
            if held < need and fixes[(starts <= end) & (ends >= start)].sum() < need:
                lost.append(row)
        return before.take(pa.array(lost, pa.int64()))


def _beside(kept: Fixes, arrived: Fixes) -> Fixes:
    """Kept fixes first, so that what arrives again is the duplicate."""
    if arrived.origin is None:
        arrived = replace(arrived, origin=np.full(len(arrived), -1, np.int64))
    return Fixes.concat([kept, arrived]) if len(kept) else arrived


def _arrived_rows(fixes: Fixes) -> Mask:
    if fixes.origin is None or isinstance(fixes.origin, range):
        return np.ones(len(fixes), np.bool_)
    arrived: Mask = fixes.origin != FROM_STORE
    return arrived


def _touching(at_us: I64, journeys: pa.Table, silence_us: int) -> Mask:
    """Which instants lie in a journey or hang on to it without a silence between."""
    starts = journeys["started_at"].cast(pa.int64()).to_numpy()
    ends = journeys["ended_at"].cast(pa.int64()).to_numpy()
    begins = np.r_[at_us, starts]
    order = np.argsort(begins, kind="stable")
    reach = np.maximum.accumulate(np.r_[at_us, ends][order])
    group = np.empty(len(begins), np.int64)
    group[order] = np.r_[0, np.cumsum(begins[order][1:] - reach[:-1] > silence_us)]
    return np.isin(group[: len(at_us)], group[len(at_us) :])


def _apart_from(journeys: pa.Table, lost: pa.Table) -> pa.Table:
    """The journeys that overlap none of these: what is left of a journey's fixes makes no other beside it."""
    starts, ends = (journeys[name].cast(pa.int64()).to_numpy() for name in ("started_at", "ended_at"))
    apart = np.ones(len(journeys), np.bool_)
    for first, last in zip(
        lost["started_at"].cast(pa.int64()).to_pylist(), lost["ended_at"].cast(pa.int64()).to_pylist(), strict=True
    ):
        apart &= (starts > last) | (ends < first)
    return journeys.filter(pa.array(apart))


def _counts_of_arrived(arrived: Fixes, result: PassResult, kept: int) -> PassCounts:
    refused = int(np.count_nonzero(_arrived_rows(result.refused)))
    accepted = len(arrived) - result.counts.duplicates - refused
    share = accepted / max(accepted + kept, 1)
    return PassCounts(
        accepted,
        result.counts.duplicates,
        round(result.counts.outside_policy * share),
        round(result.counts.outside_journey * share),
        round(result.counts.speed_doubted * share),
    )


def joined(parts: Sequence[Recalculated]) -> Recalculated:
    """What several parts change together. They are of different vehicles."""
    if len(parts) == 1:
        return parts[0]
    tables = [part.batch.journeys for part in parts if part.batch.journeys is not None]
    fixes = [part.batch.fixes for part in parts if part.batch.fixes is not None]
    counts = PassCounts()
    for part in parts:
        counts += part.counts
    return Recalculated(
        StoreBatch(
            journeys=pa.concat_tables(tables) if tables else JOURNEY_SCHEMA.empty_table(),
            superseded=[item for part in parts for item in part.batch.superseded],
            refusals=[item for part in parts for item in part.batch.refusals],
            refusals_withdrawn=[item for part in parts for item in part.batch.refusals_withdrawn],
            fixes=in_canonical_order(Fixes.concat(fixes)) if fixes else None,
        ),
        counts,
        [item for part in parts for item in part.refused],
        vehicles=sum(part.vehicles for part in parts),
        journeys=sum(part.journeys for part in parts),
        changed=sum(part.changed for part in parts),
        removed=sum(part.removed for part in parts),
        harsh_events=sum(part.harsh_events for part in parts),
    )
